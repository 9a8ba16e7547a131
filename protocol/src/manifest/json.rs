//! The text form: canonical JSON (RFC 8785), read strictly. May not accept a second spelling of one manifest.

use super::error::shown;
use super::{Limits, MANIFEST_FORMAT, Manifest, ManifestError, Member, Version};
use crate::entry::json::Json;
use crate::note::text::decimal;
use crate::note::{NoteError, VerifierKey};
use crate::tlog::hash::Hash;
use std::collections::BTreeMap;

const FACTORY: &str = "factory";
const TOWER: &str = "tower";

impl Manifest {
    /// The canonical text: sorted keys, no spaces; `previous`, `effective_seconds` and a member's `http` are left out if there
    /// are none.
    #[must_use]
    pub fn to_json(&self) -> String {
        let bytes = self.to_value().to_canonical();
        String::from_utf8(bytes).unwrap_or_default() // it is UTF-8: it was made from strings
    }

    pub(crate) fn to_value(&self) -> Json {
        let (oldest, newest) = self.protocol;
        let version = |(major, minor): Version| Json::text(format!("{major}.{minor}"));
        let limits = [
            (
                "clock_bound_ms",
                Json::whole(self.limits.clock_bound_ms.into()),
            ),
            (
                "nonce_window_seconds",
                Json::whole(self.limits.nonce_window_seconds.into()),
            ),
        ];
        let fields = [
            (
                "amendment_threshold",
                Json::whole(self.amendment_threshold.into()),
            ),
            ("created_seconds", Json::whole(self.created_seconds)),
            ("epoch", Json::whole(self.epoch)),
            ("expires_seconds", Json::whole(self.expires_seconds)),
            ("federation", Json::text(&self.federation)),
            ("format", Json::text(MANIFEST_FORMAT)),
            ("limits", Json::object(limits)),
            ("lineage", Json::text(crate::hex::encode(&self.lineage))),
            (
                "members",
                Json::Array(self.members.iter().map(Member::to_value).collect()),
            ),
            ("mirroring", Json::Bool(self.mirroring)),
            (
                "protocol",
                Json::Array(vec![version(oldest), version(newest)]),
            ),
            (
                "recovery_keys",
                Json::Array(self.recovery_keys.iter().map(hash_value).collect()),
            ),
            ("resign_from_seconds", Json::whole(self.resign_from_seconds)),
            ("tower_quorum", Json::whole(self.tower_quorum.into())),
        ];
        let previous = self.previous.map(|hash| ("previous", hash_value(&hash)));
        let effective = self.effective_seconds;
        let effective = effective.map(|seconds| ("effective_seconds", Json::whole(seconds)));
        Json::object(fields.into_iter().chain(previous).chain(effective))
    }

    /// Reads the fields; neither the rules nor the spelling are checked.
    pub(crate) fn from_value(value: Json) -> Result<Self, ManifestError> {
        Self::from_value_with(value, &mut KeyTexts::default())
    }

    /// [`Manifest::from_value`] with keys that were read before.
    pub(crate) fn from_value_with(value: Json, keys: &mut KeyTexts) -> Result<Self, ManifestError> {
        let mut fields = Fields::new("manifest".to_owned(), value)?;
        if fields.text("format")? != MANIFEST_FORMAT {
            return Err(fields.bad("format", "is not belfry-manifest/v1; use a newer Belfry"));
        }
        let previous = match fields.optional("previous") {
            None => None,
            Some(value) => Some(fields.read_hash("previous", &value)?),
        };
        let effective_seconds = match fields.optional("effective_seconds") {
            None => None,
            Some(value) => Some(value.as_u64().ok_or_else(|| {
                fields.bad(
                    "effective_seconds",
                    "is not a whole number from 0 to 2^53 - 1",
                )
            })?),
        };
        let lineage = crate::hex::decode(&fields.text("lineage")?)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| fields.bad("lineage", "is not 32 lower-case hexadecimal digits"))?;
        let protocol = match &fields.list("protocol")?[..] {
            [oldest, newest] => read_version(oldest).zip(read_version(newest)),
            _ => None,
        };
        let protocol = protocol
            .ok_or_else(|| fields.bad("protocol", "is not two versions like \"1.0\", in a list"))?;
        let mut limits = Fields::new("limits".to_owned(), fields.take("limits")?)?;
        let recovery_keys = fields.list("recovery_keys")?;
        let recovery_keys = recovery_keys
            .iter()
            .map(|value| fields.read_hash("recovery_keys", value));
        let recovery_keys = recovery_keys.collect::<Result<_, _>>()?;
        let members = (1..).zip(fields.list("members")?);
        let members = members
            .map(|(number, value)| Member::from_value(number, value, keys))
            .collect::<Result<_, _>>()?;
        let manifest = Self {
            federation: fields.text("federation")?,
            epoch: fields.number("epoch")?,
            previous,
            lineage,
            created_seconds: fields.number("created_seconds")?,
            expires_seconds: fields.number("expires_seconds")?,
            resign_from_seconds: fields.number("resign_from_seconds")?,
            effective_seconds,
            protocol,
            members,
            tower_quorum: fields.small("tower_quorum")?,
            amendment_threshold: fields.small("amendment_threshold")?,
            limits: Limits {
                nonce_window_seconds: limits.small("nonce_window_seconds")?,
                clock_bound_ms: limits.small("clock_bound_ms")?,
            },
            mirroring: fields.flag("mirroring")?,
            recovery_keys,
        };
        limits.end()?;
        fields.end()?;
        Ok(manifest)
    }
}

impl Member {
    fn to_value(&self) -> Json {
        let roles = [(self.factory, FACTORY), (self.tower, TOWER)];
        let roles = roles.into_iter().filter(|(has, _)| *has);
        let fields = [
            (
                "addresses",
                Json::Array(self.addresses.iter().map(Json::text).collect()),
            ),
            ("certificate_head", hash_value(&self.certificate_head)),
            ("identity", Json::text(self.identity.to_string())),
            ("name", Json::text(&self.name)),
            ("peer", Json::text(&self.peer)),
            (
                "roles",
                Json::Array(roles.map(|(_, role)| Json::text(role)).collect()),
            ),
        ];
        let http = self.http.as_ref().map(|url| ("http", Json::text(url)));
        Json::object(fields.into_iter().chain(http))
    }

    fn from_value(number: usize, value: Json, keys: &mut KeyTexts) -> Result<Self, ManifestError> {
        let mut fields = Fields::new(format!("entry {number} of the members"), value)?;
        let name = fields.text("name")?;
        fields.place = format!("{} ({:?})", fields.place, shown(&name));
        let roles = fields.list("roles")?;
        let has = |role: &str| roles.iter().any(|value| value.as_str() == Some(role));
        let (factory, tower) = (has(FACTORY), has(TOWER));
        if roles.len() != usize::from(factory) + usize::from(tower) {
            return Err(fields.bad("roles", "may hold factory and tower, each once"));
        }
        let identity = keys
            .parse(&fields.text("identity")?)
            .map_err(|_| fields.bad("identity", "is not a verifier key (name+id+key)"))?;
        let addresses = fields.list("addresses")?.into_iter().map(into_text);
        let addresses = addresses
            .collect::<Option<_>>()
            .ok_or_else(|| fields.bad("addresses", "is not a list of strings"))?;
        let http = match fields.optional("http") {
            None => None,
            Some(Json::String(url)) => Some(url),
            Some(_) => {
                return Err(fields.bad("http", "is not a string; leave it out if there is none"));
            }
        };
        let head = fields.take("certificate_head")?;
        let certificate_head = fields.read_hash("certificate_head", &head)?;
        let peer = fields.text("peer")?;
        fields.end()?;
        Ok(Self {
            name,
            factory,
            tower,
            identity,
            peer,
            addresses,
            http,
            certificate_head,
        })
    }
}

/// Verifier keys by their text: in a chain of manifests the same ones come again and again, and each costs a point of the
/// curve.
#[derive(Debug, Default)]
pub(crate) struct KeyTexts(BTreeMap<String, VerifierKey>);

/// Most keys that are remembered: some manifests of the most members. Beyond it, all are forgotten.
const KEY_TEXTS_MAX: usize = 1_024;

impl KeyTexts {
    fn parse(&mut self, text: &str) -> Result<VerifierKey, NoteError> {
        if let Some(known) = self.0.get(text) {
            return Ok(known.clone());
        }
        let key = VerifierKey::parse(text)?;
        if self.0.len() >= KEY_TEXTS_MAX {
            self.0.clear();
        }
        self.0.insert(text.to_owned(), key.clone());
        Ok(key)
    }
}

/// The members of one JSON object that were not read yet.
pub(super) struct Fields {
    place: String,
    list: Vec<(String, Json)>,
}

impl Fields {
    pub(super) fn new(place: String, value: Json) -> Result<Self, ManifestError> {
        match value {
            Json::Object(list) => Ok(Self { place, list }),
            _ => Err(ManifestError::Form {
                field: place.clone(),
                place,
                problem: "is not a JSON object",
            }),
        }
    }

    fn bad(&self, field: &str, problem: &'static str) -> ManifestError {
        ManifestError::Form {
            place: self.place.clone(),
            field: field.to_owned(),
            problem,
        }
    }

    fn optional(&mut self, key: &str) -> Option<Json> {
        let at = self.list.iter().position(|(name, _)| name == key)?;
        Some(self.list.remove(at).1)
    }

    pub(super) fn take(&mut self, key: &str) -> Result<Json, ManifestError> {
        self.optional(key)
            .ok_or_else(|| self.bad(key, "is missing"))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<String, ManifestError> {
        into_text(self.take(key)?).ok_or_else(|| self.bad(key, "is not a string"))
    }

    fn list(&mut self, key: &str) -> Result<Vec<Json>, ManifestError> {
        match self.take(key)? {
            Json::Array(items) => Ok(items),
            _ => Err(self.bad(key, "is not a list")),
        }
    }

    fn flag(&mut self, key: &str) -> Result<bool, ManifestError> {
        match self.take(key)? {
            Json::Bool(flag) => Ok(flag),
            _ => Err(self.bad(key, "is neither true nor false")),
        }
    }

    fn number(&mut self, key: &str) -> Result<u64, ManifestError> {
        let value = self.take(key)?;
        value
            .as_u64()
            .ok_or_else(|| self.bad(key, "is not a whole number from 0 to 2^53 - 1"))
    }

    fn small(&mut self, key: &str) -> Result<u32, ManifestError> {
        let number = self.number(key)?;
        u32::try_from(number).map_err(|_| self.bad(key, "is larger than 2^32 - 1"))
    }

    fn read_hash(&self, key: &str, value: &Json) -> Result<Hash, ManifestError> {
        let hash = value.as_str().and_then(Hash::from_hex);
        hash.ok_or_else(|| self.bad(key, "is not 64 lower-case hexadecimal digits"))
    }

    /// Refuses what is left: a member that a newer format may have, and that we would not check.
    pub(super) fn end(self) -> Result<(), ManifestError> {
        match self.list.first() {
            None => Ok(()),
            Some((key, _)) => Err(self.bad(&shown(key), "is not known here; remove it")),
        }
    }
}

fn into_text(value: Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text),
        _ => None,
    }
}

fn hash_value(hash: &Hash) -> Json {
    Json::text(hash.to_hex())
}

fn read_version(value: &Json) -> Option<Version> {
    let (major, minor) = value.as_str()?.split_once('.')?;
    let part = |text: &str| decimal(text).and_then(|number| u8::try_from(number).ok());
    part(major).zip(part(minor))
}
