#!/usr/bin/env python3
"""Reads what docs/protocol.md shows, and refuses what it says must be refused: vectors.py docs/vectors

Prints one JSON line with how much that was; anything wrong: a message on stderr and exit code 1.
"""
import base64
import json
import pathlib
import sys
import types

import wire
from notes import Certificate, Digest, Federation, Key, Note, Wrong, check, sha256, verify_chain
from tree import leaf, root, verify_consistency

VECTORS = pathlib.Path(sys.argv[1])


def read(name):
    return (VECTORS / name).read_bytes()


def unhex(name):
    return bytes.fromhex(read(f"wire/{name}.hex").decode())


def right():
    """What is right, and how much of it there was."""
    rows = json.loads(read("keys.json"))["keys"]
    identity = Key(next(row for row in rows if row["purpose"] == "identity")["vkey"])
    notes = [Note(read(f"certificate-{serial}.note")) for serial in (1, 2)]
    member = types.SimpleNamespace(name=identity.name, identity=identity, head=sha256(notes[1].bytes).hex())
    chain = verify_chain(notes, member)
    digest = Digest.of(Note(read("ledger/checkpoint")), {member.name: chain[:1]})
    members = Federation(read("genesis/signed.json")).members
    check(digest.size == 7 and len(members) == 4, "the digest or the manifest reads differently")
    hello = wire.Hello(unhex("hello"))
    member.head = sha256(hello.notes[-1].bytes).hex()
    check(hello.is_by(verify_chain(hello.notes, member)), "the hello is not signed")
    goodbye, _ = wire.read_goodbye(unhex("goodbye"))
    kind, _, _ = wire.parse_frame(unhex("frame"))
    check(goodbye == 10 and kind == 0x0304, "the goodbye or the frame reads differently")
    message = sha256(wire.u64(7), b"topic/1", b"hello")[:20].hex()
    check(message == "f0498601e739cbb9b53f657776fdc36619c9a9f1", "the message id differs")
    tree = json.loads(read("tree.json"))
    leaves = [leaf(bytes.fromhex(data)) for data in tree["leaf_data"]]
    roots = [base64.b64decode(one) for one in tree["roots"]]
    check(all(one == root(leaves[:size]) for size, one in enumerate(roots)), "a root differs")
    proofs = [row for row in tree["consistency_7"] if 0 < row["old"] < 7]
    for row in proofs:
        path = [base64.b64decode(one) for one in row["proof"]]
        verify_consistency(row["old"], 7, roots[row["old"]], roots[7], path)
    return dict(roots=len(roots), proofs=len(proofs))


def refused():
    """How many wrong texts were refused: all of those that a peer reads."""
    readers = {
        "vkey": Key,
        "note": lambda text: Note(text.encode()),
        "checkpoint": Digest,
        "certificate": Certificate,
        "signed-manifest": lambda text: Federation(text.encode()),
    }
    rows = [row for row in json.loads(read("refused.json")) if row["format"] in readers]
    for row in rows:
        try:
            readers[row["format"]](row["text"])
        except (Wrong, ValueError):
            continue
        raise Wrong(f"a {row['format']} was taken although: {row['why']}")
    return len(rows)


def is_taken(verify, data):
    try:
        return verify(data) is not False
    except (Wrong, ValueError, KeyError, TypeError, AttributeError):
        # The last three: a manifest that is no longer one.
        return False


def changed():
    """How many bytes were changed: no byte of what is signed may be another one."""
    rows = json.loads(read("keys.json"))["keys"]
    identity = Key(next(row for row in rows if row["purpose"] == "identity")["vkey"])

    def chain(notes):
        head = sha256(notes[-1].bytes).hex()
        return verify_chain(notes, types.SimpleNamespace(name=identity.name, identity=identity, head=head))

    def hello(data):
        read = wire.Hello(data)
        return read.is_by(chain(read.notes))

    chains = {identity.name: chain([Note(read("certificate-1.note"))])}
    signed = {
        "certificate": (read("certificate-1.note"), lambda data: chain([Note(data)])),
        "digest": (read("ledger/checkpoint"), lambda data: Digest.of(Note(data), chains)),
        "manifest": (read("genesis/signed.json"), Federation),
        "hello": (unhex("hello"), hello),
    }
    count = 0
    for what, (data, verify) in signed.items():
        check(is_taken(verify, data), f"the {what} was refused")
        for at in range(len(data)):
            other = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            check(not is_taken(verify, other), f"the {what} was taken with another byte {at}")
            count += 1
    return count


try:
    print(json.dumps(dict(ok=True, **right(), refused=refused(), changed=changed())))
except Exception as error:  # noqa: BLE001 - one line says what was wrong
    print(f"py-peer: {type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
