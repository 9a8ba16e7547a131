//! Strict JSON in, canonical JSON (RFC 8785) out. Strict means: UTF-8, no duplicate keys, bounded depth, and no
//! number that a double cannot hold exactly. May not know what an entry is.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use std::fmt;

/// Deepest nesting of arrays and objects: far above what records need, far below what a stack holds.
pub const MAX_DEPTH: usize = 64;

/// Largest magnitude of an integer that every reader of JSON holds exactly (2^53 - 1).
pub const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// A JSON value whose canonical form is fixed: objects are sorted and have no duplicate keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A finite number of magnitude at most 2^53 - 1.
    Number(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, sorted by UTF-16 code units as RFC 8785 §3.2.3 wants it.
    Object(Vec<(String, Json)>),
}

/// Why text was refused; the message names the column, and the line if there are several.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

impl JsonError {
    /// The library's message; of a text of one line, which others number themselves, only the column.
    fn from_reader(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let place = format!(" at line 1 column {}", error.column());
        Self(text.strip_suffix(&place).map_or(text.clone(), |what| {
            format!("{what} at column {}", error.column())
        }))
    }
}

impl Json {
    /// Parses one JSON value.
    ///
    /// # Errors
    /// Syntax, invalid UTF-8, duplicate keys, nesting over [`MAX_DEPTH`], numbers that are not exact.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::parse_below(bytes, 0)
    }

    /// Parses a value that will stand `depth` levels deep in another one.
    ///
    /// # Errors
    /// As [`Json::parse`].
    pub fn parse_below(bytes: &[u8], depth: usize) -> Result<Self, JsonError> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = Seed { depth }
            .deserialize(&mut reader)
            .map_err(|error| JsonError::from_reader(&error))?;
        reader
            .end()
            .map_err(|error| JsonError::from_reader(&error))?;
        Ok(value)
    }

    /// An object from pairs in any order; of equal keys the last wins.
    #[must_use]
    pub fn object(pairs: impl IntoIterator<Item = (&'static str, Json)>) -> Self {
        let mut list: Vec<(String, Json)> = Vec::new();
        for (key, value) in pairs {
            match list.binary_search_by(|(other, _)| utf16_order(other, key)) {
                Ok(at) => list[at].1 = value,
                Err(at) => list.insert(at, (key.to_owned(), value)),
            }
        }
        Self::Object(list)
    }

    /// A string value.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A whole number; above 2^53 - 1 it becomes a decimal string, so that nothing is lost.
    #[must_use]
    pub fn whole(number: u64) -> Self {
        u32::try_from(number).map_or_else(
            |_| {
                let digits = number.to_string();
                match digits.parse::<f64>() {
                    Ok(exact) if exact <= MAX_EXACT => Self::Number(exact),
                    _ => Self::String(digits),
                }
            },
            |small| Self::Number(f64::from(small)),
        )
    }

    /// The member `key` of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a number that is whole and not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) if *number >= 0.0 && number.fract() == 0.0 => {
                format!("{number:.0}").parse().ok()
            }
            _ => None,
        }
    }

    /// Levels of arrays and objects: 0 for a plain value.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::Array(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => {
                1 + members
                    .iter()
                    .map(|(_, value)| value.depth())
                    .max()
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Appends the canonical form.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(number) => {
                out.extend_from_slice(ryu_js::Buffer::new().format(*number).as_bytes())
            }
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push(b'[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (position, (key, value)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    write_string(key, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The canonical form.
    #[must_use]
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// Appends `text` as a canonical JSON string (RFC 8785 §3.2.2.2).
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[clean_from..at]);
        clean_from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[clean_from..]);
    out.push(b'"');
}

/// The order of RFC 8785: by UTF-16 code units. For ASCII that is the order of bytes.
pub(crate) fn utf16_order(a: &str, b: &str) -> std::cmp::Ordering {
    if a.is_ascii() && b.is_ascii() {
        a.cmp(b)
    } else {
        a.encode_utf16().cmp(b.encode_utf16())
    }
}

struct Seed {
    depth: usize,
}

impl Seed {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!(
                "nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Json;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn number<E: serde::de::Error>(value: f64, shown: impl fmt::Display) -> Result<Json, E> {
    if value.abs() > MAX_EXACT {
        return Err(E::custom(format_args!(
            "the number {shown} is beyond 2^53 and would lose digits; write it as a string"
        )));
    }
    Ok(Json::Number(value))
}

impl<'de> Visitor<'de> for Seed {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    #[allow(clippy::cast_precision_loss)] // beyond 2^53 it is refused
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json, E> {
        number(value as f64, value)
    }

    #[allow(clippy::cast_precision_loss)] // beyond 2^53 it is refused
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Json, E> {
        number(value as f64, value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        number(value, value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            let value = map.next_value_seed(self.deeper()?)?;
            members.push((key, value));
        }
        if !members.is_sorted_by(|a, b| utf16_order(&a.0, &b.0).is_lt()) {
            members.sort_by(|a, b| utf16_order(&a.0, &b.0));
            if let Some(twins) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(A::Error::custom(format_args!(
                    "duplicate key {:?}",
                    twins[0].0
                )));
            }
        }
        Ok(Json::Object(members))
    }
}

/// An object key, taken as it is.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(Json::parse(text.as_bytes()).unwrap().to_canonical()).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_8785() {
        let text = r#"{"numbers":[333333333.33333329,1E3,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        assert_eq!(
            canonical(text),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1000,4.5,0.002,1e-27],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        let keys = "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}";
        assert_eq!(
            canonical(keys),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}"
        );
        assert_eq!(canonical("-0.0"), "0");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        for (text, word) in [
            ("{\"a\":1,\"b\":2,\"a\":3}", "duplicate key \"a\""),
            (deep.as_str(), "nested deeper than 64"),
            ("9007199254740992", "beyond 2^53"),
            ("123456789012345678901234567890", "beyond 2^53"),
            ("{\"a\":1} x", "trailing characters"),
            ("{\"a\":", "EOF"),
            ("[1,]", "trailing comma"),
            ("\"\\ud800\"", "hex escape"),
        ] {
            let message = Json::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        assert!(Json::parse(&[b'['; 100_000]).is_err());
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            (-9e15f64..9e15).prop_map(Json::Number),
            any::<u32>().prop_map(|n| Json::Number(f64::from(n))),
            ".*".prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
                prop::collection::btree_map(".*", inner, 0..5).prop_map(|map| {
                    let mut list: Vec<_> = map.into_iter().collect();
                    list.sort_by(|a, b| utf16_order(&a.0, &b.0));
                    Json::Object(list)
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(value in any_json()) {
            let text = value.to_canonical();
            let again = Json::parse(&text).unwrap();
            prop_assert_eq!(again.to_canonical(), text);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Json::parse(&bytes);
        }
    }
}
