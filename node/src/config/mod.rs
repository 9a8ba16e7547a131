//! Configuration: flags beat `BELFRY_*` variables beat `config.toml` beat defaults, and every value knows where it came
//! from. Unknown keys are an error that names the line and the nearest known key.

mod schema;
mod spans;
mod witness;

pub use schema::{Config, EXAMPLE, KEYS, Key};

use crate::exit::{Code, Failure};
use belfry_protocol::entry::Rulebook;
use belfry_protocol::scrub::RulesetConfig;
use std::collections::BTreeMap;
use std::path::Path;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// `config.toml`, with its line.
    File(usize),
    /// An environment variable.
    Environment(String),
    /// A flag of this command.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "config.toml line {line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// All values as text, with their origins: what `config show` prints.
pub type Shown = BTreeMap<&'static str, (String, Origin)>;

/// Reads the file (which may be missing), the variables and the flags.
///
/// # Errors
/// An unknown key or a value that does not parse, with file and line.
pub fn load(
    file: &Path,
    variables: &BTreeMap<String, String>,
    flags: &BTreeMap<&'static str, String>,
) -> Result<(Config, Shown), Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Failure::new(
                Code::ConfigInvalid,
                format!("cannot read {}: {error}", file.display()),
            ));
        }
    };
    let (mut config, shown) = parse(&file.display().to_string(), &text, variables, flags)?;
    if let Some((list, _)) = shown
        .get("witness.log_list")
        .filter(|(list, _)| !list.is_empty())
    {
        witness::add_list(&mut config.witness_logs, file, list)?;
    }
    Ok((config, shown))
}

/// As [`load`], from text, without what is in other files.
///
/// # Errors
/// As [`load`].
pub fn parse(
    name: &str,
    text: &str,
    variables: &BTreeMap<String, String>,
    flags: &BTreeMap<&'static str, String>,
) -> Result<(Config, Shown), Failure> {
    let invalid = |message: String| Failure::new(Code::ConfigInvalid, message);
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(0, |span| spans::line_at(text, span.start));
        invalid(format!("{name} line {line}: {}", error.message()))
    })?;
    let mut shown: Shown = KEYS
        .iter()
        .map(|key| (key.name, (key.default.to_owned(), Origin::Default)))
        .collect();
    let mut scrub = toml::Table::new();
    let mut kinds: BTreeMap<String, toml::Table> = BTreeMap::new();
    for (path, value) in spans::flatten(&table) {
        let line = spans::line_of(text, &path);
        if let Some(class) = path.strip_prefix("scrub.rules.") {
            scrub.insert(class.to_owned(), value);
            continue;
        }
        if let Some((kind, class)) = path
            .strip_prefix("scrub.kinds.")
            .and_then(|rest| rest.rsplit_once('.'))
        {
            kinds
                .entry(kind.to_owned())
                .or_default()
                .insert(class.to_owned(), value);
            continue;
        }
        let Some(key) = KEYS.iter().find(|key| key.name == path) else {
            let near = spans::nearest(&path, KEYS.iter().map(|key| key.name));
            return Err(
                invalid(format!("{name} line {line}: unknown key {path:?}")).hint(format!(
                    "did you mean {near:?}? `belfry config show` lists all keys"
                )),
            );
        };
        let text = match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        shown.insert(key.name, (text, Origin::File(line)));
    }
    for key in KEYS {
        let variable = key.variable();
        if let Some(value) = variables.get(&variable) {
            shown.insert(key.name, (value.clone(), Origin::Environment(variable)));
        }
        if let Some(value) = flags.get(key.name) {
            shown.insert(key.name, (value.clone(), Origin::Flag));
        }
    }
    let in_rules = |problem: String| invalid(format!("{name}, [scrub]: {problem}"));
    let rules = |table: toml::Table| -> Result<RulesetConfig, Failure> {
        let actions = toml::Table::from_iter([("actions".to_owned(), toml::Value::Table(table))]);
        toml::Value::Table(actions)
            .try_into()
            .map_err(|error: toml::de::Error| in_rules(error.message().to_owned()))
    };
    let default = rules(scrub)?;
    let kinds: BTreeMap<String, RulesetConfig> = kinds
        .into_iter()
        .map(|(kind, table)| Ok((kind, rules(table)?)))
        .collect::<Result<_, Failure>>()?;
    Rulebook::from_config(&default, &kinds).map_err(|error| in_rules(error.to_string()))?;
    let rules = (default, kinds);
    let config = Config::from_shown(&shown, rules).map_err(|(key, problem)| {
        let origin = shown
            .get(key)
            .map_or(Origin::Default, |(_, origin)| origin.clone());
        let place = match origin {
            Origin::File(line) if key == "witness.logs" => {
                // A list may have hundreds of lines.
                let line = line.max(witness::line_of(text, &problem));
                format!("{name} line {line}")
            }
            Origin::File(line) => format!("{name} line {line}"),
            other => other.to_string(),
        };
        invalid(format!("{place}: {key}: {problem}"))
    })?;
    Ok((config, shown))
}

/// The `BELFRY_*` variables of this process.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with("BELFRY_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<(Config, Shown), Failure> {
        parse("config.toml", text, &BTreeMap::new(), &BTreeMap::new())
    }

    #[test]
    fn the_example_is_valid_and_has_the_defaults() {
        let (config, _) = load_text(&EXAMPLE.replace("{name}", "acme.example/line-4")).unwrap();
        assert_eq!(config.name, "acme.example/line-4");
        assert_eq!(config.http_listen.port(), 9470);
    }

    #[test]
    fn flags_beat_variables_beat_the_file() {
        let text = "name = \"a\"\n[http]\nlisten = \"127.0.0.1:1\"\n";
        let mut variables = BTreeMap::new();
        let mut flags = BTreeMap::new();
        let port = |v: &_, f: &_| {
            let (config, shown) = parse("config.toml", text, v, f).unwrap();
            (
                config.http_listen.port(),
                shown["http.listen"].1.to_string(),
            )
        };
        assert_eq!(
            port(&variables, &flags),
            (1, "config.toml line 3".to_owned())
        );
        variables.insert("BELFRY_HTTP_LISTEN".to_owned(), "127.0.0.1:2".to_owned());
        assert_eq!(
            port(&variables, &flags),
            (2, "BELFRY_HTTP_LISTEN".to_owned())
        );
        flags.insert("http.listen", "127.0.0.1:3".to_owned());
        assert_eq!(port(&variables, &flags), (3, "flag".to_owned()));
    }

    #[test]
    fn mistakes_name_line_and_remedy() {
        let unknown = load_text("name = \"a\"\n\n[http]\nlisten_address = \"x\"\n").unwrap_err();
        assert!(
            unknown.message.contains("line 4") && unknown.message.contains("http.listen_address"),
            "{unknown}"
        );
        assert!(unknown.hint.unwrap().contains("http.listen"));
        let bad = load_text("name = \"a\"\n[http]\nlisten = \"nowhere\"\n").unwrap_err();
        assert!(bad.message.contains("line 3: http.listen"), "{bad}");
        let syntax = load_text("name = \"a\n").unwrap_err();
        assert!(syntax.message.contains("line 1"), "{syntax}");
        let class = load_text("[scrub.rules]\nno_such_class = \"drop\"\n").unwrap_err();
        assert!(
            class.message.contains("no_such_class") && class.message.contains("email"),
            "{class}"
        );
    }

    #[test]
    fn relays_are_a_list_and_mdns_is_off() {
        let id = "12D3KooWLPPHzdKtcYNFkx4R9iEWmFPFLFVnFfMq3jr7PgVnE1fB";
        let relay = format!("/ip4/192.0.2.7/tcp/9471/p2p/{id}");
        let (config, _) = load_text("name = \"a\"\n").unwrap();
        assert!(config.net_relay.is_empty() && !config.net_mdns && config.net_verifiers.is_none());
        let text =
            format!("name = \"a\"\n[net]\nrelay = [\"{relay}\"]\nmdns = true\nverifiers = 3\n");
        let (config, shown) = load_text(&text).unwrap();
        assert_eq!(config.net_relay.len(), 1, "{shown:?}");
        assert!(config.net_mdns && config.net_verifiers == Some(3));
        let variables =
            BTreeMap::from([("BELFRY_NET_RELAY".to_owned(), format!("{relay}, {relay}"))]);
        let (config, _) = parse(
            "config.toml",
            "name = \"a\"\n",
            &variables,
            &BTreeMap::new(),
        )
        .unwrap();
        assert_eq!(config.net_relay.len(), 2);
        for bad in [
            "relay = [1]",
            "relay = [\"/ip4/192.0.2.7/tcp/1\"]",
            "mdns = 1",
            "verifiers = 0",
        ] {
            let failure = load_text(&format!("name = \"a\"\n[net]\n{bad}\n")).unwrap_err();
            assert!(failure.message.contains("line 3: net."), "{failure}");
        }
    }

    #[test]
    fn scrubbing_rules_take_words_and_masks() {
        let text = "name = \"a\"\n[scrub.rules]\nuuid = \"keep\"\nphone = { mask = 4 }\n\
                    [scrub.kinds.\"audit.event\"]\nemail = \"drop\"\n";
        let (config, _) = load_text(text).unwrap();
        assert_eq!(
            (
                config.scrub.actions.len(),
                config.scrub_kinds["audit.event"].actions.len()
            ),
            (2, 1)
        );
    }
}
