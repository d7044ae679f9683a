//! A cluster.

use std::ops::Range;

use super::{RedisError, Result, Server, Setup, free_port, until};

/// Slots that keys fall into.
const SLOTS: usize = 16384;
/// Shards, each a third of the slots.
const SHARDS: usize = 3;

/// A cluster of three primaries, each a shard with a third of the slots, without replicas. It is killed, and its data
/// removed, when this is dropped or the process ends.
///
/// A shard that is down for five seconds (`cluster-node-timeout`) makes the others refuse all keys, as Redis does by
/// default; `cluster-require-full-coverage no` changes that.
///
/// ```no_run
/// use samovar_testkit::redis::{Cluster, RedisError, Setup};
///
/// fn loses_a_shard() -> Result<(), RedisError> {
///     let cluster = Cluster::launch(&Setup::new().durable())?;
///     println!("a client may begin at any of {:?}", cluster.urls());
///     let shard = cluster.node(cluster.shard("tea")?);
///     shard.cli(&["SET", "tea", "green"])?;
///
///     shard.kill()?;
///     shard.start_empty()?;
///     cluster.wait()?;
///     assert_eq!(shard.cli(&["EXISTS", "tea"])?, "0");
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// A new cluster without data, of nodes that are each set up so; returns when it answers for all slots.
    ///
    /// # Errors
    /// If there is no Redis (the message says how to install it) or it does not start.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{Cluster, RedisError, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let cluster = Cluster::launch(&Setup::new())?;
    /// assert!(cluster.node(0).cli(&["CLUSTER", "INFO"])?.contains("cluster_state:ok"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn launch(setup: &Setup) -> Result<Cluster> {
        let setup = || {
            let setup = setup.clone().own("cluster-enabled", "yes");
            // Beside the data, so that a node that loses them stays who it is.
            let setup = setup.own("cluster-config-file", "../nodes.conf");
            let setup = setup.own("cluster-node-timeout", "5000");
            let setup = setup.own("cluster-port", &free_port()?.to_string());
            Ok(if setup.authority().is_some() { setup.own("tls-cluster", "yes") } else { setup })
        };
        let nodes = (0..SHARDS).map(|_| Server::begin(false, setup)).collect::<Result<_>>()?;
        let cluster = Cluster { nodes };
        for (at, node) in cluster.nodes.iter().enumerate() {
            let slots = slots(at);
            let (first, last) = (slots.start.to_string(), (slots.end - 1).to_string());
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()])?;
            let bus = node.cli(&["CONFIG", "GET", "cluster-port"])?;
            let bus = bus.lines().last().unwrap_or_default();
            if at > 0 {
                let port = node.port().to_string();
                cluster.nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &port, bus])?;
            }
        }
        cluster.wait()?;
        Ok(cluster)
    }

    /// A node: shard 0, 1 or 2. It may be killed and started again on its own; [`wait`](Cluster::wait) then waits for
    /// the others to have it back.
    ///
    /// # Panics
    /// If there is no such shard.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{Cluster, RedisError, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let cluster = Cluster::launch(&Setup::new())?;
    /// cluster.node(2).kill()?;
    /// assert_eq!(cluster.node(1).cli(&["PING"])?, "PONG", "the others go on");
    /// # Ok(())
    /// # }
    /// ```
    pub fn node(&self, shard: usize) -> &Server {
        &self.nodes[shard]
    }

    /// The addresses of all nodes.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{Cluster, RedisError, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let cluster = Cluster::launch(&Setup::new())?;
    /// let urls = cluster.urls();
    /// assert_eq!((urls.len(), &urls[1]), (3, &cluster.node(1).url()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// The shard that holds a key.
    ///
    /// # Errors
    /// If no node answers.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{Cluster, RedisError, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let cluster = Cluster::launch(&Setup::new())?;
    /// let shard = cluster.shard("tea")?;
    /// assert_eq!(cluster.shard("{tea}:green")?, shard, "what is in braces decides");
    /// assert!(cluster.node(shard).cli(&["SET", "tea", "green"]).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shard(&self, key: &str) -> Result<usize> {
        let up = self.nodes.iter().find(|node| node.is_up());
        let up = up.ok_or_else(|| RedisError("all nodes of the cluster are down".into()))?;
        let slot = up.cli(&["CLUSTER", "KEYSLOT", key])?;
        let slot: usize = slot.parse().map_err(|_| RedisError(format!("no slot: {slot}")))?;
        let shard = (0..SHARDS).find(|shard| slots(*shard).contains(&slot));
        shard.ok_or_else(|| RedisError(format!("no shard has the slot {slot}")))
    }

    /// Waits until all nodes know each other and find the cluster whole.
    ///
    /// # Errors
    /// If that does not come true within a minute.
    ///
    /// ```no_run
    /// # use samovar_testkit::redis::{Cluster, RedisError, Setup};
    /// # fn main() -> Result<(), RedisError> {
    /// let cluster = Cluster::launch(&Setup::new())?;
    /// cluster.node(0).kill()?;
    /// cluster.node(0).start()?;
    /// cluster.wait()?;
    /// assert!(cluster.node(1).cli(&["CLUSTER", "INFO"])?.contains("cluster_state:ok"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(&self) -> Result<()> {
        until("the cluster to be whole", || {
            for node in &self.nodes {
                let told = node.cli(&["CLUSTER", "INFO"])?;
                let has = |line: &str| told.lines().any(|told| told.trim() == line);
                if !has("cluster_state:ok") || !has(&format!("cluster_known_nodes:{SHARDS}")) {
                    return Err(RedisError(told));
                }
            }
            Ok(true)
        })
    }
}

/// The slots of a shard.
fn slots(shard: usize) -> Range<usize> {
    shard * SLOTS / SHARDS..(shard + 1) * SLOTS / SHARDS
}
