//! Signed manifests: the note that members sign with their identity keys, the file that carries both, and the founding.
//! May not verify later epochs: which signatures they need depends on the votes of the epoch before (R14).

use super::json::Fields;
use super::{Manifest, ManifestError, Member};
use crate::entry::json::{Json, write_string};
use crate::note::{NoteError, SignatureLine, SignedNote};
use crate::tlog::hash::Hash;

/// First line of the text that members sign.
pub const GENESIS_HEADER: &str = "belfry-genesis/v1";

/// Most bytes of the file: the manifest, and a note with 100 lines by the longest names.
pub const MAX_SIGNED_MANIFEST_BYTES: usize = super::MAX_MANIFEST_BYTES + 65_536;

const WHAT: &str = "signed manifest";

/// A manifest with the signatures on it. What was parsed fits together, but only [`SignedManifest::verify_founding`] verifies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// The note, whose text names the manifest by its hash.
    pub note: SignedNote,
}

/// A founding that verified: every listed member signed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive] // only a verified founding builds one
pub struct Founded {
    /// The federation's id, for ever: the hash of the manifest.
    pub id: Hash,
    /// The manifest of epoch 0.
    pub manifest: Manifest,
}

/// The text that members sign: header, federation id (`-` at epoch 0), epoch and manifest hash, one line each.
///
/// At epoch 0 the id is the hash itself, so `federation` is not looked at.
#[must_use]
pub fn signing_text(manifest: &Manifest, federation: Option<&Hash>) -> String {
    let id = federation
        .filter(|_| manifest.epoch > 0)
        .map_or_else(|| "-".to_owned(), Hash::to_hex);
    let hash = manifest.hash();
    format!("{GENESIS_HEADER}\n{id}\n{}\n{hash}\n", manifest.epoch)
}

impl SignedManifest {
    /// Puts the file together from signature lines in any order; a line that is there twice is taken once.
    ///
    /// # Errors
    /// [`ManifestError`] if the manifest breaks a rule, there is no line, or one signer has two different lines.
    pub fn assemble(
        manifest: Manifest,
        federation: Option<&Hash>,
        mut lines: Vec<SignatureLine>,
    ) -> Result<Self, ManifestError> {
        manifest.check()?;
        lines.sort();
        lines.dedup();
        let note = SignedNote::new(&signing_text(&manifest, federation), lines)?;
        let signed = Self { manifest, note };
        signed.check_note()?;
        Ok(signed)
    }

    /// Reads the file form; [`SignedManifest::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`ManifestError`] for anything but the canonical form, a manifest that breaks a rule, or a note that is not on it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_SIGNED_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge {
                what: WHAT,
                limit: MAX_SIGNED_MANIFEST_BYTES,
            });
        }
        let mut fields = Fields::new(WHAT.to_owned(), Json::parse(bytes)?)?;
        let manifest = Manifest::from_value(fields.take("manifest")?)?;
        let note = SignedNote::parse(fields.text("note")?.as_bytes())?;
        fields.end()?;
        let signed = Self { manifest, note };
        if signed.to_json().as_bytes() != bytes {
            return Err(ManifestError::NotCanonical(WHAT));
        }
        signed.manifest.check()?;
        signed.check_note()?;
        Ok(signed)
    }

    /// The canonical file: `{"manifest":{…},"note":"…"}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\"manifest\":{},\"note\":", self.manifest.to_json()).into_bytes();
        write_string(&self.note.to_string(), &mut out);
        out.push(b'}');
        String::from_utf8(out).unwrap_or_default() // it is UTF-8: it was made from strings
    }

    /// The federation id that the note names; `None` at epoch 0, where the manifest's hash is the id.
    #[must_use]
    pub fn federation(&self) -> Option<Hash> {
        self.note.text().lines().nth(1).and_then(Hash::from_hex)
    }

    /// Verifies a founding: epoch 0, exactly its text, and one valid signature by the listed identity key of every
    /// listed member, and of nobody else.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn verify_founding(&self) -> Result<Founded, ManifestError> {
        if self.manifest.epoch != 0 {
            return Err(ManifestError::NotFounding(self.manifest.epoch));
        }
        self.manifest.check()?; // the fields are public: it may not come from `parse`
        self.check_note()?;
        for line in self.note.signatures() {
            verify_line(line, &self.manifest, self.note.text())?;
        }
        // The lines are one for each signer, and every signer is a member.
        let signed = |member: &&Member| {
            let mut lines = self.note.signatures().iter();
            lines.any(|line| line.name() == member.name)
        };
        if let Some(absent) = self.manifest.members.iter().find(|member| !signed(member)) {
            return Err(ManifestError::MissingSignature {
                member: absent.name.clone(),
            });
        }
        Ok(Founded {
            id: self.manifest.hash(),
            manifest: self.manifest.clone(),
        })
    }

    /// That the note is about this manifest, and its lines are in their one order, one for each signer.
    fn check_note(&self) -> Result<(), ManifestError> {
        let id = self.federation();
        let expected = signing_text(&self.manifest, id.as_ref());
        let names_id = (self.manifest.epoch == 0) == id.is_none();
        if !names_id || self.note.text() != expected {
            return Err(ManifestError::Text { expected });
        }
        let signer = |line: &SignatureLine| (line.name().to_owned(), line.key_id());
        match self
            .note
            .signatures()
            .windows(2)
            .find(|pair| signer(&pair[0]) >= signer(&pair[1]))
        {
            None => Ok(()),
            Some(pair) => Err(ManifestError::Order(pair[1].name().to_owned())),
        }
    }
}

/// Verifies one line with the identity key that the manifest lists for its signer.
fn verify_line(line: &SignatureLine, manifest: &Manifest, text: &str) -> Result<(), ManifestError> {
    let key_id = format!("{:08x}", line.key_id());
    let listed = manifest.member(line.name()).map(|(_, member)| member);
    let Some(member) = listed.filter(|member| member.identity.key_id() == line.key_id()) else {
        return Err(ManifestError::UnknownSigner {
            name: line.name().to_owned(),
            key_id,
        });
    };
    if member.identity.verify(text, line.signature()) {
        return Ok(());
    }
    Err(ManifestError::Note(NoteError::BadSignature {
        name: line.name().to_owned(),
        key_id,
    }))
}
