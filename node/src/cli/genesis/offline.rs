//! Signing where there is no network: `genesis export` sets the lock on the node and writes what is to be signed, `genesis sign-request`
//! signs it where the identity key is, with a lock of its own beside the key (R14). May not sign what was not reviewed.

use super::super::args::{GenesisExportArgs, SignRequestArgs};
use super::super::context::Context;
use super::super::last_resort::confirm;
use super::{ask, items, review, text};
use crate::ceremony::Wish;
use crate::exit::{Code, Failure};
use belfry_protocol::genesis::ceremony::{VoteId, VoteRecord};
use belfry_protocol::genesis::{Saying, Statement, Vote};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::SignedNote;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

const REQUEST_FORMAT: &str = "belfry-genesis-request/v1";
/// Most bytes of a file that is read here: a manifest and some statements.
const MAX_BYTES: u64 = 8 << 20;

pub(super) fn export(context: &Context, args: &GenesisExportArgs) -> Result<(), Failure> {
    if args.record {
        let value = ask(context, &Wish::ExportRecord)?;
        let record = text(&value, "record").to_owned();
        context.out.result(&record, &value)?;
        context.out.say(
            "From now on this directory must not vote any more: only the one that imports this.",
        );
        return Ok(());
    }
    let value = ask(context, &Wish::Export)?;
    let Some(statement) = items(&value, "statements").first().and_then(Value::as_str) else {
        return Err(Failure::new(Code::Failed, "nothing waits for a signature")
            .hint("review a manifest first: `belfry genesis sign`, which asks for the key that is elsewhere"));
    };
    let parsed = Statement::parse(statement)
        .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    let manifest = Some(parsed.subject.manifest.to_hex());
    let shown = ask(context, &Wish::Show { manifest })?;
    let mut request = json!({
        "format": REQUEST_FORMAT, "statement": statement, "manifest": text(&shown, "file"), "name": text(&shown, "name"),
    });
    if let Some(base) = shown.get("base") {
        request["base"] = base.clone();
    }
    context.out.result(&request.to_string(), &request)?;
    context.out.say(
        "next, where the identity key is: belfry genesis sign-request request.json > vote.json; then here: belfry genesis import vote.json",
    );
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("cannot read {}: {error}", path.display()),
        )
    };
    if std::fs::metadata(path).map_err(cannot)?.len() > MAX_BYTES {
        return Err(Failure::new(
            Code::Usage,
            format!("{} is larger than any such file", path.display()),
        ));
    }
    let mut text = std::fs::read_to_string(path).map_err(cannot)?;
    // What a shell adds; the formats themselves have none.
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

pub(super) fn sign(context: &Context, args: &SignRequestArgs) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("{}: {why}", args.request.display()),
        )
        .hint("get it again with `belfry genesis export` on the node")
    };
    let request: Value =
        serde_json::from_str(&read(&args.request)?).map_err(|_| refused(&"it is no request"))?;
    if text(&request, "format") != REQUEST_FORMAT {
        return Err(refused(&"it is no request of a version that is known here"));
    }
    let statement =
        Statement::parse(text(&request, "statement")).map_err(|error| refused(&error))?;
    let manifest =
        Manifest::parse(text(&request, "manifest").as_bytes()).map_err(|error| refused(&error))?;
    if statement.subject.manifest != manifest.hash() {
        return Err(refused(
            &"its statement is about another manifest than the one in it",
        ));
    }
    let id = VoteId::of(&statement).ok_or_else(|| refused(&"its statement binds nothing"))?;
    let keys = context.keys()?;
    let identity = keys.identity_key().ok_or_else(|| {
        Failure::new(Code::KeyUnavailable, "the identity key is not here, either")
            .hint("name the directory whose keys/ has it with --data-dir")
    })?;
    let lock = Lock::open(&keys.dir().join("votes"), keys.identity_verifier(), id)?;
    lock.check(&statement)?;
    let base = review::base_of(&manifest, request.get("base").and_then(Value::as_str))?;
    let about = review::About {
        manifest: &manifest,
        base: base.as_ref(),
        by_recovery_keys: matches!(statement.saying, Saying::Yield { .. }),
    };
    let expected = review::review(context, &about, &[]);
    let loss = format!(
        "You sign manifest {} for {}. In this round this key signs no other.",
        manifest.hash(),
        keys.name()
    );
    confirm(context, &expected, args.confirm.as_deref(), &loss)?;
    lock.set(&statement)?;
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error.to_string());
    let text = statement.to_string();
    let line = identity.sign_note(&text).map_err(|error| failed(&error))?;
    let note = SignedNote::new(&text, vec![line]).map_err(|error| failed(&error))?;
    let vote = Vote::new(note, None).map_err(|error| failed(&error))?;
    context.out.line(&vote.to_json())?;
    context
        .out
        .say("next, on the node: belfry genesis import vote.json");
    Ok(())
}

/// What this key signed in one lineage, in a file beside it: durable before a signature is made.
struct Lock {
    path: PathBuf,
    record: VoteRecord,
    id: VoteId,
}

impl Lock {
    fn open(
        dir: &Path,
        identity: &belfry_protocol::note::VerifierKey,
        id: VoteId,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let name = format!("{}.json", belfry_protocol::hex::encode(&id.lineage));
        let path = dir.join(name);
        let record = match path.exists() {
            true => VoteRecord::parse(read(&path)?.as_bytes()).map_err(|error| {
                Failure::new(Code::Damaged, format!("{}: {error}", path.display()))
            })?,
            false => VoteRecord {
                identity: identity.clone(),
                lineage: id.lineage,
                votes: Vec::new(),
            },
        };
        Ok(Self { path, record, id })
    }

    fn check(&self, statement: &Statement) -> Result<(), Failure> {
        let other = self
            .record
            .votes
            .iter()
            .find(|vote| VoteId::of(vote) == Some(self.id) && *vote != statement);
        match other {
            None => Ok(()),
            Some(other) => Err(Failure::new(
                Code::Failed,
                format!(
                    "this key signed manifest {} in epoch {}, round {} already, and signs no other there",
                    other.subject.manifest, other.subject.epoch, other.subject.round
                ),
            )
            .hint("propose the manifest again in a later round")),
        }
    }

    fn set(mut self, statement: &Statement) -> Result<(), Failure> {
        if self.record.votes.contains(statement) {
            return Ok(());
        }
        self.record.votes.push(statement.clone());
        self.record.votes.sort_by_key(VoteId::of);
        let temporary = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(self.record.to_json().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        if let Some(dir) = self.path.parent() {
            std::fs::File::open(dir)?.sync_all()?;
        }
        Ok(())
    }
}
