//! Founding a federation (R14): a node without a manifest, and the others of its draft, until all of them agreed on epoch 0. And
//! amending it: the same vote at each member, beside its engine.
//! The votes are [`belfry_protocol::genesis::ceremony`]'s; here are the keys, the store, the network and the humans. May not
//! decide what this node may vote.
//!
//! | file | holds |
//! |---|---|
//! | [`draft`] | `founding.json`, `guests.json`: the lineage, who came, tickets that were given |
//! | `desk` | one step: store, commit, signatures, entries, and again until nothing is owed |
//! | `guests` | tickets and cards: who may be in the draft |
//! | `amendment`, `recovery_keys` | what an amendment is to change, as a manifest |
//! | `clerk` | what operators ask: propose, sign, refuse, invite |
//! | `exchange` | `/belfry/found/1`: what the others lack, and what they have |
//! | `talk` | what the others say, and what they are answered |
//! | `wishes` | what operators asked, done |
//! | `task` | the thread between them |
//! | `member` | the same at a member, over the network of its engine |
//! | `epochs` | what became active, and when it takes effect |
//! | `view` | how things stand, as JSON |

mod amendment;
mod clerk;
mod desk;
pub mod draft;
mod epochs;
mod exchange;
mod guests;
mod member;
mod recovery_keys;
mod talk;
mod task;
mod view;
mod wishes;

pub use amendment::AmendPlan;
pub use clerk::{Ask, Wish};
pub use member::{Amending, amend};
pub use task::{Founding, Table, start};
pub(crate) use view::change as shown_change;
