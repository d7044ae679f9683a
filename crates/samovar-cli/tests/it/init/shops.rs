//! Shops of many shapes: proposed, served, and compared with SQL, store by store and day by day.

use super::{Shop, groups, seeks};

const YEAR: &str = "stores=all&from=2026-01-01&to=2026-12-31";

/// A hundred and more rows in words that both databases understand.
fn numbers(most: u32) -> String {
    format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most})")
}

#[test]
fn one_table_like_that_of_the_demo() {
    let script = format!(
        "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, store_id INTEGER NOT NULL, store_name TEXT NOT NULL,
             date TEXT NOT NULL, product TEXT NOT NULL, category TEXT NOT NULL, amount REAL NOT NULL,
             profit REAL NOT NULL, delivery_minutes REAL, latitude REAL, year INTEGER, unit_price REAL);
         INSERT INTO orders {} SELECT i, i % 7, 'Store ' || (i % 7), date('2026-01-01', (i % 90) || ' days'),
             'Product ' || (i % 20), 'Category ' || (i % 4), (i % 97) - 3.25, (i % 31) - 2.5,
             CASE WHEN i % 3 > 0 THEN i % 50 + 0.5 END, 52.5, 2026, 3.99 FROM n;",
        numbers(2_000)
    );
    let shop = Shop::sqlite(&script);
    let proposed = shop.proposed(&[]);
    proposed.says(&[
        "query = \"orders\"",
        "store_id = \"store_id\"",
        "store_name = \"store_name\"",
        "product = \"product\"",
        "category = \"category\"",
        "order_id is a key: one line is one order",
        "are below zero (returns lower the sums",
    ]);
    proposed.lacks(&[
        "sum = \"latitude\"",
        "sum = \"year\"",
        "sum = \"unit_price\"",
        "sum = \"order_id\"",
    ]);
    assert!(!seeks(&shop, &proposed));
    let server = shop.serve();
    let measures =
        [("sales", 100.0), ("orders", 1.0), ("profit", 100.0), ("delivery_minutes_mean", 10.0)];
    let truth = "SELECT store_id, date, CAST(round(sum(amount) * 100) AS INTEGER), count(*),
        CAST(round(sum(profit) * 100) AS INTEGER), CAST(round(avg(delivery_minutes) * 10) AS INTEGER)
        FROM orders GROUP BY 1, 2";
    assert_eq!(groups(&server, YEAR, "store_id,date", &measures), shop.rows(truth));
    let truth = "SELECT product, CAST(round(sum(amount) * 100) AS INTEGER) FROM orders
        WHERE store_id IN (1, 3) AND date BETWEEN '2026-01-20' AND '2026-02-11' GROUP BY 1";
    let some = "stores=1,3&from=2026-01-20&to=2026-02-11";
    assert_eq!(groups(&server, some, "product", &measures[..1]), shop.rows(truth));
    drop(server);
    shop.run(proposed.advice());
    assert!(seeks(&shop, &proposed));
    assert_eq!(shop.proposed(&["--force"]).advice(), "", "nothing more would help");
}

/// Lines of orders, with foreign keys; `{day}` is a type for times and `{number}` one for money.
const CLASSIC: &str = "
    CREATE TABLE stores (id integer PRIMARY KEY, name text NOT NULL, city text, opened date);
    CREATE TABLE categories (id integer PRIMARY KEY, name text NOT NULL);
    CREATE TABLE products (id integer PRIMARY KEY, name text, category_id integer REFERENCES categories (id),
        cost {number}, created_at {day});
    CREATE TABLE customers (id integer PRIMARY KEY, name text, store_id integer REFERENCES stores (id));
    CREATE TABLE orders (id integer PRIMARY KEY, store_id integer NOT NULL REFERENCES stores (id),
        customer_id integer REFERENCES customers (id), placed_at {day} NOT NULL, updated_at {day}, status text,
        total {number});
    CREATE TABLE order_items (id integer PRIMARY KEY, order_id integer NOT NULL REFERENCES orders (id),
        product_id integer REFERENCES products (id), quantity integer NOT NULL, unit_price {number} NOT NULL);
    INSERT INTO stores {n} SELECT i, 'Store ' || i, 'City', '2020-01-01' FROM n WHERE i <= 5;
    INSERT INTO categories {n} SELECT i, 'Category ' || i FROM n WHERE i <= 4;
    INSERT INTO products {n} SELECT i, CASE WHEN i <> 7 THEN 'Product ' || i END, 1 + i % 4,
        CASE WHEN i % 9 <> 0 THEN i * 0.5 END, '2020-01-01 00:00:00' FROM n WHERE i <= 40;
    INSERT INTO customers {n} SELECT i, 'Customer ' || i, 1 + i % 5 FROM n WHERE i <= 50;
    INSERT INTO orders {n} SELECT i, 1 + i % 5, 1 + i % 50, {at}, {at}, CASE i % 10 WHEN 0 THEN 'cancelled' ELSE 'paid' END,
        100 FROM n WHERE i <= 600;
    INSERT INTO order_items {n} SELECT i, 1 + (i * 7) % 600, CASE WHEN i % 50 <> 0 THEN 1 + i % 40 END,
        CASE WHEN i % 25 = 0 THEN -1 ELSE 1 + i % 5 END, 1 + (i % 40) * 1.25 FROM n;
";

fn classic(day: &str, number: &str, at: &str) -> String {
    // SQLite wants the numbers before each SELECT, and so may PostgreSQL have them.
    CLASSIC
        .replace("{day}", day)
        .replace("{number}", number)
        .replace("{at}", at)
        .replace("{n}", &numbers(2_000))
}

/// Proposes for lines of orders, and compares with SQL.
fn a_classic_shop(shop: &Shop, day: &str, round: &str) {
    let proposed = shop.proposed(&[]);
    proposed.says(&[
        "FROM order_items",
        "LEFT JOIN orders ON orders.id = order_items.order_id",
        "orders.store_id",
        "coalesce(stores.name, CAST(orders.store_id AS text)) AS store_name",
        "orders.placed_at AS date",
        "coalesce(products.name, CAST(order_items.product_id AS text)) AS product",
        "coalesce(categories.name, CAST(products.category_id AS text)) AS category",
        "order_items.unit_price * order_items.quantity AS sales",
        "order_items.quantity * products.cost AS profit",
        "unique_within = \"partition\"",
        "store and day are those of the order's own row",
        "also possible (--date): orders.updated_at",
        "lines are counted whatever orders.status says",
        "not added up, since a join repeats it for each line of an order: orders.total",
        "quantity: ",
    ]);
    proposed.lacks(&["customers.store_id", "sum = \"total\""]);
    let server = shop.serve();
    let lines = "order_items i JOIN orders o ON o.id = i.order_id LEFT JOIN products p ON p.id = i.product_id
        LEFT JOIN categories c ON c.id = p.category_id";
    let cents = |of: &str| round.replace("{}", &format!("sum({of}) * 100"));
    let (sales, profit) =
        ("i.unit_price * i.quantity", "i.unit_price * i.quantity - i.quantity * p.cost");
    let truth = format!(
        "SELECT o.store_id, {day}, {}, count(DISTINCT o.id), {}, sum(i.quantity) FROM {lines} GROUP BY 1, 2",
        cents(sales),
        cents(profit)
    );
    let measures = [("sales", 100.0), ("orders", 1.0), ("profit", 100.0), ("quantity", 1.0)];
    assert_eq!(groups(&server, YEAR, "store_id,date", &measures), shop.rows(&truth));
    for (by, expression) in
        [("product", "coalesce(p.name, CAST(i.product_id AS text))"), ("category", "c.name")]
    {
        let truth = format!(
            "SELECT {expression}, {} FROM {lines} WHERE o.store_id IN (2, 5) AND {day} BETWEEN '2026-02-02' AND '2026-03-03'
             GROUP BY 1",
            cents(sales)
        );
        let some = "stores=2,5&from=2026-02-02&to=2026-03-03";
        assert_eq!(groups(&server, some, by, &measures[..1]), shop.rows(&truth), "{by}");
    }
    drop(server);
    assert!(!seeks(shop, &proposed));
    shop.run(proposed.advice());
    assert!(seeks(shop, &proposed), "{}", proposed.advice());
    assert!(!shop.proposed(&["--force"]).advice().contains("INDEX"));
}

#[test]
fn lines_of_orders_in_sqlite() {
    let at = "datetime('2026-01-01', (i % 100) || ' days', (i % 24) || ' hours')";
    let shop = Shop::sqlite(&classic("datetime", "real", at));
    a_classic_shop(&shop, "substr(o.placed_at, 1, 10)", "CAST(round({}) AS INTEGER)");
}

#[test]
fn lines_of_orders_in_postgresql() {
    let at = "timestamptz '2026-01-01 00:30Z' + (i % 100) * interval '1 day' + (i % 24) * interval '1 hour'";
    let script = classic("timestamptz", "numeric(12, 2)", at)
        .replace("'2020-01-01 00:00:00'", "timestamptz '2020-01-01 00:00Z'")
        .replace("'2020-01-01'", "date '2020-01-01'");
    // The server's own zone is the one of a day.
    let shop = Shop::postgres(&script);
    let zone = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Shanghai''', current_database()); END $$";
    shop.run(zone);
    a_classic_shop(&shop, "CAST(o.placed_at AT TIME ZONE 'Asia/Shanghai' AS date)", "round({})");
    let text = std::fs::read_to_string(shop.path("samovar.toml")).unwrap();
    assert!(text.contains("time_zone = \"Asia/Shanghai\""), "{text}");
}

/// Lines, stores and products as three files would give them, without a key or an index. `{real}` is a type.
const THREE: &str = "
    CREATE TABLE sales (date text, store_id {integer}, item_id {integer}, invoice text, bottles {integer}, sale {real});
    CREATE TABLE stores (store_id {integer}, name text, city text);
    CREATE TABLE products (item_id {integer}, description text, category text, bottle_cost {real});
    CREATE TABLE twice (item_id {integer}, note text);
    INSERT INTO sales {n} SELECT '2026-0' || (1 + i % 3) || '-1' || (i % 9), 2000 + i % 12, 100 + i % 60, 'INV-' || i, 1 + i % 9,
        (i % 90) + 0.75 FROM n;
    INSERT INTO stores {n} SELECT 1999 + i, 'Joe''s \"' || (i / 2) || '\"', 'Ames' FROM n WHERE i <= 10;
    INSERT INTO products {n} SELECT 99 + i, CASE WHEN i % 10 > 0 THEN 'Old No. ' || (i / 3) END, 'Whiskies, ' || (i % 5),
        CASE WHEN i % 8 > 0 THEN i * 0.25 END FROM n WHERE i <= 55;
    INSERT INTO twice {n} SELECT 100 + i % 30, 'x' FROM n WHERE i <= 90;
";

fn three(shop: &Shop, round: &str) {
    let proposed = shop.proposed(&[]);
    proposed.says(&[
        "FROM sales\nLEFT JOIN stores ON stores.store_id = sales.store_id\nLEFT JOIN products ON products.item_id = sales.item_id",
        "coalesce(products.description, CAST(sales.item_id AS text)) AS product",
        "no value of stores.store_id occurs twice, and 83 % of the values are there",
        "each order has one line in all 3,000: one line is one order",
        "what shares a name counts as one",
        "CREATE UNIQUE INDEX",
    ]);
    let server = shop.serve();
    let cents = |of: &str| round.replace("{}", &format!("sum({of}) * 100"));
    let truth = format!(
        "SELECT s.store_id, s.date, {}, count(*), {}, sum(s.bottles) FROM sales s
         LEFT JOIN (SELECT DISTINCT item_id, bottle_cost FROM products) p ON p.item_id = s.item_id GROUP BY 1, 2",
        cents("s.sale"),
        cents("s.sale - s.bottles * p.bottle_cost")
    );
    let measures = [("sales", 100.0), ("orders", 1.0), ("profit", 100.0), ("quantity", 1.0)];
    assert_eq!(groups(&server, YEAR, "store_id,date", &measures), shop.rows(&truth));
    drop(server);
    shop.run(proposed.advice());
    assert!(seeks(shop, &proposed), "{}", proposed.advice());
}

#[test]
fn three_files_without_foreign_keys() {
    let script = |integer: &str, real: &str| {
        THREE.replace("{integer}", integer).replace("{real}", real).replace("{n}", &numbers(3_000))
    };
    three(&Shop::sqlite(&script("INTEGER", "REAL")), "CAST(round({}) AS INTEGER)");
    three(&Shop::postgres(&script("bigint", "numeric")), "round({})");
}

#[test]
fn master_data_that_would_count_a_line_twice_are_not_joined() {
    let script = THREE.replace("{integer}", "INTEGER").replace("{real}", "REAL").replace("{n}", &numbers(3_000))
        // Among the last rows, which no sample is sure to show.
        + "INSERT INTO products SELECT * FROM products WHERE item_id = 150";
    let shop = Shop::sqlite(&script);
    let proposed = shop.proposed(&[]);
    proposed.lacks(&["LEFT JOIN products"]);
    proposed.says(&["LEFT JOIN stores", "products.item_id holds a value twice"]);
    let server = shop.serve();
    let truth = "SELECT count(*) FROM sales";
    assert_eq!(
        groups(&server, YEAR, "", &[("orders", 1.0)]),
        [format!("|{}", shop.rows(truth)[0])]
    );
}

#[test]
fn chinese_names() {
    let script = format!(
        "CREATE TABLE 销售明细 (小票号 text, 门店编号 text, 门店名称 text, 销售日期 {{date}}, 商品名称 text, 品类 text,
             数量 integer, 单价 {{number}}, 金额 {{number}}, 成本 {{number}}, 优惠金额 {{number}}, 会员号 text);
         INSERT INTO 销售明细 {} SELECT 'T' || (i / 3), '店' || (i / 3 % 6), '第' || (i / 3 % 6) || '店', {{day}},
             '商品' || (i % 25), '类' || (i % 4), 1 + i % 3, 9.5, (1 + i % 3) * 9.5, (1 + i % 3) * 4.25, i % 2 * 0.5, 'M' || (i % 80)
             FROM n;",
        numbers(1_500)
    );
    let shops = [
        Shop::sqlite(
            &script
                .replace("{date}", "TEXT")
                .replace("{number}", "REAL")
                .replace("{day}", "date('2026-03-01', (i / 3 % 40) || ' days')"),
        ),
        Shop::postgres(
            &script
                .replace("{date}", "date")
                .replace("{number}", "numeric(10,2)")
                .replace("{day}", "date '2026-03-01' + i / 3 % 40"),
        ),
    ];
    for shop in shops {
        let proposed = shop.proposed(&[]);
        proposed.says(&[
            "\"门店编号\" AS store_id",
            "\"门店名称\" AS store_name",
            "\"销售日期\" AS date",
            "\"商品名称\" AS product",
            "\"品类\" AS category",
            "currency = \"CNY\"",
            "sum = \"金额\"",
            "distinct = \"小票号\"",
            "none of 501 orders in all 1,500 lines spans two stores or days",
            "unique_within = \"partition\"",
        ]);
        let server = shop.serve();
        let truth =
            "SELECT 门店编号, 销售日期, CAST(sum(金额) * 100 AS integer), count(DISTINCT 小票号),
            CAST(sum(金额 - 成本) * 100 AS integer), sum(数量) FROM 销售明细 GROUP BY 1, 2";
        let measures = [("sales", 100.0), ("orders", 1.0), ("profit", 100.0), ("quantity", 1.0)];
        assert_eq!(groups(&server, YEAR, "store_id,date", &measures), shop.rows(truth));
        drop(server);
        shop.run(proposed.advice());
        assert!(seeks(&shop, &proposed), "{}", proposed.advice());
    }
}

#[test]
fn names_that_must_be_quoted() {
    let script = |number: &str| {
        format!(
            r#"CREATE TABLE "Shop's" ("ID" integer PRIMARY KEY, "Name" text);
               CREATE TABLE "order" ("select" integer PRIMARY KEY, "Shop ID" integer REFERENCES "Shop's" ("ID"), "Order Date" text);
               CREATE TABLE "Order Lines" ("order" integer REFERENCES "order" ("select"), "Item ""X""" text, "Qty." integer,
                   "Total-Amount" {number});
               INSERT INTO "Shop's" VALUES (1, 'One'), (2, 'Two');
               INSERT INTO "order" {n} SELECT i, 1 + i % 2, '2026-05-' || (10 + i % 15) || ' 08:00:00' FROM n WHERE i <= 100;
               INSERT INTO "Order Lines" {n} SELECT 1 + i % 100, 'thing ' || (i % 9), i % 4, i * 0.25 FROM n;"#,
            n = numbers(400)
        )
    };
    for shop in [Shop::sqlite(&script("REAL")), Shop::postgres(&script("numeric"))] {
        let proposed = shop.proposed(&[]);
        proposed.says(&[
            r#"LEFT JOIN "order" ON "order"."select" = "Order Lines"."order""#,
            "\"Shop's\"",
        ]);
        let server = shop.serve();
        let truth = r#"SELECT o."Shop ID", substr(o."Order Date", 1, 10), CAST(sum(l."Total-Amount") * 100 AS integer),
            count(DISTINCT l."order"), sum(l."Qty.") FROM "Order Lines" l JOIN "order" o ON o."select" = l."order" GROUP BY 1, 2"#;
        let measures = [("sales", 100.0), ("orders", 1.0), ("quantity", 1.0)];
        assert_eq!(groups(&server, YEAR, "store_id,date", &measures), shop.rows(truth));
        drop(server);
        shop.run(proposed.advice());
        assert!(seeks(&shop, &proposed), "{}", proposed.advice());
    }
    // A name that would be taken for a query.
    let script = r#"CREATE TABLE "select day" (shop text, day text, amount real);
        INSERT INTO "select day" VALUES ('a', '2026-01-01', 2), ('b', '2026-01-02', 3)"#;
    let shop = Shop::sqlite(script);
    shop.proposed(&[]).says(&["FROM \"select day\""]);
    assert_eq!(groups(&shop.serve(), YEAR, "", &[("sales", 1.0)]), ["|5"]);
}

#[test]
fn epochs_cents_and_no_store_at_all() {
    let script = format!(
        "CREATE TABLE payments (id INTEGER PRIMARY KEY, paid_time INTEGER, amount_cents INTEGER);
         INSERT INTO payments {} SELECT i, 1772323200000 + i * 7200000, i * 3 FROM n;",
        numbers(300)
    );
    let shop = Shop::sqlite(&script);
    let proposed = shop.proposed(&[]);
    proposed.says(&[
        "date_kind = \"epoch_millis\"",
        "no column tells stores apart",
        "payments.amount_cents / 100.0 AS sales",
        "CAST('all' AS text) AS store_id",
        "time_zone = \"UTC\"",
    ]);
    let server = shop.serve();
    let truth = "SELECT 'all', date(paid_time / 1000, 'unixepoch'), sum(amount_cents), count(*) FROM payments GROUP BY 2";
    let measures = [("sales", 100.0), ("orders", 1.0)];
    assert_eq!(groups(&server, YEAR, "store_id,date", &measures), shop.rows(truth));
    drop(server);
    shop.run(proposed.advice());
    let again = shop.proposed(&["--force"]);
    assert!(!again.advice().contains("INDEX"), "{}", again.advice());
}

#[test]
fn postgresql_types_of_its_own() {
    let script = "
        CREATE SCHEMA pos;
        CREATE TYPE pos.kind AS ENUM ('food', 'drink');
        CREATE TABLE pos.receipts (receipt_no uuid, shop uuid, printed timestamp, kind pos.kind, item varchar(20), amount money)
            PARTITION BY RANGE (printed);
        CREATE TABLE pos.r1 PARTITION OF pos.receipts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE pos.r2 PARTITION OF pos.receipts DEFAULT;
        INSERT INTO pos.receipts SELECT md5((i / 4)::text)::uuid, md5((i / 4 % 3)::text)::uuid,
            timestamp '2026-01-20 23:00' + i / 4 * interval '31 minutes', CASE i % 2 WHEN 0 THEN 'food' ELSE 'drink' END::pos.kind,
            'item ' || i % 10, (i % 40 - 2)::money FROM generate_series(0, 1999) AS i;";
    let shop = Shop::postgres(script);
    let proposed = shop.proposed(&[]);
    proposed.says(&[
        "FROM pos.receipts AS receipts",
        "CAST(receipts.amount AS numeric) AS sales",
        "AS date",
    ]);
    proposed.lacks(&["CONCURRENTLY", "time_zone"]);
    let server = shop.serve();
    let truth =
        "SELECT shop, printed::date, sum(amount::numeric * 100)::bigint, count(DISTINCT receipt_no)
        FROM pos.receipts GROUP BY 1, 2";
    let measures = [("sales", 100.0), ("orders", 1.0)];
    assert_eq!(groups(&server, YEAR, "store_id,date", &measures), shop.rows(truth));
    drop(server);
    shop.run(proposed.advice());
    assert!(seeks(&shop, &proposed), "{}", proposed.advice());
}
