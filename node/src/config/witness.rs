//! `[witness]`: logs that a tower cosigns besides its federation's ledgers, by key or from a list of the witness network.
//! May not decide which of two keys is right: what is configured here stands, and a list only adds to it.

use crate::exit::{Code, Failure};
use belfry_protocol::engine::federation::witness::Logs;
use belfry_protocol::log_list::{self, MAX_LIST_BYTES};
use belfry_protocol::note::VerifierKey;
use std::io::Read;
use std::path::Path;

/// Reads `witness.logs`: a TOML list of vkeys, or of tables with `vkey` and perhaps `origin` and `mirror`; from a variable also vkeys
/// with commas between them.
pub(super) fn logs(text: &str) -> Result<Logs, String> {
    let mut logs = Logs::default();
    if !text.trim_start().starts_with('[') {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        for key in keys {
            add(&mut logs, key, None)?;
        }
        return Ok(logs);
    }
    let shape = || {
        "not a list of vkeys, or of tables like { vkey = \"…\", origin = \"…\", mirror = true }"
            .to_owned()
    };
    let table: toml::Table = format!("list = {text}").parse().map_err(|_| shape())?;
    let list = table
        .get("list")
        .and_then(toml::Value::as_array)
        .ok_or_else(shape)?;
    for one in list {
        match one {
            toml::Value::String(key) => {
                add(&mut logs, key, None)?;
            }
            toml::Value::Table(one) => {
                let text = |name: &str| one.get(name).and_then(toml::Value::as_str);
                let key = text("vkey").ok_or_else(shape)?;
                if let Some(other) = one
                    .keys()
                    .find(|name| !matches!(name.as_str(), "vkey" | "origin" | "mirror"))
                {
                    return Err(format!(
                        "{key:?}: unknown key {other:?}; there are vkey, origin and mirror"
                    ));
                }
                if one.contains_key("origin") && text("origin").is_none() {
                    return Err(format!("{key:?}: origin is not a text"));
                }
                let mirror = match one.get("mirror") {
                    None => false,
                    Some(toml::Value::Boolean(mirror)) => *mirror,
                    Some(_) => return Err(format!("{key:?}: mirror is neither true nor false")),
                };
                let origin = add(&mut logs, key, text("origin"))?;
                if mirror {
                    logs.mirror(&origin);
                }
            }
            _ => return Err(shape()),
        }
    }
    Ok(logs)
}

fn add(logs: &mut Logs, vkey: &str, origin: Option<&str>) -> Result<String, String> {
    let key = VerifierKey::parse(vkey).map_err(|error| format!("{vkey:?}: {error}"))?;
    let origin = origin.unwrap_or_else(|| key.name()).to_owned();
    logs.add(&origin, key)
        .map_err(|error| format!("{vkey:?}: {error}"))?;
    Ok(origin)
}

/// Line (from 1) of the entry that a problem with `witness.logs` quotes first; 0 if it cannot be told.
pub(super) fn line_of(text: &str, problem: &str) -> usize {
    let Some(quoted) = problem.split('"').nth(1).filter(|one| !one.is_empty()) else {
        return 0;
    };
    let found = text.lines().position(|line| line.contains(quoted));
    found.map_or(0, |line| line + 1)
}

/// Adds the logs of a list to what is configured. A relative path is beside `config.toml`.
pub(super) fn add_list(logs: &mut Logs, config: &Path, list: &str) -> Result<(), Failure> {
    let path = config.parent().unwrap_or(Path::new(".")).join(list);
    let invalid = |problem: String| {
        Failure::new(
            Code::ConfigInvalid,
            format!("witness.log_list: {} {problem}", path.display()),
        )
    };
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(MAX_LIST_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| invalid(format!("cannot be read: {error}")))?;
    let listed = log_list::parse(&bytes).map_err(|error| invalid(error.to_string()))?;
    match logs.add_list(listed) {
        0 => Ok(()),
        left_out => Err(invalid(format!(
            "has {left_out} logs more than a tower can hold"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{load, parse};
    use std::collections::BTreeMap;

    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    fn failure(text: &str) -> String {
        let none = BTreeMap::new();
        parse("config.toml", text, &none, &BTreeMap::new())
            .unwrap_err()
            .message
    }

    #[test]
    fn logs_are_keys_or_tables_and_an_error_names_the_line() {
        let (none, flags) = (BTreeMap::new(), BTreeMap::new());
        let text = format!(
            "name = \"a\"\n[witness]\nlogs = [\n  \"{KEY}\",\n  {{ vkey = \"{KEY}\", origin = \"other log\" }},\n]\n"
        );
        let (config, shown) = parse("config.toml", &text, &none, &flags).unwrap();
        let origins: Vec<&str> = config
            .witness_logs
            .iter()
            .map(|(origin, _)| origin)
            .collect();
        assert_eq!(origins, ["example.com/foo", "other log"]);
        assert!(shown["witness.logs"].0.contains(KEY), "{shown:?}");
        assert_eq!(shown["witness.logs"].1.to_string(), "config.toml line 3");
        let tables = format!("name = \"a\"\n[[witness.logs]]\nvkey = \"{KEY}\"\n");
        let (config, _) = parse("config.toml", &tables, &none, &flags).unwrap();
        assert_eq!(config.witness_logs.len(), 1);
        let bad = text.replacen("+530d903a", "+530d903b", 1);
        assert!(
            failure(&bad).contains("line 4: witness.logs"),
            "{}",
            failure(&bad)
        );
        let bad = text.replace("origin =", "origins =");
        assert!(failure(&bad).contains("\"origins\""), "{}", failure(&bad));
        let bad = "name = \"a\"\n[witness]\nlogs = 3\n";
        assert!(
            failure(bad).contains("line 3: witness.logs"),
            "{}",
            failure(bad)
        );
        let variables = BTreeMap::from([("BELFRY_WITNESS_LOGS".to_owned(), KEY.to_owned())]);
        let (config, _) = parse("config.toml", "name = \"a\"\n", &variables, &flags).unwrap();
        assert_eq!(config.witness_logs.len(), 1);
    }

    #[test]
    fn a_list_is_a_file_beside_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let (none, flags) = (BTreeMap::new(), BTreeMap::new());
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "name = \"a\"\n[witness]\nlog_list = \"logs.txt\"\n").unwrap();
        let missing = load(&file, &none, &flags).unwrap_err();
        assert!(missing.message.contains("logs.txt"), "{missing}");
        let list = dir.path().join("logs.txt");
        std::fs::write(&list, format!("logs/v0\nvkey {KEY}\nqpd 1\ncontact x\n")).unwrap();
        let (config, _) = load(&file, &none, &flags).unwrap();
        assert_eq!(config.witness_logs.len(), 1);
        std::fs::write(&list, format!("logs/v0\nvkey {KEY}\nqpd 0\ncontact x\n")).unwrap();
        let bad = load(&file, &none, &flags).unwrap_err();
        assert!(bad.message.contains("logs.txt line 3"), "{bad}");
    }
}
