//! `genesis.json`: what made each epoch active, from epoch 0 to the one in force. Epoch 0 alone is one link without a line feed,
//! as it always was; from epoch 1 on each link has its line. May not decide when an epoch takes effect.

use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::store::{Layout, Store};
use belfry_protocol::engine::store::{Table, Transaction};
use belfry_protocol::genesis::chain::{
    Chain, Link, MAX_CHAIN_BYTES, MAX_EPOCHS, parse_chain, print_chain, verify_ahead, verify_links,
};
use belfry_protocol::genesis::{GenesisError, Job, Remembering, Verifier};
use belfry_protocol::manifest::Federation;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A chain that was verified from epoch 0 on.
pub struct Epochs {
    /// What made each epoch active, oldest first.
    pub links: Vec<Link>,
    /// What follows from them.
    pub chain: Chain,
}

impl Epochs {
    /// Reads the file of a chain, or of epoch 0 alone, and verifies all of it.
    ///
    /// # Errors
    /// [`GenesisError`] for the first link that does not hold.
    pub fn verify(bytes: &[u8]) -> Result<Self, GenesisError> {
        // A chain is lines; a single manifest may come without the last line feed.
        let links = match bytes.ends_with(b"\n") {
            true => read(bytes)?,
            false => vec![Link::parse(bytes)?],
        };
        let chain = match verify_ahead(&links)?.settle(all_right) {
            Some(chain) => chain,
            // One by one, to say which is wrong.
            None => verify_links(&links, &mut Verifier::new(Remembering::default()))?,
        };
        Ok(Self { links, chain })
    }

    /// The chain of a directory, if it has one.
    ///
    /// # Errors
    /// When it cannot be read or does not verify.
    pub fn read(layout: &Layout) -> Result<Option<Self>, Failure> {
        let path = layout.genesis();
        match std::fs::read(&path) {
            Ok(bytes) => Self::verify(&bytes)
                .map(Some)
                .map_err(|error| refused(layout, &error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The federation in each epoch, oldest first.
    ///
    /// # Errors
    /// When a manifest breaks a rule; one that was verified does not.
    pub fn federations(&self) -> Result<Vec<Federation>, Failure> {
        let of = |link: &Link| Federation::new(self.chain.id(), link.manifest().clone());
        let all: Result<_, _> = self.links.iter().map(of).collect();
        all.map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))
    }

    /// The federation in the newest epoch.
    ///
    /// # Errors
    /// As [`Epochs::federations`].
    pub fn newest(&self) -> Result<Federation, Failure> {
        Federation::new(self.chain.id(), self.chain.manifest().clone())
            .map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))
    }
}

/// The federation of the newest epoch in a chain's file.
///
/// # Errors
/// [`GenesisError`].
pub fn newest(bytes: &[u8]) -> Result<Federation, GenesisError> {
    let epochs = Epochs::verify(bytes)?;
    Ok(Federation::new(
        epochs.chain.id(),
        epochs.chain.manifest().clone(),
    )?)
}

/// Fewer bytes of a chain are read on one core.
const SMALL: usize = 65_536;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads the lines of a chain, a long one on all cores. What is wrong is said by [`parse_chain`] of the whole.
fn read(bytes: &[u8]) -> Result<Vec<Link>, GenesisError> {
    if bytes.len() < SMALL || bytes.len() > MAX_CHAIN_BYTES {
        return parse_chain(bytes);
    }
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let share = (bytes.len() / cores()).clamp(1, rest.len());
        let mut ends = rest[share - 1..].iter();
        let line = ends.position(|byte| *byte == b'\n');
        let (part, after) = rest.split_at(line.map_or(rest.len(), |at| share + at));
        parts.push(part);
        rest = after;
    }
    let links: Option<Vec<Vec<Link>>> = std::thread::scope(|scope| {
        let parts = parts.into_iter();
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(|| parse_chain(part)))
            .collect();
        let read = parts.into_iter().map(|part| part.join().ok()?.ok());
        read.collect()
    });
    match links.map(|links| links.concat()) {
        Some(links) if links.len() <= MAX_EPOCHS => Ok(links),
        _ => parse_chain(bytes),
    }
}

/// Checks signatures on all cores: a long chain has thousands.
fn all_right(jobs: &[Job]) -> bool {
    let cores = cores();
    let share = jobs.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = jobs
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().all(Job::is_right)))
            .collect();
        // The scope waits for all of them.
        let mut right = parts.into_iter().map(|part| part.join().unwrap_or(false));
        right.all(|right| right)
    })
}

pub(super) fn refused(layout: &Layout, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Code::VerificationFailed,
        format!("{}: {error}", layout.genesis().display()),
    )
    .hint("the manifests must be those that the members signed; get the file again from another member")
}

/// The file of these links.
#[must_use]
pub fn print(links: &[Link]) -> String {
    match links {
        [founding] => founding.to_json(),
        all => print_chain(all),
    }
}

/// The file as its links: each line, or the whole of one without lines.
pub fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// Writes the file: whole, durable, or not at all. Half a manifest would stop every later start.
///
/// # Errors
/// When the disk fails.
pub fn write(layout: &Layout, disk: &dyn Disk, file: &[u8]) -> Result<(), Failure> {
    let temporary = layout.genesis().with_extension("json.new");
    disk.write(&temporary, file)?;
    disk.sync_files(std::slice::from_ref(&temporary))?;
    disk.rename(&temporary, &layout.genesis())?;
    disk.sync_dirs(&BTreeSet::from([layout.dir().to_path_buf()]))?;
    Ok(())
}

/// Whether an epoch takes effect at this time, once those before it have.
#[must_use]
pub fn is_due(link: &Link, now_seconds: u64) -> bool {
    let effective = link.manifest().effective_seconds;
    effective.is_none_or(|at| at <= now_seconds)
}

/// What made the epochs from `from` on active, as this node saw it.
///
/// # Errors
/// When the store fails or holds something damaged.
pub fn kept<T: Transaction>(tx: &T, from: u64) -> Result<Vec<Link>, Failure> {
    let rows = tx.rows(Table::Manifests, &from.to_be_bytes(), MAX_EPOCHS)?;
    let links = rows.iter().map(|(_, json)| Link::parse(json));
    let links: Result<_, GenesisError> = links.collect();
    links.map_err(|error| Failure::new(Code::Damaged, format!("a manifest in ledger.db: {error}")))
}

/// Makes good what a crash left undone: epochs that are active and due, and not in `genesis.json` yet. Returns how many.
///
/// # Errors
/// When the disk fails.
pub fn catch_up(
    layout: &Layout,
    store: &mut Store,
    disk: &Arc<dyn Disk>,
    now_seconds: u64,
) -> Result<usize, Failure> {
    let Some(mut epochs) = Epochs::read(layout)? else {
        return Ok(0);
    };
    let from = epochs.chain.manifest().epoch.saturating_add(1);
    let kept = kept(&store.begin_reading()?, from)?;
    let mut verifier = Verifier::new(Remembering::default());
    let mut taken = 0;
    for link in kept
        .into_iter()
        .take_while(|link| is_due(link, now_seconds))
    {
        let extended = epochs.chain.extend(&link, &mut verifier);
        extended.map_err(|error| refused(layout, &error))?;
        epochs.links.push(link);
        taken += 1;
    }
    if taken > 0 {
        write(layout, disk.as_ref(), print(&epochs.links).as_bytes())?;
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::testing::found;

    /// A chain that is long enough for several cores is read as it is on one, whole or cut anywhere.
    #[test]
    fn a_long_chain_reads_the_same_on_all_cores() {
        let line = found(3).file + "\n";
        let lines = SMALL / line.len() + 3;
        let file = line.repeat(lines);
        assert!(file.len() > SMALL);
        let all = read(file.as_bytes()).unwrap();
        assert_eq!(all.len(), lines);
        assert_eq!(all, parse_chain(file.as_bytes()).unwrap());
        for cut in [1, 2, line.len() / 2, line.len() - 1] {
            let torn = &file.as_bytes()[..file.len() - cut];
            assert_eq!(read(torn).unwrap_err(), parse_chain(torn).unwrap_err());
        }
        let many = line.repeat(MAX_EPOCHS + 1);
        assert_eq!(
            read(many.as_bytes()).unwrap_err(),
            parse_chain(many.as_bytes()).unwrap_err()
        );
    }
}
