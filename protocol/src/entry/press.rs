//! The press: the only way from a caller's draft to a leaf. It scrubs, canonicalises, commits and hashes, in this
//! order, so no unscrubbed entry ever has a hash. Draws no randomness: salts and sealing come through [`Sealer`].

use super::batch::{Batch, IdemTag, SealedPayload};
use super::commit::{self, EntrySecrets, MAX_PAYLOAD_LEN};
use super::draft::{Draft, EntryError, Idempotency, Visibility};
use super::json::{Json, MAX_DEPTH};
use super::kinds;
use super::leaf::{Content, Leaf, ScrubRecord};
use super::rulebook::Rulebook;
use crate::scrub::{Report, Scrubber, TokenKey};
use crate::tlog::bundle::MAX_ENTRY_LEN;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Salts and seals private payloads: the runtime's part, because it needs fresh randomness.
pub trait Sealer {
    /// 32 bytes from the operating system.
    ///
    /// # Errors
    /// When there is no randomness.
    fn salt(&mut self) -> Result<[u8; 32], String>;
    /// Encrypts `plain` under a new random key.
    ///
    /// # Errors
    /// When there is no randomness.
    fn seal(&mut self, id: &[u8; 32], plain: &[u8]) -> Result<SealedPayload, String>;
}

/// How a public leaf begins; a private one is first written like this, too.
const BODY_PREFIX: &[u8] = b"{\"body\":";

/// Token keys kept by a press: tenants beyond that are derived again.
const CACHED_TENANTS: usize = 256;

/// Makes entries. One per worker: it keeps buffers and the token keys of recent tenants.
pub struct Press {
    rules: Arc<Rulebook>,
    secrets: Arc<EntrySecrets>,
    /// The last kind, and the prefix of its rules' hash.
    set: (String, String),
    tokens: BTreeMap<String, TokenKey>,
    last_source: Option<ScrubbedSource>,
    leaf: Vec<u8>,
}

struct ScrubbedSource {
    kind: String,
    tenant: Option<String>,
    raw: String,
    clean: String,
    report: Report,
}

impl Press {
    /// A press with these rules and these keys.
    #[must_use]
    pub fn new(rules: Arc<Rulebook>, secrets: Arc<EntrySecrets>) -> Self {
        Self {
            rules,
            secrets,
            set: (String::new(), String::new()),
            tokens: BTreeMap::new(),
            last_source: None,
            leaf: Vec::new(),
        }
    }

    /// Makes an entry whose body is the JSON value in `raw`; `template` gives everything else.
    ///
    /// # Errors
    /// Whatever [`EntryError`] names; the batch is unchanged then.
    pub fn add_raw(
        &mut self,
        raw: &[u8],
        template: &Draft,
        sealer: &mut dyn Sealer,
        batch: &mut Batch,
    ) -> Result<(), EntryError> {
        // In the leaf the body stands one level deeper.
        let body = Json::parse_below(raw, 1)?;
        let clean = !self.rules.scrubber(&template.kind).may_change(raw);
        self.make(template, body, clean, sealer, batch)
    }

    /// Makes an entry from a draft.
    ///
    /// # Errors
    /// Whatever [`EntryError`] names; the batch is unchanged then.
    pub fn add(
        &mut self,
        draft: &Draft,
        sealer: &mut dyn Sealer,
        batch: &mut Batch,
    ) -> Result<(), EntryError> {
        self.make(draft, draft.body.clone(), false, sealer, batch)
    }

    /// `clean` says that the scrubber's prefilter saw the body's JSON text and found nothing.
    fn make(
        &mut self,
        draft: &Draft,
        mut body: Json,
        clean: bool,
        sealer: &mut dyn Sealer,
        batch: &mut Batch,
    ) -> Result<(), EntryError> {
        draft.check()?;
        if body.depth() >= MAX_DEPTH {
            return Err(EntryError::Field(format!(
                "the body is nested deeper than {} levels",
                MAX_DEPTH - 1
            )));
        }
        self.check_tenant(draft)?;
        let mut report = Report::default();
        let source = self.scrub_source(draft, &mut report)?;
        if !clean {
            let rules = Arc::clone(&self.rules);
            let key = self.token_key(draft.tenant.as_deref());
            scrub_json(rules.scrubber(&draft.kind), key, "", &mut body, &mut report)?;
        }
        let scrub = ScrubRecord {
            set: self.rule_set(&draft.kind),
            replaced: report
                .iter()
                .map(|(class, count)| (class.name().to_owned(), count))
                .collect(),
        };
        let mut leaf = Leaf {
            kind: draft.kind.clone(),
            time: draft.time,
            source,
            tenant: draft.tenant.clone(),
            content: Content::Body(Json::Null),
            idem: None,
            scrub: Some(scrub),
        };
        self.leaf.clear();
        self.leaf.extend_from_slice(BODY_PREFIX);
        body.write(&mut self.leaf);
        leaf.idem = draft
            .idempotency
            .as_ref()
            .map(|idem| self.idem_tag(draft, &leaf, idem));
        let payload = match draft
            .visibility
            .unwrap_or_else(|| kinds::default_visibility(&draft.kind))
        {
            Visibility::Public => {
                leaf.write_rest(&mut self.leaf);
                None
            }
            Visibility::Private => Some(self.commit(&mut leaf, sealer)?),
        };
        if self.leaf.len() > MAX_ENTRY_LEN {
            return Err(EntryError::TooLong {
                length: self.leaf.len(),
            });
        }
        batch.push(&self.leaf, leaf.idem, payload);
        Ok(())
    }

    /// Turns the body in `self.leaf` into a sealed payload and leaves the committing leaf there.
    fn commit(
        &mut self,
        leaf: &mut Leaf,
        sealer: &mut dyn Sealer,
    ) -> Result<SealedPayload, EntryError> {
        let payload = commit::encode_payload("application/json", &self.leaf[BODY_PREFIX.len()..]);
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(EntryError::PayloadTooLong {
                length: payload.len(),
            });
        }
        let salt = sealer.salt().map_err(EntryError::Seal)?;
        let hmac = commit::commitment(&salt, &payload);
        let plain = zeroize::Zeroizing::new([salt.as_slice(), &payload].concat());
        let sealed = sealer.seal(&hmac, &plain).map_err(EntryError::Seal)?;
        leaf.source = commit::pseudonym(&self.secrets, "source", &leaf.source);
        leaf.tenant = leaf
            .tenant
            .as_ref()
            .map(|tenant| commit::pseudonym(&self.secrets, "tenant", tenant));
        leaf.content = Content::Commit {
            hmac,
            len: commit::told_length(payload.len()),
        };
        self.leaf = leaf.to_bytes();
        Ok(sealed)
    }

    /// A tenant is a name that others refer to, so it is refused where other text would be replaced.
    fn check_tenant(&self, draft: &Draft) -> Result<(), EntryError> {
        let residue = draft
            .tenant
            .as_deref()
            .map(|tenant| self.rules.scrubber(&draft.kind).residue(tenant));
        match residue.unwrap_or_default().first() {
            None => Ok(()),
            Some(class) => Err(EntryError::Field(format!(
                "the tenant looks like personal data ({class}); use a name"
            ))),
        }
    }

    fn scrub_source(&mut self, draft: &Draft, report: &mut Report) -> Result<String, EntryError> {
        if let Some(last) = &self.last_source
            && last.kind == draft.kind
            && last.raw == draft.source
            && last.tenant == draft.tenant
        {
            report.merge(&last.report);
            return Ok(last.clean.clone());
        }
        let rules = Arc::clone(&self.rules);
        let scrubber = rules.scrubber(&draft.kind);
        let mut own = Report::default();
        let key = self.token_key(draft.tenant.as_deref());
        let changed = scrubber
            .scrub(&draft.source, key, &mut own)
            .map_err(|e| EntryError::Scrub(e.to_string()))?;
        let clean = changed.unwrap_or_else(|| draft.source.clone());
        report.merge(&own);
        self.last_source = Some(ScrubbedSource {
            kind: draft.kind.clone(),
            tenant: draft.tenant.clone(),
            raw: draft.source.clone(),
            clean: clean.clone(),
            report: own,
        });
        Ok(clean)
    }

    /// The first 16 hexadecimal digits of the hash of a kind's rules.
    fn rule_set(&mut self, kind: &str) -> String {
        if self.set.0 != kind || self.set.1.is_empty() {
            let hash = self.rules.scrubber(kind).ruleset_hash().to_hex();
            self.set = (kind.to_owned(), hash.chars().take(16).collect());
        }
        self.set.1.clone()
    }

    fn token_key(&mut self, tenant: Option<&str>) -> &TokenKey {
        let tenant = tenant.unwrap_or("");
        if !self.tokens.contains_key(tenant) && self.tokens.len() >= CACHED_TENANTS {
            self.tokens.clear();
        }
        let secrets = &self.secrets;
        self.tokens.entry(tenant.to_owned()).or_insert_with(|| {
            TokenKey::new(commit::keyed(
                &secrets.scrub,
                "belfry/scrub-tenant/v1",
                &[tenant.as_bytes()],
            ))
        })
    }

    /// Id and content tag of R11; the content tag covers what the caller said after scrubbing, not the time.
    fn idem_tag(&self, draft: &Draft, leaf: &Leaf, idem: &Idempotency) -> IdemTag {
        let key = &self.secrets.idempotency;
        let tenant = draft.tenant.as_deref().unwrap_or("").as_bytes();
        let (id, for_ever) = match idem {
            Idempotency::ClientKey(client) => (
                commit::keyed(key, "belfry/idem/key/v1", &[tenant, client.as_bytes()]),
                false,
            ),
            Idempotency::Line { digest, occurrence } => {
                let occurrence = occurrence.to_be_bytes();
                let parts: [&[u8]; 5] = [
                    tenant,
                    leaf.kind.as_bytes(),
                    leaf.source.as_bytes(),
                    digest,
                    &occurrence,
                ];
                (commit::keyed(key, "belfry/idem/line/v1", &parts), true)
            }
        };
        // With the id in it, equal contents of two requests do not look alike.
        let body = &self.leaf[BODY_PREFIX.len()..];
        let parts: [&[u8]; 5] = [
            &id,
            leaf.kind.as_bytes(),
            leaf.source.as_bytes(),
            tenant,
            body,
        ];
        let content = commit::keyed(key, "belfry/idem/content/v1", &parts);
        IdemTag {
            id: half(&id),
            content: half(&content),
            for_ever,
        }
    }
}

fn half(mac: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&mac[..16]);
    out
}

/// Scrubs every string, key and number-like string of a value. `name` is the key it stands under: context for
/// detectors such as that of local phone numbers.
fn scrub_json(
    scrubber: &Scrubber,
    key: &TokenKey,
    name: &str,
    value: &mut Json,
    report: &mut Report,
) -> Result<(), EntryError> {
    let failed = |error: crate::scrub::ScrubError| EntryError::Scrub(error.to_string());
    match value {
        Json::Null | Json::Bool(_) => {}
        Json::Number(number) => {
            let digits = ryu_js::Buffer::new().format(*number).to_owned();
            if let Some(changed) = scrubber
                .scrub_field(name, &digits, key, report)
                .map_err(failed)?
            {
                *value = Json::String(changed);
            }
        }
        Json::String(text) => {
            if let Some(changed) = scrubber
                .scrub_field(name, text, key, report)
                .map_err(failed)?
            {
                *text = changed;
            }
        }
        Json::Array(items) => {
            for item in items {
                scrub_json(scrubber, key, name, item, report)?;
            }
        }
        Json::Object(members) => {
            let mut renamed = false;
            for (name, member) in members.iter_mut() {
                scrub_json(scrubber, key, name, member, report)?;
                if let Some(changed) = scrubber.scrub(name, key, report).map_err(failed)? {
                    *name = changed;
                    renamed = true;
                }
            }
            if renamed {
                members.sort_by(|a, b| super::json::utf16_order(&a.0, &b.0));
                if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    return Err(EntryError::Scrub(
                        "two keys of one object become equal when scrubbed".to_owned(),
                    ));
                }
            }
        }
    }
    Ok(())
}
