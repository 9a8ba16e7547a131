//! A scenario: what an operator writes to ask "what if tower-oslo dies on Monday". Names, regions, times with units; becomes a
//! [`Plan`]. May not know what a fault does: whatever a plan can say, a scenario can.

use crate::plan::{
    Fault, Pace, Plan, Seat, Store, Timed, Topology, VERSION, Workload, safe_quorum,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Why a scenario is none.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read.
    #[error("the scenario cannot be read: {0}")]
    Read(#[from] toml::de::Error),
    /// Something in it leads nowhere.
    #[error("{0}")]
    Wrong(String),
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "one")]
    seed: u64,
    #[serde(default)]
    store: Store,
    /// How long faults may happen.
    lasts: String,
    /// How long after that everything must be well again.
    #[serde(default)]
    converge: Option<String>,
    #[serde(default)]
    quorum: Option<u32>,
    node: Vec<Node>,
    #[serde(default)]
    latency: Vec<Latency>,
    #[serde(default)]
    workload: Work,
    #[serde(default)]
    pace: Pace,
    #[serde(default)]
    fault: Vec<toml::Table>,
}

fn one() -> u64 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    roles: Vec<Role>,
    #[serde(default)]
    region: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Factory,
    Tower,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    between: [String; 2],
    one_way: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Work {
    entries_per_hour: u64,
    entry_bytes: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            entries_per_hour: 600,
            entry_bytes: 300,
        }
    }
}

/// Latency between two regions of which nothing is said, in microseconds.
const ELSEWHERE_US: u64 = 20_000;
/// Latency within a region, in microseconds.
const WITHIN_US: u64 = 300;
/// Simulated seconds in which everything must be well again, if the file does not say.
const CONVERGE_SECONDS: u64 = 240;

fn wrong<T>(what: String) -> Result<T, ScenarioError> {
    Err(ScenarioError::Wrong(what))
}

/// A time with a unit, in microseconds: `90s`, `1h30m`, `250ms`.
fn microseconds(text: &str) -> Result<i64, ScenarioError> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let bad = || {
        ScenarioError::Wrong(format!(
            "{text:?} is no time; write numbers with units, e.g. 250ms, 90s, 1h30m, 2d"
        ))
    };
    let mut us: i64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit());
        let (number, after) = rest.split_at(digits.ok_or_else(bad)?);
        let letters = after.find(|letter: char| letter.is_ascii_digit());
        let (unit, next) = after.split_at(letters.unwrap_or(after.len()));
        let unit_us: i64 = match unit {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(bad()),
        };
        let number: i64 = number.parse().map_err(|_| bad())?;
        let part = number.checked_mul(unit_us).ok_or_else(bad)?;
        us = us.checked_add(part).ok_or_else(bad)?;
        rest = next;
    }
    Ok(sign * us)
}

fn milliseconds(text: &str) -> Result<u64, ScenarioError> {
    let us = microseconds(text)?;
    u64::try_from(us / 1_000).or_else(|_| wrong(format!("{text:?} lies in the past")))
}

/// Reads a scenario.
///
/// # Errors
/// [`ScenarioError`], with what is wrong and what would do.
pub fn parse(text: &str) -> Result<Plan, ScenarioError> {
    let mut file: File = toml::from_str(text)?;
    file.node.sort_by(|a, b| a.name.cmp(&b.name));
    let names: BTreeMap<String, usize> = (0..)
        .zip(&file.node)
        .map(|(at, node)| (node.name.clone(), at))
        .collect();
    if names.len() < file.node.len() {
        return wrong("two nodes have one name".to_owned());
    }
    let topology = topology(&file)?;
    let mut faults = Vec::new();
    for table in &file.fault {
        faults.push(fault(table, &names)?);
    }
    faults.sort_by_key(|timed: &Timed| timed.at_ms);
    let converge = file.converge.as_deref().map(milliseconds).transpose()?;
    let plan = Plan {
        version: VERSION,
        seed: file.seed,
        topology,
        store: file.store,
        workload: Workload {
            entries_per_1000_seconds: file.workload.entries_per_hour * 10 / 36,
            entry_bytes: file.workload.entry_bytes,
            singles_per_1000_seconds: 0,
        },
        pace: file.pace,
        seconds: milliseconds(&file.lasts)? / 1_000,
        converge_seconds: converge.map_or(CONVERGE_SECONDS, |ms| ms / 1_000),
        faults,
        #[cfg(feature = "sabotage")]
        sabotage: None,
    };
    plan.check()
        .map_err(|error| ScenarioError::Wrong(error.to_string()))?;
    Ok(plan)
}

fn topology(file: &File) -> Result<Topology, ScenarioError> {
    let has = |node: &Node, role| node.roles.contains(&role);
    let named: Vec<Seat> = file
        .node
        .iter()
        .map(|node| Seat {
            name: node.name.clone(),
            factory: has(node, Role::Factory),
            tower: has(node, Role::Tower),
        })
        .collect();
    let count = |is: fn(&Seat) -> bool| named.iter().filter(|seat| is(seat)).count();
    let factories = count(|seat| seat.factory);
    let both = count(|seat| seat.factory && seat.tower);
    let towers = count(|seat| seat.tower && !seat.factory);
    // A factory that is a tower too is not watched by itself.
    let watching = towers + both - usize::from(both > 0);
    let mut regions: Vec<&str> = file.node.iter().map(|node| node.region.as_str()).collect();
    regions.sort_unstable();
    regions.dedup();
    let place = |name: &str| {
        regions.binary_search(&name).or_else(|_| {
            wrong(format!(
                "no node is in region {name:?}; there are {regions:?}"
            ))
        })
    };
    let size = regions.len();
    let mut latency_us = vec![vec![ELSEWHERE_US; size]; size];
    for (at, row) in latency_us.iter_mut().enumerate() {
        row[at] = WITHIN_US;
    }
    for latency in &file.latency {
        let (a, b) = (place(&latency.between[0])?, place(&latency.between[1])?);
        let us = u64::try_from(microseconds(&latency.one_way)?)
            .or_else(|_| wrong(format!("{:?} is no latency", latency.one_way)))?;
        latency_us[a][b] = us;
        latency_us[b][a] = us;
    }
    let at = file.node.iter().map(|node| place(&node.region));
    Ok(Topology {
        factories,
        both,
        towers,
        quorum: file.quorum.unwrap_or_else(|| safe_quorum(watching)),
        regions: at.collect::<Result<_, _>>()?,
        latency_us,
        named,
    })
}

/// A fault as the file has it: nodes by name, times with units. `for = "5m"` is the plan's `for_ms`.
fn fault(table: &toml::Table, names: &BTreeMap<String, usize>) -> Result<Timed, ScenarioError> {
    let node = |name: &str| {
        names.get(name).copied().ok_or_else(|| {
            let known: Vec<&String> = names.keys().collect();
            ScenarioError::Wrong(format!("there is no node {name:?}; there are {known:?}"))
        })
    };
    let sort = table.get("kind").and_then(toml::Value::as_str);
    let mut fields = serde_json::Map::new();
    let mut at_ms = None;
    for (key, value) in table {
        let is_node = matches!(key.as_str(), "node" | "from" | "to" | "a" | "b")
            || (key == "by" && sort == Some("eclipse"));
        match (key.as_str(), value) {
            ("at", toml::Value::String(text)) => at_ms = Some(milliseconds(text)?),
            ("kind" | "part", toml::Value::String(text)) => {
                fields.insert(key.clone(), text.as_str().into());
            }
            ("nodes", toml::Value::Array(list)) => {
                let nodes = list
                    .iter()
                    .filter_map(toml::Value::as_str)
                    .map(node)
                    .collect::<Result<Vec<usize>, _>>()?;
                fields.insert(key.clone(), nodes.into());
            }
            (_, toml::Value::String(name)) if is_node => {
                fields.insert(key.clone(), node(name)?.into());
            }
            (_, toml::Value::String(text)) => {
                fields.insert(format!("{key}_ms"), (microseconds(text)? / 1_000).into());
            }
            (_, toml::Value::Integer(number)) => {
                fields.insert(key.clone(), (*number).into());
            }
            _ => return wrong(format!("a fault's {key} cannot be read")),
        }
    }
    let Some(at_ms) = at_ms else {
        return wrong("a fault says when it begins, e.g. at = \"1h30m\"".to_owned());
    };
    let fault: Fault = serde_json::from_value(fields.into())
        .map_err(|error| ScenarioError::Wrong(format!("the fault at {at_ms} ms: {error}")))?;
    Ok(Timed { at_ms, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OSLO: &str = include_str!("../scenarios/tower-dies.toml");

    #[test]
    fn the_example_says_what_it_means() {
        let plan = parse(OSLO).unwrap();
        let seats = plan.topology.seats();
        let oslo = seats
            .iter()
            .position(|seat| seat.name == "tower-oslo.example");
        assert_eq!((plan.topology.factories, plan.topology.towers), (1, 4));
        assert_eq!(plan.topology.quorum, 3);
        let crash = plan.faults.iter().find(|one| one.fault.name() == "crash");
        assert_eq!(
            crash.map(|one| one.fault.nodes()),
            Some(vec![oslo.unwrap()])
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_do() {
        let refused =
            |from: &str, to: &str| parse(&OSLO.replace(from, to)).unwrap_err().to_string();
        let unknown = refused(
            "node = \"tower-oslo.example\"",
            "node = \"tower-rome.example\"",
        );
        assert!(
            unknown.contains("tower-rome") && unknown.contains("tower-oslo"),
            "{unknown}"
        );
        assert!(refused("10m", "10 minutes").contains("1h30m"));
        assert!(refused("kind = \"crash\"", "kind = \"crashh\"").contains("crashh"));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(microseconds("1h30m").unwrap(), 5_400_000_000);
        assert_eq!(microseconds("-250ms").unwrap(), -250_000);
        for bad in ["", "5", "m", "1x", "99999999999999d", "1h-"] {
            assert!(microseconds(bad).is_err(), "{bad}");
        }
    }
}
