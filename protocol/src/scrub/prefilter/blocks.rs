//! Blocks of 64 bytes as bit masks, one bit for each byte, written so that the compiler vectorises it.
//! May not know what the masks are for.

/// Bytes in a block: as many as a mask has bits.
pub(super) const BLOCK_LEN: usize = 64;

/// Where a block has which kind of byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    pub(super) digit: u64,
    pub(super) letter: u64,
    pub(super) upper: u64,
    /// Letters, digits, `+`, `/`, `-` and `_`.
    pub(super) word: u64,
    /// `@`, `%`, `\` and `+`.
    pub(super) mark: u64,
    pub(super) colon: u64,
}

const DIGIT: u8 = 1;
const LETTER: u8 = 2;
const UPPER: u8 = 4;
const WORD: u8 = 8;
const MARK: u8 = 16;
const COLON: u8 = 32;

impl Masks {
    /// The masks of the block at `base`; bytes behind the end count as NUL.
    pub(super) fn at(raw: &[u8], base: usize) -> Self {
        let rest = raw.get(base..).unwrap_or_default();
        if let Some(block) = rest.first_chunk() {
            return Self::of(block);
        }
        if rest.is_empty() {
            return Self::default();
        }
        let mut block = [0; BLOCK_LEN];
        block[..rest.len()].copy_from_slice(rest);
        Self::of(&block)
    }

    fn of(block: &[u8; BLOCK_LEN]) -> Self {
        let kinds = block.map(kind);
        let mut masks = Self::default();
        for (position, eight) in kinds.chunks_exact(8).enumerate() {
            let eight = eight
                .iter()
                .rev()
                .fold(0, |word, kind| word << 8 | u64::from(*kind));
            let shift = position * 8;
            masks.digit |= gather(eight, DIGIT) << shift;
            masks.letter |= gather(eight, LETTER) << shift;
            masks.upper |= gather(eight, UPPER) << shift;
            masks.word |= gather(eight, WORD) << shift;
            masks.mark |= gather(eight, MARK) << shift;
            masks.colon |= gather(eight, COLON) << shift;
        }
        masks
    }
}

/// The kind bits of a byte, without branches.
fn kind(byte: u8) -> u8 {
    let digit = u8::from(byte.wrapping_sub(b'0') < 10);
    let upper = u8::from(byte.wrapping_sub(b'A') < 26);
    let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26);
    let plus = u8::from(byte == b'+');
    let joiner = u8::from(byte == b'/') | u8::from(byte == b'-') | u8::from(byte == b'_');
    let mark = plus | u8::from(byte == b'@') | u8::from(byte == b'%') | u8::from(byte == b'\\');
    let colon = u8::from(byte == b':');
    let word = digit | letter | plus | joiner;
    (digit * DIGIT)
        | (letter * LETTER)
        | (upper * UPPER)
        | (word * WORD)
        | (mark * MARK)
        | (colon * COLON)
}

/// Bit `i` of the result is bit `kind` of byte `i`: the product moves each to the top byte.
fn gather(eight: u64, kind: u8) -> u64 {
    let ones = (eight >> kind.trailing_zeros()) & 0x0101_0101_0101_0101;
    ones.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// A mask of a block with those of its neighbours, so that shifts see over the borders.
#[derive(Clone, Copy)]
pub(super) struct Run {
    before: u64,
    pub(super) block: u64,
    next: u64,
}

/// A block and its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) before: Masks,
    pub(super) block: Masks,
    pub(super) next: Masks,
}

impl Window {
    /// One mask of all three.
    pub(super) fn run(&self, mask: impl Fn(&Masks) -> u64) -> Run {
        Run {
            before: mask(&self.before),
            block: mask(&self.block),
            next: mask(&self.next),
        }
    }
}

impl Run {
    /// Bytes that have one of the kind `by` places before them.
    pub(super) fn prev(self, by: u32) -> u64 {
        self.block << by | self.before >> (64 - by)
    }

    /// Bytes that have one of the kind `by` places behind them.
    pub(super) fn next(self, by: u32) -> u64 {
        self.block >> by | self.next << (64 - by)
    }

    /// How many of the kind follow one another from bit `at`, counted to the end of the next block.
    pub(super) fn length(self, at: usize) -> usize {
        let own = (self.block >> at).trailing_ones() as usize;
        if at + own < BLOCK_LEN {
            own
        } else {
            own + self.next.trailing_ones() as usize
        }
    }

    /// Bytes where `length` of the kind begin, at most 32.
    pub(super) fn runs(self, length: u32) -> u64 {
        let (mut run, mut known) = (self, 1);
        while known < length {
            let by = known.min(length - known);
            run = Self {
                before: 0,
                block: run.block & run.next(by),
                next: run.next & run.next >> by,
            };
            known += by;
        }
        run.block
    }
}
