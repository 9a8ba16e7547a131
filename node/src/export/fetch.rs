//! Fetching a whole ledger into a directory: between what comes, its proof, and the files. Nothing is written that was not
//! proved to be below a digest that the log signed.

use super::client::{self, Incoming};
use super::directory::{Directory, Finished, Left};
use crate::exit::{Code, Failure};
use belfry_protocol::cert::{LogVerifiers, certificate_hash, verify_chain};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::export::{Accepted, Checked, Checker, Wrong};
use belfry_protocol::manifest::Federation;
use belfry_protocol::note::{SignedNote, VerifierKey};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Proved pieces that wait for the disk: the transport goes on while it is slow for a moment. 17 MiB each at most.
const WAITING: usize = 8;

/// What a reader trusts.
pub enum Anchor {
    /// Log keys, any of which may have signed.
    Keys(Vec<VerifierKey>),
    /// The manifest that all members signed: it names the identity that certifies the log keys.
    Manifest(Box<Federation>),
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The signed digest that the directory is an export of.
    pub checkpoint: Checkpoint,
    /// The key that signed it.
    pub key: VerifierKey,
    /// Entries that were there before.
    pub from: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// Fetches the ledger of `origin`, or the rest of it, into `to`. `progress` is told entries and how many there are.
///
/// # Errors
/// When the server cannot be read, or what it sends does not hold; what was proved stays for the next run.
pub fn fetch(
    server: &client::Server,
    (origin, anchor): (&str, &Anchor),
    to: &Path,
    mut progress: impl FnMut(u64, Option<u64>),
) -> Result<Fetched, Failure> {
    let directory = Directory::new(to);
    let before = directory.checkpoint()?;
    let before = before.map(|note| own_checkpoint(&note, origin, anchor, to));
    let left = directory.look(before.transpose()?, |entries| progress(entries, None))?;
    let from = left.held.size();
    let (accepted, mut incoming) = client::open(server, origin, from)?;
    let (note, checkpoint, key) = signed(&accepted, origin, anchor)?;
    not_older(&left, &checkpoint, to)?;
    let place = Place {
        server: &server.place,
        directory: &directory,
        to,
        note: &note,
        finished: left.finished.as_ref(),
    };
    let mut checker =
        Checker::new(&checkpoint, left.held.clone()).map_err(|wrong| place.lie(&wrong))?;
    progress(from, Some(checkpoint.size));
    receive(&mut incoming, &mut checker, &place, |entries| {
        progress(entries, Some(checkpoint.size));
    })?;
    for (tile, hashes) in checker.edge() {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        directory.tile(tile, &bytes)?;
    }
    directory.finish(&key.to_string(), &note)?;
    if let Some(finished) = &left.finished {
        directory.drop_partial(finished.checkpoint.size, checkpoint.size);
    }
    let received_bytes = incoming.received_bytes;
    Ok(Fetched {
        checkpoint,
        key,
        from,
        received_bytes,
    })
}

/// What goes to the disk.
type Proved = (Checked, Vec<u8>);

/// Takes all pieces; a thread writes what is proved.
fn receive(
    incoming: &mut Incoming,
    checker: &mut Checker,
    place: &Place<'_>,
    mut progress: impl FnMut(u64),
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let (send, waiting) = sync_channel(WAITING);
        let directory = place.directory;
        let writing = scope.spawn(move || write(directory, &waiting));
        let received = pieces(incoming, checker, place, &send, &mut progress);
        drop(send);
        let ended = || Err(Failure::new(Code::Failed, "the writing thread panicked"));
        let written = writing.join().unwrap_or_else(|_| ended());
        // A disk that failed is why nothing more was taken.
        written.and(received)
    })
}

fn pieces(
    incoming: &mut Incoming,
    checker: &mut Checker,
    place: &Place<'_>,
    send: &SyncSender<Proved>,
    progress: &mut impl FnMut(u64),
) -> Result<(), Failure> {
    while let Some(piece) = checker.next_piece() {
        let bytes = incoming.piece(piece)?;
        let checked = checker.take(&bytes).map_err(|wrong| place.lie(&wrong))?;
        if let Checked::Bundle(wanted, leaves) = &checked {
            place.compare(*wanted, leaves)?;
            progress(wanted.index * TILE_WIDTH + u64::from(wanted.width));
        }
        if !matches!(checked, Checked::Edge) && send.send((checked, bytes)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn write(directory: &Directory, waiting: &Receiver<Proved>) -> Result<(), Failure> {
    for (checked, bytes) in waiting {
        match checked {
            Checked::Edge => {}
            Checked::Tile(tile) => directory.tile(tile, &bytes)?,
            Checked::Bundle(wanted, leaves) => directory.bundle(wanted, &bytes, &leaves)?,
        }
    }
    Ok(())
}

/// What a complaint needs.
struct Place<'a> {
    server: &'a str,
    directory: &'a Directory,
    to: &'a Path,
    note: &'a SignedNote,
    finished: Option<&'a Finished>,
}

impl Place<'_> {
    /// What does not hold is the server's lie, or the log's, if what is here was signed and is whole.
    fn lie(&self, wrong: &Wrong) -> Failure {
        let held = matches!(wrong, Wrong::Held { .. });
        match self.finished {
            Some(finished) if held && finished.proved => self.fork(&finished.checkpoint),
            _ if held => Failure::new(
                Code::VerificationFailed,
                format!("{}: {wrong}", self.to.display()),
            )
            .hint("the directory is damaged, of another ledger, or the log signed two trees; fetch into a new directory and compare"),
            _ => Failure::new(
                Code::VerificationFailed,
                format!("{} lied or is damaged: {wrong}", self.server),
            )
            .hint("nothing false was kept; run the command again with another member's address"),
        }
    }

    /// The last entries of an older export come again within a bundle: they must be the same.
    fn compare(&self, wanted: Bundle, leaves: &[Hash]) -> Result<(), Failure> {
        match self.finished {
            Some(finished)
                if finished.proved
                    && wanted.index == finished.checkpoint.size / TILE_WIDTH
                    && !leaves.starts_with(&finished.tail) =>
            {
                Err(self.fork(&finished.checkpoint))
            }
            _ => Ok(()),
        }
    }

    fn fork(&self, before: &Checkpoint) -> Failure {
        let kept = match self.directory.keep_contradiction(self.note) {
            Ok(path) => path.display().to_string(),
            Err(error) => format!("nowhere ({error})"),
        };
        Failure::new(
            Code::Fork,
            format!(
                "{} signed two trees: {} holds {} entries under a digest of it, and they are not the first ones of what it signed now",
                before.origin,
                self.to.display(),
                before.size
            ),
        )
        .hint(format!("both digests are evidence: {} and {kept}; show them to other members", self.to.join("checkpoint").display()))
    }
}

/// The checkpoint that the directory has, which must be of this ledger.
fn own_checkpoint(
    note: &[u8],
    origin: &str,
    anchor: &Anchor,
    to: &Path,
) -> Result<Checkpoint, Failure> {
    let other = |why: String| {
        Failure::new(
            Code::Failed,
            format!("{} holds another export: {why}", to.display()),
        )
        .hint("name a new directory")
    };
    let note = SignedNote::parse(note).map_err(|error| other(error.to_string()))?;
    let checkpoint = match anchor {
        Anchor::Keys(keys) => open_with(keys, &note).map(|(checkpoint, _)| checkpoint),
        // It was verified when it was written, and counts for nothing by itself.
        Anchor::Manifest(_) => Checkpoint::parse(note.text()).map_err(|error| error.to_string()),
    };
    let checkpoint = checkpoint.map_err(other)?;
    match checkpoint.origin == origin {
        true => Ok(checkpoint),
        false => Err(other(format!("of {}", checkpoint.origin))),
    }
}

fn not_older(left: &Left, checkpoint: &Checkpoint, to: &Path) -> Result<(), Failure> {
    match &left.finished {
        Some(finished) if finished.checkpoint.size > checkpoint.size => Err(Failure::new(
            Code::Failed,
            format!(
                "{} holds {} entries and the server's newest digest has {}",
                to.display(),
                finished.checkpoint.size,
                checkpoint.size
            ),
        )
        .hint("the export that is there stays; ask another member for a newer one")),
        _ => Ok(()),
    }
}

fn open_with(keys: &[VerifierKey], note: &SignedNote) -> Result<(Checkpoint, VerifierKey), String> {
    let mut why = "no key to verify it with".to_owned();
    for key in keys {
        match Checkpoint::open(note, key) {
            Ok(checkpoint) => return Ok((checkpoint, key.clone())),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// The digest of an answer, if the log signed it.
fn signed(
    accepted: &Accepted,
    origin: &str,
    anchor: &Anchor,
) -> Result<(SignedNote, Checkpoint, VerifierKey), Failure> {
    let refused = |why: String| {
        Failure::new(
            Code::VerificationFailed,
            format!("the digest of {origin} does not verify: {why}"),
        )
        .hint("nothing was written; check --key or --manifest, then ask another member")
    };
    let note =
        SignedNote::parse(accepted.note.as_slice()).map_err(|error| refused(error.to_string()))?;
    let opened = match anchor {
        Anchor::Keys(keys) => open_with(keys, &note),
        Anchor::Manifest(federation) => {
            let keys = certified(accepted, origin, federation).map_err(&refused)?;
            keys.open(&note)
                .map_err(|error| error.to_string())
                .and_then(|checkpoint| {
                    let key = keys.for_size(checkpoint.size).cloned();
                    Ok((checkpoint, key.ok_or("no certificate covers its size")?))
                })
        }
    };
    let (checkpoint, key) = opened.map_err(&refused)?;
    if checkpoint.origin != origin {
        return Err(refused(format!("it is of {}", checkpoint.origin)));
    }
    Ok((note, checkpoint, key))
}

/// The log keys that the identity in the manifest certified.
fn certified(
    accepted: &Accepted,
    origin: &str,
    federation: &Federation,
) -> Result<LogVerifiers, String> {
    let (_, member) = federation
        .member(origin)
        .ok_or_else(|| format!("the manifest names no member {origin}"))?;
    let notes: Vec<SignedNote> = accepted
        .chain
        .as_slice()
        .iter()
        .map(|note| SignedNote::parse(note.as_slice()).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let chain = verify_chain(&member.identity, &notes).map_err(|error| error.to_string())?;
    let pinned = notes.iter().map(certificate_hash);
    if !pinned
        .into_iter()
        .any(|hash| hash == member.certificate_head)
    {
        return Err("its certificates are not those that the manifest names".to_owned());
    }
    LogVerifiers::of_chain(&chain).ok_or_else(|| "it came without certificates".to_owned())
}
