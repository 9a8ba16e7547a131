//! Reads policy files line by line. May not be more lenient than C2SP `tlog-policy`.

use super::{MAX_GROUP_MEMBERS, MAX_POLICY_BYTES, Policy, PolicyError, PolicyProblem};
use crate::note::VerifierKey;

impl Policy {
    /// Reads a policy file. Comments and spacing are not kept; printing gives the canonical form.
    ///
    /// Stricter than C2SP in one point: non-ASCII bytes must be UTF-8.
    ///
    /// # Errors
    /// [`PolicyError::Line`] or [`PolicyError::Whole`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let whole = |problem| PolicyError::Whole(PolicyProblem::Form(problem));
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(whole("it is larger than 1,000,000 bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| whole("it is not valid UTF-8"))?;
        if !text.ends_with('\n') {
            return Err(whole("the last line has no line feed"));
        }
        let mut policy = Self::new();
        let mut has_quorum = false;
        for (number, line) in text.split_terminator('\n').enumerate() {
            policy
                .read_line(line, &mut has_quorum)
                .map_err(|problem| PolicyError::Line {
                    line: number + 1,
                    problem,
                })?;
        }
        if !has_quorum {
            return Err(whole("it has no quorum line"));
        }
        Ok(policy)
    }

    fn read_line(&mut self, line: &str, has_quorum: &mut bool) -> Result<(), PolicyProblem> {
        if line.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(PolicyProblem::Form("it has a control byte other than tab"));
        }
        // Two more than a group can have: keyword, name, threshold, members, and one to see an excess.
        let items: Vec<&str> = line
            .split([' ', '\t'])
            .filter(|item| !item.is_empty())
            .take(MAX_GROUP_MEMBERS + 4)
            .collect();
        match items[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", vkey] => self.add_log(VerifierKey::parse(vkey)?, None),
            ["log", vkey, url] => self.add_log(VerifierKey::parse(vkey)?, Some(url.to_owned())),
            ["witness", name, vkey] => self.add_witness(name, VerifierKey::parse(vkey)?, None),
            ["witness", name, vkey, url] => {
                self.add_witness(name, VerifierKey::parse(vkey)?, Some(url.to_owned()))
            }
            ["group", name, threshold, ref members @ ..] => {
                self.add_group(name, read_threshold(threshold, members.len())?, members)
            }
            ["quorum", name] => {
                if std::mem::replace(has_quorum, true) {
                    return Err(PolicyProblem::Form("there is a quorum line already"));
                }
                self.set_quorum(name)
            }
            _ => Err(PolicyProblem::Form(
                "it is not a log, witness, group or quorum line",
            )),
        }
    }
}

fn read_threshold(text: &str, members: usize) -> Result<usize, PolicyProblem> {
    match text {
        "all" => Ok(members),
        "any" => Ok(1),
        number => crate::note::text::decimal(number)
            .and_then(|number| usize::try_from(number).ok())
            .ok_or(PolicyProblem::Threshold),
    }
}
