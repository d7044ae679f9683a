//! Where the programs of a server are. `cargo xtask` compiles this file too: both must find the same ones.

use std::env;
use std::path::PathBuf;

/// The folder that `variable` names, or else the first one of `places`, then of the search path, that has all
/// `programs`; or a sentence that says what to do, which begins with `install`.
pub(crate) fn find(
    variable: &str,
    programs: &[&str],
    places: Vec<PathBuf>,
    install: &str,
) -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        let missing = programs.iter().find(|program| !named.join(program).is_file());
        return missing.map_or(Ok(named.clone()), |program| {
            Err(format!("{variable} names {named:?}, where there is no {program}"))
        });
    }
    let path = env::var_os("PATH").unwrap_or_default();
    places
        .into_iter()
        .chain(env::split_paths(&path))
        .find(|folder| programs.iter().all(|program| folder.join(program).is_file()))
        .ok_or_else(|| format!("{install}, or name the folder of its programs in {variable}"))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn programs_are_found_or_it_is_said_what_to_do() {
        let unset = "SAMOVAR_NOBODY_SETS_THIS";
        let found = find(unset, &["sh", "env"], Vec::new(), "no shell").unwrap();
        assert!(found.join("sh").is_file());
        let wrong = find(unset, &["sh", "no-such-program"], Vec::new(), "no shell").unwrap_err();
        assert!(wrong.starts_with("no shell, or name") && wrong.ends_with(unset), "{wrong}");
        // Where a folder is named, nothing is looked for elsewhere.
        let wrong = find("PATH", &["sh"], vec![found], "no shell").unwrap_err();
        assert!(wrong.starts_with("PATH names") && wrong.ends_with("no sh"), "{wrong}");
    }
}
