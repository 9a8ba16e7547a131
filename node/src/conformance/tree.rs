//! A log's tree in memory: leaves are computed from the log's secret, so nothing is kept between runs. May be branched: a
//! branch shares its first leaves with the tree and contradicts it from there on.

use super::logs::Log;
use belfry_protocol::base64;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::note::SigningKey;
use belfry_protocol::tlog::compact::{CompactRange, Node};
use belfry_protocol::tlog::hash::{Hash, empty_root, leaf_hash, sha256_parts};
use belfry_protocol::tlog::proof::{TileSource, TreeReader};
use belfry_protocol::tlog::tile::{TILE_HEIGHT, TILE_WIDTH, Tile};

/// Largest tree: 8 MiB of hashes, and rows that double a log's size can still be run a dozen times.
pub(super) const MAX_TREE: u64 = 1 << 18;

/// A tree that grows on demand.
#[derive(Clone)]
pub(super) struct Tree {
    secret: Hash,
    branch: Option<(u64, u8)>,
    edge: CompactRange,
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    pub(super) fn new(secret: Hash) -> Self {
        Self {
            secret,
            branch: None,
            edge: CompactRange::empty_at(0),
            levels: vec![Vec::new(); 4],
        }
    }

    /// A tree with the same leaves below `at` and other ones from there on.
    pub(super) fn branch(&self, at: u64, name: u8) -> Self {
        Self {
            branch: Some((at, name)),
            ..Self::new(self.secret)
        }
    }

    fn leaf(&self, index: u64) -> Hash {
        let branch = match self.branch {
            Some((at, name)) if index >= at => [1, name],
            _ => [0, 0],
        };
        let entry = sha256_parts(&[&self.secret.0, &branch, &index.to_be_bytes()]);
        leaf_hash(&entry.0)
    }

    fn grow(&mut self, size: u64) {
        while self.edge.end() < size.min(MAX_TREE) {
            let leaf = self.leaf(self.edge.end());
            let levels = &mut self.levels;
            let mut keep = |node: &Node| {
                let height = u32::from(node.height);
                let level = usize::from(node.height) / 8;
                if height.is_multiple_of(TILE_HEIGHT)
                    && let Some(row) = levels.get_mut(level)
                {
                    row.push(node.hash);
                }
            };
            keep(&Node {
                height: 0,
                index: self.edge.end(),
                hash: leaf,
            });
            self.edge.push(leaf, keep);
        }
    }

    /// The root at `size`. A size beyond [`MAX_TREE`] has none; callers stay below.
    pub(super) fn root(&mut self, size: u64) -> Hash {
        self.grow(size);
        TreeReader::new(&*self, size)
            .root()
            .unwrap_or_else(|_| empty_root())
    }

    /// The consistency proof from `old` to `size`.
    pub(super) fn proof(&mut self, old: u64, size: u64) -> Vec<Hash> {
        self.grow(size);
        TreeReader::new(&*self, size)
            .consistency(old)
            .unwrap_or_default()
    }

    /// The root of the leaves `[start, end)`, and the proof that they are a subtree of the tree of `size` entries.
    pub(super) fn part(&mut self, start: u64, end: u64, size: u64) -> (Hash, Vec<Hash>) {
        self.grow(size);
        let mut range = CompactRange::empty_at(0);
        for index in start..end {
            range.push(self.leaf(index), |_| {});
        }
        let proof = TreeReader::new(&*self, size).subtree(start, end);
        (range.root(), proof.unwrap_or_default())
    }

    /// The text of the checkpoint at `size`.
    pub(super) fn text(&mut self, log: &Log, size: u64) -> String {
        let root = self.root(size);
        let origin = log.origin().to_owned();
        Checkpoint { origin, size, root }.to_text()
    }

    /// A request that a witness whose newest size is `old` must accept.
    pub(super) fn request(&mut self, log: &Log, old: u64, size: u64) -> Request {
        let text = self.text(log, size);
        Request {
            old: old.to_string(),
            proof: self.proof(old, size).iter().map(print).collect(),
            lines: vec![sign(log.key(), &text)],
            text,
        }
    }
}

impl TileSource for Tree {
    type Error = std::convert::Infallible;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error> {
        let row = self.levels.get(usize::from(tile.level));
        let from = usize::try_from(tile.index * TILE_WIDTH).unwrap_or(usize::MAX);
        let until = from.saturating_add(usize::from(tile.width));
        let hashes = row.and_then(|row| row.get(from..until));
        Ok(hashes.unwrap_or_default().to_vec())
    }
}

/// A hash as a proof line has it.
pub(super) fn print(hash: &Hash) -> String {
    base64::encode(hash.as_bytes())
}

/// A signature line over any text, also one that is no note.
pub(super) fn sign(key: &SigningKey, text: &str) -> String {
    // An Ed25519 key signs any bytes; other keys cannot be log keys here.
    let signature = key.sign_bytes(text.as_bytes()).unwrap_or_default();
    line(key.name(), key.verifier().key_id(), &signature)
}

/// A signature line of any bytes.
pub(super) fn line(name: &str, key_id: u32, signature: &[u8]) -> String {
    let blob = [&key_id.to_be_bytes()[..], signature].concat();
    format!("\u{2014} {name} {}", base64::encode(&blob))
}

/// A request in its parts, so that each can be spoilt by itself.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) old: String,
    pub(super) proof: Vec<String>,
    pub(super) text: String,
    pub(super) lines: Vec<String>,
}

impl Request {
    /// The body as it is sent.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = format!("old {}\n", self.old);
        for line in &self.proof {
            body.push_str(line);
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.text);
        body.push('\n');
        for line in &self.lines {
            body.push_str(line);
            body.push('\n');
        }
        body.into_bytes()
    }

    /// The same with another text, signed by the log.
    pub(super) fn with_text(mut self, log: &Log, text: String) -> Self {
        self.lines = vec![sign(log.key(), &text)];
        self.text = text;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::logs::{Group, Logs};
    use belfry_protocol::tlog::verify;
    use belfry_protocol::witness::AddCheckpoint;

    #[test]
    fn proofs_verify_and_branches_contradict() {
        let logs = Logs::from_seed(&[7; 32]).unwrap();
        let log = logs.get(Group::Main).unwrap();
        let mut tree = log.tree();
        for (old, new) in [(0, 1), (1, 2), (255, 257), (256, 700), (511, 70_000)] {
            let (from, to) = (tree.root(old), tree.root(new));
            let proof = tree.proof(old, new);
            verify::consistency(old, new, &from, &to, &proof).unwrap();
        }
        let mut branch = tree.branch(300, 1);
        assert_eq!(branch.root(300), tree.root(300));
        assert_ne!(branch.root(301), tree.root(301));
        let body = tree.request(log, 300, 301).body();
        assert_eq!(AddCheckpoint::parse(&body).unwrap().old_size, 300);
    }
}
