//! How much the engine keeps in memory, beside how much it may: for whoever watches that peers cannot make it grow
//! (S8 of the simulator). Reads only.

use super::Engine;
use super::forks::{MAX_CLAIMS, MAX_QUESTIONS};
use super::hello::MAX_PEERS;

/// Requests of one's own on their way to one peer, beside those that name a ledger: hello, recover, marks, certificates,
/// forks, two prepares and two digests with one repetition each.
const REQUESTS_PER_PEER: usize = 16;

/// One list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What is in it.
    pub what: &'static str,
    /// How much is in it now.
    pub count: usize,
    /// How much may be.
    pub at_most: usize,
}

impl Engine {
    /// The lists that what others send can make longer.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let v = &self.volatile;
        let members = self.settings.members.count();
        let (claims, questions, behind) = v.forks.sizes();
        let most_questions = members * MAX_QUESTIONS;
        let one = |what, count, at_most| Kept {
            what,
            count,
            at_most,
        };
        vec![
            one("peers", v.peers.len(), MAX_PEERS),
            one(
                "requests on their way",
                v.asked.len(),
                v.peers.len() * (REQUESTS_PER_PEER + members) + most_questions,
            ),
            one("fetches", v.fetches.len(), members),
            one("digests told again", v.passed_on.len(), members * members),
            one("claims", claims, members * MAX_CLAIMS),
            one("questions", questions, most_questions),
            one("ledgers behind", behind, members),
        ]
    }
}
