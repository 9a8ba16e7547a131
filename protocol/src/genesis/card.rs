//! Who asks to be in the manifest: one line of its member list, signed by the identity key for one lineage. The signature is the
//! proof that the joiner has the key. May not decide who gets in.

use super::lines::Lines;
use super::{GenesisError, Verifier};
use crate::genesis::Check;
use crate::manifest::{MAX_ADDRESSES, Member};
use crate::note::{Algorithm, SignedNote, VerifierKey};

const HEADER: &str = "belfry-genesis-card/v1";
const WHAT: &str = "card";

/// Most bytes of the text: eight addresses and a URL of the longest, a name thrice.
pub const MAX_CARD_BYTES: usize = 4_096;

/// A member as it wants to be listed, for one lineage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    /// The lineage of the drafts that it may be in.
    pub lineage: [u8; 16],
    /// The line.
    pub member: Member,
}

impl Card {
    /// Reads a text; [`Card::to_text`] gives exactly this text again.
    ///
    /// # Errors
    /// [`GenesisError`] for anything but the lines in their order, or a member that no manifest may list.
    pub fn parse(text: &str) -> Result<Self, GenesisError> {
        if text.len() > MAX_CARD_BYTES {
            return Err(GenesisError::malformed(
                WHAT,
                "it is longer than 4,096 bytes",
            ));
        }
        let mut lines = Lines::new(WHAT, text);
        if lines.line()? != HEADER {
            return Err(lines.bad("its first line is not known here; use a newer Belfry"));
        }
        let lineage = lines.lineage()?;
        let name = lines.value("name")?.to_owned();
        let (factory, tower) = match lines.value("roles")? {
            "factory" => (true, false),
            "tower" => (false, true),
            "factory,tower" => (true, true),
            _ => return Err(lines.bad("its roles are none of factory, tower, and factory,tower")),
        };
        let identity = VerifierKey::parse(lines.value("identity")?)?;
        let peer = lines.value("peer")?.to_owned();
        let http = match lines.value("http")? {
            "-" => None,
            url => Some(url.to_owned()),
        };
        let certificate_head = lines.hash("certificate")?;
        let mut addresses = Vec::new();
        while !lines.is_empty() {
            if addresses.len() == MAX_ADDRESSES {
                return Err(lines.bad("it has more than 8 addresses"));
            }
            addresses.push(lines.value("address")?.to_owned());
        }
        let card = Self {
            lineage,
            member: Member {
                name,
                factory,
                tower,
                identity,
                peer,
                addresses,
                http,
                certificate_head,
            },
        };
        card.member.check()?;
        // A key has one text form only if it is printed from what was read.
        if card.to_text() != text {
            return Err(GenesisError::malformed(WHAT, "it is not in canonical form"));
        }
        Ok(card)
    }

    /// The exact text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let member = &self.member;
        let roles = match (member.factory, member.tower) {
            (true, true) => "factory,tower",
            (true, false) => "factory",
            _ => "tower",
        };
        let mut text = format!(
            "{HEADER}\nlineage {}\nname {}\nroles {roles}\nidentity {}\npeer {}\nhttp {}\ncertificate {}\n",
            crate::hex::encode(&self.lineage),
            member.name,
            member.identity,
            member.peer,
            member.http.as_deref().unwrap_or("-"),
            member.certificate_head,
        );
        for address in &member.addresses {
            text.push_str("address ");
            text.push_str(address);
            text.push('\n');
        }
        text
    }

    /// Reads a signed card and verifies that the identity key it names signed it.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn open<C: Check>(
        note: &SignedNote,
        verifier: &mut Verifier<C>,
    ) -> Result<Self, GenesisError> {
        let card = Self::parse(note.text())?;
        let [line] = note.signatures() else {
            return Err(GenesisError::malformed(
                WHAT,
                "it does not have exactly one signature",
            ));
        };
        let identity = &card.member.identity;
        if identity.algorithm() != Algorithm::Ed25519 {
            return Err(GenesisError::stranger(line));
        }
        verifier.line(identity, note.text(), line)?;
        Ok(card)
    }
}
