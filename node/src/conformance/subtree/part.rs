//! A request for a subtree in its parts, and what must be in the answer to it.

use crate::conformance::report::Verdict;
use crate::conformance::suite::{Suite, told};
use crate::conformance::tree::{Request, Tree, print};
use crate::web::Answer;
use belfry_protocol::cosignature::subtree::{self, Subtree};
use belfry_protocol::cosignature::timestamp;
use belfry_protocol::note::SignatureLine;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::witness::parse_cosignatures;

/// Bytes of an ML-DSA-44 cosignature: a time and a signature.
const ML_DSA_BYTES: usize = 8 + 2_420;

/// A checkpoint with the lines that the witness answered.
#[derive(Clone)]
pub(in crate::conformance) struct Reference {
    pub(super) text: String,
    pub(super) lines: Vec<String>,
}

impl Reference {
    /// What came of a request; without lines if it was not cosigned.
    pub(in crate::conformance) fn of(request: &Request, answer: &Result<Answer, String>) -> Self {
        let body = answer.as_ref().map_or(&[][..], |answer| &answer.body);
        let lines = String::from_utf8_lossy(body);
        Self {
            text: request.text.clone(),
            lines: lines.lines().map(str::to_owned).collect(),
        }
    }
}

/// A request in its parts, so that each can be spoilt by itself.
#[derive(Clone)]
pub(in crate::conformance) struct Part {
    /// What a right answer signs.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) root: Hash,
    pub(super) range: String,
    pub(super) hash: String,
    pub(super) proof: Vec<String>,
    pub(super) gap: &'static str,
    pub(super) text: String,
    pub(super) lines: Vec<String>,
}

impl Part {
    /// A request for `[start, end)` that a witness which cosigned `reference`, of `size` entries, must sign.
    pub(in crate::conformance) fn new(
        tree: &mut Tree,
        reference: &Reference,
        start: u64,
        end: u64,
        size: u64,
    ) -> Self {
        let (root, proof) = tree.part(start, end, size);
        Self {
            start,
            end,
            root,
            range: format!("subtree {start} {end}\n"),
            hash: print(&root),
            proof: proof.iter().map(print).collect(),
            gap: "\n",
            text: reference.text.clone(),
            lines: reference.lines.clone(),
        }
    }

    /// The body as it is sent.
    pub(in crate::conformance) fn body(&self) -> Vec<u8> {
        let mut body = format!("{}{}\n", self.range, self.hash);
        for line in &self.proof {
            body.push_str(line);
            body.push('\n');
        }
        body.push_str(self.gap);
        body.push_str(&self.text);
        body.push('\n');
        for line in &self.lines {
            body.push_str(line);
            body.push('\n');
        }
        body.into_bytes()
    }

    fn origin(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// Whether an answer says that subtrees are not signed here.
pub(super) fn is_not_offered(answer: &Result<Answer, String>) -> bool {
    matches!(answer, Ok(answer) if matches!(answer.status, 404 | 405 | 501))
}

pub(super) fn not_offered(answer: &Result<Answer, String>) -> String {
    format!(
        "not offered: sign-subtree is optional, and was answered {}",
        told(answer)
    )
}

impl Suite<'_> {
    /// Writes a row down for a subtree that must be signed; skipped where none is.
    pub(in crate::conformance) fn expect_signed(
        &mut self,
        id: &'static str,
        answer: &Result<Answer, String>,
        part: &Part,
    ) {
        if is_not_offered(answer) {
            return self.record(id, Verdict::Skipped, not_offered(answer));
        }
        match self.signed(answer, part) {
            Ok((got, _)) => self.record(id, Verdict::Pass, got),
            Err(problem) => self.record(id, Verdict::Fail, problem),
        }
    }

    /// Judges an answer with subtree cosignatures; the lines in it.
    pub(super) fn signed(
        &self,
        answer: &Result<Answer, String>,
        part: &Part,
    ) -> Result<(String, Vec<SignatureLine>), String> {
        let good = match answer {
            Ok(good) if good.status == 200 => good,
            _ => return Err(told(answer)),
        };
        let lines = parse_cosignatures(&good.body).map_err(|error| format!("200: {error}"))?;
        let tree = Subtree {
            origin: part.origin(),
            start: part.start,
            end: part.end,
            root: part.root,
        };
        let mut verified = 0;
        for line in &lines {
            let known = self
                .keys()
                .iter()
                .find(|key| key.name() == line.name() && key.key_id() == line.key_id());
            if let Some(key) = known {
                subtree::verify(&tree, line, key).map_err(|error| format!("200: {error}"))?;
                verified += 1;
            } else if line.signature().len() == ML_DSA_BYTES && timestamp(line) != Some(0) {
                return Err(format!("200: the line of {} has a time", line.name()));
            }
        }
        let can_verify = self
            .keys()
            .iter()
            .any(|key| key.algorithm().signs_subtrees());
        let got = match (can_verify, verified) {
            (true, 0) => return Err("200: no line is by a key of the witness".to_owned()),
            (true, _) => format!("200, {verified} of {} lines verified", lines.len()),
            (false, _) => format!(
                "200, {} lines, not verified without a --witness-key of type 0x06",
                lines.len()
            ),
        };
        Ok((got, lines))
    }
}
