//! Entry bundles of C2SP tlog-tiles: entries with 16-bit big-endian length prefixes, one after another.
//! May not look inside an entry.

/// Largest entry in bytes: what a 16-bit length can say.
pub const MAX_ENTRY_LEN: usize = 65_535;

/// Why bundle bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The bytes end within an entry.
    #[error("the bundle ends within entry {position}")]
    Truncated {
        /// Position of the entry within the bundle.
        position: usize,
    },
    /// Another number of entries than expected.
    #[error("the bundle has {found} entries instead of {expected}")]
    WrongCount {
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// An entry is longer than a bundle can hold.
    #[error("an entry of {length} bytes does not fit: the limit is 65,535 bytes")]
    TooLong {
        /// Length of the entry in bytes.
        length: usize,
    },
}

/// Appends one entry to bundle bytes.
///
/// # Errors
/// When the entry is too long; nothing is written then.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let length = u16::try_from(entry.len()).map_err(|_| BundleError::TooLong {
        length: entry.len(),
    })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in order; the iterator ends after the first error.
pub fn entries(bundle: &[u8]) -> impl Iterator<Item = Result<&[u8], BundleError>> {
    let mut rest = bundle;
    let mut position = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = rest.split_first_chunk::<2>().and_then(|(length, tail)| {
            tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let Some((entry, tail)) = entry else {
            rest = &[];
            return Some(Err(BundleError::Truncated { position }));
        };
        rest = tail;
        position += 1;
        Some(Ok(entry))
    })
}

/// The entries of a bundle that must hold exactly `expected` of them.
///
/// # Errors
/// When the bundle is truncated or has another number of entries.
pub fn exactly(bundle: &[u8], expected: usize) -> Result<Vec<&[u8]>, BundleError> {
    let list = entries(bundle).collect::<Result<Vec<_>, _>>()?;
    if list.len() == expected {
        Ok(list)
    } else {
        Err(BundleError::WrongCount {
            found: list.len(),
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_back(list in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), cut in 0usize..800) {
            let mut bytes = Vec::new();
            for entry in &list { push(&mut bytes, entry).unwrap(); }
            prop_assert_eq!(exactly(&bytes, list.len()).unwrap(), list.iter().map(Vec::as_slice).collect::<Vec<_>>());
            if cut < bytes.len() {
                prop_assert!(exactly(&bytes[..cut], list.len()).is_err());
            }
        }
    }

    #[test]
    fn an_entry_over_the_limit_is_refused() {
        let mut bytes = vec![];
        assert_eq!(
            push(&mut bytes, &vec![0; 65_536]),
            Err(BundleError::TooLong { length: 65_536 })
        );
        assert!(bytes.is_empty());
        push(&mut bytes, &vec![0; 65_535]).unwrap();
    }
}
