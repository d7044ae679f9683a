//! A primary with replicas, and sentinels over them.

use std::collections::BTreeMap;

use super::{RedisError, Result, Server, Setup, until};

/// What the sentinels call the primary.
const NAME: &str = "samovar";
/// One primary, two replicas.
const NODES: usize = 3;
const SENTINELS: usize = 3;
const QUORUM: usize = 2;

/// When sentinels take a server that is silent for down, in milliseconds: not at all, however busy the machine, …
const CALM: &str = "600000";
/// … but where a test wants it.
const WATCHFUL: &str = "500";

/// Priority of the replica that sentinels are to choose, and of those that they must not.
const CHOSEN: &str = "1";
const NEVER: &str = "0";

/// What a sentinel tells of a server, by name.
type Told = BTreeMap<String, String>;

/// Three servers, the first of which begins as the primary of the other two, and three sentinels over them with a quorum
/// of two. All are killed, and their data removed, when this is dropped or the process ends.
///
/// No failover happens unasked: the sentinels are patient until [`fail_over`](Sentinels::fail_over).
///
/// ```no_run
/// use samovar_testkit::redis::{RedisError, Sentinels, Setup};
///
/// fn loses_the_newest() -> Result<(), RedisError> {
///     let set = Sentinels::launch(&Setup::new().durable())?;
///     println!("ask any of {:?} for the primary of {}", set.urls(), set.name());
///     let old = set.primary()?;
///     set.node(old).cli(&["SET", "tea", "green"])?;
///     set.cut_off(1)?;
///     set.node(old).cli(&["SET", "tea", "black"])?;
///
///     set.node(old).kill()?;
///     set.fail_over(1)?;
///     assert_eq!(set.node(set.primary()?).cli(&["GET", "tea"])?, "green");
///     set.rejoin(old) // as a replica
/// }
/// ```
#[derive(Debug)]
pub struct Sentinels {
    nodes: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// A new set without data, of servers that are each set up so; returns when the replicas follow and the sentinels
    /// know all of them and each other.
    ///
    /// # Errors
    /// If there is no Redis (the message says how to install it) or it does not start.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// assert!(set.node(0).cli(&["INFO", "replication"])?.contains("connected_slaves:2"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn launch(setup: &Setup) -> Result<Sentinels> {
        let mut base = setup.clone().own("repl-diskless-sync-delay", "0");
        let mut over = setup.doors();
        if setup.authority().is_some() {
            base = base.own("tls-replication", "yes");
            over = over.own("tls-replication", "yes");
        }
        if let Some((name, password)) = &setup.user {
            base = base.own("masteruser", name).own("masterauth", password);
        }
        let mut nodes = vec![Server::launch(&base)?];
        let port = nodes[0].port();
        let following = base.own("replicaof", &format!("127.0.0.1 {port}"));
        for _ in 1..NODES {
            nodes.push(Server::launch(&following)?);
        }
        over = over.own("sentinel", &format!("monitor {NAME} 127.0.0.1 {port} {QUORUM}"));
        over = over.own("sentinel", &format!("down-after-milliseconds {NAME} {CALM}"));
        over = over.own("sentinel", &format!("failover-timeout {NAME} 5000"));
        if let Some((name, password)) = &setup.user {
            over = over.own("sentinel", &format!("auth-user {NAME} {name}"));
            over = over.own("sentinel", &format!("auth-pass {NAME} {password}"));
            over = over.own("sentinel", &format!("sentinel-user {name}"));
            over = over.own("sentinel", &format!("sentinel-pass {password}"));
        }
        let start = |_| Server::begin(true, || Ok(over.clone()));
        let sentinels = (0..SENTINELS).map(start).collect::<Result<_>>()?;
        let set = Sentinels { nodes, sentinels };
        for replica in 1..NODES {
            set.wait_to_follow(replica, 0)?;
        }
        for sentinel in &set.sentinels {
            // What they look at every ten seconds, and tell each other every two. That they give up for half a minute when
            // they come late is for real clocks that jump, not for a busy machine.
            let often = ["info-period", "100", "publish-period", "200", "tilt-trigger", "60000"];
            sentinel.cli(&[&["SENTINEL", "DEBUG"], &often[..]].concat())?;
        }
        set.wait_for_sentinels("know all", |sentinel| {
            let replicas = listed(sentinel, "REPLICAS")?;
            let well = |replica: &Told| {
                says(replica, "flags", "slave") && says(replica, "master-link-status", "ok")
            };
            let sentinels = listed(sentinel, "SENTINELS")?;
            Ok(replicas.iter().filter(|replica| well(replica)).count() == NODES - 1
                && sentinels.iter().filter(|other| says(other, "flags", "sentinel")).count()
                    == SENTINELS - 1)
        })?;
        Ok(set)
    }

    /// What the sentinels call the primary.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// let told = set.sentinel(0).cli(&["SENTINEL", "MASTERS"])?;
    /// assert!(told.contains(set.name()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The addresses of the sentinels.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// let urls = set.urls();
    /// assert_eq!((urls.len(), &urls[2]), (3, &set.sentinel(2).url()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// A server: 0, the first primary, 1 or 2.
    ///
    /// # Panics
    /// If there is no such server.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// assert!(set.node(0).cli(&["SET", "tea", "green"]).is_ok());
    /// assert!(set.node(1).cli(&["SET", "tea", "black"]).is_err(), "a replica is read alone");
    /// # Ok(())
    /// # }
    /// ```
    pub fn node(&self, at: usize) -> &Server {
        &self.nodes[at]
    }

    /// A sentinel: 0, 1 or 2.
    ///
    /// # Panics
    /// If there is no such sentinel.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// set.sentinel(0).kill()?;
    /// assert_eq!(set.primary()?, 0, "the others tell it");
    /// # Ok(())
    /// # }
    /// ```
    pub fn sentinel(&self, at: usize) -> &Server {
        &self.sentinels[at]
    }

    /// Which server is the primary, as a sentinel says.
    ///
    /// # Errors
    /// If no sentinel answers.
    ///
    /// ```
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// let primary = set.primary()?;
    /// assert!(set.node(primary).cli(&["ROLE"])?.starts_with("master"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn primary(&self) -> Result<usize> {
        let up = self.sentinels.iter().find(|sentinel| sentinel.is_up());
        self.seen_by(up.ok_or_else(|| RedisError("all sentinels are down".into()))?)
    }

    /// Cuts a replica off: what is written to the primary from now on never reaches it. It stays paused until a
    /// failover, or until it is resumed, when it catches up.
    ///
    /// To pause it would not be enough: what the primary sends waits in the kernel, and is read on waking. So its link
    /// is closed while it sleeps, and it cannot ask for another. Replicas that are awake get another at once.
    ///
    /// # Errors
    /// If it is the primary or not up, or Redis refuses.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// set.cut_off(1)?;
    /// set.node(0).cli(&["SET", "tea", "green"])?;
    /// set.node(0).kill()?;
    /// set.fail_over(1)?;
    /// assert_eq!(set.node(1).cli(&["EXISTS", "tea"])?, "0");
    /// # Ok(())
    /// # }
    /// ```
    pub fn cut_off(&self, replica: usize) -> Result<()> {
        let primary = self.primary()?;
        if replica == primary {
            return Err(RedisError("the primary cannot be cut off: kill or pause it".into()));
        }
        // What was written before is kept.
        self.wait_for_replicas(primary)?;
        self.nodes[replica].pause()?;
        self.nodes[primary].cli(&["CLIENT", "KILL", "TYPE", "replica"])?;
        self.wait_for_replicas(primary)
    }

    /// Has the sentinels make this replica the primary, in place of one that was killed or paused; returns when all
    /// three agree and the other replica follows it. Replicas that are paused or cut off are resumed.
    ///
    /// Sentinels prefer the replica that was told most. That the choice falls upon this one is seen to by the priorities
    /// (`replica-priority`), which are 100 for all when this returns.
    ///
    /// # Errors
    /// If the primary is up, the replica is down, or the sentinels do not agree within a minute.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// assert!(set.fail_over(2).is_err(), "the primary is up");
    /// set.node(0).kill()?;
    /// set.fail_over(2)?;
    /// assert_eq!(set.primary()?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail_over(&self, to: usize) -> Result<()> {
        let old = self.primary()?;
        if to == old || self.nodes[old].is_up() {
            return Err(RedisError(format!("server {old} is the primary: kill or pause it first")));
        }
        let replicas = || (0..NODES).filter(|at| *at != old).map(|at| (at, &self.nodes[at]));
        for (at, replica) in replicas() {
            // One that is down stays so.
            if replica.is_up() || replica.resume().is_ok() {
                let chosen = if at == to { CHOSEN } else { NEVER };
                replica.cli(&["CONFIG", "SET", "replica-priority", chosen])?;
            }
        }
        if !self.nodes[to].is_up() {
            return Err(RedisError(format!("server {to} is down: start it first")));
        }
        // Learnt while the primary passes for alive, or the choice could fall before.
        self.wait_for_sentinels("learn whom to choose", |sentinel| {
            let seen = listed(sentinel, "REPLICAS")?;
            let has = |node: &Server, priority| {
                let port = node.port().to_string();
                seen.iter()
                    .any(|it| says(it, "port", &port) && says(it, "slave-priority", priority))
            };
            Ok(replicas()
                .filter(|(_, replica)| replica.is_up())
                .all(|(at, replica)| has(replica, if at == to { CHOSEN } else { NEVER })))
        })?;
        self.take_for_down_after(WATCHFUL)?;
        self.wait_for_sentinels("agree", |sentinel| {
            Ok(self.replication(to, "role")? == "master" && self.seen_by(sentinel)? == to)
        })?;
        self.take_for_down_after(CALM)?;
        for (at, replica) in replicas().filter(|(_, replica)| replica.is_up()) {
            replica.cli(&["CONFIG", "SET", "replica-priority", "100"])?;
            if at != to {
                self.wait_to_follow(at, to)?;
            }
        }
        Ok(())
    }

    /// Brings a server back that was killed or paused, such as a primary that was replaced; returns when it follows the
    /// primary, with the primary's data.
    ///
    /// # Errors
    /// If it does not start, or does not follow within a minute.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{RedisError, Sentinels, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let set = Sentinels::launch(&Setup::new())?;
    /// set.node(0).kill()?;
    /// set.fail_over(1)?;
    /// set.rejoin(0)?;
    /// assert!(set.node(0).cli(&["ROLE"])?.starts_with("slave"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rejoin(&self, at: usize) -> Result<()> {
        if self.nodes[at].resume().is_err() {
            self.nodes[at].start()?;
        }
        self.wait_to_follow(at, self.primary()?)
    }

    fn take_for_down_after(&self, milliseconds: &str) -> Result<()> {
        let set = ["SENTINEL", "SET", NAME, "down-after-milliseconds", milliseconds];
        let mut up = self.sentinels.iter().filter(|sentinel| sentinel.is_up());
        up.try_for_each(|sentinel| sentinel.cli(&set).map(drop))
    }

    /// Waits until something is so for all sentinels that are up.
    fn wait_for_sentinels(&self, what: &str, so: impl Fn(&Server) -> Result<bool>) -> Result<()> {
        until(&format!("the sentinels to {what}"), || {
            let mut up = self.sentinels.iter().filter(|sentinel| sentinel.is_up());
            up.try_fold(true, |all, sentinel| Ok(all && so(sentinel)?))
        })
    }

    /// The primary as a sentinel sees it.
    fn seen_by(&self, sentinel: &Server) -> Result<usize> {
        let told = sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
        let port = told.lines().last().and_then(|port| port.parse().ok());
        let at = self.nodes.iter().position(|node| Some(node.port()) == port);
        at.ok_or_else(|| RedisError(format!("a sentinel names a primary that is not ours: {told}")))
    }

    /// Waits until all replicas that are up have what the primary has now.
    fn wait_for_replicas(&self, primary: usize) -> Result<()> {
        let offset = |at, name| Ok(self.replication(at, name)?.parse::<u64>().unwrap_or(0));
        let written = offset(primary, "master_repl_offset")?;
        for at in (0..NODES).filter(|at| *at != primary && self.nodes[*at].is_up()) {
            self.wait_to_follow(at, primary)?;
            until("a replica to catch up", || Ok(offset(at, "slave_repl_offset")? >= written))?;
        }
        Ok(())
    }

    /// Waits until a server is a replica of another and has its data.
    fn wait_to_follow(&self, replica: usize, primary: usize) -> Result<()> {
        let port = self.nodes[primary].port().to_string();
        until("a replica to follow its primary", || {
            Ok(self.replication(replica, "role")? == "slave"
                && self.replication(replica, "master_port")? == port
                && self.replication(replica, "master_link_status")? == "up")
        })
    }

    /// What a server tells of its replication, by name.
    fn replication(&self, at: usize, name: &str) -> Result<String> {
        let told = self.nodes[at].cli(&["INFO", "replication"])?;
        let field = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        field
            .map(|value| value.trim().into())
            .ok_or_else(|| RedisError(format!("no {name} in the state of server {at}: {told}")))
    }
}

fn says(told: &Told, name: &str, value: &str) -> bool {
    told.get(name).is_some_and(|told| told == value)
}

/// What a sentinel tells of the replicas or of the other sentinels.
fn listed(sentinel: &Server, whom: &str) -> Result<Vec<Told>> {
    let told = sentinel.cli(&["SENTINEL", whom, NAME])?;
    let lines: Vec<&str> = told.lines().collect();
    let mut list: Vec<Told> = Vec::new();
    for pair in lines.chunks_exact(2) {
        // Each begins with its name.
        if pair[0] == "name" {
            list.push(Told::new());
        }
        if let Some(last) = list.last_mut() {
            last.insert(pair[0].into(), pair[1].into());
        }
    }
    Ok(list)
}
