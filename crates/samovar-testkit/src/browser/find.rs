//! Where Chromium is. `cargo xtask` compiles this file too: both must find the same one.

use std::env;
use std::path::PathBuf;

/// Names the program to use as the browser, before all other places.
pub const CHROMIUM: &str = "SAMOVAR_CHROMIUM";

/// The names distributions and vendors give it, the free one first.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Where it stands on a Mac, which does not put it on the path.
const MAC: [&str; 2] = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// The program that [`CHROMIUM`] names, or else the first known one on the search path; or a
/// sentence that says what to install.
pub(crate) fn find() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(CHROMIUM).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        let found = named.is_file();
        return if found { Ok(named) } else { Err(format!("{CHROMIUM} names no file: {named:?}")) };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .chain(MAC.map(PathBuf::from))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            format!(
                "no Chromium found. Install it (Debian: `apt-get install chromium`; Fedora: `dnf \
                 install chromium`; Ubuntu: Google's package `google-chrome-stable`; macOS: `brew \
                 install --cask chromium`), or name any Chromium or Chrome in {CHROMIUM}"
            )
        })
}
