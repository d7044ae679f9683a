//! The table `[redis]`: where several servers share what they have read, and what they were told.

use std::path::Path;

use samovar::redis::{RedisServers, RedisSettings, RedisTls, Secret};

use super::raw::{Reader, Table};

const FORM: &str = "redis://user:password@host:port, or rediss:// for TLS; several as a list, or with commas between them";

/// `None` if there is no such table.
pub(super) fn redis(
    reader: &mut Reader,
    mut table: Table,
    directory: &Path,
) -> Option<RedisSettings> {
    if !table.is_given() {
        return None;
    }
    let kinds = ["standalone", "sentinel", "cluster"];
    let kind = table.word(reader, "kind", "standalone", &kinds);
    let urls = table.needed_words(reader, "urls", FORM);
    let master = match &*kind {
        "sentinel" => table.needed(reader, "master", "what the sentinels call the primary"),
        _ => String::new(),
    };
    let settings = match &*kind {
        "sentinel" => RedisSettings::sentinel(&master, &urls),
        "cluster" => RedisSettings::cluster(&urls),
        _ => RedisSettings::standalone(&urls),
    };
    if kind == "standalone" && urls.len() > 1 {
        // Servers that chose different ones would not hear of each other.
        reader.problem("redis.urls", &urls.join(", "), "one address, or another redis.kind");
    }
    let (username, password) = (table.text(reader, "username"), table.text(reader, "password"));
    let ca_file = table.text(reader, "ca_file").map(|path| directory.join(path));
    let namespace = table.text(reader, "namespace");
    // On no server: as they are unless told otherwise.
    let own = RedisSettings::on(RedisServers::Standalone(Vec::new()));
    let connect_timeout = table.duration(reader, "connect_timeout", own.connect_timeout);
    let response_timeout = table.duration(reader, "response_timeout", own.response_timeout);
    let failures_max =
        table.number(reader, "failures_max", own.failures_max.into(), 1..=1_000) as u32;
    let slow = table.duration(reader, "slow", own.slow);
    let retry_min = table.duration(reader, "retry_min", own.retry_min);
    let retry_max = table.duration(reader, "retry_max", own.retry_max);
    let queue_bytes = table.bytes(reader, "queue_bytes", own.queue_bytes);
    table.finish(reader);
    let mut settings = match settings {
        Ok(settings) => settings,
        Err(wrong) => {
            if !urls.is_empty() {
                reader.problem("redis.urls", &wrong.to_string(), FORM);
            }
            return None;
        }
    };
    settings.username = username.or(settings.username);
    settings.password = password.map(|text| Secret::from(&*text)).or(settings.password);
    if ca_file.is_some() {
        settings.tls = Some(RedisTls { ca_file });
    }
    settings.namespace = namespace.unwrap_or(settings.namespace);
    settings = RedisSettings {
        connect_timeout,
        response_timeout,
        failures_max,
        slow,
        retry_min,
        retry_max,
        queue_bytes,
        ..settings
    };
    if let Err(wrong) = settings.check() {
        reader.problem("redis", &wrong.to_string(), "settings that go together");
    }
    Some(settings)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use samovar::redis::{RedisServers, RedisSettings};

    use crate::settings::{Environment, Problem, Settings};

    const REST: &str = "[source]\npath = 'shop.db'\nquery = 'orders'\n[dataset]\nname = 'orders'\nstore_id = 'shop'\n\
                        date = 'day'\n[[measure]]\nname = 'sales'\nsum = 'amount'\n";

    fn servers(text: &str, urls: Option<&str>) -> Result<RedisServers, Vec<Problem>> {
        Ok(redis(text, urls)?.servers)
    }

    fn redis(text: &str, urls: Option<&str>) -> Result<RedisSettings, Vec<Problem>> {
        let environment: Environment =
            urls.map(|urls| ("SAMOVAR_REDIS_URLS", urls)).into_iter().collect();
        let settings =
            Settings::read(&format!("[redis]\n{text}\n{REST}"), "/srv".as_ref(), &environment)?;
        Ok(settings.redis.expect("there is a table"))
    }

    #[test]
    fn how_long_it_is_waited_for_can_be_said() {
        let text = "urls = 'redis://a'\nconnect_timeout = '3s'\nresponse_timeout = '200ms'\nfailures_max = 3\n\
                    slow = '50ms'\nretry_min = '1s'\nretry_max = '1m'\nqueue_bytes = '8 MB'";
        let expected = RedisSettings {
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_millis(200),
            failures_max: 3,
            slow: Duration::from_millis(50),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            queue_bytes: 8 << 20,
            ..RedisSettings::standalone(["redis://a"]).unwrap()
        };
        assert_eq!(redis(text, None).unwrap(), expected);
        let wrong = "urls = 'redis://a'\nretry_min = '1m'\nretry_max = '1s'\nfailures_max = 0";
        let problems = redis(wrong, None).unwrap_err();
        let told: Vec<_> = problems.iter().map(|problem| &*problem.field).collect();
        assert_eq!(told, ["redis", "redis.failures_max"], "{problems:?}");
    }

    #[test]
    fn servers_are_a_list_or_a_text_with_commas() {
        let cluster = "kind = 'cluster'\nurls =";
        let list = servers(&format!("{cluster} ['redis://a:1', 'redis://b:2']"), None).unwrap();
        let text = servers(&format!("{cluster} 'redis://a:1, redis://b:2'"), None).unwrap();
        let said = servers("kind = 'cluster'", Some("redis://a:1,redis://b:2")).unwrap();
        assert!(matches!(&list, RedisServers::Cluster(nodes) if nodes.len() == 2), "{list:?}");
        assert_eq!((&text, &said), (&list, &list));
        let over = servers(&format!("{cluster} ['redis://c:3']"), Some("redis://a:1,redis://b:2"));
        assert_eq!(over.unwrap(), list, "the environment wins");
    }

    #[test]
    fn servers_must_be_there() {
        for wrong in
            ["", "urls = []", "urls = ''", "urls = ' ,'", "urls = 7", "urls = ['redis://a', 7]"]
        {
            let problems = servers(wrong, None).unwrap_err();
            let told: Vec<_> = problems.iter().map(|problem| &*problem.field).collect();
            assert_eq!(told, ["redis.urls"], "{wrong}");
        }
    }
}
