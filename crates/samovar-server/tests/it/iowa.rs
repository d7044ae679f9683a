//! The recipe for the Iowa liquor sales: imported, served, and compared with SQL and with the files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;
use samovar::Samovar;
use samovar_levels::{Engine, Missing, Selection, Stores};
use samovar_server::{Place, Settings};
use samovar_source::PostgresOptions;
use samovar_source::import::{ImportOptions, import_csv};
use samovar_testkit::postgres::{Database, Server};
use samovar_testkit::skip::skipped;
use serde_json::Value;

use crate::iowa_sql::{Figures, figures, name, sales_by, top, totals_of_files, wanted};

const RECIPE: &str = include_str!("../../../../recipes/iowa/samovar.toml");
const WALK_THROUGH: &str = include_str!("../../../../recipes/iowa/README.md");
const YEAR: [&str; 2] = ["2021-01-01", "2021-12-31"];

/// The sales, the stores and the products.
type Files = [PathBuf; 3];

/// The indexes, as the walk-through tells a user to make them.
fn indexes() -> &'static str {
    let (_, after) = WALK_THROUGH.split_once("```sql\n").unwrap();
    after.split_once("```").unwrap().0
}

/// Where the engine finds the rows. What it answers is compared with SQL in SQLite in any case.
#[derive(Clone, Copy, PartialEq)]
enum Rows {
    Indexed,
    Bare,
    InPostgres,
}

fn import(files: &Files, database: impl AsRef<Path>) {
    for (file, table) in files.iter().zip(["sales", "stores", "products"]) {
        let options = ImportOptions::new(file, database.as_ref(), table);
        let report = import_csv(&options, &mut |_| ()).unwrap();
        assert_eq!(report.rejected, 0, "{table}");
    }
}

async fn serve(folder: &Path, postgres: Option<&Database<'_>>) -> Engine {
    let mut settings = Settings::parse(RECIPE, folder).unwrap();
    if let Some(database) = postgres {
        settings.source.place = Place::Postgres(PostgresOptions::new(database.url()));
    }
    settings.source.max_source_share = 1.0;
    let tiers = samovar::Settings {
        data_dir: Some(settings.data.clone()),
        memory_max_bytes: settings.memory_max_bytes,
        disk_max_bytes: settings.disk_max_bytes,
        ..samovar::Settings::default()
    };
    let samovar = Samovar::open(tiers).await.unwrap();
    let engine = settings.engine(samovar, |away| panic!("{away}")).unwrap();
    let report = engine.warm().await.unwrap();
    println!("warm: {report:?}");
    for (tier, used) in engine.samovar().usage() {
        println!("{tier:?}: {used:?}");
    }
    engine
}

fn cents(value: &Value) -> i64 {
    (value.as_f64().unwrap_or(0.0) * 100.0).round() as i64
}

fn whole(value: &Value) -> i64 {
    value.as_f64().unwrap_or(0.0) as i64
}

/// The totals of one period, without the number of lines, which no measure tells.
fn totals(body: &Value, which: &str) -> [i64; 4] {
    let of = |measure: &str| &body["totals"][measure][which];
    [cents(of("sales")), cents(of("profit")), whole(of("orders")), whole(of("bottles"))]
}

fn expected(figures: &Figures) -> [i64; 4] {
    [figures.sales, figures.profit, figures.orders, figures.bottles]
}

async fn ask(engine: &Engine, stores: Stores, [from, to]: [&str; 2]) -> Value {
    let selection = Selection { stores, from: from.parse().unwrap(), to: to.parse().unwrap() };
    let started = Instant::now();
    let answer = engine.diagnose(&selection, Missing::Wait).await.unwrap();
    println!("{} {from}..{to}: {:?}, {}", selection.stores, started.elapsed(), answer.proof);
    serde_json::from_slice(&answer.body.json).unwrap()
}

/// Compares an answer with SQL, figure by figure.
async fn check(engine: &Engine, database: &Connection, stores: Stores, days: [&str; 2]) -> Value {
    let body = ask(engine, stores.clone(), days).await;
    let ids: Option<Vec<String>> = match &stores {
        Stores::All => None,
        Stores::Top(count) => Some(top(database, *count, &wanted(days[0], days[1], None))),
        Stores::These(ids) => Some(ids.iter().map(|id| id.to_string()).collect()),
    };
    let now = wanted(days[0], days[1], ids.as_deref());
    let selected = |end: &str| body["selection"][end].as_str().unwrap();
    let before = wanted(selected("previous_from"), selected("previous_to"), ids.as_deref());

    let current = figures(database, &now);
    assert_eq!(totals(&body, "value"), expected(&current));
    assert_eq!(totals(&body, "previous"), expected(&figures(database, &before)));
    let missing = &body["missing"];
    assert_eq!(missing["values"]["profit"].as_i64().unwrap_or(0), current.without_profit);
    assert_eq!((whole(&missing["partitions"]), whole(&missing["stores"])), (0, 0));

    let mut by_store = sales_by(database, "store_id", &now);
    for ranked in body["ranking"].as_array().unwrap() {
        let id = ranked["store_id"].as_str().unwrap();
        assert_eq!(ranked["name"], name(database, id));
        let sales = by_store.remove(id).unwrap_or(0);
        assert_eq!(cents(&ranked["measures"]["sales"]["value"]), sales, "store {id}");
    }
    assert!(by_store.is_empty(), "stores that sell are ranked: {by_store:?}");

    let mut by_day = sales_by(database, "date", &now);
    let daily = &body["daily"];
    for (day, sales) in
        daily["date"].as_array().unwrap().iter().zip(daily["sales"].as_array().unwrap())
    {
        let day = day.as_str().unwrap();
        assert_eq!(cents(sales), by_day.remove(day).unwrap_or(0), "{day}");
    }
    assert!(by_day.is_empty(), "days with sales are shown: {by_day:?}");

    let product = "coalesce(description, item_id) || '|' || coalesce(category, '')";
    let by_product = sales_by(database, product, &now);
    for item in body["products"]["items"].as_array().unwrap() {
        let text = |field: &str| item[field].as_str().unwrap_or("");
        let key = format!("{}|{}", text("product"), text("category"));
        assert_eq!(cents(&item["sales"]), by_product.get(&key).copied().unwrap_or(0), "{key}");
    }
    body
}

/// Five selections against SQL, and the year against the files.
async fn check_all(files: &Files, rows: Rows) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("iowa.db");
    let started = Instant::now();
    let postgres =
        (rows == Rows::InPostgres).then(|| Server::shared().unwrap().database().unwrap());
    // Outside of the runtime: an import into PostgreSQL has one of its own.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            import(files, &path);
            if let Some(postgres) = &postgres {
                import(files, postgres.url());
                postgres.run(indexes()).unwrap();
                postgres.run("ANALYZE").unwrap();
            }
        });
    });
    let database = Connection::open(&path).unwrap();
    if rows != Rows::Bare {
        database.execute_batch(indexes()).unwrap();
    }
    println!("imported after {:?}", started.elapsed());
    let engine = serve(folder.path(), postgres.as_ref()).await;
    let (of_files, stores) = totals_of_files(&files[0], &files[2]);

    let year = check(&engine, &database, Stores::All, YEAR).await;
    assert_eq!(totals(&year, "value"), expected(&of_files));
    assert_eq!(year["store_count"].as_u64(), Some(stores as u64));
    let missing = year["missing"]["values"]["profit"].as_i64().unwrap_or(0);
    assert_eq!(missing, of_files.without_profit);
    assert_eq!(engine.warmth().stores_warm, stores);

    check(&engine, &database, Stores::All, ["2021-03-01", "2021-03-31"]).await;
    check(&engine, &database, Stores::Top(10), ["2021-02-01", "2021-03-28"]).await;
    let by_sales = top(&database, stores, &wanted(YEAR[0], YEAR[1], None));
    let some = |places: &[usize]| {
        Stores::These(places.iter().map(|at| by_sales[*at].as_str().into()).collect())
    };
    check(&engine, &database, some(&[3, stores / 2, stores - 1]), ["2021-02-10", "2021-02-16"])
        .await;
    check(&engine, &database, some(&[0]), YEAR).await;
    engine.close().await.unwrap();
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work);
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// 5,000 lines of the same shape: stores and products without master data, a product without a cost, and
/// names with all that CSV has to quote.
fn synthetic(folder: &Path) -> Files {
    let files = ["sales.csv", "stores.csv", "products.csv"].map(|name| folder.join(name));
    let write = |file: &Path, rows: Vec<Vec<String>>| {
        let mut writer = csv::Writer::from_path(file).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.flush().unwrap();
    };
    let row = |cells: &[&str]| cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>();
    let mut numbers = Numbers(20_210_104);

    let mut stores = vec![row(&["store_id", "name", "city"])];
    for id in (2_000..2_060).filter(|id| id % 7 != 0) {
        // Names occur twice, and need quotes.
        let name = format!("JOE'S \"{}\" LIQUOR, TOBACCO & MORE", id / 2);
        stores.push(row(&[&id.to_string(), &name, "DES MOINES"]));
    }
    let mut products = vec![row(&["item_id", "description", "category", "bottle_cost"])];
    for id in (100..400).filter(|id| id % 11 != 0) {
        let cost = format!("{}.{:02}", numbers.below(60), numbers.below(100));
        let cost = if id % 37 == 0 { "" } else { &cost };
        let name = format!("OLD \"NO. {}\", {} ML", id / 3, 375 * (1 + id % 2));
        products.push(row(&[&id.to_string(), &name, &format!("WHISKIES, {}", id % 5), cost]));
    }
    let mut sales = vec![row(&["date", "store_id", "item_id", "invoice", "bottles", "sale"])];
    let first: samovar_core::Day = "2021-01-04".parse().unwrap();
    for order in 10_000.. {
        let (store, day) = (2_000 + numbers.below(60), first.plus(numbers.below(90) as i32));
        for line in 1..=1 + numbers.below(12) {
            let (item, bottles) = (100 + numbers.below(300), 1 + numbers.below(48));
            let sale = format!("{}.{:02}", numbers.below(900), numbers.below(100));
            let invoice = format!("INV-{order}{line:05}");
            let [store, item, bottles] = [store, item, bottles].map(|n| n.to_string());
            sales.push(row(&[&day.to_string(), &store, &item, &invoice, &bottles, &sale]));
        }
        if sales.len() > 5_000 {
            sales.truncate(5_001);
            break;
        }
    }
    for (file, rows) in files.iter().zip([sales, stores, products]) {
        write(file, rows);
    }
    files
}

#[test]
fn five_thousand_lines_of_the_same_shape() {
    let folder = tempfile::tempdir().unwrap();
    let files = synthetic(folder.path());
    let (total, _) = totals_of_files(&files[0], &files[2]);
    assert_eq!(total.lines, 5_000);
    assert!(total.without_profit > 0, "some lines have no cost");
    run(check_all(&files, Rows::Indexed));
}

#[test]
fn five_thousand_lines_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    run(check_all(&synthetic(folder.path()), Rows::Bare));
}

#[test]
fn five_thousand_lines_in_postgres() {
    let folder = tempfile::tempdir().unwrap();
    run(check_all(&synthetic(folder.path()), Rows::InPostgres));
}

#[test]
fn the_year_2021() {
    the_year(Rows::Indexed);
}

#[test]
fn the_year_2021_in_postgres() {
    the_year(Rows::InPostgres);
}

fn the_year(rows: Rows) {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SAMOVAR_IOWA").map_or(beside, PathBuf::from);
    let files = ["iowa_sales_2021", "iowa_stores", "iowa_products"]
        .map(|name| folder.join(format!("{name}.csv.zst")));
    if !files.iter().all(|file| file.is_file()) {
        return skipped("iowa", "the real data are not there; SAMOVAR_IOWA names their folder");
    }
    run(check_all(&files, rows));
}
