//! Tile coordinates and paths of C2SP tlog-tiles. Arithmetic only: knows no file and no hash.

use super::MAX_SIZE;

/// Tree levels in one tile.
pub const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;
/// Highest tile level of a tree below 2^63 leaves.
pub const MAX_TILE_LEVEL: u8 = 7;

/// One hash tile: `width` hashes, the first `width` nodes of tile `index` at `level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// Tile level: level 0 holds leaf hashes, level 1 the roots of full level 0 tiles.
    pub level: u8,
    /// Position of the tile within its level.
    pub index: u64,
    /// Number of hashes, 1 to 256; 256 is a full tile.
    pub width: u16,
}

/// One entry bundle: `width` entries, the first `width` of bundle `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bundle {
    /// Position of the bundle.
    pub index: u64,
    /// Number of entries, 1 to 256; 256 is a full bundle.
    pub width: u16,
}

/// What a tlog-tiles path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `tile/<L>/<N>[.p/<W>]`
    Tile(Tile),
    /// `tile/entries/<N>[.p/<W>]`
    Entries(Bundle),
}

/// Number of hashes that a tree of `size` leaves has at tile level `level`, complete ones only.
#[must_use]
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(TILE_HEIGHT * u32::from(level))
        .unwrap_or(0)
}

/// Width of tile `index` at `level` in a tree of `size` leaves: 0 (absent) to 256 (full).
#[must_use]
pub fn width_of(level: u8, index: u64, size: u64) -> u16 {
    let first = index.saturating_mul(TILE_WIDTH);
    let width = hashes_at(level, size).saturating_sub(first).min(TILE_WIDTH);
    u16::try_from(width).unwrap_or(256)
}

impl Tile {
    /// The tile `index` at `level` as a tree of `size` leaves has it; `None` where it has none.
    #[must_use]
    pub fn of_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        match width_of(level, index, size) {
            0 => None,
            width => Some(Self {
                level,
                index,
                width,
            }),
        }
    }

    /// Whether all 256 hashes are there.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The path below the log's prefix, e.g. `tile/0/x001/067.p/8`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, numbered(self.index, self.width))
    }
}

impl Bundle {
    /// The bundle `index` as a tree of `size` leaves has it; `None` where it has none.
    #[must_use]
    pub fn of_tree(index: u64, size: u64) -> Option<Self> {
        match width_of(0, index, size) {
            0 => None,
            width => Some(Self { index, width }),
        }
    }

    /// Whether all 256 entries are there.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The path below the log's prefix, e.g. `tile/entries/x001/067.p/8`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/entries/{}", numbered(self.index, self.width))
    }
}

/// Reads the path of a tile or bundle; `None` for anything but the canonical spelling.
#[must_use]
pub fn parse_path(path: &str) -> Option<Resource> {
    let rest = path.strip_prefix("tile/")?;
    let (kind, rest) = rest.split_once('/')?;
    let (number, width) = match rest.split_once(".p/") {
        None => (rest, 256),
        Some((number, width)) => {
            let parsed: u16 = width.parse().ok()?;
            if !(1..256).contains(&parsed) || parsed.to_string() != width {
                return None;
            }
            (number, parsed)
        }
    };
    let index = parse_number(number)?;
    if kind == "entries" {
        return Some(Resource::Entries(Bundle { index, width }));
    }
    let level: u8 = kind.parse().ok()?;
    if level > 63 || level.to_string() != kind {
        return None;
    }
    Some(Resource::Tile(Tile {
        level,
        index,
        width,
    }))
}

fn numbered(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if u64::from(width) < TILE_WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

fn parse_number(text: &str) -> Option<u64> {
    let mut value: u64 = 0;
    let groups: Vec<&str> = text.split('/').collect();
    let last = groups.len() - 1;
    for (position, group) in groups.iter().enumerate() {
        let digits = if position < last {
            group.strip_prefix('x')?
        } else {
            group
        };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        value = value.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    let canonical = value <= MAX_SIZE && numbered(value, 256) == text;
    canonical.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = Tile {
            level: 0,
            index: 1_234_067,
            width: 256,
        };
        assert_eq!(tile.path(), "tile/0/x001/x234/067");
        assert_eq!(Tile { width: 8, ..tile }.path(), "tile/0/x001/x234/067.p/8");
        assert_eq!(
            Bundle {
                index: 5,
                width: 256
            }
            .path(),
            "tile/entries/005"
        );
    }

    #[test]
    fn only_canonical_paths_are_read() {
        for path in [
            "tile/0/x001/x234/067.p/8",
            "tile/7/000",
            "tile/entries/x010/000.p/255",
        ] {
            let printed = match parse_path(path).unwrap() {
                Resource::Tile(tile) => tile.path(),
                Resource::Entries(bundle) => bundle.path(),
            };
            assert_eq!(printed, path);
        }
        for path in [
            "tile/0/67",
            "tile/00/067",
            "tile/0/x000/067",
            "tile/0/067.p/256",
            "tile/0/067.p/0",
            "tile/0/067.p/08",
            "tile/64/000",
            "tile/0/x1/067",
            "tile/data/000",
            "tile/0/../067",
            "tile/0/",
            "tile/0/x001/x234",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(parse_path(path), None, "{path}");
        }
    }

    #[test]
    fn widths_follow_the_example_of_seventy_thousand_entries() {
        assert_eq!(width_of(0, 273, 70_000), 112);
        assert_eq!(width_of(1, 1, 70_000), 17);
        assert_eq!(width_of(2, 0, 70_000), 1);
        assert_eq!(width_of(3, 0, 70_000), 0);
        assert_eq!(width_of(0, 0, 256), 256);
        assert_eq!(width_of(1, 0, 256), 1);
    }
}
