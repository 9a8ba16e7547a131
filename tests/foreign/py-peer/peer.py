#!/usr/bin/env python3
"""A member of a Belfry federation on py-libp2p, written from docs/protocol.md.

    peer.py --dir DIR [--listen] [--size N] [--hold] [--federation HEX] [--seconds N]

It says hello to the other members (or, with --listen, waits for theirs), hears a digest by gossip, verifies it, asks its
factory for the entries under it, and prints one JSON line. Anything wrong: a message on stderr and exit code 1.

DIR has `genesis.json`, the signed manifest, and `keys/`, unencrypted as `belfry init --plain-keys` leaves them.
--size waits for a digest of at least so many entries; --hold stays a member afterwards until standard input ends;
--federation claims another federation and expects to be told so.
"""
import argparse
import base64
import json
import logging
import pathlib
import secrets
import struct
import sys
import time

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

import wire
from notes import LOG, Digest, Federation, Key, KeyFile, Note, Wrong, check, derive, public_of, sha256, verify_chain
from tree import leaf, root, verify_consistency

HELLO = TProtocol("/belfry/hello/1")
AGENT = "py-peer/1"
OPEN_BYTES, SYNC_BYTES, PROBE_BYTES = 65_536, 9_502_720, 28
OPEN_SECONDS, SYNC_SECONDS = 5, 10
READ_BYTES = 65_536
REDIAL_SECONDS = 0.5
TRIES = 3
# Entries asked for at once: several pieces, also of a short ledger, so that their proofs are used.
PIECE = 100


def name_of(body):
    return body.long(200, "a name").decode()


# Questions to which we answer that we have nothing: the kind of the answer, and how the question reads.
NOTHING = {
    wire.KNOWN_CHAINS: (wire.CHAINS, lambda body: body.list(64, lambda one: (name_of(one), one.u32()))),
    wire.KNOWN_FORKS: (wire.FORKS, lambda body: body.list(128, lambda one: (one.u32(), name_of(one)))),
    wire.KNOWN_REVOCATIONS: (wire.REVOCATIONS, lambda body: body.list(64, lambda one: (name_of(one), one.u64()))),
    wire.GET_PROOF: (wire.PROOF_NODES, lambda body: (name_of(body), body.u64(), body.u64())),
}


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Me:
    """Who we are: keys, certificate, federation."""

    agent = AGENT

    def __init__(self, path):
        keys = path / "keys"
        self.federation = Federation((path / "genesis.json").read_bytes())
        identity = Key((keys / "identity.pub").read_text().rstrip("\n"))
        self.member = next((one for one in self.federation.members if one.identity.text == identity.text), None)
        check(self.member, "this node is no member")
        self.notes = [Note((keys / "cert-1.note").read_bytes())]
        self.member.chain = verify_chain(self.notes, self.member)
        newest = self.member.chain[-1]
        check(newest.not_before <= time.time() < newest.not_after, "our certificate is not valid now")
        operational = KeyFile((keys / "operational-1.key").read_bytes(), "operational")
        self.serial, self.envelope_seed = newest.serial, derive(operational, "envelope", LOG)
        check(public_of(self.envelope_seed) == newest.envelope.key, "our certificate names another envelope key")
        self.transport = KeyFile((keys / "transport.key").read_bytes(), "transport").seed
        # Larger with each start, and nothing that has to be remembered rests on it here.
        self.incarnation = wire.now_us()
        self.disk = secrets.token_bytes(16)


class Anonymous(GossipSub):
    """Without authors and numbers, all messages look to py-libp2p like one that was changed; it must not say so."""

    def _check_equivocation(self, msg):
        return True


def message_id(message):
    topic = message.topicIDs[0].encode()
    return sha256(wire.u64(len(topic)), topic, message.data)[:20]


async def read_all(stream, most):
    """All bytes up to the end of a stream."""
    data = b""
    try:
        while piece := await stream.read(READ_BYTES):
            data += piece
            check(len(data) <= most, "a message is too long")
    except StreamEOF:
        pass
    check(data, "no answer")
    return data


class Session:
    """What we know of a peer while it is connected."""

    def __init__(self):
        self.token, self.counter, self.member = secrets.token_bytes(16), 0, None


class Peer:
    """The peer and its conversations."""

    def __init__(self, me, args):
        self.me, self.args, self.claimed = me, args, args.federation or me.federation.id
        self.sessions, self.chains = {}, {}
        self.asked = dict(hello=0, probes=0, marks=0, others=0, refused=0)
        self.sync = TProtocol(f"/belfry/{me.federation.digest8}/sync/1")
        self.topic = f"belfry/{me.federation.digest8}/digests/1"
        self.host = new_host(key_pair=create_new_key_pair(me.transport), muxer_preference="YAMUX")
        check(str(self.host.get_id()) == me.member.peer, "our transport key is not the one in the manifest")
        self.host.set_stream_handler(HELLO, self.answering(OPEN_BYTES, self.hello_asked))
        self.host.set_stream_handler(self.sync, self.answering(SYNC_BYTES, self.sync_asked))
        clock = TProtocol(f"/belfry/{me.federation.digest8}/clock/1")
        self.host.set_stream_handler(clock, self.answering(PROBE_BYTES, self.probed))
        self.router = Anonymous(
            protocols=[PROTOCOL_ID_V11], degree=4, degree_low=2, degree_high=8, heartbeat_interval=1,
            max_messages_per_topic_per_second=1000.0, eclipse_protection_enabled=False,
        )
        self.pubsub = Pubsub(self.host, self.router, strict_signing=False, msg_id_constructor=message_id)

    def tcp(self, member):
        address = next((one for one in member.addresses if "/tcp/" in one), None)
        check(address, f"no TCP address of {member.name} in the manifest")
        return address

    def session(self, peer):
        return self.sessions.setdefault(peer, Session())

    def admitted(self):
        return sorted(one.member.name for one in self.sessions.values() if one.member)

    def hello(self, peer, **more):
        return wire.encode_hello(self.me, federation=self.claimed, to=peer, token=self.session(peer).token, **more)

    def judge(self, hello, peer):
        """Checks a hello against the manifest and takes what it brings: its chain. Returns a goodbye, or 0."""
        if hello.federation != self.me.federation.id:
            return 2
        member = self.me.federation.by_peer(peer)
        if member is None:
            return 4
        if not hello.speaks():
            return 3
        if hello.epoch != self.me.federation.epoch:
            return 10
        if hello.peer != peer or hello.to != self.me.member.peer:
            return 8
        try:
            chain = verify_chain(hello.notes, member)
            check(hello.is_by(chain), "it is not signed by the newest envelope key")
        except (Wrong, ValueError) as error:
            say(f"the hello of {member.name} does not verify: {error}")
            return 8
        member.chain = self.chains[member.name] = chain
        self.session(peer).member = member
        return 0

    def answering(self, most, answer):
        async def handle(stream):
            peer = str(stream.muxed_conn.peer_id)
            try:
                with trio.fail_after(SYNC_SECONDS):
                    await stream.write(answer(await read_all(stream, most), peer))
                    await stream.close_write()
            except Exception as error:  # noqa: BLE001 - whatever a peer does, the others are answered
                say(f"no answer to {peer}: {error!r}")
                await stream.reset()

        return handle

    def hello_asked(self, data, peer):
        self.asked["hello"] += 1
        received, echo, goodbye = wire.now_us(), 0, 8
        try:
            hello = wire.Hello(data)
            echo, goodbye = hello.sent, self.judge(hello, peer)
        except (Wrong, ValueError) as error:
            say(f"a hello that cannot be read: {error}")
        now = wire.now_us()
        return self.hello(peer, sent=now, goodbye=goodbye, echo=echo, received=received, answered=now)

    def probed(self, data, _):
        received = wire.now_us()
        kind, payload, _ = wire.parse_frame(data)
        check(kind == wire.PROBE and len(payload) == 16, "not a probe")
        self.asked["probes"] += 1
        return wire.frame(wire.PROBED, payload + struct.pack("<2q", received, wire.now_us()))

    def sync_asked(self, data, peer):
        """What a member has to answer that keeps no ledger."""
        session = self.session(peer)
        check(session.member, "not admitted")
        kind, payload, known = wire.parse_frame(data)
        if kind == wire.MARKS and known:
            opened = wire.Opened(self.me, payload, kind, session.member)
            check(opened.token == session.token, "marks with another token")
            # Stricter than the rule, which has a window: one connection keeps the order.
            fresh = opened.guard == 1 and opened.stream == kind and opened.counter > session.counter
            check(fresh, "marks with an old counter")
            session.counter = opened.counter
            nonce, _ = opened.body.take(16), opened.body.take(16)
            opened.body.end()
            self.asked["marks"] += 1
            return self.sealed(wire.MARKED, session.member, nonce + b"\x00" + wire.u64(0))
        if kind in NOTHING and known:
            answer, read = NOTHING[kind]
            opened = wire.Opened(self.me, payload, kind, session.member)
            read(opened.body)
            opened.body.end()
            self.asked["others"] += 1
            return wire.frame(answer, wire.u64(0))
        self.asked["refused"] += 1
        reason = wire.NOT_YOURS if known else wire.UNKNOWN
        body = wire.long(b"") + wire.u32(reason) + wire.u64(0) + wire.long(b"")
        return self.sealed(wire.REFUSED, session.member, body)

    def sealed(self, kind, member, body):
        return wire.frame(kind, wire.envelope(self.me, kind, member, body))

    async def ask(self, member, protocol, most, seconds, data):
        with trio.fail_after(seconds):
            stream = await self.host.new_stream(ID.from_base58(member.peer), [protocol])
            await stream.write(data)
            await stream.close_write()
            answer = await read_all(stream, most)
            await stream.close()
            return answer

    async def greet(self, member):
        """Dials a member and says hello. Returns the goodbye, 0 if there is none, its words, and its federation."""
        address = multiaddr.Multiaddr(self.tcp(member))
        with trio.fail_after(OPEN_SECONDS):
            await self.host.connect(PeerInfo(ID.from_base58(member.peer), [address]))
        sent = wire.now_us()
        data = await self.ask(member, HELLO, OPEN_BYTES, OPEN_SECONDS, self.hello(member.peer, sent=sent))
        goodbye, reason = wire.read_goodbye(data)
        hello = wire.Hello(data)
        if goodbye:
            chain = verify_chain(hello.notes, member)
            check(hello.is_by(chain), f"the goodbye of {member.name} is not signed by it")
            return goodbye, reason, hello.federation
        why = self.judge(hello, member.peer)
        check(why == 0, f"the hello of {member.name} deserves goodbye {why}")
        check(hello.echo == sent, f"{member.name} answered another hello")
        return 0, "", hello.federation

    async def meet(self, listen):
        """Dials all others, again and again, until each that is there has admitted us; or waits until they came."""
        others = [one for one in self.me.federation.members if one is not self.me.member]
        towers = {one.name for one in others if "tower" in one.roles}
        factories = {one.name for one in others if "factory" in one.roles}
        while True:
            for member in others:
                if listen or member.name in self.admitted():
                    continue
                try:
                    goodbye, reason, _ = await self.greet(member)
                    check(not goodbye, f"it refused us: {goodbye} ({reason})")
                except Exception as error:  # noqa: BLE001 - one that is away is dialled again
                    say(f"{member.name}: {error!r}")
            # Towers never miss; of the factories at least one is there whose ledger can be seen.
            names = set(self.admitted())
            if towers <= names and factories & names:
                return self.admitted()
            await trio.sleep(REDIAL_SECONDS)

    async def digest(self, subscription):
        """The first digest of another member that comes by gossip; one that does not verify ends us."""
        while True:
            message = await subscription.get()
            anonymous = not (message.from_id or message.seqno or message.signature or message.key)
            check(anonymous, "gossip with an author")
            kind, payload, known = wire.parse_frame(message.data)
            check(known and kind == wire.DIGEST, "not a digest")
            note = Note(payload)
            origin = Digest(note.text).origin
            if origin not in self.chains and self.me.federation.by_name(origin):
                # Others may pass it on before its factory said hello to us.
                continue
            digest = Digest.of(note, self.chains)
            if digest.origin != self.me.member.name and digest.size >= self.args.size:
                say(f"heard a digest of {digest.origin}, size {digest.size}")
                return digest

    async def question(self, member, kind, body, wanted):
        """Asks a member that admitted us, again if no answer comes: also an honest node may be too busy for one."""
        for left in reversed(range(TRIES)):
            try:
                data = await self.ask(member, self.sync, SYNC_BYTES, SYNC_SECONDS, self.sealed(kind, member, body))
                break
            except Exception as error:  # noqa: BLE001 - the last one is passed on
                if not left:
                    raise
                say(f"asking {member.name} again: {error!r}")
                await trio.sleep(REDIAL_SECONDS)
        kind, payload, known = wire.parse_frame(data)
        check(known and kind == wanted, f"{member.name} answered with kind {kind}")
        return wire.Reader(payload)

    async def ask_chains(self, member):
        """Whose chains does it know longer than those that we know? Its answer shows that it admitted us."""
        members = self.me.federation.members
        lengths = [wire.long(one.name.encode()) + wire.u32(len(one.chain)) for one in members]
        body = wire.u64(len(lengths)) + b"".join(lengths)
        answer = await self.question(member, wire.KNOWN_CHAINS, body, wire.CHAINS)

        def chain(reader):
            return name_of(reader), reader.list(256, lambda one: Note(one.long(8192, "a certificate")))

        chains = answer.list(64, chain)
        answer.end()
        for name, notes in chains:
            of = self.me.federation.by_name(name)
            check(of, f"a chain of a stranger, {name}")
            of.chain = self.chains[name] = verify_chain(notes, of)

    async def entries(self, digest):
        """All entries under a digest, each piece proved against it."""
        member = self.me.federation.by_name(digest.origin)
        leaves, hashes, last = [], 0, b""
        while len(leaves) < digest.size:
            body = wire.long(member.name.encode()) + wire.u64(len(leaves)) + wire.u32(PIECE) + wire.u64(digest.size)
            answer = await self.question(member, wire.GET, body, wire.ENTRIES)
            head = wire.Reader(answer.take(answer.u32()))
            first, to, proof = head.u64(), head.u64(), head.list(64, lambda one: one.take(32))
            head.end()
            fits = first == len(leaves) < to <= digest.size and to - first <= PIECE
            check(fits, "other entries than were asked for")
            for _ in range(first, to):
                # In bundles lengths are big-endian.
                last = answer.take(int.from_bytes(answer.take(2), "big"))
                leaves.append(leaf(last))
            answer.end()
            here = root(leaves)
            if to == digest.size:
                check(here == digest.root and not proof, "the entries do not lead to the digest")
            else:
                verify_consistency(to, digest.size, here, digest.root, proof)
            hashes += len(proof)
        entry = json.loads(last)
        check(entry["v"] == 1, "an entry of an unknown version")
        return dict(entries=len(leaves), proof_hashes=hashes, last_kind=entry["kind"])

    async def run(self):
        """All of it, within the time that there is; then we are held."""
        listen = self.args.listen
        addresses = [multiaddr.Multiaddr(self.tcp(self.me.member))] if listen else []
        async with self.host.run(addresses), background_trio_service(self.pubsub), background_trio_service(self.router):
            say(f"listening on {addresses}" if listen else "dialling")
            with trio.fail_after(self.args.seconds):
                seen = await (self.refused() if self.args.federation else self.member(listen))
            names = dict(ok=True, agent=AGENT, name=self.me.member.name, peer=self.me.member.peer)
            print(json.dumps({**names, **seen}), flush=True)
            if self.args.hold:
                await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)

    async def refused(self):
        """What a tower says to a member of another federation."""
        others = (one for one in self.me.federation.members if one is not self.me.member)
        goodbye, reason, federation = await self.greet(next(one for one in others if "tower" in one.roles))
        check(goodbye == 2, f"goodbye {goodbye} instead of 2")
        return dict(goodbye=goodbye, reason=reason, federation=federation)

    async def member(self, listen):
        """What a member sees."""
        await self.pubsub.wait_until_ready()
        subscription = await self.pubsub.subscribe(self.topic)
        names = await self.meet(listen)
        say(f"admitted: {names}")
        digest = await self.digest(subscription)
        for name in names:
            await self.ask_chains(self.me.federation.by_name(name))
        held = await self.entries(digest)
        shown = dict(origin=digest.origin, size=digest.size, root=base64.b64encode(digest.root).decode(),
                     serial=digest.serial)
        return dict(federation=self.me.federation.id, admitted=names, digest=shown, **held, asked=self.asked)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--dir", required=True, type=pathlib.Path)
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("--size", type=int, default=1)
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--federation")
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    # py-libp2p tells of every connection that somebody else closes.
    logging.disable(logging.CRITICAL)
    await Peer(Me(args.dir), args).run()


def causes(error):
    """trio wraps what ended a task into groups."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for one in error.exceptions for cause in causes(one)]
    return [error]


if __name__ == "__main__":
    try:
        trio.run(main)
    except Exception as error:  # noqa: BLE001 - one line says what was wrong
        print("py-peer:", "; ".join(f"{type(one).__name__}: {one}" for one in causes(error)), file=sys.stderr)
        sys.exit(1)
