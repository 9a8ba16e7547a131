//! The bytes of a hello, field by field. May not change: old nodes have to read new hellos, and the other way round.
//!
//! Layout byte, goodbye and reason stand first in every layout there will be.

use super::{
    Hello, HelloError, MAX_EXTENSION_BYTES, MAX_HELLO_CERTIFICATES, MAX_HELLO_NOTE_BYTES,
    MAX_RANGES, MAX_REASON_BYTES, Times, field,
};
use crate::note::SignedNote;
use crate::wire::bytes::Fields;
use crate::wire::codec::Text;
use crate::wire::goodbye::Goodbye;
use crate::wire::version::{Range, Version};

/// First byte of a hello.
const LAYOUT: u8 = 1;

const CUT: HelloError = HelloError::Truncated;
const BOUND: &str = "it is longer than its bound";

/// Everything that is signed.
pub(super) fn write(hello: &Hello) -> Result<Vec<u8>, HelloError> {
    let mut bytes = vec![LAYOUT];
    let code = hello.goodbye.map_or(0, Goodbye::code);
    if Goodbye::from_code(code) != hello.goodbye {
        return Err(field("goodbye", "its number stands for another one"));
    }
    bytes.extend_from_slice(&code.to_le_bytes());
    put(&mut bytes, "reason", hello.reason.as_str().as_bytes())?;
    bytes.extend_from_slice(&hello.federation.0);
    bytes.extend_from_slice(&hello.epoch.to_le_bytes());
    bytes.extend_from_slice(&hello.manifest_head.0);
    bytes.push(count("version ranges", hello.versions.len(), MAX_RANGES)?);
    for range in &hello.versions {
        check_range(*range)?;
        bytes.extend_from_slice(&range.min.to_u16().to_le_bytes());
        bytes.extend_from_slice(&range.max.to_u16().to_le_bytes());
    }
    put(&mut bytes, "peer", hello.peer.as_str().as_bytes())?;
    put(&mut bytes, "to", hello.to.as_str().as_bytes())?;
    bytes.extend_from_slice(&hello.token);
    bytes.extend_from_slice(&hello.disk);
    bytes.push(hello.roles);
    let times = hello.times;
    for time in [
        times.sent_us,
        times.echo_us,
        times.received_us,
        times.answered_us,
    ] {
        bytes.extend_from_slice(&time.to_le_bytes());
    }
    bytes.push(count(
        "certificate chain",
        hello.chain.len(),
        MAX_HELLO_CERTIFICATES,
    )?);
    for note in &hello.chain {
        put_note(&mut bytes, "certificate chain", Some(note))?;
    }
    put_note(&mut bytes, "digest", hello.digest.as_ref())?;
    put(&mut bytes, "agent", hello.agent.as_str().as_bytes())?;
    if hello.extensions.len() > MAX_EXTENSION_BYTES {
        return Err(field("extensions", BOUND));
    }
    put(&mut bytes, "extensions", &hello.extensions)?;
    Ok(bytes)
}

/// The hello, and what follows it: the signature.
pub(super) fn read(bytes: &[u8]) -> Result<(Hello, &[u8]), HelloError> {
    let mut from = Fields::new(bytes);
    let layout = from.u8().ok_or(CUT)?;
    if layout != LAYOUT {
        return Err(HelloError::Layout(layout));
    }
    let hello = Hello {
        goodbye: Goodbye::from_code(from.u16().ok_or(CUT)?),
        reason: text(&mut from, "reason")?,
        federation: from.hash().ok_or(CUT)?,
        epoch: from.u64().ok_or(CUT)?,
        manifest_head: from.hash().ok_or(CUT)?,
        versions: ranges(&mut from)?,
        peer: text(&mut from, "peer")?,
        to: text(&mut from, "to")?,
        token: from.array().ok_or(CUT)?,
        disk: from.array().ok_or(CUT)?,
        roles: from.u8().ok_or(CUT)?,
        times: Times {
            sent_us: from.i64().ok_or(CUT)?,
            echo_us: from.i64().ok_or(CUT)?,
            received_us: from.i64().ok_or(CUT)?,
            answered_us: from.i64().ok_or(CUT)?,
        },
        chain: chain(&mut from)?,
        digest: note(&mut from, "digest")?,
        agent: text(&mut from, "agent")?,
        extensions: get(&mut from, "extensions", MAX_EXTENSION_BYTES)?.to_vec(),
    };
    Ok((hello, from.rest()))
}

/// Reads what stands first in every layout.
pub(super) fn read_goodbye(bytes: &[u8]) -> Option<(Goodbye, Text<MAX_REASON_BYTES>)> {
    let mut from = Fields::new(bytes);
    from.u8()?;
    let goodbye = Goodbye::from_code(from.u16()?)?;
    Some((goodbye, text(&mut from, "reason").ok()?))
}

fn chain(from: &mut Fields<'_>) -> Result<Vec<SignedNote>, HelloError> {
    const NAME: &str = "certificate chain";
    let count = usize::from(from.u8().ok_or(CUT)?);
    if count > MAX_HELLO_CERTIFICATES {
        return Err(field(NAME, BOUND));
    }
    let certificate = |_| note(from, NAME)?.ok_or(field(NAME, "a certificate is empty"));
    (0..count).map(certificate).collect()
}

fn ranges(from: &mut Fields<'_>) -> Result<Vec<Range>, HelloError> {
    let count = usize::from(from.u8().ok_or(CUT)?);
    if count > MAX_RANGES {
        return Err(field("version ranges", BOUND));
    }
    let mut ranges = Vec::with_capacity(count);
    for _ in 0..count {
        let min = Version::from_u16(from.u16().ok_or(CUT)?);
        let max = Version::from_u16(from.u16().ok_or(CUT)?);
        check_range(Range { min, max })?;
        ranges.push(Range { min, max });
    }
    Ok(ranges)
}

fn check_range(range: Range) -> Result<(), HelloError> {
    if range.is_valid() {
        return Ok(());
    }
    let problem = "a range is empty or has two major numbers";
    Err(field("version ranges", problem))
}

fn count(name: &'static str, length: usize, max: usize) -> Result<u8, HelloError> {
    let count = u8::try_from(length).ok();
    count.filter(|_| length <= max).ok_or(field(name, BOUND))
}

/// A length and that many bytes.
fn put(bytes: &mut Vec<u8>, name: &'static str, value: &[u8]) -> Result<(), HelloError> {
    let length = u16::try_from(value.len()).map_err(|_| field(name, BOUND))?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(value);
    Ok(())
}

fn get<'a>(from: &mut Fields<'a>, name: &'static str, max: usize) -> Result<&'a [u8], HelloError> {
    let length = usize::from(from.u16().ok_or(CUT)?);
    if length > max {
        return Err(field(name, BOUND));
    }
    from.take(length).ok_or(CUT)
}

fn text<const N: usize>(from: &mut Fields<'_>, name: &'static str) -> Result<Text<N>, HelloError> {
    Text::read(get(from, name, N)?).map_err(|problem| field(name, problem))
}

/// No bytes stand for no note.
fn put_note(
    bytes: &mut Vec<u8>,
    name: &'static str,
    note: Option<&SignedNote>,
) -> Result<(), HelloError> {
    let text = note.map(SignedNote::to_string).unwrap_or_default();
    if text.len() > MAX_HELLO_NOTE_BYTES {
        return Err(field(name, "a note is longer than 8 KiB"));
    }
    put(bytes, name, text.as_bytes())
}

fn note(from: &mut Fields<'_>, name: &'static str) -> Result<Option<SignedNote>, HelloError> {
    let text = get(from, name, MAX_HELLO_NOTE_BYTES)?;
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(SignedNote::parse(text)?))
}
