//! What the writer thread takes into one step, and who waits for it. May not decide what fits: only how much is enough.

use super::witness::Witnessing;
use super::{Failure, Flush, Renew, Reply, Request, StatusReply};
use belfry_protocol::engine::RequestId;
use belfry_protocol::engine::federation;
use belfry_protocol::engine::federation::witness::Logs;
use belfry_protocol::engine::ledger::Input;
use std::collections::BTreeMap;

/// Commands in one step at most: bounds the time to the first answer.
const INPUTS_PER_STEP: usize = 1_024;
/// Bundle bytes in one step at most: bounds the size of a transaction.
const BYTES_PER_STEP: usize = 8 << 20;

/// What one step takes.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) inputs: Vec<Input>,
    /// Mirrored ledgers of which more is in files.
    pub(super) mirrored: Vec<Flush>,
    pub(super) replies: BTreeMap<RequestId, Reply>,
    pub(super) bytes: usize,
    pub(super) close: bool,
    pub(super) messages: Vec<federation::Input>,
    pub(super) witnessing: Witnessing,
    pub(super) logs: Option<Box<Logs>>,
    pub(super) statuses: Vec<StatusReply>,
    pub(super) renewals: Vec<Renew>,
}

impl Taken {
    pub(super) fn add(&mut self, request: Request, reply: Reply) {
        let id = RequestId(self.inputs.len() as u64);
        self.replies.insert(id, reply);
        self.inputs.push(match request {
            Request::Append(batch) => {
                self.bytes += batch.bundle_len();
                Input::Append { request: id, batch }
            }
            Request::Erase { index, payload } => Input::Erase {
                request: id,
                index,
                payload,
            },
            Request::Retire { successor } => Input::Retire {
                request: id,
                successor,
            },
            Request::System { kind, body } => Input::System {
                request: id,
                kind,
                body,
            },
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.close
            || self.inputs.len() + self.messages.len() + self.witnessing.len() >= INPUTS_PER_STEP
            || self.bytes >= BYTES_PER_STEP
    }

    pub(super) fn fail(mut self, failure: &Failure) {
        self.witnessing.fail(failure);
        for (_, reply) in self.replies {
            reply(Err(failure.clone()));
        }
    }
}
