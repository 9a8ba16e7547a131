"""Frames, envelopes, hellos and the bodies a member needs that keeps no ledger, as docs/protocol.md has them. No I/O."""
import struct
import time
import unicodedata

from notes import Note, Wrong, check, is_signed, sign

HELLO_BYTES, PAYLOAD_BYTES, BODY_BYTES = 61_440, 9_437_184, 1_048_576
V1_0 = 0x0100
PREPARE, REFUSED, DIGEST, RECOVER, MARKS, MARKED, GET, ENTRIES, KNOWN_CHAINS, CHAINS = 1, 3, 4, 6, 8, 9, 10, 11, 13, 14
KNOWN_FORKS, FORKS, GET_PROOF, PROOF_NODES = 15, 16, 17, 18
KNOWN_REVOCATIONS, REVOCATIONS = 30, 31
# Sync 1.0 has kinds 1 to 19, and revocations.
KNOWN_KINDS = {*range(1, 20), KNOWN_REVOCATIONS, REVOCATIONS}
PROBE, PROBED = 32, 33
# Reasons of a refusal.
NOT_YOURS, UNKNOWN = 8, 10
ZERO16 = bytes(16)


class Reader:
    """Fields one after another, little-endian."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        check(self.at + length <= len(self.data), "a message is cut short")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def u8(self):
        return self.number("<B")

    def u16(self):
        return self.number("<H")

    def u32(self):
        return self.number("<I")

    def u64(self):
        return self.number("<Q")

    def i64(self):
        return self.number("<q")

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        check(self.at == len(self.data), "bytes follow the last field")

    def short(self, most, what):
        """A length of two bytes, and that many."""
        length = self.u16()
        check(length <= most, f"{what} is too long")
        return self.take(length)

    def text(self, most, what):
        text = self.short(most, what).decode()
        check(not any(unicodedata.category(one) == "Cc" for one in text), f"{what} has a control character")
        return text

    def long(self, most, what):
        """The same with a length of eight bytes, as bodies have it."""
        length = self.u64()
        check(length <= most, f"{what} is too long")
        return self.take(length)

    def list(self, most, read):
        count = self.u64()
        check(count <= most, "a list is too long")
        return [read(self) for _ in range(count)]


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def short(value):
    return u16(len(value)) + value


def long(value):
    return u64(len(value)) + value


def now_us():
    return time.time_ns() // 1000


def frame(kind, payload):
    return b"BLFR" + u16(V1_0) + u16(kind) + u32(len(payload)) + payload


def parse_frame(data):
    """Kind, payload, and whether version and kind are known."""
    reader = Reader(data)
    check(reader.take(4) == b"BLFR", "not a frame")
    version, kind, length = reader.u16(), reader.u16(), reader.u32()
    check(length <= PAYLOAD_BYTES, "a frame is too long")
    payload = reader.take(length)
    reader.end()
    return kind, payload, version >> 8 == 1 and kind in KNOWN_KINDS


def encode_hello(me, *, federation, to, token, sent=0, goodbye=0, echo=0, received=0, answered=0):
    roles = ("factory" in me.member.roles) | ("tower" in me.member.roles) << 1
    claimed = bytes.fromhex(federation)
    signed = b"".join((
        b"\x01", u16(goodbye), short(b""), claimed, u64(me.federation.epoch), claimed,
        b"\x01", u16(V1_0), u16(V1_0),
        short(me.member.peer.encode()), short(to.encode()), token, me.disk, bytes([roles]),
        struct.pack("<4q", sent, echo, received, answered),
        bytes([len(me.notes)]), *(short(note.bytes) for note in me.notes),
        short(b""), short(me.agent.encode()), short(b""),
    ))
    return signed + sign(me.envelope_seed, b"belfry/hello/v1\0" + signed)


def read_goodbye(data):
    """What stands first in every layout: why a node hangs up, and its words for it."""
    reader = Reader(data)
    reader.u8()
    return reader.u16(), reader.text(512, "the reason")


class Hello:
    """A hello, unverified."""

    def __init__(self, data):
        check(len(data) <= HELLO_BYTES, "a hello is too long")
        reader = Reader(data)
        layout = reader.u8()
        check(layout == 1, f"a hello of layout {layout}")
        self.goodbye, self.reason = reader.u16(), reader.text(512, "the reason")
        self.federation, self.epoch, self.head = reader.take(32).hex(), reader.u64(), reader.take(32).hex()
        count = reader.u8()
        check(count <= 8, "too many version ranges")
        self.versions = [(reader.u16(), reader.u16()) for _ in range(count)]
        ordered = all(low <= high and low >> 8 == high >> 8 for low, high in self.versions)
        check(ordered, "an impossible range of versions")
        self.peer, self.to = reader.text(128, "a PeerId"), reader.text(128, "a PeerId")
        self.token, self.disk, self.roles = reader.take(16), reader.take(16), reader.u8()
        self.sent, self.echo, self.received, self.answered = (reader.i64() for _ in range(4))
        count = reader.u8()
        check(count <= 64, "too many certificates")
        self.notes = [Note(reader.short(8192, "a certificate")) for _ in range(count)]
        self.digest = reader.short(8192, "a digest")
        self.agent = reader.text(64, "the agent")
        reader.short(4096, "the extensions")
        self.signed = data[: reader.at]
        self.signature = reader.take(64)
        reader.end()

    def is_by(self, chain):
        """Whether the envelope key of the newest certificate signed it."""
        return is_signed(chain[-1].envelope.key, b"belfry/hello/v1\0" + self.signed, self.signature)

    def speaks(self):
        """Whether 1.0, the version that we speak, is in one of its ranges."""
        return any(low <= V1_0 <= high for low, high in self.versions)


def envelope(me, kind, to, body):
    """A signed message to a member, without guard."""
    signed = b"".join((
        b"\x01", u16(V1_0), u16(kind), bytes.fromhex(me.federation.id), ZERO16, u64(me.federation.epoch),
        me.member.id, u64(me.serial), u64(me.incarnation), to.id,
        b"\x00", ZERO16, ZERO16, struct.pack("<q", now_us()), u32(len(body)), body,
    ))
    return signed + sign(me.envelope_seed, b"belfry/envelope/v1\0" + signed)


class Opened:
    """An envelope from a member to us; anything that does not fit is refused."""

    def __init__(self, me, payload, kind, sender):
        reader = Reader(payload)
        layout, _, its_kind = reader.u8(), reader.u16(), reader.u16()
        check(layout == 1, f"an envelope of layout {layout}")
        federation, lineage, epoch = reader.take(32).hex(), reader.take(16), reader.u64()
        by, serial, self.incarnation = reader.take(32), reader.u64(), reader.u64()
        destination, self.guard, guarded = reader.take(32), reader.u8(), reader.take(16)
        self.token, _, length = reader.take(16), reader.i64(), reader.u32()
        check(length <= BODY_BYTES, "a body is too long")
        check(destination == me.member.id, "an envelope for somebody else")
        check(its_kind == kind and self.guard <= 2, "an envelope of another kind than its frame, or with an unknown guard")
        check(self.guard != 0 or guarded == ZERO16, "bytes beside no guard")
        check(federation == me.federation.id and lineage == ZERO16, "an envelope of another federation")
        check(epoch == me.federation.epoch, "an envelope of another epoch")
        check(by == sender.id, "an envelope by somebody else")
        self.stream, self.counter = struct.unpack("<QQ", guarded)
        self.body = Reader(reader.take(length))
        signed = payload[: reader.at]
        keys = [one.envelope.key for one in sender.chain[-2:] if one.serial == serial]
        if not keys:
            raise Wrong("an envelope under an unknown key")
        right = is_signed(keys[0], b"belfry/envelope/v1\0" + signed, reader.take(64))
        check(right, "an envelope with a wrong signature")
        self.rest = reader.rest()
