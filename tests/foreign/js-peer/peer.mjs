// A member of a Belfry federation on js-libp2p, written from docs/protocol.md: it says hello to the other members (or,
// with --listen, waits for theirs), hears a digest by gossip, verifies it, asks its factory for the entries under it,
// and prints one JSON line. Anything wrong: a message on stderr and exit code 1.
//
//   node --import ./shim.mjs peer.mjs --dir DIR [--listen] [--size N] [--hold] [--federation HEX] [--seconds N]
//
// DIR has `genesis.json`, the signed manifest, and `keys/`, unencrypted as `belfry init --plain-keys` leaves them.
// --size waits for a digest of at least so many entries; --hold stays a member afterwards until standard input ends;
// --federation claims another federation and expects to be told so.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub, StrictNoSign } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import {
  check, derive, digestText, fail, federation, keyFile, LOG, parseNote, publicOf, sha256, verifierKey, verifyChain, verifyDigest
} from './notes.mjs'
import { leaf, root, verifyConsistency } from './tree.mjs'
import {
  encodeHello, envelope, frame, helloIsBy, i64, KIND, long, memberId, NOT_YOURS, nowUs, openEnvelope, parseFrame, parseHello,
  Reader, readGoodbye, speaks, u32, u64, u8, UNKNOWN, ZERO16
} from './wire.mjs'

const HELLO = '/belfry/hello/1'
const AGENT = 'js-peer/1'
const OPEN_BYTES = 65_536
const SYNC_BYTES = 9_502_720
const PROBE_BYTES = 28
const OPEN_MS = 5_000
const SYNC_MS = 10_000
const REDIAL_MS = 500
const TRIES = 3
/** Entries asked for at once: several pieces, also of a short ledger, so that their proofs are used. */
const PIECE = 100

const { values: args } = parseArgs({
  options: {
    dir: { type: 'string' },
    listen: { type: 'boolean', default: false },
    size: { type: 'string', default: '1' },
    hold: { type: 'boolean', default: false },
    federation: { type: 'string' },
    seconds: { type: 'string', default: '60' }
  }
})
const say = (text) => console.error(`${new Date().toISOString()} ${text}`)

function load (dir) {
  const founded = federation(readFileSync(join(dir, 'genesis.json')))
  const key = (name) => readFileSync(join(dir, 'keys', name))
  const identity = verifierKey(key('identity.pub').toString().trimEnd())
  const member = founded.members.find((one) => one.identity.text === identity.text) ?? fail('this node is no member')
  const operational = keyFile(key('operational-1.key'), 'operational')
  const notes = [parseNote(key('cert-1.note'))]
  member.chain = verifyChain(notes, member)
  const [newest] = member.chain.slice(-1)
  const now = Date.now() / 1000
  check(newest.notBefore <= now && now < newest.notAfter, 'our certificate is not valid now')
  const envelopeSeed = derive(operational, 'envelope', LOG)
  check(publicOf(envelopeSeed).equals(newest.envelope.key), 'our certificate names another envelope key')
  return {
    federation: founded,
    member,
    notes,
    serial: newest.serial,
    envelopeSeed,
    transport: keyFile(key('transport.key'), 'transport').seed,
    // Larger with each start, and nothing that has to be remembered rests on it here.
    incarnation: nowUs(),
    disk: randomBytes(16)
  }
}

/** All bytes up to the end of a stream. */
async function readAll (stream, max) {
  const chunks = []
  let length = 0
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk.subarray())
    length += bytes.length
    check(length <= max, 'a message is too long')
    chunks.push(bytes)
  }
  check(length > 0, 'no answer')
  return Buffer.concat(chunks)
}

const within = (promise, ms, what) => {
  let timer
  const late = new Promise((_resolve, reject) => { timer = setTimeout(() => reject(new Error(`${what} took too long`)), ms) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

class Peer {
  constructor (me, { federation, size }) {
    this.me = me
    this.claimed = federation ?? me.federation.id
    this.size = Number(size)
    /** By PeerId: what we know of a connection. */
    this.sessions = new Map()
    /** By name: verified certificate chains. */
    this.chains = new Map()
    this.asked = { hello: 0, probes: 0, marks: 0, others: 0, refused: 0 }
    this.digests = []
    this.onDigest = null
    this.topic = (kind) => `belfry/${me.federation.digest8}/${kind}/1`
    this.clock = `/belfry/${me.federation.digest8}/clock/1`
    this.sync = `/belfry/${me.federation.digest8}/sync/1`
  }

  async start (listen) {
    const address = this.me.member.addresses.find((one) => one.includes('/tcp/')) ?? fail('no TCP address in the manifest')
    this.node = await createLibp2p({
      privateKey: await generateKeyPairFromSeed('Ed25519', this.me.transport),
      addresses: { listen: listen ? [address] : [] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      // All members may come from one address at once.
      connectionManager: { inboundConnectionThreshold: 64 },
      services: {
        identify: identify(),
        ping: ping(),
        pubsub: gossipsub({
          globalSignaturePolicy: StrictNoSign,
          msgIdFn: ({ topic, data }) => sha256(u64(Buffer.byteLength(topic)), topic, data).subarray(0, 20),
          allowPublishToZeroTopicPeers: true
        })
      }
    })
    check(this.node.peerId.toString() === this.me.member.peer, 'our transport key is not the one in the manifest')
    await this.node.handle(HELLO, (stream, connection) => this.answering(stream, connection, OPEN_BYTES, (bytes) => this.helloAsked(bytes, connection)))
    await this.node.handle(this.sync, (stream, connection) => this.answering(stream, connection, SYNC_BYTES, (bytes) => this.syncAsked(bytes, connection)))
    await this.node.handle(this.clock, (stream, connection) => this.answering(stream, connection, PROBE_BYTES, (bytes) => this.probed(bytes)))
    this.node.services.pubsub.addEventListener('message', ({ detail }) => this.heard(detail))
    this.node.services.pubsub.subscribe(this.topic('digests'))
    this.node.addEventListener('connection:close', ({ detail }) => this.sessions.delete(detail.remotePeer.toString()))
  }

  memberAt (peer) {
    return this.me.federation.members.find((one) => one.peer === peer)
  }

  session (connection) {
    const peer = connection.remotePeer.toString()
    if (!this.sessions.has(peer)) this.sessions.set(peer, { token: randomBytes(16), disk: null, counter: 0n, admitted: false })
    return this.sessions.get(peer)
  }

  hello (connection, more) {
    const { me } = this
    return encodeHello({
      federation: this.claimed,
      epoch: me.federation.epoch,
      head: this.claimed,
      peer: me.member.peer,
      to: connection.remotePeer.toString(),
      token: this.session(connection).token,
      disk: me.disk,
      roles: (me.member.roles.includes('factory') ? 1 : 0) | (me.member.roles.includes('tower') ? 2 : 0),
      sent: nowUs(),
      notes: me.notes,
      agent: AGENT,
      ...more
    }, me.envelopeSeed)
  }

  /** Checks a hello against the manifest and takes what it brings: its chain. Returns a goodbye, or 0. */
  judge (hello, connection) {
    const peer = connection.remotePeer.toString()
    if (hello.federation !== this.me.federation.id) return 2
    const member = this.memberAt(peer)
    if (member === undefined) return 4
    if (!speaks(hello.versions)) return 3
    if (hello.epoch !== BigInt(this.me.federation.epoch)) return 10
    if (hello.peer !== peer || hello.to !== this.me.member.peer) return 8
    try {
      const chain = verifyChain(hello.notes, member)
      if (!helloIsBy(hello, chain)) return 8
      member.chain = chain
      this.chains.set(member.name, chain)
    } catch (error) {
      say(`the hello of ${member.name} does not verify: ${error.message}`)
      return 8
    }
    Object.assign(this.session(connection), { admitted: true, agent: hello.agent, member })
    return 0
  }

  async answering (stream, connection, max, answer) {
    try {
      const bytes = await within(readAll(stream, max), SYNC_MS, 'a question')
      stream.send(await answer(bytes))
      await stream.close()
    } catch (error) {
      say(`no answer to ${connection.remotePeer}: ${error.message}`)
      stream.abort(error)
    }
  }

  helloAsked (bytes, connection) {
    this.asked.hello += 1
    const received = nowUs()
    let echo = 0n
    let goodbye = 8
    try {
      const hello = parseHello(bytes)
      echo = hello.sent
      goodbye = this.judge(hello, connection)
    } catch (error) {
      say(`a hello that cannot be read: ${error.message}`)
    }
    return this.hello(connection, { goodbye, echo, received, answered: nowUs() })
  }

  probed (bytes) {
    const received = nowUs()
    const { kind, payload } = parseFrame(bytes)
    check(kind === KIND.probe && payload.length === 16, 'not a probe')
    this.asked.probes += 1
    return frame(KIND.probed, Buffer.concat([payload, i64(received), i64(nowUs())]))
  }

  /** What a member has to answer that keeps no ledger. */
  syncAsked (bytes, connection) {
    const session = this.session(connection)
    check(session.admitted, 'not admitted')
    const from = session.member
    const asked = parseFrame(bytes)
    const refuse = (reason) => {
      this.asked.refused += 1
      return frame(KIND.refused, envelope(this.me, KIND.refused, memberId(from), Buffer.concat([long(''), u32(reason), u64(0), long('')])))
    }
    if (!asked.known) return refuse(UNKNOWN)
    if (asked.kind === KIND.marks) {
      const { header, body } = openEnvelope(this.me, asked.payload, KIND.marks, from)
      check(header.token.equals(session.token), 'marks with another token')
      const stream = header.guarded.readBigUInt64LE(0)
      const counter = header.guarded.readBigUInt64LE(8)
      // Stricter than the rule, which has a window: one connection keeps the order.
      check(header.guard === 1 && stream === BigInt(KIND.marks) && counter > session.counter, 'marks with an old counter')
      session.counter = counter
      const nonce = body.take(16)
      body.take(16)
      body.end()
      this.asked.marks += 1
      return frame(KIND.marked, envelope(this.me, KIND.marked, memberId(from), Buffer.concat([nonce, u8(0), u64(0)])))
    }
    // Of what else may be asked we have nothing.
    const name = (one) => one.long(200, 'a name').toString()
    const nothing = {
      [KIND.knownChains]: [KIND.chains, (body) => body.list(64, (one) => [name(one), one.u32()])],
      [KIND.knownForks]: [KIND.forks, (body) => body.list(128, (one) => [one.u32(), name(one)])],
      [KIND.knownRevocations]: [KIND.revocations, (body) => body.list(64, (one) => [name(one), one.u64()])],
      [KIND.getProof]: [KIND.proofNodes, (body) => [name(body), body.u64(), body.u64()]]
    }[asked.kind]
    if (nothing) {
      const [answer, read] = nothing
      const { body } = openEnvelope(this.me, asked.payload, asked.kind, from)
      read(body)
      body.end()
      this.asked.others += 1
      return frame(answer, u64(0))
    }
    return refuse(NOT_YOURS)
  }

  async ask (connection, protocol, max, ms, bytes) {
    const stream = await connection.newStream(protocol)
    stream.send(bytes)
    // This closes our half alone.
    await stream.close()
    return within(readAll(stream, max), ms, 'an answer')
  }

  /** Dials a member and says hello. Returns the goodbye, or 0. */
  async greet (member) {
    const address = member.addresses.find((one) => one.includes('/tcp/'))
    const signal = AbortSignal.timeout(OPEN_MS)
    const connection = await this.node.dial(multiaddr(`${address}/p2p/${member.peer}`), { signal })
    const sent = nowUs()
    const bytes = await this.ask(connection, HELLO, OPEN_BYTES, OPEN_MS, this.hello(connection, { sent }))
    const { goodbye, reason } = readGoodbye(bytes)
    const hello = parseHello(bytes)
    if (goodbye !== 0) {
      const chain = verifyChain(hello.notes, member)
      check(helloIsBy(hello, chain), `the goodbye of ${member.name} is not signed by it`)
      return { goodbye, reason, federation: hello.federation }
    }
    const why = this.judge(hello, connection)
    check(why === 0, `the hello of ${member.name} deserves goodbye ${why}`)
    check(hello.echo - sent < 1000n && sent - hello.echo < 1000n, `${member.name} answered another hello`)
    return { goodbye: 0, reason }
  }

  heard ({ topic, data }) {
    if (topic !== this.topic('digests')) return
    try {
      const { version, kind, payload } = parseFrame(data)
      check(version >> 8 === 1 && kind === KIND.digest, 'not a digest')
      const note = parseNote(payload)
      const { origin } = digestText(note.text)
      // Others may pass it on before its factory said hello to us.
      if (this.me.federation.members.some((one) => one.name === origin) && !this.chains.has(origin)) return
      const digest = verifyDigest(note, this.chains)
      if (digest.origin === this.me.member.name || digest.size < this.size) return
      say(`heard a digest of ${digest.origin}, size ${digest.size}`)
      this.digests.push(digest)
      this.onDigest?.(digest)
    } catch (error) {
      this.wrong ??= `gossip that does not verify: ${error.message}`
      this.onDigest?.(null)
    }
  }

  digest () {
    return new Promise((resolve) => {
      this.onDigest = resolve
      if (this.digests.length > 0 || this.wrong) resolve(this.digests[0] ?? null)
    })
  }

  connectionTo (member) {
    return this.node.getConnections().find((one) => one.remotePeer.toString() === member.peer) ?? fail(`not connected to ${member.name}`)
  }

  /** Asks a member that admitted us, again if no answer comes: also an honest node may be too busy for one. */
  async sealed (member, kind, body, wanted) {
    for (let tries = 1; ; tries++) {
      try {
        const question = frame(kind, envelope(this.me, kind, memberId(member), body))
        const answer = parseFrame(await this.ask(this.connectionTo(member), this.sync, SYNC_BYTES, SYNC_MS, question))
        check(answer.kind === wanted, `${member.name} answered with kind ${answer.kind}`)
        return answer.payload
      } catch (error) {
        if (tries === TRIES) throw error
        say(`asking ${member.name} again: ${error.message}`)
        await pause(REDIAL_MS)
      }
    }
  }

  /** Whose chains does it know longer than those that we know? Its answer shows that it admitted us. */
  async askChains (member) {
    const lengths = this.me.federation.members.map((one) => Buffer.concat([long(one.name), u32(one.chain?.length ?? 0)]))
    const body = Buffer.concat([u64(lengths.length), ...lengths])
    const payload = await this.sealed(member, KIND.knownChains, body, KIND.chains)
    const from = new Reader(payload)
    const chains = from.list(64, (one) => ({
      name: one.long(200, 'a name').toString(),
      notes: one.list(256, (note) => parseNote(note.long(8192, 'a certificate')))
    }))
    from.end()
    for (const { name, notes } of chains) {
      const of = this.me.federation.members.find((one) => one.name === name) ?? fail(`a chain of a stranger, ${name}`)
      of.chain = verifyChain(notes, of)
      this.chains.set(name, of.chain)
    }
  }

  /** All entries under a digest, each piece proved against it. */
  async entries (digest) {
    const member = this.me.federation.members.find((one) => one.name === digest.origin)
    const leaves = []
    let hashes = 0
    let last = null
    while (leaves.length < digest.size) {
      const body = Buffer.concat([long(member.name), u64(leaves.length), u32(PIECE), u64(digest.size)])
      const payload = new Reader(await this.sealed(member, KIND.get, body, KIND.entries))
      const head = new Reader(payload.take(payload.u32()))
      const [from, to] = [Number(head.u64()), Number(head.u64())]
      const proof = head.list(64, (one) => one.take(32))
      head.end()
      check(from === leaves.length && from < to && to <= digest.size && to - from <= PIECE, 'other entries than were asked for')
      for (let index = from; index < to; index++) {
        // In bundles lengths are big-endian.
        last = payload.take(payload.take(2).readUInt16BE())
        leaves.push(leaf(last))
      }
      payload.end()
      const here = root(leaves)
      if (to === digest.size) check(here.equals(digest.root) && proof.length === 0, 'the entries do not lead to the digest')
      else verifyConsistency(to, digest.size, here, digest.root, proof)
      hashes += proof.length
    }
    const entry = JSON.parse(last.toString())
    check(entry.v === 1, 'an entry of an unknown version')
    return { entries: leaves.length, proof_hashes: hashes, last_kind: entry.kind }
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Dials all others, again and again, until each that is there has admitted us; or waits until they came. */
async function meet (peer, listen) {
  const others = peer.me.federation.members.filter((one) => one !== peer.me.member)
  const factories = others.filter((one) => one.roles.includes('factory'))
  const admitted = () => [...peer.sessions.values()].filter((one) => one.admitted).map((one) => one.member.name)
  const towers = others.filter((one) => one.roles.includes('tower')).length
  for (;;) {
    if (!listen) {
      for (const member of others.filter((one) => !admitted().includes(one.name))) {
        try {
          const { goodbye, reason } = await peer.greet(member)
          if (goodbye !== 0) fail(`${member.name} refused us: ${goodbye} (${reason})`)
        } catch (error) {
          say(`${member.name}: ${error.message}`)
        }
      }
    }
    // Towers never miss; of the factories at least one is there whose ledger can be seen.
    const names = admitted()
    const there = (member) => names.includes(member.name)
    if (others.filter((one) => one.roles.includes('tower')).filter(there).length === towers && factories.some(there)) return names.sort()
    await pause(REDIAL_MS)
  }
}

async function run (peer) {
  await peer.start(args.listen)
  say(args.listen ? `listening on ${peer.node.getMultiaddrs()}` : 'dialling')
  if (args.federation) {
    const told = await peer.greet(peer.me.federation.members.find((one) => one !== peer.me.member && one.roles.includes('tower')))
    check(told.goodbye === 2, `goodbye ${told.goodbye} instead of 2`)
    return { goodbye: told.goodbye, reason: told.reason, federation: told.federation }
  }
  const names = await meet(peer, args.listen)
  say(`admitted: ${names}`)
  const digest = await peer.digest()
  check(digest !== null, peer.wrong)
  for (const name of names) await peer.askChains(peer.me.federation.members.find((one) => one.name === name))
  const held = await peer.entries(digest)
  check(!peer.wrong, peer.wrong)
  return {
    federation: peer.me.federation.id,
    admitted: names,
    digest: { origin: digest.origin, size: digest.size, root: digest.root.toString('base64'), serial: digest.serial },
    ...held,
    asked: peer.asked
  }
}

let peer
try {
  check(args.dir, '--dir is missing')
  peer = new Peer(load(args.dir), args)
  const seen = await within(run(peer), Number(args.seconds) * 1000, 'all of it')
  console.log(JSON.stringify({ ok: true, agent: AGENT, name: peer.me.member.name, peer: peer.me.member.peer, ...seen }))
  if (args.hold) for await (const _ of process.stdin);
} catch (error) {
  console.error(`js-peer: ${error.message}`)
  process.exitCode = 1
}
await Promise.race([peer?.node?.stop(), pause(2_000)])
process.exit()
