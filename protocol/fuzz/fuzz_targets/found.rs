//! What strangers bring to a founding: frames, cards, tickets. What is read prints to the same bytes.
#![no_main]

use belfry_protocol::genesis::{Card, Ticket};
use belfry_protocol::wire::found::{FoundAnswer, FoundReason, FoundRequest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(request) = FoundRequest::decode(data) {
        // The minor version is the sender's.
        assert_eq!(FoundRequest::decode(&request.encode()), Ok(request));
    }
    if let Some(answer) = FoundAnswer::decode(data) {
        let same = match &answer {
            FoundAnswer::Refused { reason: FoundReason::Unknown(code), .. } => *code != 0,
            _ => true,
        };
        if same {
            assert_eq!(FoundAnswer::decode(&answer.encode()), Some(answer));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(card) = Card::parse(text) {
        assert_eq!(card.to_text(), text);
    }
    if let Ok(ticket) = Ticket::parse(text) {
        assert_eq!(Ticket::parse(&ticket.to_text()), Ok(ticket));
    }
});
