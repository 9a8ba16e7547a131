//! Documents of founding and amending: what is read prints to the same bytes, and nothing becomes active for a stranger.
#![no_main]

use belfry_protocol::genesis::ceremony::{Document, VoteRecord};
use belfry_protocol::genesis::history::LedgerHistory;
use belfry_protocol::genesis::joint::Activation;
use belfry_protocol::genesis::chain::{Chain, Link, parse_chain, print_chain};
use belfry_protocol::genesis::{Statement, Strict, Verifier};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(statement) = Statement::parse(text)
    {
        assert_eq!(statement.to_string(), text);
        assert_eq!(statement.check(), Ok(()));
    }
    if let Ok(document) = Document::parse(data) {
        assert_eq!(document.to_json().as_bytes(), data);
    }
    if let Ok(record) = VoteRecord::parse(data) {
        assert_eq!(record.to_json().as_bytes(), data);
    }
    if let Ok(history) = LedgerHistory::parse(data) {
        assert_eq!(history.to_json().as_bytes(), data);
    }
    if let Ok(activation) = Activation::parse(data) {
        assert_eq!(activation.to_json().as_bytes(), data);
    }
    if let Ok(links) = parse_chain(data) {
        assert_eq!(print_chain(&links).as_bytes(), data);
    }
    if let Ok(link) = Link::parse(data)
        && let Ok(chain) = Chain::found(&link, &mut Verifier::new(Strict))
    {
        assert_eq!(chain.id(), link.manifest().hash());
    }
});
