//! TLS: who is trusted.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use samovar_source::import::{Database, ImportOptions, import_csv};
use samovar_source::{
    Limits, PostgresOptions, PostgresSource, Source, SourceError, SourceErrorKind,
};
use samovar_testkit::postgres::Server;

use super::{database, dataset, one, rows_of};

/// Whether the connection is one by TLS; for ever for store 200.
const ENCRYPTED: &str = "SELECT s AS store, '2026-02-03'::date AS day,
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS amount FROM (VALUES (7), (200)) AS v(s)
    WHERE CASE WHEN s = 200 THEN pg_sleep(1000) IS NOT NULL ELSE true END";

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn a_certificate_is_verified_or_refused() {
    let (ours, other) = (authority("ours"), authority("another"));
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_string()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();
    let files = [("server.crt", &*certificate.pem()), ("server.key", &*key.serialize_pem())];
    let server = Server::start(&[("ssl", "on")], &files).unwrap();
    let database = server.database().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let connect = |mode: &str, authority: Option<&CertifiedIssuer<'_, KeyPair>>, host: &str| {
        let url = database.url().replace("127.0.0.1", host);
        let mut options = PostgresOptions::new(format!("{url}?sslmode={mode}"));
        options.ca_file = authority.map(|authority| {
            let path = folder.path().join("ca.pem");
            std::fs::write(&path, authority.pem()).unwrap();
            path
        });
        PostgresSource::connect(&options, dataset(ENCRYPTED), Limits::default())
    };
    let encrypted = |source: Result<PostgresSource, SourceError>| {
        rows_of(&source.unwrap(), "7")[0].values[0].as_deref() == Some("100")
    };
    let here = "127.0.0.1";
    assert!(!encrypted(connect("disable", None, here)));
    assert!(encrypted(connect("prefer", None, here)));
    assert!(encrypted(connect("prefer", Some(&ours), here)));
    assert!(encrypted(connect("require", Some(&ours), here)));
    assert!(encrypted(connect("verify-full", Some(&ours), here)));
    for (mode, authority, host, words) in [
        ("require", None, here, "UnknownIssuer"),
        ("require", Some(&other), here, "UnknownIssuer"),
        ("verify-full", Some(&other), here, "UnknownIssuer"),
        ("prefer", Some(&other), here, "UnknownIssuer"),
        ("require", Some(&ours), "localhost", "not valid for name"),
    ] {
        let wrong = connect(mode, authority, host).map(|_| ()).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Unreachable);
        assert!(wrong.to_string().contains(words), "{mode} {host}: {wrong}");
    }

    // An import trusts the same ones.
    let file = folder.path().join("sales.csv");
    std::fs::write(&file, "a\n1\n").unwrap();
    let import = |authority: &CertifiedIssuer<'_, KeyPair>| {
        let path = folder.path().join("import-ca.pem");
        std::fs::write(&path, authority.pem()).unwrap();
        let mut server = PostgresOptions::new(format!("{}?sslmode=require", database.url()));
        server.ca_file = Some(path);
        let mut options = ImportOptions::new(&file, "", "imported");
        options.database = Database::Postgres(server);
        import_csv(&options, &mut |_| ()).map(|report| report.rows)
    };
    assert!(import(&other).unwrap_err().to_string().contains("UnknownIssuer"));
    assert_eq!(import(&ours).unwrap(), 1);

    // A query is cancelled the same way.
    let source = connect("require", Some(&ours), here).unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'samovar' AND wait_event = 'PgSleep'";
    let batches = source.read(one("200"));
    database.wait_until(sleeping, "1").unwrap();
    drop(batches);
    database.wait_until(sleeping, "0").unwrap();
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_required() {
    let database = database("");
    let options = PostgresOptions::new(format!("{}?sslmode=require", database.url()));
    let wrong = PostgresSource::connect(&options, dataset(ENCRYPTED), Limits::default());
    let wrong = wrong.map(|_| ()).unwrap_err();
    assert_eq!(wrong.kind(), SourceErrorKind::Unreachable);
    assert!(wrong.to_string().contains("TLS"), "{wrong}");
}
