//! The text inside a key file: a small versioned form with a strict, bounded reader.
//! May not touch files or encryption.

use crate::derive::Seed;
use belfry_protocol::base64;
use belfry_protocol::tlog::hash::sha256_parts;
use zeroize::Zeroizing;

const HEADER: &str = "belfry-key/v1";

/// Domain of the checksum, by which a changed byte is seen in plain files too: nothing else would notice another
/// transport seed or node secret.
const CHECK_DOMAIN: &[u8] = b"belfry/key-file/v1\0";

/// Most bytes of a key file's text: names have at most 200 bytes.
pub(crate) const MAX_RECORD_BYTES: usize = 1_024;

/// What the seed in a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Identity,
    Operational,
    Log,
    Transport,
    NodeSecret,
    Recovery,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Identity,
        Self::Operational,
        Self::Log,
        Self::Transport,
        Self::NodeSecret,
        Self::Recovery,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Operational => "operational",
            Self::Log => "log",
            Self::Transport => "transport",
            Self::NodeSecret => "node-secret",
            Self::Recovery => "recovery",
        }
    }

    /// File name without its ending. Kinds with serials have one file for each.
    pub(crate) fn stem(self, serial: u64) -> String {
        match self {
            Self::Operational | Self::Log => format!("{}-{serial}", self.as_str()),
            Self::Identity | Self::Transport | Self::NodeSecret | Self::Recovery => {
                self.as_str().to_owned()
            }
        }
    }
}

/// One seed with what it belongs to. Has no `Debug`, so that it cannot be logged.
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Serial of the purpose keys; 0 for kinds without serials.
    pub(crate) serial: u64,
    pub(crate) created_seconds: u64,
    pub(crate) seed: Seed,
}

impl Record {
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(base64::encode(&self.seed[..]));
        // Room for everything at once: growing would leave copies of the seed behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_RECORD_BYTES));
        let (serial, created) = (self.serial.to_string(), self.created_seconds.to_string());
        let lines = [
            ("name", self.name.as_str()),
            ("purpose", self.kind.as_str()),
            ("serial", &serial),
            ("created", &created),
        ];
        text.push_str(HEADER);
        text.push('\n');
        for (keyword, value) in lines.into_iter().chain([("seed", seed.as_str())]) {
            text.push_str(keyword);
            text.push(' ');
            text.push_str(value);
            text.push('\n');
        }
        let check = checksum(&text);
        text.push_str("check ");
        text.push_str(&check);
        text.push('\n');
        text
    }

    /// Reads the text; `Err` says what is wrong, without a byte of it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err("it is too long");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let text = text.strip_suffix('\n').ok_or("its last line is cut")?;
        let (body, check) = text
            .rsplit_once("\ncheck ")
            .ok_or("its checksum line is missing")?;
        if checksum(&text[..=body.len()]) != check {
            return Err("its checksum is wrong");
        }
        let mut lines = body.split('\n');
        if lines.next() != Some(HEADER) {
            return Err("its first line is not belfry-key/v1");
        }
        let mut value = |keyword: &str| {
            let line = lines.next().ok_or("a line is missing")?;
            line.strip_prefix(keyword)
                .and_then(|rest| rest.strip_prefix(' '))
                .ok_or("a line is out of order")
        };
        let name = value("name")?.to_owned();
        let kind = value("purpose")?;
        let serial = decimal(value("serial")?)?;
        let created_seconds = decimal(value("created")?)?;
        let seed = Zeroizing::new(
            base64::decode(value("seed")?).ok_or("its seed is not canonical base64")?,
        );
        if lines.next().is_some() {
            return Err("it has more lines than it should");
        }
        let seed = Zeroizing::new(
            <[u8; 32]>::try_from(&seed[..]).map_err(|_| "its seed has not 32 bytes")?,
        );
        let kind = Kind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or("its purpose is unknown")?;
        Ok(Self {
            name,
            kind,
            serial,
            created_seconds,
            seed,
        })
    }
}

/// The first 8 bytes of a hash over the lines before, with their line feeds.
fn checksum(lines: &str) -> String {
    sha256_parts(&[CHECK_DOMAIN, lines.as_bytes()]).to_hex()[..16].to_owned()
}

/// A canonical decimal: a number has one spelling.
fn decimal(text: &str) -> Result<u64, &'static str> {
    text.parse::<u64>()
        .ok()
        .filter(|value| value.to_string() == text)
        .ok_or("a number is not a canonical decimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let seed = Zeroizing::new([9; 32]);
        Record {
            name: "a.example".to_owned(),
            kind: Kind::Operational,
            serial: 3,
            created_seconds: 1_800_000_000,
            seed,
        }
    }

    #[test]
    fn the_text_is_frozen() {
        let expected = "belfry-key/v1\nname a.example\npurpose operational\nserial 3\ncreated 1800000000\n\
                        seed CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\ncheck 0ffeb3a63ecd77fc\n";
        assert_eq!(*record().to_text(), expected);
        let read = Record::parse(expected.as_bytes()).unwrap();
        assert_eq!(
            (read.kind, read.serial, read.seed[0]),
            (Kind::Operational, 3, 9)
        );
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let good = record().to_text();
        for at in 0..good.len() {
            for flip in [1u8, 0x20, 0x80] {
                let mut bytes = good.as_bytes().to_vec();
                bytes[at] ^= flip;
                assert!(Record::parse(&bytes).is_err(), "byte {at}");
            }
        }
        for bad in [
            "",
            "\n",
            "belfry-key/v1\n",
            &good[..good.len() - 1],
            &format!("{}\n", *good),
            &good.replace('\n', "\r\n"),
        ] {
            assert!(Record::parse(bad.as_bytes()).is_err());
        }
    }
}
