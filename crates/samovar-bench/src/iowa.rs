//! How many bytes a real shop's rows take: a year of Iowa's liquor sales, as its recipe serves it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use samovar_server::{Place, Settings};
use samovar_source::import::{ImportOptions, import_csv};

use crate::shop::Shop;
use crate::{Outcome, child, line};

pub(crate) const NAMES: &[&str] = &["disk_bytes_per_row_iowa", "memory_bytes_per_row_iowa"];

const RECIPE: &str = include_str!("../../../recipes/iowa/samovar.toml");
const WALK_THROUGH: &str = include_str!("../../../recipes/iowa/README.md");

/// Names the folder of the files; they are not part of this repository.
const FOLDER: &str = "SAMOVAR_IOWA";

/// The files, and the tables that they become.
const TABLES: [(&str, &str); 3] =
    [("iowa_sales_2021", "sales"), ("iowa_stores", "stores"), ("iowa_products", "products")];

/// Bytes on disk and in memory after warm-up, in all and by what they are made of. Nothing if the files are not there.
pub(crate) fn measure(shop: &Shop) -> Outcome<Vec<String>> {
    let Some(database) = database(shop.directory())? else {
        eprintln!("SKIPPED iowa: the real data are not there; {FOLDER} names their folder");
        return Ok(Vec::new());
    };
    let mut settings = Settings::parse(RECIPE, shop.directory())
        .map_err(|problems| format!("the recipe is not accepted: {problems:?}"))?;
    settings.source.place = Place::Sqlite(database);
    settings.source.max_source_share = 1.0;
    shop.empty_data()?;
    let (rows, usage) = child::runtime()?.block_on(async {
        let engine = shop.engine(&settings, settings.open_source()?).await?;
        engine.warm().await?;
        child::quiet(&engine).await;
        let rows: u64 = engine.members().await?.stores.iter().map(|store| store.lines).sum();
        let usage = child::usage(&engine);
        engine.close().await?;
        Ok::<_, Box<dyn std::error::Error>>((rows as f64, usage))
    })?;
    let disk = shop.data_bytes()? as f64;
    shop.empty_data()?;
    let memory: u64 = usage.get("memory").map_or(0, |levels| levels.values().sum());
    let mut lines = vec![
        line(NAMES[0], disk / rows, "B/row"),
        line(NAMES[1], memory as f64 / rows, "B/row"),
        line("rows_iowa", rows, "rows"),
    ];
    for (tier, levels) in &usage {
        for (level, bytes) in levels {
            let name = format!("{tier}_{level}_bytes_per_row_iowa");
            lines.push(line(&name, *bytes as f64 / rows, "B/row"));
        }
    }
    Ok(lines)
}

/// The imported and indexed database, made once; `None` without the files.
fn database(directory: &Path) -> Outcome<Option<PathBuf>> {
    let database = directory.join("iowa.sqlite");
    if database.exists() {
        return Ok(Some(database));
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = env::var_os(FOLDER).map_or(beside, PathBuf::from);
    let files = TABLES.map(|(file, table)| (folder.join(format!("{file}.csv.zst")), table));
    if !files.iter().all(|(file, _)| file.is_file()) {
        return Ok(None);
    }
    eprintln!("importing a year of Iowa's sales");
    let begun = directory.join("iowa.begun.sqlite");
    if begun.exists() {
        fs::remove_file(&begun)?; // a run was killed while it imported
    }
    for (file, table) in &files {
        import_csv(&ImportOptions::new(file, &begun, *table), &mut |_| ())?;
    }
    let indexes =
        WALK_THROUGH.split_once("```sql\n").and_then(|(_, after)| after.split_once("```"));
    let (indexes, _) = indexes.ok_or("the recipe names no indexes")?;
    Connection::open(&begun)?.execute_batch(indexes)?;
    fs::rename(&begun, &database)?;
    Ok(Some(database))
}
