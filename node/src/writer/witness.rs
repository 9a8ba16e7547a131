//! Checkpoints and entries that come over HTTP, on their way through the writer thread: many share one step and one sync. May not
//! decide anything about them.

use super::Failure;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::federation::checks::Checks;
use belfry_protocol::engine::federation::witness::{Answer, Upload};
use belfry_protocol::witness::{AddCheckpoint, SignSubtree};

/// What comes over HTTP for a tower to sign.
pub enum WitnessRequest {
    /// A checkpoint to cosign, with the signatures that are known to be right.
    Checkpoint(Box<AddCheckpoint>, Checks),
    /// A subtree to sign, with the signatures that are known to be right.
    Subtree(Box<SignSubtree>, Checks),
    /// Entries to hold.
    Entries(Box<Upload>),
}

impl WitnessRequest {
    /// Bytes that it brings into a transaction.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Checkpoint(..) | Self::Subtree(..) => 0,
            Self::Entries(upload) => upload.packages.iter().map(|one| one.entries.len()).sum(),
        }
    }
}

/// Called once, on the writer thread, when the answer is durable: it must not block.
pub type WitnessReply = Box<dyn FnOnce(Result<Answer, Failure>) + Send>;

/// The checkpoints of one step and who waits for them.
#[derive(Default)]
pub(super) struct Witnessing {
    inputs: Vec<Input>,
    replies: Vec<Option<WitnessReply>>,
}

impl Witnessing {
    pub(super) fn add(&mut self, asked: WitnessRequest, reply: WitnessReply) {
        let id = self.replies.len() as u64;
        self.inputs.push(match asked {
            WitnessRequest::Checkpoint(request, checks) => Input::AddCheckpoint {
                id,
                request,
                checks,
            },
            WitnessRequest::Subtree(request, checks) => Input::SignSubtree {
                id,
                request,
                checks,
            },
            WitnessRequest::Entries(upload) => Input::AddEntries { id, upload },
        });
        self.replies.push(Some(reply));
    }

    pub(super) fn len(&self) -> usize {
        self.replies.len()
    }

    /// The engine's inputs; each is answered by its place.
    pub(super) fn take_inputs(&mut self) -> Vec<Input> {
        std::mem::take(&mut self.inputs)
    }

    pub(super) fn answer(&mut self, id: u64, answer: Answer) {
        let reply = usize::try_from(id)
            .ok()
            .and_then(|at| self.replies.get_mut(at)?.take());
        if let Some(reply) = reply {
            reply(Ok(answer));
        }
    }

    /// Answers everybody who waits with a failure.
    pub(super) fn fail(&mut self, failure: &Failure) {
        for reply in self.replies.iter_mut().filter_map(Option::take) {
            reply(Err(failure.clone()));
        }
    }
}
