//! Bodies of `add-entries`: what is read prints to exactly the same bytes.
#![no_main]

use belfry_protocol::upload::{Package, UploadHead, parse_info, print_info};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((size, next, ticket)) = parse_info(data) {
        assert_eq!(print_info(size, next, &ticket).as_bytes(), data);
    }
    let Ok(Some((head, mut at))) = UploadHead::parse(data) else {
        return;
    };
    assert_eq!(head.to_bytes(), &data[..at]);
    let mut from = head.start;
    while let Some(range) = head.range_from(from) {
        let Ok(Some((package, length))) = Package::parse(&data[at..], range) else {
            return;
        };
        assert_eq!(package.to_bytes(), &data[at..at + length]);
        at += length;
        from = range.1;
    }
});
