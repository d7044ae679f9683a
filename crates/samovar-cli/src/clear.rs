//! `samovar clear`: empties a data directory of what is ours, and of nothing else.

use std::path::{Path, PathBuf};

use clap::Args;
use samovar_core::ErrorKind;

use crate::host::Failure;
use crate::out::say;

#[derive(Args, Debug)]
pub(crate) struct ClearArgs {
    /// The data directory
    #[arg(long, default_value = "samovar-data")]
    data: PathBuf,
    /// Remove the demo's databases too
    #[arg(long)]
    demo: bool,
}

pub(crate) fn clear(args: &ClearArgs) -> Result<(), Failure> {
    let databases = if args.demo { demo_databases(&args.data)? } else { Vec::new() };
    let mut removed = match samovar::clear(&args.data) {
        Ok(report) => report.removed,
        // An earlier `clear` left the demo's databases alone: they bear a mark of their own.
        Err(failed) if failed.kind() == ErrorKind::Format && !databases.is_empty() => Vec::new(),
        Err(failed) => return Err(failed.into()),
    };
    for path in databases {
        std::fs::remove_file(&path)
            .map_err(|failed| Failure(format!("cannot remove {}: {failed}", path.display())))?;
        removed.push(path);
    }
    for path in &removed {
        say(&format!("removed {}", path.display()))?;
    }
    if removed.is_empty() {
        say(&format!("nothing of ours in {}", args.data.display()))?;
    }
    Ok(())
}

/// The files of the directory that carry the demo's mark; links are not looked behind.
fn demo_databases(data: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(data)
        .map_err(|failed| Failure(format!("cannot read {}: {failed}", data.display())))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() && samovar_demo::is_ours(&entry.path())? {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
