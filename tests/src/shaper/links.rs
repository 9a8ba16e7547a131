//! What happens to a packet between two nodes: it is late, lost, doubled, spoiled, or the way is cut. By a seed, so that
//! the same packets have the same fates. May not know of time, devices or threads.

use std::time::Duration;

/// Parts of a million: the unit of all odds.
const MILLION: u64 = 1_000_000;
/// Bytes of an IPv4 header without options; what spoils a packet hits behind it, else nobody would be asked to read it.
pub(super) const HEADER_BYTES: usize = 20;

/// What arrives of one packet, and how much later.
pub type Fate = Vec<(Duration, Vec<u8>)>;

/// One direction between two nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Every packet takes at least so long.
    pub delay: Duration,
    /// And so much more, evenly drawn; packets may overtake each other.
    pub jitter: Duration,
    /// How many of a million packets are lost.
    pub lost_ppm: u32,
    /// How many of a million packets arrive twice.
    pub doubled_ppm: u32,
    /// How many of a million packets have a bit turned over.
    pub spoiled_ppm: u32,
    /// Nothing arrives.
    pub cut: bool,
}

/// What happened to the packets of one direction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets sent off.
    pub sent: u64,
    /// Packets lost by chance.
    pub lost: u64,
    /// Packets that arrived twice.
    pub doubled: u64,
    /// Packets with a bit turned over.
    pub spoiled: u64,
    /// Packets that met a cut.
    pub cut: u64,
}

/// Numbers by a seed (splitmix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn happens(&mut self, ppm: u32) -> bool {
        self.below(MILLION) < u64::from(ppm)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.below(nanoseconds + 1))
    }
}

struct Way {
    link: Link,
    counts: Counts,
    /// Its own, so that traffic on one way changes nothing on another.
    random: Random,
}

/// All directions between some nodes.
pub struct Links {
    nodes: usize,
    ways: Vec<Way>,
}

impl Links {
    /// Perfect links between so many nodes.
    #[must_use]
    pub fn new(nodes: usize, seed: u64) -> Self {
        let mut seeds = Random(seed);
        let way = |_| Way {
            link: Link::default(),
            counts: Counts::default(),
            random: Random(seeds.next()),
        };
        let ways = (0..nodes * nodes).map(way).collect();
        Self { nodes, ways }
    }

    fn way(&mut self, from: usize, to: usize) -> &mut Way {
        assert!(
            from < self.nodes && to < self.nodes,
            "no node {from} or {to}"
        );
        &mut self.ways[from * self.nodes + to]
    }

    /// Changes one direction, from the next packet on.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn change(&mut self, from: usize, to: usize, change: impl FnOnce(&mut Link)) {
        change(&mut self.way(from, to).link);
    }

    /// What happened on one direction so far.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn counts(&mut self, from: usize, to: usize) -> Counts {
        self.way(from, to).counts
    }

    /// What arrives of a packet, and how much later: nothing, it, or it twice.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn fate(&mut self, from: usize, to: usize, packet: &[u8]) -> Fate {
        let Way {
            link,
            counts,
            random,
        } = self.way(from, to);
        counts.sent += 1;
        if link.cut {
            counts.cut += 1;
            return Vec::new();
        }
        // Every packet draws the same numbers, so that a change of one of the odds changes no other fate.
        let lost = random.happens(link.lost_ppm);
        let doubled = random.happens(link.doubled_ppm);
        let spoiled = random.happens(link.spoiled_ppm);
        let late = [(); 2].map(|()| link.delay + random.up_to(link.jitter));
        let (place, bit) = (random.next(), random.below(8));
        if lost {
            counts.lost += 1;
            return Vec::new();
        }
        let mut bytes = packet.to_vec();
        let behind = bytes.len().saturating_sub(HEADER_BYTES);
        if let Some(length) = u64::try_from(behind)
            .ok()
            .filter(|length| spoiled && *length > 0)
        {
            let at = HEADER_BYTES + usize::try_from(place % length).unwrap_or(0);
            bytes[at] ^= 1 << bit;
            counts.spoiled += 1;
        }
        counts.doubled += u64::from(doubled);
        let copies = 1 + usize::from(doubled);
        late[..copies]
            .iter()
            .map(|late| (*late, bytes.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: u64 = 20_000;

    fn run(seed: u64, change: impl Fn(&mut Link)) -> (Vec<Fate>, Counts) {
        let mut links = Links::new(3, seed);
        links.change(0, 2, change);
        let packet = |n: u64| [[7; HEADER_BYTES].as_slice(), &n.to_be_bytes()].concat();
        let fates = (0..PACKETS).map(|n| links.fate(0, 2, &packet(n))).collect();
        (fates, links.counts(0, 2))
    }

    fn bad(link: &mut Link) {
        link.delay = Duration::from_millis(50);
        link.jitter = Duration::from_millis(10);
        link.lost_ppm = 20_000;
        link.doubled_ppm = 10_000;
        link.spoiled_ppm = 5_000;
    }

    #[test]
    fn a_seed_decides_every_fate() {
        assert_eq!(run(7, bad), run(7, bad));
        assert_ne!(run(7, bad).0, run(8, bad).0);
    }

    #[test]
    fn odds_are_kept() {
        let (fates, counts) = run(1, bad);
        let near = |got: u64, ppm: u64| {
            let wanted = PACKETS * ppm / MILLION;
            assert!(got.abs_diff(wanted) < wanted / 3, "{got}, wanted {wanted}");
        };
        near(counts.lost, 20_000);
        near(counts.doubled, 10_000);
        near(counts.spoiled, 5_000);
        let lost = fates.iter().filter(|fate| fate.is_empty()).count();
        assert_eq!(u64::try_from(lost).unwrap(), counts.lost);
        let late = || fates.iter().flatten().map(|(late, _)| *late);
        let (least, most) = (late().min().unwrap(), late().max().unwrap());
        assert!(least >= Duration::from_millis(50) && least < Duration::from_millis(51));
        assert!(most <= Duration::from_millis(60) && most > Duration::from_millis(59));
    }

    #[test]
    fn a_cut_is_one_way_and_ends() {
        let mut links = Links::new(2, 1);
        links.change(0, 1, |link| link.cut = true);
        assert!(links.fate(0, 1, &[1; 40]).is_empty());
        assert_eq!(links.fate(1, 0, &[1; 40]).len(), 1);
        links.change(0, 1, |link| link.cut = false);
        assert_eq!(links.fate(0, 1, &[1; 40]).len(), 1);
        assert_eq!((links.counts(0, 1).sent, links.counts(0, 1).cut), (2, 1));
    }

    #[test]
    fn what_spoils_a_packet_turns_one_bit_behind_its_header() {
        let (fates, counts) = run(3, |link| link.spoiled_ppm = 1_000_000);
        assert_eq!(counts.spoiled, PACKETS);
        for (n, fate) in (0..PACKETS).zip(&fates) {
            let [(_, bytes)] = fate.as_slice() else {
                panic!("{fate:?}")
            };
            let (header, rest) = bytes.split_at(HEADER_BYTES);
            let rest = u64::from_be_bytes(rest.try_into().unwrap());
            assert_eq!((header, (rest ^ n).count_ones()), ([7; 20].as_slice(), 1));
        }
        assert!(Links::new(1, 1).fate(0, 0, &[1; 3]).len() == 1);
    }
}
