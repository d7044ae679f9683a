//! What each room of the tree may touch.

use super::{File, code};

/// Inside `samovar`, from the ground up: a module may use those of its own storey and below.
const STOREYS: &[&[&str]] = &[&["codec", "tier", "fence", "flight"], &["cache"], &["write"]];

/// Ways to ask the time.
const CLOCKS: &[&str] =
    &["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "Utc::now", "Local::now"];

/// Ways to start what runs by itself; the method `.spawn(…)` is looked at by its receiver.
const SPAWNS: &[&str] = &[
    "thread::spawn",
    "tokio::spawn",
    "task::spawn",
    "spawn_blocking",
    "spawn_local",
    "thread::Builder",
    "JoinSet",
];

/// Crates whose types a user of `samovar` must never see.
const HIDDEN: &[&str] = &["redis", "axum", "tokio_postgres"];

/// Checks one source file of a crate or recipe; any other is fine.
pub(super) fn check(file: &File) -> Vec<String> {
    let parts: Vec<&str> = file.path.split('/').collect();
    let (["crates" | "recipes", owner, "src", inside @ ..], Some(name)) =
        (&parts[..], parts.last())
    else {
        return Vec::new();
    };
    // These two exist for tests and measurements.
    if !name.ends_with(".rs")
        || *name == "tests.rs"
        || ["samovar-testkit", "samovar-bench"].contains(owner)
    {
        return Vec::new();
    }
    let code = code::running(&file.text);
    let mut broken = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut say = |what: String| broken.push(format!("{}:{}: {what}", file.path, at + 1));
        if *name != "clock.rs" && CLOCKS.iter().any(|sign| line.contains(sign)) {
            say("only clock.rs asks the time: pass the clock in".into());
        }
        // A binary's main may; a library's threads have one owner, so that none dies silently.
        if *name != "background.rs" && *owner != "samovar-cli" && spawns(line) {
            say("only background.rs spawns".into());
        }
        if *owner == "samovar" {
            if let Some(hidden) = publishes(line) {
                say(format!("a public signature names a type of {hidden}"));
            }
            upward(inside, line).into_iter().for_each(say);
        }
    }
    broken
}

fn spawns(line: &str) -> bool {
    // `scope.spawn` is fine: the scope joins its threads and passes on their panics. So is asking
    // background.rs itself, or the tasks that it keeps.
    let by_method = line.match_indices(".spawn(").any(|(at, _)| {
        let receiver = line[..at].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
        !matches!(receiver, Some("scope" | "background" | "tasks"))
    });
    by_method || SPAWNS.iter().any(|sign| line.contains(sign))
}

fn publishes(line: &str) -> Option<&'static str> {
    let public = line.trim_start().starts_with("pub ");
    // Modules of our own may bear a crate's name.
    let line = line.replace("crate::redis::", "").replace("self::redis::", "");
    let names = |hidden: &str| {
        let within = |before: char| before.is_alphanumeric() || before == '_';
        let path = format!("{hidden}::");
        line.match_indices(&path).any(|(at, _)| !line[..at].ends_with(within))
    };
    HIDDEN.iter().copied().find(|hidden| public && names(hidden))
}

/// The arrows in a line of `samovar` that point the wrong way.
fn upward(inside: &[&str], line: &str) -> Vec<String> {
    let module = |part: &str| part.trim_end_matches(".rs").to_owned();
    let own = inside.first().map(|part| module(part)).unwrap_or_default();
    let Some(from) = storey(&own) else { return Vec::new() };
    let mut broken = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let path = &line[at + "crate::".len()..];
        let mut names = path
            .split("::")
            .map(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_').next());
        let (used, item) = (names.next().flatten().unwrap_or_default(), names.next().flatten());
        if storey(used).is_some_and(|to| to > from) {
            broken.push(format!("{own} uses {used}, which stands above it"));
        }
        if own == "fence" && used == "tier" {
            broken.push("the fence knows no tier".into());
        }
        let tier = inside.get(1).map(|part| module(part)).unwrap_or_default();
        let tiers = ["memory", "disk", "redis"];
        let other = item.is_some_and(|item| tiers.contains(&item) && item != tier);
        if own == "tier" && used == "tier" && tiers.contains(&tier.as_str()) && other {
            broken.push("a tier knows no other tier; stack.rs alone knows their order".into());
        }
    }
    broken
}

fn storey(module: &str) -> Option<usize> {
    STOREYS.iter().position(|storey| storey.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> usize {
        check(&File { path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn the_time_is_asked_in_one_place() {
        let asks = "fn a() { let t = std::time::Instant::now(); }\n";
        assert_eq!(broken("crates/samovar/src/cache.rs", asks), 1);
        assert_eq!(broken("recipes/demo/src/lib.rs", asks), 1);
        for fine in [
            "crates/samovar-core/src/clock.rs",
            "crates/samovar/tests/it/main.rs",
            "crates/samovar-testkit/src/tier.rs",
            "xtask/src/main.rs",
            "crates/samovar/src/cache/tests.rs",
        ] {
            assert_eq!(broken(fine, asks), 0, "{fine}");
        }
        let tests = format!("#[cfg(test)]\nmod tests {{\n{asks}}}\n");
        assert_eq!(broken("crates/samovar/src/cache.rs", &tests), 0);
        assert_eq!(broken("crates/samovar/src/cache.rs", "// not by Instant::now\n"), 0);
    }

    #[test]
    fn threads_are_started_in_one_place() {
        let path = "crates/samovar/src/cache.rs";
        for spawn in [
            "std::thread::spawn(f)",
            "tokio::spawn(f)",
            "runtime.spawn(f)",
            "spawn_blocking(f)",
            "thread::Builder::new()",
            "    .spawn(f)",
        ] {
            assert_eq!(broken(path, spawn), 1, "{spawn}");
            assert_eq!(broken("crates/samovar/src/background.rs", spawn), 0, "{spawn}");
            assert_eq!(broken("crates/samovar-cli/src/demo.rs", spawn), 0, "{spawn}");
        }
        for fine in [
            "scope.spawn(f)",
            "self.background.spawn(f)",
            "background::spawn(f)",
            "fn spawned() {}",
        ] {
            assert_eq!(broken(path, fine), 0, "{fine}");
        }
    }

    #[test]
    fn modules_of_samovar_point_down() {
        assert_eq!(broken("crates/samovar/src/fence/table.rs", "use crate::cache::Cache;"), 1);
        assert_eq!(broken("crates/samovar/src/fence/table.rs", "use crate::tier::Stack;"), 1);
        assert_eq!(broken("crates/samovar/src/flight.rs", "use crate::write::Written;"), 1);
        assert_eq!(broken("crates/samovar/src/tier/memory.rs", "use crate::tier::disk::Disk;"), 1);
        assert_eq!(
            broken("crates/samovar/src/tier/disk/mod.rs", "use crate::tier::disk::Page;"),
            0
        );
        assert_eq!(broken("crates/samovar/src/tier/stack.rs", "use crate::tier::disk::Disk;"), 0);
        assert_eq!(broken("crates/samovar/src/cache.rs", "use crate::flight::Flight;"), 0);
        assert_eq!(broken("crates/samovar/src/lib.rs", "pub use crate::cache::Cache;"), 0);
    }

    #[test]
    fn foreign_types_stay_inside() {
        let path = "crates/samovar/src/tier/redis/mod.rs";
        assert_eq!(broken(path, "pub fn open(client: redis::Client) {}"), 1);
        assert_eq!(broken(path, "pub(crate) fn open(client: redis::Client) {}"), 0);
        assert_eq!(broken(path, "pub use self::redis::RedisTier;"), 0, "a module of our own");
        assert_eq!(broken(path, "pub use log_redis::RedisLog;"), 0, "another of our own");
    }
}
