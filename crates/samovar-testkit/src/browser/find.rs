//! Where Chromium is.

use std::path::{Path, PathBuf};

use super::{BrowserError, Result};

/// Names the program to use as the browser, before all other places.
pub const CHROMIUM: &str = "SAMOVAR_CHROMIUM";

/// The names distributions and vendors give it, the free one first.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Where it stands on a Mac, which does not put it on the path.
const MAC: [&str; 2] = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// Finds Chromium or Chrome: the program that [`CHROMIUM`] names, or else the first one known on the
/// search path.
///
/// # Errors
/// If there is none; the message says how to install it.
pub fn find_chromium() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(CHROMIUM).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        if named.is_file() {
            return Ok(named);
        }
        let named = named.display();
        return Err(BrowserError::new(format!("{CHROMIUM} names {named}, which is no file")));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .chain(MAC.map(PathBuf::from))
        .find(|program| Path::is_file(program))
        .ok_or_else(|| {
            BrowserError::new(format!(
                "no Chromium found. Install it (Debian: `apt-get install chromium`; Fedora: `dnf \
                 install chromium`; macOS: `brew install --cask chromium`), or name any Chromium or \
                 Chrome in {CHROMIUM}; `cargo xtask test` installs it where it may"
            ))
        })
}
