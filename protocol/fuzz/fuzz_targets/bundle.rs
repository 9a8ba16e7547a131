//! Entry bundles: the entries of what is read, pushed again, give the same bytes. The first byte is the number expected.
#![no_main]

use belfry_protocol::tlog::bundle::{BundleError, entries, exactly, push};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((expected, bundle)) = data.split_first() else {
        return;
    };
    let expected = usize::from(*expected);
    let read: Vec<_> = entries(bundle).collect();
    let good: Vec<&[u8]> = read.iter().filter_map(|entry| entry.ok()).collect();
    let mut again = Vec::new();
    for entry in &good {
        push(&mut again, entry).expect("it came out of a bundle");
    }
    if good.len() == read.len() {
        assert_eq!(again, bundle);
        assert_eq!(exactly(bundle, good.len()).as_ref(), Ok(&good));
        assert_eq!(exactly(bundle, expected).is_ok(), expected == good.len());
    } else {
        let truncated = BundleError::Truncated {
            position: good.len(),
        };
        assert_eq!(read.len(), good.len() + 1);
        assert_eq!(read.last(), Some(&Err(truncated)));
        assert!(bundle.starts_with(&again));
        assert_eq!(exactly(bundle, expected), Err(truncated));
    }
});
