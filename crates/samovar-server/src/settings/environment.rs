//! What the environment says in place of the file: `SAMOVAR_TOKEN`, `SAMOVAR_CACHES__PRODUCT_INFO__TTL`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use toml::Value;

use super::Problem;

/// What the names of all variables begin with.
const PREFIX: &str = "SAMOVAR_";

/// Fields that are named without their table, or stand in none.
const SHORT: [(&str, &str); 7] = [
    ("LISTEN", "listen"),
    ("TOKEN", "token"),
    ("READ_TOKEN", "read_token"),
    ("ALLOWED_HOSTS", "allowed_hosts"),
    ("DATA", "data"),
    ("REDIS_URLS", "redis.urls"),
    ("SOURCE_URL", "source.url"),
];

/// The tables whose fields a variable may say.
const TABLES: [&str; 11] = [
    "memory",
    "disk",
    "journal",
    "redis",
    "log",
    "source",
    "dataset",
    "ttl",
    "health",
    "standouts",
    "caches",
];

/// The variables of the environment that configure Samovar. They win over the file.
///
/// A variable is named as its field, in capitals behind `SAMOVAR_`, with two underscores where the field has a dot:
/// `SAMOVAR_MEMORY__MAX_BYTES`. In the name of a cache every sign that is neither letter nor digit is an underscore.
///
/// ```
/// # use samovar_server::{Environment, Settings};
/// let environment: Environment = [("SAMOVAR_CACHES__PRICES__TTL", "5m")].into_iter().collect();
/// # let file = "[source]\npath = 'shop.db'\nquery = 'orders'\n[dataset]\nname = 'orders'\nstore_id = 'shop'\ndate = 'day'\n\
/// #     [[measure]]\nname = 'sales'\nsum = 'amount'\n";
/// let settings = Settings::read(&format!("{file}[caches.prices]\nttl = '1h'"), "/".as_ref(), &environment).unwrap();
/// assert_eq!(settings.caches[0].policy.ttl.as_secs(), 300);
/// ```
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process.
    ///
    /// ```
    /// # use samovar_server::Environment;
    /// let environment = Environment::of_process();
    /// assert_eq!(environment.get("SAMOVAR_NOBODY_SETS_THIS"), None);
    /// ```
    pub fn of_process() -> Environment {
        // What is no text is mended into a text that no field takes.
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, text)| (lossy(name), lossy(text))).collect()
    }

    /// The variables of this process, and behind them those of the file `.env` in a directory, if there is one.
    ///
    /// # Errors
    /// If that file is there and cannot be read.
    ///
    /// ```
    /// # use samovar_server::Environment;
    /// # let folder = tempfile::tempdir()?;
    /// std::fs::write(folder.path().join(".env"), "SAMOVAR_CACHES__PRICES__TTL=5m\n")?;
    /// let environment = Environment::beside(folder.path()).map_err(|wrong| wrong.to_string())?;
    /// assert_eq!(environment.get("SAMOVAR_CACHES__PRICES__TTL"), Some("5m"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn beside(directory: &Path) -> Result<Environment, Problem> {
        let path = directory.join(".env");
        let mut environment = match path.is_file() {
            true => Environment::in_file(&path)?,
            false => Environment::default(),
        };
        environment.0.extend(Environment::of_process().0);
        Ok(environment)
    }

    fn in_file(path: &Path) -> Result<Environment, Problem> {
        let read =
            || dotenvy::from_path_iter(path)?.collect::<Result<Environment, dotenvy::Error>>();
        read().map_err(|wrong| Problem {
            line: None,
            variable: None,
            field: path.display().to_string(),
            // Which line it is would show what may be a password.
            found: match wrong {
                dotenvy::Error::Io(failed) => failed.to_string(),
                _ => "a line of another form".into(),
            },
            allowed: "lines of the form NAME=value, with quotes around a value that has blanks"
                .into(),
        })
    }

    /// What a variable says; nothing if it is empty.
    ///
    /// ```
    /// # use samovar_server::Environment;
    /// let said = [("SAMOVAR_LISTEN", "[::1]:0"), ("SAMOVAR_DATA", ""), ("LANG", "de")];
    /// let environment: Environment = said.into_iter().collect();
    /// assert_eq!(environment.get("SAMOVAR_LISTEN"), Some("[::1]:0"));
    /// assert_eq!(environment.get("SAMOVAR_DATA"), None);
    /// assert_eq!(environment.get("LANG"), None, "others' are not kept");
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Puts what is said here in place of what the file says; gives by field the variable that said it.
    pub(super) fn lay_over(
        &self,
        root: &mut toml::Table,
        problems: &mut Vec<Problem>,
    ) -> HashMap<String, String> {
        let mut said = HashMap::new();
        for (variable, text) in &self.0 {
            let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
            let short = SHORT.iter().find(|(name, _)| *name == rest);
            let path: Vec<String> = match short {
                Some((_, field)) => field.split('.').map(String::from).collect(),
                // Others' variables begin so, too.
                None if !rest.contains("__") => continue,
                None => rest.split("__").map(str::to_lowercase).collect(),
            };
            // As where a script passes on what was never set. An empty token is no such thing: it would guard nothing.
            if text.is_empty() && !path[0].ends_with("token") {
                continue;
            }
            let is_known = short.is_some()
                || (TABLES.contains(&&*path[0])
                    && path.len() > 1
                    && path.iter().all(|step| !step.is_empty()));
            if !is_known {
                problems.push(Problem {
                    line: None,
                    variable: Some(variable.clone()),
                    field: path.join("."),
                    found: "a field that there is not".into(),
                    allowed: format!(
                        "{PREFIX}TABLE__FIELD, where TABLE is one of {}",
                        TABLES.join(", ").to_uppercase()
                    ),
                });
                continue;
            }
            if let Some(field) = put(root, &path, text) {
                said.insert(field, variable.clone());
            }
        }
        said
    }
}

/// Puts a text into a table of tables, and gives the full name of its field; `None` if something that is no table
/// stands in the way, which is then complained about as what it is.
fn put(root: &mut toml::Table, path: &[String], text: &str) -> Option<String> {
    let (field, tables) = path.split_last()?;
    let (mut table, mut name) = (root, String::new());
    for (depth, step) in tables.iter().enumerate() {
        // A cache may have a name that no variable can.
        let alike = |known: &&String| depth == 1 && as_variable(known) == as_variable(step);
        let exact = table.contains_key(step).then_some(step);
        let step = exact.or_else(|| table.keys().find(alike)).unwrap_or(step).clone();
        name = format!("{name}{step}.");
        let inner = table.entry(step).or_insert_with(|| Value::Table(toml::Table::new()));
        table = inner.as_table_mut()?;
    }
    table.insert(field.clone(), text.into());
    Some(name + field)
}

fn as_variable(name: &str) -> String {
    let signs = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' });
    signs.collect::<String>().to_lowercase()
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(variables: I) -> Environment {
        let variables = variables.into_iter().map(|(name, text)| (name.into(), text.into()));
        Environment(variables.filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }
}

/// The names alone: some of the values are passwords.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(file: &str, variables: &[(&str, &str)]) -> (toml::Table, Vec<Problem>) {
        let mut root = file.parse().unwrap();
        let environment: Environment = variables.iter().copied().collect();
        let mut problems = Vec::new();
        environment.lay_over(&mut root, &mut problems);
        (root, problems)
    }

    #[test]
    fn a_variable_takes_the_place_of_its_field() {
        let (root, problems) = laid(
            "token = 'a'\n[caches.Product-Info]\nttl = '1h'\n[memory]\n",
            &[
                ("SAMOVAR_TOKEN", "open-sesame"),
                ("SAMOVAR_REDIS_URLS", "redis://r"),
                ("SAMOVAR_CACHES__PRODUCT_INFO__TTL", "5m"),
                ("SAMOVAR_CACHES__NEW__COMPRESSION__METHOD", "zstd"),
                ("SAMOVAR_MEMORY__MAX_BYTES", ""),
                ("SAMOVAR_SERVER", "http://elsewhere"),
                ("HOME", "/"),
            ],
        );
        assert_eq!(problems, []);
        let expected = "token = 'open-sesame'\n[caches.Product-Info]\nttl = '5m'\n[caches.new.compression]\n\
            method = 'zstd'\n[memory]\n[redis]\nurls = 'redis://r'";
        assert_eq!(root, expected.parse().unwrap());
    }

    #[test]
    fn a_variable_for_no_field_is_a_mistake() {
        for variable in ["SAMOVAR_CACHE__A__TTL", "SAMOVAR_CACHES__", "SAMOVAR___X"] {
            let (root, problems) = laid("", &[(variable, "x")]);
            assert!(root.is_empty(), "{variable}");
            assert_eq!(problems[0].variable.as_deref(), Some(variable));
        }
    }

    #[test]
    fn the_file_dot_env_stands_behind_the_environment() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Environment::beside(directory.path()).unwrap().get("SAMOVAR_X__Y"), None);
        let path = directory.path().join(".env");
        std::fs::write(&path, "# ours\nSAMOVAR_X__Y=\"a b\"\nOTHER=1\n").unwrap();
        let read = Environment::beside(directory.path()).unwrap();
        assert_eq!((read.get("SAMOVAR_X__Y"), read.get("OTHER")), (Some("a b"), None));
        std::fs::write(&path, "SAMOVAR_TOKEN='geheim\n").unwrap();
        let wrong = Environment::beside(directory.path()).unwrap_err().to_string();
        assert!(wrong.contains(".env") && !wrong.contains("geheim"), "{wrong}");
    }
}
