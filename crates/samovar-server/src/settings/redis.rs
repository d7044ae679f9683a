//! The table `[redis]`: where several servers share what they have read, and what they were told.

use std::path::Path;

use samovar::redis::{RedisSettings, RedisTls, Secret};

use super::raw::{Reader, Table};

const FORM: &str =
    "redis://user:password@host:port, or rediss:// for TLS; several with commas between them";

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
    let urls = table.needed(reader, "urls", FORM);
    let urls: Vec<&str> = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
    let master = match &*kind {
        "sentinel" => table.needed(reader, "master", "what the sentinels call the primary"),
        _ => String::new(),
    };
    let settings = match &*kind {
        "sentinel" => RedisSettings::sentinel(&master, &urls),
        "cluster" => RedisSettings::cluster(&urls),
        _ => RedisSettings::standalone(&urls),
    };
    let (username, password) = (table.text(reader, "username"), table.text(reader, "password"));
    let ca_file = table.text(reader, "ca_file").map(|path| directory.join(path));
    let namespace = table.text(reader, "namespace");
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
    if let Err(wrong) = settings.check() {
        reader.problem("redis", &wrong.to_string(), "settings that go together");
    }
    Some(settings)
}
