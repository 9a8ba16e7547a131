//! The registry of entry kinds: who may append one, how visible its body is, and what it must look like.
//! One table; adding a kind is adding a row.

use super::draft::Visibility;

/// Longest kind name in bytes.
pub const MAX_KIND_LEN: usize = 64;

/// One kind of entry.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Namespaced name, e.g. `audit.event`.
    pub name: &'static str,
    /// Visibility of the body when the caller does not choose.
    pub visibility: Visibility,
    /// Whether only the node itself appends it.
    pub reserved: bool,
    /// JSON Schema (2020-12) of the body.
    pub schema: &'static str,
}

const ANY: &str = r#"{}"#;

/// All registered kinds. Names outside this table are allowed to callers and private by default (R10).
pub const KINDS: &[Kind] = &[
    Kind {
        name: "audit.event",
        visibility: Visibility::Private,
        reserved: false,
        schema: ANY,
    },
    Kind {
        name: "day.digest",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["day","end","root","start"],"additionalProperties":false,"properties":{"day":{"type":"string","pattern":"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},"start":{"type":"integer","minimum":0},"end":{"type":"integer","minimum":0},"root":{"type":"string","pattern":"^[0-9a-f]{64}$"}}}"#,
    },
    Kind {
        name: "erase",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["backup_until","hmac","index"],"additionalProperties":false,"properties":{"backup_until":{"type":"string"},"hmac":{"type":"string","pattern":"^[0-9a-f]{64}$"},"index":{"type":"integer","minimum":0}}}"#,
    },
    Kind {
        name: "file.observed",
        visibility: Visibility::Public,
        reserved: false,
        schema: r#"{"type":"object","required":["path","sha256","size"],"properties":{"path":{"type":"string"},"size":{"type":"integer","minimum":0},"sha256":{"type":"string","pattern":"^[0-9a-f]{64}$"},"mtime":{"type":"string"},"media_type":{"type":"string"},"text":{"type":"string"}}}"#,
    },
    Kind {
        name: "key.cert",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["note"],"properties":{"note":{"type":"string"}}}"#,
    },
    Kind {
        name: "key.revocation",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["note"],"properties":{"note":{"type":"string"}}}"#,
    },
    Kind {
        name: "fork.seen",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["accused","digest","larger","origin","smaller","type"],"additionalProperties":false,"properties":{"accused":{"type":"string"},"digest":{"type":"string","pattern":"^[0-9a-f]{64}$"},"file":{"type":"string"},"larger":{"type":"integer","minimum":0},"origin":{"type":"string"},"smaller":{"type":"integer","minimum":0},"type":{"enum":["origin","tower"]}}}"#,
    },
    Kind {
        name: "genesis.vote",
        visibility: Visibility::Public,
        reserved: true,
        schema: ANY,
    },
    Kind {
        name: "genesis.active",
        visibility: Visibility::Public,
        reserved: true,
        schema: ANY,
    },
    Kind {
        name: "genesis.evidence",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["certificates","first","format","second"],"additionalProperties":false,"properties":{"certificates":{"type":"array","items":{"type":"string"}},"first":{"type":"string"},"format":{"type":"string"},"second":{"type":"string"}}}"#,
    },
    Kind {
        name: "genesis.proposed",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["note"],"additionalProperties":false,"properties":{"note":{"type":"string"}}}"#,
    },
    Kind {
        name: "genesis.refused",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["note"],"additionalProperties":false,"properties":{"note":{"type":"string"}}}"#,
    },
    Kind {
        name: "genesis.withdrawn",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["note"],"additionalProperties":false,"properties":{"note":{"type":"string"}}}"#,
    },
    Kind {
        name: "log.line",
        visibility: Visibility::Public,
        reserved: false,
        schema: ANY,
    },
    Kind {
        name: "restore",
        visibility: Visibility::Public,
        reserved: true,
        schema: ANY,
    },
    Kind {
        name: "retire",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["successor"],"additionalProperties":false,"properties":{"successor":{"type":"string"}}}"#,
    },
    Kind {
        name: "scrub.rules",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["kinds","rules"],"additionalProperties":false,"properties":{"kinds":{"type":"object","additionalProperties":{"type":"string","pattern":"^[0-9a-f]{64}$"}},"rules":{"type":"string","pattern":"^[0-9a-f]{64}$"}}}"#,
    },
    Kind {
        name: "solo",
        visibility: Visibility::Public,
        reserved: true,
        schema: r#"{"type":"object","required":["incarnation","size"],"additionalProperties":false,"properties":{"incarnation":{"type":"integer","minimum":1},"size":{"type":"integer","minimum":0}}}"#,
    },
    Kind {
        name: "window",
        visibility: Visibility::Public,
        reserved: true,
        schema: r##"{"type":"object","required":["acks_given","acks_received","began","clock","counted_since","ended","errors","incarnation","observed_by","replays"],"additionalProperties":false,"$defs":{"acks":{"type":"object","required":["count","left_out","root"],"additionalProperties":false,"properties":{"count":{"type":"integer","minimum":0},"left_out":{"type":"integer","minimum":0},"root":{"type":"string","pattern":"^[0-9a-f]{64}$"}}},"counts":{"type":"object","additionalProperties":{"type":"integer","minimum":1}},"verdict":{"enum":["ok","undetermined","violated"]}},"properties":{"acks_given":{"$ref":"#/$defs/acks"},"acks_received":{"$ref":"#/$defs/acks"},"attachment":{"type":"string","pattern":"^[0-9a-f]{64}$"},"began":{"type":"string"},"clock":{"type":"object","required":["bound_us","peers","verdict","wall_steps"],"additionalProperties":false,"properties":{"bound_us":{"type":"integer","minimum":1},"hi_us":{"type":"integer"},"lo_us":{"type":"integer"},"peers":{"type":"array","items":{"type":"object","required":["n","name","steps","verdict"],"additionalProperties":false,"properties":{"hi_us":{"type":"integer"},"lo_us":{"type":"integer"},"min_rtt_us":{"type":"integer","minimum":0},"n":{"type":"integer","minimum":0},"name":{"type":"string"},"steps":{"type":"integer","minimum":0},"verdict":{"$ref":"#/$defs/verdict"}}}},"verdict":{"$ref":"#/$defs/verdict"},"wall_steps":{"type":"integer","minimum":0}}},"counted_since":{"type":"string"},"ended":{"type":"string"},"errors":{"$ref":"#/$defs/counts"},"incarnation":{"type":"integer","minimum":1},"observed_by":{"type":"string"},"replays":{"$ref":"#/$defs/counts"}}}"##,
    },
];

/// Namespaces in which only the node itself appends.
const RESERVED_NAMESPACES: &[&str] = &[
    "day", "erase", "fork", "genesis", "key", "restore", "retire", "scrub", "solo", "window",
];

/// The registered kind of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// Whether only the node itself may append entries of this kind.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let namespace = name.split('.').next().unwrap_or(name);
    find(name).map_or_else(
        || RESERVED_NAMESPACES.contains(&namespace),
        |kind| kind.reserved,
    )
}

/// Whether `name` can be a kind: lower-case ASCII letters, digits, `.`, `-` and `_`, beginning with a letter.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    name.len() <= MAX_KIND_LEN
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

/// Visibility of a kind when the caller does not choose: private unless the registry says otherwise.
#[must_use]
pub fn default_visibility(name: &str) -> Visibility {
    find(name).map_or(Visibility::Private, |kind| kind.visibility)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for kind in KINDS {
            assert!(is_valid(kind.name), "{}", kind.name);
            assert!(
                crate::entry::json::Json::parse(kind.schema.as_bytes()).is_ok(),
                "{}",
                kind.name
            );
            assert_eq!(is_reserved(kind.name), kind.reserved);
        }
        assert!(
            is_reserved("genesis.other")
                && !is_reserved("my.kind")
                && !is_reserved("windows.event")
        );
        assert_eq!(default_visibility("my.kind"), Visibility::Private);
        assert!(!is_valid("Upper") && !is_valid("") && !is_valid("1x") && !is_valid("a b"));
    }
}
