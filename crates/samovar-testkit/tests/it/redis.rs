//! Redis servers that are killed, paused and started again.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use samovar_testkit::redis::{Cluster, Sentinels, Server, Setup};

const SOON: Duration = Duration::from_secs(20);

/// Sends lines and gives the first line of the answer.
fn ask(mut stream: impl Read + Write, lines: &str) -> std::io::Result<String> {
    stream.write_all(lines.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_string())
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// A connection by TLS that trusts the authority of a setup.
fn encrypted(server: &Server, setup: &Setup) -> StreamOwned<ClientConnection, TcpStream> {
    let authority = setup.authority().unwrap().as_bytes();
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, connect(server))
}

fn get(server: &Server, key: &str) -> String {
    server.cli(&["GET", key]).unwrap()
}

fn set(server: &Server, key: &str, value: &str) {
    assert_eq!(server.cli(&["SET", key, value]).unwrap(), "OK");
}

#[test]
fn data_survive_a_kill_are_replaced_by_older_ones_or_thrown_away() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let port = server.port();
    set(&server, "tea", "green");
    let older = server.snapshot().unwrap();
    set(&server, "tea", "black");
    set(&server, "cup", "");
    server.kill().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    server.start().unwrap();
    assert_eq!((get(&server, "tea"), get(&server, "cup")), ("black".into(), String::new()));
    assert_eq!(server.port(), port);
    assert_eq!(ask(connect(&server), "PING\r\n").unwrap(), "+PONG");

    server.kill().unwrap();
    server.start_from(&older).unwrap();
    assert_eq!(get(&server, "tea"), "green");
    assert_eq!(server.cli(&["EXISTS", "cup"]).unwrap(), "0");
    // The copy is still what it was, whatever was written over it.
    set(&server, "tea", "white");
    server.kill().unwrap();
    server.start_from(&older).unwrap();
    assert_eq!(get(&server, "tea"), "green");

    server.kill().unwrap();
    server.start_empty().unwrap();
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "0");
    set(&server, "tea", "oolong");
    server.flush().unwrap();
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "0");
}

#[test]
fn one_that_is_not_durable_forgets_and_keeps_to_its_settings() {
    let setup = Setup::new().set("maxmemory", "3mb").set("maxmemory-policy", "allkeys-lru");
    let server = Server::launch(&setup).unwrap();
    let told = |name| server.cli(&["CONFIG", "GET", name]).unwrap();
    assert_eq!(told("maxmemory-policy"), "maxmemory-policy\nallkeys-lru");
    set(&server, "tea", "green");
    assert!(server.snapshot().unwrap_err().to_string().contains("not durable"));
    server.kill().unwrap();
    server.start().unwrap();
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "0");
    assert_eq!(told("maxmemory"), "maxmemory\n3145728");
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let wrong = Server::launch(&Setup::new().set("no-such-setting", "1")).unwrap_err();
    assert!(wrong.to_string().contains("no-such-setting"), "{wrong}");
    let wrong = Server::launch(&Setup::new().user("ann", "a b")).unwrap_err();
    assert!(wrong.to_string().contains("letters"), "{wrong}");
    let server = Server::launch(&Setup::new()).unwrap();
    let wrong = server.cli(&["INCR"]).unwrap_err();
    assert!(wrong.to_string().contains("wrong number of arguments"), "{wrong}");
    for wrong in [server.start(), server.start_empty(), server.resume()] {
        wrong.unwrap_err();
    }
    server.kill().unwrap();
    for wrong in [server.kill(), server.pause(), server.resume(), server.flush()] {
        wrong.unwrap_err();
    }
    // One that ended by itself may be started as well.
    server.start().unwrap();
    let _ = server.cli(&["SHUTDOWN"]);
    wait("the server to end", || server.start().is_ok());
    assert_eq!(server.cli(&["PING"]).unwrap(), "PONG");
}

#[test]
fn a_paused_server_is_silent_and_answers_when_it_goes_on() {
    let server = Server::launch(&Setup::new()).unwrap();
    server.pause().unwrap();
    // The kernel still makes connections.
    let mut stream = connect(&server);
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let silent = ask(&stream, "PING\r\n").unwrap_err();
    assert!(matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
    server.resume().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    server.pause().unwrap();
    server.kill().unwrap();
    server.start().unwrap();
    assert_eq!(ask(connect(&server), "PING\r\n").unwrap(), "+PONG");
}

#[test]
fn a_password_is_asked_for() {
    let server = Server::launch(&Setup::new().user("ann", "geheim")).unwrap();
    assert_eq!(server.url(), format!("redis://ann:geheim@127.0.0.1:{}", server.port()));
    assert_eq!(server.cli(&["ACL", "WHOAMI"]).unwrap(), "ann");
    let said = |lines| ask(connect(&server), lines).unwrap();
    assert!(said("GET tea\r\n").starts_with("-NOAUTH"));
    assert!(said("AUTH ann wrong\r\n").starts_with("-WRONGPASS"));
    assert!(said("AUTH geheim\r\n").starts_with("-WRONGPASS"));
    assert_eq!(said("AUTH ann geheim\r\n"), "+OK");
}

#[test]
fn a_certificate_is_verified_or_refused() {
    let setup = Setup::new().tls().unwrap();
    let server = Server::launch(&setup).unwrap();
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    assert_eq!(ask(encrypted(&server, &setup), "PING\r\n").unwrap(), "+PONG");
    let other = Setup::new().tls().unwrap();
    let wrong = ask(encrypted(&server, &other), "PING\r\n").unwrap_err();
    assert!(wrong.to_string().contains("invalid peer certificate"), "{wrong}");
    // Without TLS nothing comes of it.
    assert!(!ask(connect(&server), "PING\r\n").is_ok_and(|answer| answer.contains("PONG")));
    assert_eq!(server.cli(&["PING"]).unwrap(), "PONG");
}

#[test]
fn a_failover_loses_exactly_what_the_replica_was_not_told() {
    let set_of = Sentinels::launch(&Setup::new().durable()).unwrap();
    assert_eq!(set_of.primary().unwrap(), 0);
    let number = |at: usize| get(set_of.node(at), "number");
    for n in 1..=20 {
        set(set_of.node(0), "number", &n.to_string());
    }
    set_of.cut_off(1).unwrap();
    for n in 21..=40 {
        set(set_of.node(0), "number", &n.to_string());
    }
    // The other replica is told everything, and is not asked.
    wait("the other replica to be told", || number(2) == "40");
    set_of.fail_over(1).unwrap_err();
    set_of.node(0).kill().unwrap();
    set_of.fail_over(1).unwrap();
    assert_eq!((set_of.primary().unwrap(), number(1), number(2)), (1, "20".into(), "20".into()));
    assert_eq!(set_of.node(1).cli(&["ROLE"]).unwrap().lines().next(), Some("master"));

    // The deposed primary has kept its tail, and gives it up.
    set(set_of.node(1), "number", "new");
    set_of.rejoin(0).unwrap();
    assert_eq!(number(0), "new");
    assert!(
        set_of.node(0).cli(&["SET", "number", "0"]).unwrap_err().to_string().contains("READONLY")
    );

    // One that was only silent finds itself deposed as well; nothing is lost where nobody is cut off.
    set_of.node(1).pause().unwrap();
    set_of.fail_over(1).unwrap_err();
    set_of.fail_over(0).unwrap();
    assert_eq!((set_of.primary().unwrap(), number(0), number(2)), (0, "new".into(), "new".into()));
    set_of.rejoin(1).unwrap();
    set(set_of.node(0), "number", "newer");
    wait("the replicas to be told", || number(1) == "newer" && number(2) == "newer");
    assert_eq!(set_of.urls().len(), 3);
}

#[test]
fn sentinels_and_clusters_keep_to_passwords_and_certificates() {
    let setup = Setup::new().user("ann", "geheim").tls().unwrap();
    let set_of = Sentinels::launch(&setup).unwrap();
    set(set_of.node(0), "tea", "green");
    let asks = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}\r\n", set_of.name());
    let said = |lines: &str| ask(encrypted(set_of.sentinel(0), &setup), lines).unwrap();
    assert!(said(&asks).starts_with("-NOAUTH"), "{}", said(&asks));
    assert!(set_of.urls()[0].starts_with("rediss://ann:geheim@"));
    set_of.cut_off(1).unwrap();
    set_of.cut_off(2).unwrap();
    set(set_of.node(0), "tea", "black");
    set_of.node(0).kill().unwrap();
    set_of.fail_over(2).unwrap();
    assert_eq!(
        (get(set_of.node(1), "tea"), get(set_of.node(2), "tea")),
        ("green".into(), "green".into())
    );
    drop(set_of);

    let cluster = Cluster::launch(&setup).unwrap();
    let (here, away) = (cluster.node(0), key_of(&cluster, 1));
    let moved = here.cli(&["GET", &away]).unwrap_err().to_string();
    // Where to go is told by the port that speaks TLS.
    assert!(moved.contains(&format!("127.0.0.1:{}", cluster.node(1).port())), "{moved}");
}

/// A key that a shard holds.
fn key_of(cluster: &Cluster, shard: usize) -> String {
    let mut keys = (0..1000).map(|n| format!("key-{n}"));
    keys.find(|key| cluster.shard(key).unwrap() == shard).unwrap()
}

#[test]
fn a_shard_comes_back_with_its_data_without_or_with_older_ones() {
    let cluster = Cluster::launch(&Setup::new().durable()).unwrap();
    let keys: Vec<String> = (0..3).map(|shard| key_of(&cluster, shard)).collect();
    let all = || {
        let values = keys.iter().enumerate().map(|(shard, key)| get(cluster.node(shard), key));
        values.collect::<Vec<_>>()
    };
    let set_all = |value: &str| {
        keys.iter().enumerate().for_each(|(shard, key)| set(cluster.node(shard), key, value));
    };
    set_all("old");
    let older = cluster.node(2).snapshot().unwrap();
    set_all("new");
    assert_eq!(all(), ["new", "new", "new"]);
    assert!(cluster.node(0).cli(&["GET", &keys[1]]).unwrap_err().to_string().contains("MOVED"));

    cluster.node(0).kill().unwrap();
    cluster.node(0).start().unwrap();
    cluster.node(1).kill().unwrap();
    cluster.node(1).start_empty().unwrap();
    cluster.node(2).kill().unwrap();
    cluster.node(2).start_from(&older).unwrap();
    cluster.wait().unwrap();
    assert_eq!(all(), ["new", "", "old"]);
    set_all("again");
    assert_eq!(all(), ["again", "again", "again"]);
    assert_eq!(cluster.urls()[2], cluster.node(2).url());
}

/// Waits for what others bring about.
fn wait(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !look() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
    }
}

/// Run in a process of its own by the test below, which kills it.
#[test]
fn child_that_is_killed() {
    if std::env::var_os("SAMOVAR_TEST_CHILD").is_none() {
        return;
    }
    let awake = Server::launch(&Setup::new().durable()).unwrap();
    let asleep = Server::launch(&Setup::new()).unwrap();
    asleep.pause().unwrap();
    for server in [&awake, &asleep] {
        println!("\nserver {} {}", server.port(), server.socket().parent().unwrap().display());
    }
    // Until the end.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_test_that_is_killed_leaves_nothing_behind() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "redis::child_that_is_killed", "--nocapture"])
        .env("SAMOVAR_TEST_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let servers: Vec<(u16, String, String)> = lines
        .filter_map(|line| {
            let (port, folder) = line.strip_prefix("server ")?.split_once(' ')?;
            let pid = std::fs::read_to_string(Path::new(folder).join("pid")).unwrap();
            Some((port.parse().unwrap(), folder.to_owned(), pid.trim().to_owned()))
        })
        .take(2)
        .collect();
    let lives = |pid: &str| {
        let asked = Command::new("kill").args(["-s", "0", pid]).stderr(Stdio::null()).status();
        asked.unwrap().success()
    };
    assert_eq!(servers.len(), 2);
    assert!(servers.iter().all(|(_, folder, pid)| Path::new(folder).exists() && lives(pid)));
    child.kill().unwrap();
    child.wait().unwrap();
    for (port, folder, pid) in servers {
        wait("the server to be gone", || !lives(&pid) && !Path::new(&folder).exists());
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}

#[test]
fn a_server_that_is_dropped_leaves_nothing_behind() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (port, socket) = (server.port(), server.socket());
    assert!(socket.exists());
    drop(server);
    assert!(!socket.parent().unwrap().exists());
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}
