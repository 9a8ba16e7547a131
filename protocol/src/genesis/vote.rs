//! One signed statement as it travels, lies in an entry, or is carried on a stick: the note, and for a commit the key
//! certificate of the key that signed it. May not decide whether it counts.

use super::fields::{Fields, print};
use super::{Check, GenesisError, Saying, Statement, Verifier};
use crate::entry::json::Json;
use crate::note::{SignatureLine, SignedNote, VerifierKey};

/// Value of the member `format`.
pub const VOTE_FORMAT: &str = "belfry-genesis-vote/v1";

/// Most bytes of the file: a text of 1,024 bytes, a certificate of 4,096, two signature lines of the longest name.
pub const MAX_VOTE_BYTES: usize = 8_192;

const WHAT: &str = "vote";

/// A statement with one signature. Well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vote {
    statement: Statement,
    note: SignedNote,
    certificate: Option<SignedNote>,
}

impl Vote {
    /// A vote from its note; a commit needs the certificate of the key that signed it, nothing else has one.
    ///
    /// # Errors
    /// [`GenesisError`] if the text is no statement, there is not exactly one signature, or the certificate is missing.
    pub fn new(note: SignedNote, certificate: Option<SignedNote>) -> Result<Self, GenesisError> {
        let statement = Statement::parse(note.text())?;
        if note.signatures().len() != 1 {
            return Err(GenesisError::malformed(
                WHAT,
                "it does not have exactly one signature",
            ));
        }
        if (statement.saying == Saying::Commit) != certificate.is_some() {
            return Err(GenesisError::malformed(
                WHAT,
                "a commit comes with the certificate of its key, and nothing else does",
            ));
        }
        Ok(Self {
            statement,
            note,
            certificate,
        })
    }

    /// Reads the file form; [`Vote::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// As [`Vote::new`], and for anything but the canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut fields = Fields::parse(WHAT, VOTE_FORMAT, MAX_VOTE_BYTES, bytes)?;
        let certificate = match fields.optional("certificate") {
            None => None,
            Some(Json::String(text)) => Some(SignedNote::parse(text.as_bytes())?),
            Some(_) => return Err(fields.bad("`certificate` is no string")),
        };
        let vote = Self::new(fields.note("note")?, certificate)?;
        fields.end(&vote.to_json(), bytes)?;
        Ok(vote)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let certificate = self.certificate.iter();
        let certificate = certificate.map(|note| ("certificate", Json::text(note.to_string())));
        let fields = [
            ("format", Json::text(VOTE_FORMAT)),
            ("note", Json::text(self.note.to_string())),
        ];
        print(fields.into_iter().chain(certificate))
    }

    /// What it says.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The note.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The certificate of a commit's key.
    #[must_use]
    pub fn certificate(&self) -> Option<&SignedNote> {
        self.certificate.as_ref()
    }

    /// Its one signature line.
    #[must_use]
    pub fn line(&self) -> &SignatureLine {
        &self.note.signatures()[0] // `new` is the only way to a vote, and it asks for one
    }

    /// Verifies that the member with this identity key made the statement: itself, or for a commit by a key that it vouches
    /// for.
    ///
    /// # Errors
    /// [`GenesisError::Stranger`], [`GenesisError::Signature`], or a certificate that is not the member's.
    pub fn verify<C: Check>(
        &self,
        identity: &VerifierKey,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        match &self.certificate {
            None => verifier.line(identity, self.note.text(), self.line()),
            Some(certificate) => {
                let key = verifier.envelope_key(certificate, identity, &self.statement.subject)?;
                verifier.line(&key, self.note.text(), self.line())
            }
        }
    }
}
