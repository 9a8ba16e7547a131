"""Signed notes, keys, certificates, digests and the manifest, as docs/protocol.md has them. No I/O."""
import base64 as b64
import hashlib
import hmac
import json
import re
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LOG, COSIGNATURE = 0x01, 0x04
NOTE_BYTES, NOTE_LINES, CHAIN = 1_000_000, 100, 256
PRIME = 2**255 - 19
# The eight points of small order. OpenSSL takes them; Belfry refuses them in keys and in signatures.
SMALL_ORDER = {
    bytes.fromhex(text)
    for text in (
        "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 32, "00" * 31 + "80",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
}


class Wrong(Exception):
    """Something is not as the page says."""


def check(right, why):
    if not right:
        raise Wrong(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def base64(text):
    try:
        data = b64.b64decode(text, validate=True)
    except ValueError as error:
        raise Wrong(f"not base64: {text[:60]}") from error
    check(b64.b64encode(data).decode() == text, f"not canonical base64: {text[:60]}")
    return data


def decimal(text):
    """A number without sign or leading zero, at most 2^63 - 1."""
    check(re.fullmatch("0|[1-9][0-9]{0,18}", text) and int(text) < 2**63, f"not a decimal: {text}")
    return int(text)


def sign(seed, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def public_of(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def is_signed(key, message, signature):
    if len(signature) != 64 or signature[:32] in SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class Key:
    """A verifier key, `name+id+key`; the base64 may contain a plus sign."""

    def __init__(self, text):
        parts = text.split("+", 2)
        check(len(parts) == 3, f"not a verifier key: {text}")
        self.text, self.name, self.id = text, parts[0], parts[1]
        data = base64(parts[2])
        self.type, self.key = data[0], data[1:]
        known = self.type in (LOG, COSIGNATURE) and len(self.key) == 32
        check(known, f"a key of a type or length that is not known: {text}")
        check(sha256(self.name.encode(), b"\n", data)[:4].hex() == self.id, f"the id of a key is wrong: {text}")
        y = int.from_bytes(self.key, "little") & (2**255 - 1)
        check(y < PRIME and self.key not in SMALL_ORDER, f"a weak key: {text}")


class Note:
    """A text and its signature lines, unverified."""

    def __init__(self, data):
        check(len(data) <= NOTE_BYTES, "a note is too long")
        check(not any(byte < 0x20 and byte != 0x0A for byte in data), "a note has a control byte")
        text = data.decode()
        at = text.rfind("\n\n")
        check(at > 0 and text.endswith("\n"), "a note without text or signatures")
        self.bytes, self.text = data, text[: at + 1]
        lines = text[at + 2 : -1].split("\n")
        check(len(lines) <= NOTE_LINES, "a note with too many lines")
        self.signatures = []
        for line in lines:
            match = re.fullmatch("— ([^ +]+) ([^ ]+)", line)
            check(match, f"not a signature line: {line[:100]}")
            raw = base64(match[2])
            check(len(raw) > 4, "a signature without bytes")
            self.signatures.append((match[1], raw[:4].hex(), raw[4:]))

    def verify(self, keys):
        """The keys that signed. Refuses the note if a known key's line is wrong, or if no known key signed."""
        known = {(key.name, key.id): key for key in keys}
        signers = set()
        for name, key_id, signature in self.signatures:
            key = known.get((name, key_id))
            if key is None:
                continue
            right = key.type == LOG and is_signed(key.key, self.text.encode(), signature)
            check(right, f"a wrong signature by {name}")
            signers.add(key.text)
        check(signers, "signed by no key that is known")
        return signers


class Certificate:
    """The fields of a certificate's text."""

    def __init__(self, text):
        lines = text[:-1].split("\n")
        check(len(lines) == 11 and lines[0] == "belfry-key-cert/v1", "not a certificate")
        place = re.fullmatch("unfounded|lineage [0-9a-f]{32}|federation [0-9a-f]{64}", lines[1])
        check(place, "a certificate for an unknown place")

        def value(line, word):
            check(line.startswith(word + " "), f"a certificate without {word}")
            return line[len(word) + 1 :]

        self.node = value(lines[2], "node")
        self.serial = decimal(value(lines[3], "serial"))
        self.previous = value(lines[4], "previous")
        linked = self.previous == "-" if self.serial == 1 else re.fullmatch("[0-9a-f]{64}", self.previous)
        check(self.serial and linked, "a serial without its previous one")
        self.not_before = decimal(value(lines[5], "not-before"))
        self.not_after = decimal(value(lines[6], "not-after"))
        log, _, from_size = value(lines[7], "key log").partition(" from-size ")
        self.from_size = decimal(from_size)
        self.log = Key(log)
        self.ack = Key(value(lines[8], "key ack"))
        self.mirror = Key(value(lines[9], "key mirror"))
        self.envelope = Key(value(lines[10], "key envelope"))
        for key, kind, name in (
            (self.log, LOG, self.node),
            (self.ack, COSIGNATURE, self.node),
            (self.mirror, COSIGNATURE, self.node + "/mirror"),
            (self.envelope, LOG, self.node),
        ):
            check(key.type == kind and key.name == name, f"{key.text} has a wrong type or name")

    @classmethod
    def of(cls, note, identity):
        """The one in a note, verified with its identity key."""
        check(len(note.signatures) == 1, "a certificate has one signature")
        note.verify([identity])
        one = cls(note.text)
        check(one.node == identity.name, "a certificate of another node")
        one.hash = sha256(note.bytes).hex()
        return one


def verify_chain(notes, member):
    """A chain from serial 1 on, by an identity key, that contains the certificate which the manifest names."""
    check(0 < len(notes) <= CHAIN, "a chain without certificates, or with too many")
    chain = [Certificate.of(note, member.identity) for note in notes]
    seen, before = {member.identity.key}, None
    for serial, one in enumerate(chain, 1):
        check(one.serial == serial and one.previous == (before.hash if before else "-"), "a chain with a gap")
        check(one.not_before < one.not_after, "a certificate that is never valid")
        if before:
            forward = one.from_size >= before.from_size and one.not_before >= before.not_before
            check(forward, "a chain that goes back")
        for key in (one.log, one.ack, one.mirror, one.envelope):
            check(key.key not in seen, "a key is used twice")
            seen.add(key.key)
        before = one
    pinned = any(one.hash == member.head for one in chain)
    check(pinned, f"the chain of {member.name} does not lead through the manifest's")
    return chain


class Digest:
    """Origin, size and root of a digest's text."""

    def __init__(self, text):
        lines = text.split("\n")
        check(len(lines) == 4 and lines[3] == "", "a digest has three lines")
        self.origin, self.size, self.root = lines[0], decimal(lines[1]), base64(lines[2])
        check(len(self.root) == 32 and 0 < len(self.origin.encode()) <= 255, "a malformed digest")
        check(self.size or self.root == sha256(), "a root of nothing that is not the empty tree's")

    @classmethod
    def of(cls, note, chains):
        """The one in a note, verified with the log key that a chain names for its size."""
        one = cls(note.text)
        check(one.origin in chains, f"a digest of {one.origin}, of whom no chain is known")
        fits = [certificate for certificate in chains[one.origin] if certificate.from_size <= one.size]
        check(fits, "a digest below all log keys")
        note.verify([fits[-1].log])
        one.serial = fits[-1].serial
        return one


class Member:
    """A member as the manifest names it, and its chain once it is known."""

    def __init__(self, member):
        self.name, self.peer, self.head = member["name"], member["peer"], member["certificate_head"]
        self.addresses, self.roles = member["addresses"], member["roles"]
        self.identity = Key(member["identity"])
        self.chain = []
        check(self.identity.name == self.name, "an identity key of another name")

    @property
    def id(self):
        return sha256(b"belfry/member/v1\0", self.identity.text.encode())


def canonical(value):
    """RFC 8785 for values without fractions whose member names are ASCII: what manifests have."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Federation:
    """The federation of a signed manifest of epoch 0: every member has signed it, and nobody else."""

    def __init__(self, data):
        signed = json.loads(data)
        manifest = signed["manifest"]
        known = manifest["format"] == "belfry-manifest/v1" and manifest["epoch"] == 0
        check(known, "a manifest of a format or epoch that is not known here")
        check(canonical(signed) == data, "the manifest is not in its one spelling")
        self.id, self.epoch = sha256(canonical(manifest)).hex(), 0
        self.digest8 = self.id[:8]
        note = Note(signed["note"].encode())
        check(note.text == f"belfry-genesis/v1\n-\n0\n{self.id}\n", "the note is not on this manifest")
        self.members = [Member(member) for member in manifest["members"]]
        signers = note.verify([member.identity for member in self.members])
        exact = len(signers) == len(self.members) == len(note.signatures)
        check(exact, "not signed by exactly its members")

    def by_peer(self, peer):
        return next((member for member in self.members if member.peer == peer), None)

    def by_name(self, name):
        return next((member for member in self.members if member.name == name), None)


class KeyFile:
    """The seed in a plain key file."""

    def __init__(self, data, purpose):
        text = data.decode()
        at = text.find("check ")
        lines = dict(line.split(" ", 1) for line in text[:at].splitlines()[1:])
        check(text.startswith("belfry-key/v1\n") and lines["purpose"] == purpose, f"not the {purpose} key")
        total = sha256(b"belfry/key-file/v1\0", text[:at].encode()).hex()[:16]
        check(text[at:] == f"check {total}\n", f"the file of the {purpose} key was changed")
        self.name, self.serial, self.seed = lines["name"], decimal(lines["serial"]), base64(lines["seed"])


def derive(operational, purpose, kind):
    """The seed of a purpose key, out of the operational seed: HKDF-SHA256 (RFC 5869) without salt, one block."""
    parts = (b"belfry/key/v1", purpose.encode(), bytes([kind]), operational.name.encode(),
             struct.pack(">Q", operational.serial))
    info = b"".join(struct.pack(">Q", len(part)) + part for part in parts)
    extracted = hmac.digest(bytes(32), operational.seed, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")
