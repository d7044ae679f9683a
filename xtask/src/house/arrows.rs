//! Arrows between crates point one way.

/// The crates from the ground up: a crate may use those of a lower storey alone. A new crate gets
/// its place here first.
const STOREYS: &[&[&str]] = &[
    &["samovar-core"],
    &["samovar", "samovar-source"],
    &["samovar-testkit"],
    &["samovar-levels"],
    &["samovar-demo", "samovar-erp", "samovar-server"],
    &["samovar-cli"],
    &["samovar-bench"],
    // Built before all others, so it uses none.
    &["xtask"],
];

/// Checks the output of `cargo tree` with depths as prefix: `0` starts a crate of the workspace, `1`
/// one of its dependencies. Those of tests alone are not in it.
pub(super) fn check(tree: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut user = "";
    for line in tree.lines() {
        let Some((name, _)) = line.split_once(' ') else { continue };
        if let Some(name) = name.strip_prefix('0') {
            user = name;
            if storey(name).is_none() {
                broken.push(format!(
                    "{name} has no place yet: give it one in xtask/src/house/arrows.rs"
                ));
            }
        } else if let Some(used) = name.strip_prefix('1') {
            broken.extend(arrow(user, used));
        }
    }
    broken
}

fn storey(name: &str) -> Option<usize> {
    STOREYS.iter().position(|storey| storey.contains(&name))
}

fn arrow(user: &str, used: &str) -> Option<String> {
    let (from, to) = (storey(user)?, storey(used)?);
    if user == "xtask" {
        return Some(format!("xtask uses {used}: it is built before all else, and stays alone"));
    }
    if used == "samovar-testkit" && user != "samovar-bench" {
        return Some(format!("{user} uses {used} outside its tests"));
    }
    (from <= to)
        .then(|| format!("{user} uses {used}: arrows point from a higher storey to a lower one"))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn arrows_down_are_fine() {
        let tree = "0samovar-core v0.1.0 (/a b)\n1serde v1.0.0\n\n\
                    0samovar-levels v0.1.0 (/a)\n1samovar v0.1.0 (/a)\n1samovar-source v0.1.0 (/a) (*)\n\
                    0samovar-testkit v0.1.0 (/a)\n1samovar-source v0.1.0 (/a)\n\
                    0samovar-bench v0.1.0 (/a)\n1samovar-testkit v0.1.0 (/a)\n";
        assert_eq!(check(tree), [""; 0]);
    }

    #[test]
    fn arrows_up_and_sideways_are_not() {
        let broken = |user: &str, used: &str| {
            check(&format!("0{user} v0.1.0 (/a)\n1{used} v0.1.0 (/a)\n")).len() == 1
        };
        assert!(broken("samovar-core", "samovar"));
        assert!(broken("samovar", "samovar-source"));
        assert!(broken("samovar-source", "samovar-testkit"));
        assert!(broken("samovar-levels", "samovar-testkit"));
        assert!(broken("samovar-server", "samovar-cli"));
        assert!(broken("xtask", "samovar-core"));
        assert!(broken("samovar-novel", "serde"));
    }
}
