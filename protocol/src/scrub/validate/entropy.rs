//! Shannon entropy against a threshold, in whole numbers: a float's last bit differs between platforms, and two
//! nodes must scrub a text alike.

/// Longest text measured; longer ones are cut.
const LENGTH_MAX: usize = 128;

/// Whether `text` has at least `tenths` tenths of a bit of entropy for each character.
pub(in crate::scrub) fn at_least(text: &[u8], tenths: u64) -> bool {
    let text = &text[..text.len().min(LENGTH_MAX)];
    if text.is_empty() {
        return false;
    }
    let mut counts = [0u64; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len() as u64;
    let own: u64 = counts
        .iter()
        .filter(|count| **count > 1)
        .map(|count| count * log2(*count))
        .sum();
    let whole = length * log2(length);
    // length * entropy = length * log2(length) - sum of count * log2(count)
    (whole - own) * 10 >= tenths * length * ONE
}

/// 1 in fixed point.
const ONE: u64 = 1 << 16;

/// Binary logarithm in fixed point, by squaring.
fn log2(of: u64) -> u64 {
    let whole = of.ilog2();
    let mut rest = (of << 31) >> whole;
    let mut result = u64::from(whole) * ONE;
    let mut bit = ONE / 2;
    while bit > 0 {
        rest = (rest * rest) >> 31;
        if rest >= 1 << 32 {
            rest >>= 1;
            result += bit;
        }
        bit /= 2;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_formula() {
        for n in 1..=128u64 {
            let exact = (n as f64).log2() * 65536.0;
            assert!((log2(n) as f64 - exact).abs() < 2.0, "{n}");
        }
        assert!(!at_least(b"aaaaaaaa", 1));
        assert!(at_least(b"abcdefgh", 30));
        assert!(!at_least(b"abcdefgh", 31));
        assert!(!at_least(b"", 0));
    }
}
