//! The words that names are put together from.

/// Codes and names of the categories, and what is sold in each.
#[rustfmt::skip]
pub(crate) const CATEGORIES: [(&str, &str, [&str; 4]); 24] = [
    ("paper", "Paper", ["Copy Paper", "Notepad", "Envelope", "Card Stock"]),
    ("pens", "Pens", ["Ballpoint", "Fountain Pen", "Marker", "Highlighter"]),
    ("desks", "Desks", ["Standing Desk", "Corner Desk", "Folding Desk", "Writing Desk"]),
    ("chairs", "Chairs", ["Swivel Chair", "Visitor's Chair", "Stool", "Armchair"]),
    ("lamps", "Lamps", ["Desk Lamp", "Floor Lamp", "Clamp Lamp", "Ceiling Lamp"]),
    ("shelves", "Shelves", ["Bookcase", "Wall Shelf", "Filing Rack", "Cabinet"]),
    ("storage", "Storage", ["Box", "Drawer Unit", "Crate", "Locker"]),
    ("binders", "Binders", ["Ring Binder", "Lever Arch File", "Folder", "Index Set"]),
    ("printing", "Printing", ["Toner", "Ink Cartridge", "Drum Unit", "Label Roll"]),
    ("screens", "Screens", ["Monitor", "Projector", "Whiteboard", "Pinboard"]),
    ("cables", "Cables", ["USB Cable", "Network Cable", "Power Strip", "Adapter"]),
    ("input", "Input", ["Keyboard", "Mouse", "Trackball", "Drawing Tablet"]),
    ("audio", "Audio", ["Headset", "Speaker", "Microphone", "Earphones"]),
    ("networks", "Networks", ["Router", "Switch", "Access Point", "Patch Panel"]),
    ("safes", "Safes", ["Key Safe", "Cash Box", "Fire Safe", "Deposit Safe"]),
    ("cleaning", "Cleaning", ["Wipes", "Hand Soap", "Waste Bag", "Cleaner"]),
    ("kitchen", "Kitchen", ["Kettle", "Coffee Maker", "Mug Set", "Water Filter"]),
    ("drinks", "Drinks", ["Coffee Beans", "Black Tea", "Still Water", "Apple Juice"]),
    ("packing", "Packing", ["Parcel Tape", "Bubble Wrap", "Mailing Tube", "Pallet Film"]),
    ("tools", "Tools", ["Screwdriver", "Tape Measure", "Cutter", "Drill"]),
    ("safety", "Safety", ["First Aid Kit", "Fire Blanket", "Gloves", "Helmet"]),
    ("signs", "Signs", ["Door Sign", "Arrow Sign", "Name Badge", "Floor Sign"]),
    ("plants", "Plants", ["Fern", "Ficus", "Planter", "Potting Soil"]),
    ("gifts", "Gifts", ["Gift Basket", "Calendar", "Tote Bag", "Greeting Card"]),
];

/// What a product's name begins with.
pub(crate) const KINDS: [&str; 5] = ["Basic", "Classic", "Compact", "Professional", "Premium"];

/// What a customer's name is made of; every pair is one.
pub(crate) const NAMES: [&str; 20] = [
    "Alder", "Birch", "Cedar", "Dahlia", "Elm", "Fir", "Gentian", "Hazel", "Iris", "Juniper",
    "Kestrel", "Larch", "Maple", "Nettle", "Osier", "Poplar", "Quince", "Rowan", "Sorrel", "Thyme",
];
/// See [`NAMES`].
pub(crate) const TRADES: [&str; 15] = [
    "Architects",
    "Bakery",
    "Books",
    "Consulting",
    "Dental Practice",
    "Electric",
    "Freight",
    "Gardens",
    "Hotel",
    "Insurance",
    "Joinery",
    "Kindergarten",
    "Laboratory",
    "Motors",
    "O'Neill & Sons",
];
pub(crate) const CITIES: [&str; 12] = [
    "Basel", "Brno", "Gent", "Graz", "Køge", "Leiden", "Łódź", "Malmö", "Metz", "Porto", "Trento",
    "Turku",
];
pub(crate) const WAREHOUSES: [&str; 3] = ["north", "south", "port"];
