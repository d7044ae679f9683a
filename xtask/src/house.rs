//! The house rules that neither the compiler nor clippy can check. Each answers with sentences that
//! say where the rule is broken; none means it is kept.

mod arrows;
mod code;
mod rooms;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::run::cargo;

/// Above this a file has two subjects, and wants to be two files.
const MOST_LINES: usize = 700;

/// A file of the repository.
struct File {
    /// From the root, with slashes.
    path: String,
    text: String,
}

/// Checks the whole repository.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let files = match files(root) {
        Ok(files) => files,
        Err(problem) => return vec![problem],
    };
    let own = [Some(root.display().to_string()), env::var("HOME").ok()];
    let own: Vec<String> =
        own.into_iter().flatten().filter(|path| path.matches('/').count() > 1).collect();
    let mut broken = Vec::new();
    for file in &files {
        broken.extend(too_long(file));
        broken.extend(machine_paths(file, &own));
        broken.extend(rooms::check(file));
    }
    match files.iter().find(|file| file.path == "ARCHITECTURE.md") {
        Some(page) => broken.extend(dead_paths(page, &files, &|path| root.join(path).exists())),
        None => {
            broken.push("ARCHITECTURE.md is missing: it tells a newcomer where what stands".into());
        }
    }
    match crate_tree(root) {
        Ok(tree) => broken.extend(arrows::check(&tree)),
        Err(problem) => broken.push(problem),
    }
    broken
}

/// The text files that git tracks or would track.
fn files(root: &Path) -> Result<Vec<File>, String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("the house rules need git to list the files: {error}"))?;
    if !listed.status.success() {
        let problem = String::from_utf8_lossy(&listed.stderr);
        return Err(format!("the house rules need git to list the files: {}", problem.trim()));
    }
    let paths = String::from_utf8_lossy(&listed.stdout);
    // What is no text, or was just removed, is not for us.
    let file = |path: &str| {
        let text = fs::read_to_string(root.join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    Ok(paths.split('\0').filter(|path| !path.is_empty()).filter_map(file).collect())
}

/// Every crate of the workspace with its direct dependencies, as cargo sees them.
fn crate_tree(root: &Path) -> Result<String, String> {
    let tree = Command::new(cargo())
        .args(["tree", "--workspace", "--depth", "1", "--prefix", "depth", "--format", "{p}"])
        .args(["--edges", "normal,build", "--all-features", "--target", "all"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run cargo tree: {error}"))?;
    if tree.status.success() {
        return Ok(String::from_utf8_lossy(&tree.stdout).into_owned());
    }
    Err(format!("cargo tree failed: {}", String::from_utf8_lossy(&tree.stderr).trim()))
}

fn too_long(file: &File) -> Option<String> {
    let source = ["rs", "js", "css", "html"].iter().any(|kind| has_extension(&file.path, kind));
    let foreign = file.path.split('/').any(|part| part == "vendor")
        || file.text.lines().take(3).any(|line| line.contains("@generated"));
    let lines = file.text.lines().count();
    (source && !foreign && lines > MOST_LINES)
        .then(|| format!("{}: {lines} lines; split it, {MOST_LINES} are the most", file.path))
}

/// Paths that exist on one machine only: in somebody's home, or in `own`.
fn machine_paths(file: &File, own: &[String]) -> Vec<String> {
    // Put together here, so that this file does not break its own rule.
    let homes = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
    let signs: Vec<&str> = homes.into_iter().chain(own.iter().map(String::as_str)).collect();
    let found = |line: &str| signs.iter().copied().find(|sign| starts_a_path(line, sign));
    let lines = file.text.lines().enumerate();
    lines
        .filter_map(|(at, line)| found(line).map(|sign| (at + 1, sign)))
        .map(|(at, sign)| format!("{}:{at}: `{sign}` is a path of one machine only", file.path))
        .collect()
}

/// Whether the line has a path that starts with `sign`, rather than one that contains it.
fn starts_a_path(line: &str, sign: &str) -> bool {
    line.match_indices(sign).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "/.-_}>".contains(c))
    })
}

/// The paths in backticks that lead nowhere. A path may be given from the root, or from any folder
/// below (`fence/table.rs`) where the text makes clear which is meant.
fn dead_paths(page: &File, files: &[File], exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let leads = |path: &str| {
        let (inside, end) = (format!("/{path}"), path.trim_end_matches('/'));
        exists(path)
            || files.iter().any(|file| match path.ends_with('/') {
                true => file.path.starts_with(path) || file.path.contains(&inside),
                false => file.path.ends_with(&inside) || file.path == end,
            })
    };
    let mut fenced = false;
    let mut broken = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        let spans = line.split('`').skip(1).step_by(2);
        for path in spans.filter(|span| is_path(span, files)).filter(|path| !leads(path)) {
            broken.push(format!("{}:{}: there is no `{path}`", page.path, at + 1));
        }
    }
    broken
}

/// Whether words in backticks are meant as a path of the repository: not a route, a media type, an
/// item of Rust or a pattern.
fn is_path(span: &str, files: &[File]) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if span.starts_with(['/', '.', '-']) || !span.chars().all(plain) {
        return false;
    }
    let known =
        ["rs", "md", "toml", "js", "css", "html", "json", "sql", "svg", "png", "csv", "lock"];
    let names_file = known.iter().any(|kind| has_extension(span, kind));
    let top = |file: &File| {
        span.split_once('/').is_some_and(|(top, _)| file.path.starts_with(&format!("{top}/")))
    };
    // What users' files are called is no path of ours.
    let theirs = ["samovar.toml", "samovar-data/", "target/"];
    (names_file || files.iter().any(top)) && !theirs.iter().any(|name| span.starts_with(name))
}

fn has_extension(path: &str, kind: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn long_files_are_found_unless_foreign() {
        let long = "x\n".repeat(MOST_LINES + 1);
        assert!(too_long(&file("a/b.rs", &long)).unwrap().contains("a/b.rs: 701 lines"));
        assert!(too_long(&file("page/a.js", &long)).is_some());
        assert_eq!(too_long(&file("a/b.rs", &long[2..])), None);
        assert_eq!(too_long(&file("vendor/b.js", &long)), None);
        assert_eq!(too_long(&file("b.rs", &format!("// @generated\n{long}"))), None);
        assert_eq!(too_long(&file("b.csv", &long)), None);
    }

    #[test]
    fn machine_paths_are_found_with_their_line() {
        let own = ["/disk/clone".to_owned()];
        let find = |text: &str| machine_paths(&file("a.md", text), &own);
        assert_eq!(find("x\nsee /disk/clone/a").len(), 1);
        assert!(find(concat!("x\n\"/ho", "me/ann/x\""))[0].starts_with("a.md:2"));
        assert_eq!(find(concat!("https://a.example/ho", "me/ and data/disk/clone")), [""; 0]);
    }

    #[test]
    fn dead_paths_are_told_from_routes_and_types() {
        let files = [file("crates/a/src/fence/table.rs", ""), file("Cargo.toml", "")];
        let find = |text: &str| {
            let page = file("ARCHITECTURE.md", text);
            dead_paths(&page, &files, &|path| files.iter().any(|file| file.path == path))
        };
        let good = "`crates/a/src/fence/table.rs`, `fence/table.rs`, `table.rs`, `Cargo.toml`, \
                    `crates/a/`, `src/fence/`, `/api/stats`, `application/json`, `a::b`, \
                    `cargo xtask test`, `samovar.toml`\n```\n`gone.rs`\n```\n";
        assert_eq!(find(good), [""; 0]);
        assert_eq!(
            find("x `crates/b/` y\n`fence/marks.rs`"),
            [
                "ARCHITECTURE.md:1: there is no `crates/b/`",
                "ARCHITECTURE.md:2: there is no `fence/marks.rs`"
            ]
        );
    }
}
