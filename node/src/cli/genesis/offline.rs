//! Signing where there is no network: `genesis export` sets the lock on the node and writes what is to be signed, `genesis sign-request`
//! signs it where the identity key is, with a lock of its own beside the key (R14). May not sign what was not reviewed.

use super::super::args::{GenesisExportArgs, SignRequestArgs};
use super::super::context::{Context, key_failure};
use super::super::last_resort::confirm;
use super::{ask, items, qr_text, review, text};
use crate::ceremony::Wish;
use crate::clock::shown_seconds;
use crate::exit::{Code, Failure};
use belfry_keys::KeyDir;
use belfry_protocol::genesis::ceremony::{VoteId, VoteRecord};
use belfry_protocol::genesis::{Election, GenesisError, Saying, Statement, Vote};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::SignedNote;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

pub(super) const REQUEST_FORMAT: &str = "belfry-genesis-request/v1";
/// Most bytes of a file that is read here: a manifest and some statements.
const MAX_BYTES: u64 = 8 << 20;

pub(super) fn export(context: &Context, args: &GenesisExportArgs) -> Result<(), Failure> {
    if args.record {
        let value = ask(context, &Wish::ExportRecord)?;
        let record = text(&value, "record").to_owned();
        print(context, &record, args.qr)?;
        context.out.say(
            "From now on this directory must not vote any more: only the one that imports this.",
        );
        return Ok(());
    }
    let value = ask(context, &Wish::Export)?;
    let mut statements = items(&value, "statements").iter().filter_map(Value::as_str);
    let about = |statement: &&str| match (&args.manifest, Statement::parse(statement)) {
        (Some(digits), Ok(parsed)) => parsed
            .subject
            .manifest
            .to_hex()
            .starts_with(digits.as_str()),
        _ => true,
    };
    let Some(statement) = statements.find(about) else {
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
    let mut votes = items(&shown, "manifests").iter();
    let vote = votes.find(|one| text(one, "manifest") == text(&shown, "shown"));
    request["recovery"] = json!(vote.is_some_and(|one| one["recovery"].is_object()));
    print(context, &request.to_string(), args.qr)?;
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
    match qr_text::is_scanned(&text) {
        true => qr_text::join(&text, MAX_BYTES),
        false => Ok(text),
    }
}

/// Prints a file for another machine: as it is, or as QR codes.
pub(super) fn print(context: &Context, file: &str, as_codes: bool) -> Result<(), Failure> {
    if !as_codes {
        return context.out.line(file);
    }
    let parts = qr_text::parts(file)?;
    for part in &parts {
        context.out.line(&qr_text::code(part))?;
    }
    context.out.say(format!(
        "{} QR codes; what a scanner reads of them, one a line and in any order, is a file for the other machine",
        parts.len()
    ));
    Ok(())
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
    let known = [
        "format",
        "statement",
        "manifest",
        "name",
        "base",
        "recovery",
    ];
    let fields = request.as_object();
    if fields.is_some_and(|all| all.keys().any(|key| !known.contains(&key.as_str()))) {
        return Err(refused(&"it says more than is known here"));
    }
    let base = review::base_of(&manifest, request.get("base").and_then(Value::as_str))?;
    check_statement(&statement, &manifest, base.as_ref()).map_err(|error| refused(&error))?;
    let id = VoteId::of(&statement).ok_or_else(|| refused(&"its statement binds nothing"))?;
    if context.layout.genesis().exists() || context.layout.founding().exists() {
        return Err(Failure::new(
            Code::Usage,
            "the node of this directory votes by itself, and would not know of this vote",
        )
        .hint(
            "use `belfry genesis sign` here; sign requests where nothing but the identity key is",
        ));
    }
    let (identity, keys) =
        KeyDir::open_identity(context.layout.dir(), || context.passphrase(false))
            .map_err(key_failure)?;
    let name = identity.verifier().name();
    if text(&request, "name") != name {
        return Err(refused(&format!(
            "it is for {}, and this is the key of {name}",
            text(&request, "name")
        )));
    }
    let lock = Lock::open(&keys.join("votes"), identity.verifier(), id)?;
    lock.check(&statement)?;
    let about = review::About {
        manifest: &manifest,
        base: base.as_ref(),
        by_recovery_keys: request["recovery"] == json!(true)
            || matches!(statement.saying, Saying::Yield { .. }),
    };
    let expected = review::review(context, &about, &said(&statement, name));
    if context.global.dry_run {
        let text = format!("would sign manifest {} for {name}", manifest.hash());
        return context.out.result(&text, &json!({ "dry_run": true }));
    }
    let what = match statement.saying {
        Saying::Yield { .. } => "give way to",
        _ => "sign",
    };
    let loss = format!(
        "You {what} manifest {} for {name}. This key signs no other instead.",
        manifest.hash()
    );
    confirm(context, &expected, args.confirm.as_deref(), &loss)?;
    // Whoever signs at the same time waits, and finds what was signed here.
    let votes = keys.join("votes");
    std::fs::create_dir_all(&votes)?;
    std::fs::File::open(&keys)?.sync_all()?;
    let alone = std::fs::File::open(&votes)?;
    alone.lock()?;
    let lock = Lock::open(&votes, identity.verifier(), id)?;
    lock.check(&statement)?;
    lock.set(&statement)?;
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error.to_string());
    let text = statement.to_string();
    let line = identity.sign_note(&text).map_err(|error| failed(&error))?;
    let note = SignedNote::new(&text, vec![line]).map_err(|error| failed(&error))?;
    let vote = Vote::new(note, None).map_err(|error| failed(&error))?;
    print(context, &vote.to_json(), args.qr)?;
    context
        .out
        .say("next, on the node: belfry genesis import vote.json");
    Ok(())
}

/// Everything in a statement follows from the manifests beside it, but for the round, and for a federation id that began before them:
/// those are shown.
fn check_statement(
    statement: &Statement,
    manifest: &Manifest,
    base: Option<&Manifest>,
) -> Result<(), GenesisError> {
    let subject = statement.subject;
    let malformed = |problem| GenesisError::Malformed {
        what: "request",
        problem,
    };
    let election = match (base, subject.federation) {
        (None, None) => Election::founding(manifest.lineage),
        (Some(base), Some(id)) if base.epoch > 0 || base.hash() == id => {
            Election::amending(id, base)
        }
        _ => {
            return Err(malformed(
                "its statement is of another federation than its manifests",
            ));
        }
    };
    election.check(manifest)?;
    election.check_subject(&subject)?;
    if subject.manifest != manifest.hash() {
        return Err(malformed(
            "its statement is about another manifest than the one in it",
        ));
    }
    match (&statement.saying, subject.round) {
        (Saying::Approve, 1..) | (Saying::Yield { .. }, 0) => Ok(()),
        _ => Err(malformed("its statement is no approval and no yield")),
    }
}

/// What is signed, for the screen.
fn said(statement: &Statement, name: &str) -> Vec<String> {
    let subject = statement.subject;
    let whose = match subject.federation {
        Some(id) => format!("federation {id}: compare it with one from somewhere you trust"),
        None => format!(
            "lineage    {}",
            belfry_protocol::hex::encode(&subject.lineage)
        ),
    };
    let what = match statement.saying {
        Saying::Yield { seen_seconds } => format!(
            "you        give way, as {name}; the node says that it saw it first at {}",
            shown_seconds(seen_seconds)
        ),
        _ => format!(
            "you        approve it in round {}, as {name}",
            subject.round
        ),
    };
    vec![whose, what]
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
