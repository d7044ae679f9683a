//! The words that names of stores and products are put together from.

/// First and second words of a store's name; every pair is one store.
pub(crate) const PLACES: [&str; 40] = [
    "Maple",
    "Harbour",
    "Station",
    "Castle",
    "Mill",
    "Orchard",
    "River",
    "Market",
    "Abbey",
    "Bishop",
    "Canal",
    "Cedar",
    "Chapel",
    "Clover",
    "Elm",
    "Fountain",
    "Garden",
    "Granary",
    "Hazel",
    "Heron",
    "Juniper",
    "King's",
    "Lantern",
    "Linden",
    "Meadow",
    "Museum",
    "North",
    "Old Town",
    "Palace",
    "Park",
    "Poplar",
    "Quarry",
    "Queen's",
    "Rose",
    "Saddler's",
    "South",
    "Temple",
    "Theatre",
    "Willow",
    "Windmill",
];
/// See [`PLACES`].
pub(crate) const ROADS: [&str; 20] = [
    "Street", "Square", "Gate", "Lane", "Hill", "Avenue", "Corner", "Bridge", "Row", "Terrace",
    "Yard", "Quay", "Green", "Arcade", "Crescent", "Court", "Wharf", "Crossing", "Parade", "Mews",
];

/// What a product's name begins with; fits every noun below.
pub(crate) const VARIETIES: [&str; 7] =
    ["Classic", "Organic", "Everyday", "Premium", "Family Size", "Small Batch", "Traveller's"];

/// The categories, each with its kinds of products. No kind stands in two of them.
#[rustfmt::skip]
pub(crate) const CATEGORIES: [(&str, [&str; 12]); 24] = [
    ("Bakery", ["Sourdough Loaf", "Rye Loaf", "Baguette", "Butter Croissant", "Cinnamon Roll", "Bagels", "Ciabatta", "Brioche", "Pretzel", "Muffins", "Scones", "Flatbread"]),
    ("Breakfast", ["Porridge Oats", "Granola", "Muesli", "Corn Flakes", "Pancake Mix", "Waffles", "Maple Syrup", "Strawberry Jam", "Orange Marmalade", "Peanut Butter", "Honey", "Hazelnut Spread"]),
    ("Cheese", ["Cheddar", "Gouda", "Brie", "Mozzarella", "Parmesan", "Feta", "Goat's Cheese", "Blue Cheese", "Halloumi", "Cottage Cheese", "Ricotta", "Emmental"]),
    ("Coffee", ["Espresso Beans", "Filter Coffee", "Decaf Beans", "Coffee Pods", "Cold Brew", "Iced Latte", "Instant Coffee", "Mocha Mix", "Breakfast Roast", "Dark Roast", "Light Roast", "Chicory Blend"]),
    ("Confectionery", ["Dark Chocolate", "Milk Chocolate", "Truffles", "Fudge", "Liquorice", "Wine Gums", "Toffees", "Marzipan Bar", "Nougat", "Mint Drops", "Caramels", "Jelly Beans"]),
    ("Dairy", ["Whole Milk", "Oat Drink", "Salted Butter", "Double Cream", "Sour Cream", "Greek Yoghurt", "Fruit Yoghurt", "Kefir", "Buttermilk", "Custard", "Crème Fraîche", "Rice Pudding"]),
    ("Delicatessen", ["Green Olives", "Hummus", "Sun-Dried Tomatoes", "Pesto", "Tapenade", "Stuffed Vine Leaves", "Antipasti", "Potato Salad", "Coleslaw", "Artichoke Hearts", "Pickled Gherkins", "Tzatziki"]),
    ("Fish", ["Salmon Fillet", "Smoked Trout", "Cod Loin", "Prawns", "Tuna Steak", "Mackerel", "Sea Bass", "Mussels", "Sardines", "Fish Cakes", "Herring", "Anchovies"]),
    ("Flowers", ["Tulips", "Roses", "Lilies", "Sunflowers", "Orchid", "Mixed Bouquet", "Carnations", "Hydrangea", "Potted Basil", "Potted Fern", "Daffodils", "Peonies"]),
    ("Frozen", ["Garden Peas", "Margherita Pizza", "Vanilla Ice Cream", "Berry Sorbet", "Potato Wedges", "Spinach Portions", "Spring Rolls", "Vegetable Dumplings", "Fish Fingers", "Apple Strudel", "Chocolate Ice Cream", "Sweetcorn"]),
    ("Fruit", ["Apples", "Bananas", "Pears", "Oranges", "Lemons", "Grapes", "Strawberries", "Blueberries", "Mangoes", "Kiwis", "Plums", "Pineapple"]),
    ("Grains", ["Basmati Rice", "Risotto Rice", "Couscous", "Quinoa", "Bulgur", "Red Lentils", "Chickpeas", "Black Beans", "Polenta", "Pearl Barley", "Buckwheat", "Split Peas"]),
    ("Home Baking", ["Plain Flour", "Wholemeal Flour", "Caster Sugar", "Brown Sugar", "Baking Powder", "Dry Yeast", "Vanilla Extract", "Ground Almonds", "Cocoa Powder", "Chocolate Chips", "Icing Sugar", "Raisins"]),
    ("Household", ["Washing-Up Liquid", "Laundry Powder", "Fabric Softener", "Kitchen Roll", "Bin Liners", "Glass Cleaner", "Sponges", "Dishwasher Tablets", "Candles", "Batteries", "Light Bulbs", "Baking Paper"]),
    ("Juice", ["Orange Juice", "Apple Juice", "Grapefruit Juice", "Tomato Juice", "Carrot Juice", "Cranberry Juice", "Pineapple Juice", "Grape Juice", "Ginger Shot", "Mango Smoothie", "Berry Smoothie", "Green Smoothie"]),
    ("Meat", ["Chicken Breast", "Minced Beef", "Lamb Chops", "Pork Loin", "Sausages", "Bacon", "Sirloin Steak", "Duck Breast", "Meatballs", "Turkey Escalope", "Burgers", "Salami"]),
    ("Pasta", ["Spaghetti", "Penne", "Fusilli", "Tagliatelle", "Lasagne Sheets", "Ravioli", "Gnocchi", "Macaroni", "Orzo", "Tomato Sauce", "Arrabbiata Sauce", "Bolognese Sauce"]),
    ("Personal Care", ["Shampoo", "Conditioner", "Shower Gel", "Hand Soap", "Toothpaste", "Body Lotion", "Deodorant", "Lip Balm", "Cotton Pads", "Sun Cream", "Face Cream", "Bath Salts"]),
    ("Pets", ["Cat Food", "Dog Food", "Cat Litter", "Dog Biscuits", "Bird Seed", "Rabbit Hay", "Fish Flakes", "Cat Treats", "Chew Bones", "Hamster Mix", "Puppy Food", "Kitten Food"]),
    ("Snacks", ["Sea Salt Crisps", "Paprika Crisps", "Popcorn", "Cashews", "Almonds", "Pistachios", "Trail Mix", "Rice Cakes", "Crackers", "Breadsticks", "Tortilla Chips", "Oat Bars"]),
    ("Soft Drinks", ["Cola", "Lemonade", "Ginger Ale", "Tonic Water", "Iced Tea", "Elderflower Fizz", "Root Beer", "Kombucha", "Cream Soda", "Sparkling Water", "Still Water", "Orange Soda"]),
    ("Spices", ["Black Pepper", "Sea Salt", "Paprika", "Turmeric", "Cumin", "Cinnamon Sticks", "Curry Powder", "Oregano", "Chilli Flakes", "Nutmeg", "Bay Leaves", "Saffron"]),
    ("Tea", ["Green Tea", "Earl Grey", "Breakfast Tea", "Darjeeling", "Peppermint Tea", "Camomile Tea", "Rooibos", "Jasmine Tea", "Oolong", "Assam", "Lapsang Souchong", "Fruit Tea"]),
    ("Vegetables", ["Tomatoes", "Cucumbers", "Carrots", "Potatoes", "Onions", "Broccoli", "Courgettes", "Aubergines", "Bell Peppers", "Spinach", "Mushrooms", "Avocados"]),
];
