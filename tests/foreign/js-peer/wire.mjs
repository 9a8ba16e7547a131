// Frames, envelopes, hellos and the bodies a member needs that keeps no ledger, as docs/protocol.md has them. No I/O.
import { check, fail, parseNote, sha256, signEd25519, verifyEd25519 } from './notes.mjs'

const HELLO_BYTES = 61_440
const PAYLOAD_BYTES = 9_437_184
const BODY_BYTES = 1_048_576
export const V1_0 = 0x0100
export const KIND = {
  prepare: 1, refused: 3, digest: 4, recover: 6, marks: 8, marked: 9, get: 10, entries: 11, knownChains: 13, chains: 14,
  knownForks: 15, forks: 16, getProof: 17, proofNodes: 18, knownRevocations: 30, revocations: 31, probe: 32, probed: 33
}
// Sync 1.0 has kinds 1 to 19, and revocations.
const known = (kind) => (kind >= 1 && kind <= 19) || kind === KIND.knownRevocations || kind === KIND.revocations
export const NOT_YOURS = 8
export const UNKNOWN = 10
export const ZERO16 = Buffer.alloc(16)
export const ZERO32 = Buffer.alloc(32)

export class Reader {
  constructor (bytes) { this.bytes = Buffer.from(bytes); this.at = 0 }
  take (length) {
    check(this.at + length <= this.bytes.length, 'a message is cut short')
    return this.bytes.subarray(this.at, this.at += length)
  }

  u8 () { return this.take(1)[0] }
  u16 () { return this.take(2).readUInt16LE() }
  u32 () { return this.take(4).readUInt32LE() }
  u64 () { return this.take(8).readBigUInt64LE() }
  i64 () { return this.take(8).readBigInt64LE() }
  rest () { return this.take(this.bytes.length - this.at) }
  end () { check(this.at === this.bytes.length, 'bytes follow the last field') }

  /** A length of two bytes, and that many. */
  short (max, what) {
    const length = this.u16()
    check(length <= max, `${what} is too long`)
    return this.take(length)
  }

  text (max, what) {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.short(max, what))
    check(!/\p{Cc}/u.test(text), `${what} has a control character`)
    return text
  }

  /** The same with a length of eight bytes, as bodies have it. */
  long (max, what) {
    const length = this.u64()
    check(length <= BigInt(max), `${what} is too long`)
    return this.take(Number(length))
  }

  list (max, read) {
    const count = this.u64()
    check(count <= BigInt(max), 'a list is too long')
    return Array.from({ length: Number(count) }, () => read(this))
  }
}

export const u8 = (value) => Buffer.from([value])
export const u16 = (value) => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes }
export const u32 = (value) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes }
export const u64 = (value) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(BigInt(value)); return bytes }
export const i64 = (value) => { const bytes = Buffer.alloc(8); bytes.writeBigInt64LE(BigInt(value)); return bytes }
const short = (value) => { const bytes = Buffer.from(value); return Buffer.concat([u16(bytes.length), bytes]) }
export const long = (value) => { const bytes = Buffer.from(value); return Buffer.concat([u64(bytes.length), bytes]) }
/** The wall clock, finer than `Date.now`: who probes it would take a millisecond for a step. */
export const nowUs = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000))

export function frame (kind, payload) {
  return Buffer.concat([Buffer.from('BLFR'), u16(V1_0), u16(kind), u32(payload.length), payload])
}

export function parseFrame (bytes) {
  const from = new Reader(bytes)
  check(from.take(4).toString() === 'BLFR', 'not a frame')
  const [version, kind, length] = [from.u16(), from.u16(), from.u32()]
  check(length <= PAYLOAD_BYTES, 'a frame is too long')
  const payload = from.take(length)
  from.end()
  return { version, kind, payload, known: version >> 8 === 1 && known(kind) }
}

export function encodeHello (hello, envelopeSeed) {
  const ranges = [[V1_0, V1_0]]
  const signed = Buffer.concat([
    u8(1), u16(hello.goodbye ?? 0), short(hello.reason ?? ''),
    Buffer.from(hello.federation, 'hex'), u64(hello.epoch), Buffer.from(hello.head, 'hex'),
    u8(ranges.length), ...ranges.flat().map(u16),
    short(hello.peer), short(hello.to), hello.token, hello.disk, u8(hello.roles),
    i64(hello.sent), i64(hello.echo ?? 0), i64(hello.received ?? 0), i64(hello.answered ?? 0),
    u8(hello.notes.length), ...hello.notes.map((note) => short(note.bytes)),
    short(''), short(hello.agent), short('')
  ])
  return Buffer.concat([signed, signEd25519(envelopeSeed, Buffer.concat([Buffer.from('belfry/hello/v1\0'), signed]))])
}

/** What stands first in every layout: why a node hangs up, and its words for it. */
export function readGoodbye (bytes) {
  const from = new Reader(bytes)
  from.u8()
  return { goodbye: from.u16(), reason: from.text(512, 'the reason') }
}

export function parseHello (bytes) {
  check(bytes.length <= HELLO_BYTES, 'a hello is too long')
  const from = new Reader(bytes)
  const layout = from.u8()
  check(layout === 1, `a hello of layout ${layout}`)
  const hello = {
    goodbye: from.u16(),
    reason: from.text(512, 'the reason'),
    federation: from.take(32).toString('hex'),
    epoch: from.u64(),
    head: from.take(32).toString('hex')
  }
  const bounded = (max, what) => { const count = from.u8(); check(count <= max, `too many ${what}`); return count }
  hello.versions = Array.from({ length: bounded(8, 'version ranges') }, () => [from.u16(), from.u16()])
  const ordered = ([low, high]) => low <= high && low >> 8 === high >> 8
  check(hello.versions.every(ordered), 'an impossible range of versions')
  hello.peer = from.text(128, 'a PeerId')
  hello.to = from.text(128, 'a PeerId')
  hello.token = from.take(16)
  hello.disk = from.take(16)
  hello.roles = from.u8()
  for (const time of ['sent', 'echo', 'received', 'answered']) hello[time] = from.i64()
  hello.notes = Array.from({ length: bounded(64, 'certificates') }, () => parseNote(from.short(8192, 'a certificate')))
  hello.digest = from.short(8192, 'a digest')
  hello.agent = from.text(64, 'the agent')
  from.short(4096, 'the extensions')
  hello.signed = from.bytes.subarray(0, from.at)
  hello.signature = from.take(64)
  from.end()
  return hello
}

/** Whether the envelope key of the newest certificate signed a hello. */
export function helloIsBy (hello, chain) {
  return verifyEd25519(chain.at(-1).envelope.key, Buffer.concat([Buffer.from('belfry/hello/v1\0'), hello.signed]), hello.signature)
}

/** The highest version that both sides speak, when we speak 1.0 alone. */
export const speaks = (versions) => versions.some(([low, high]) => low <= V1_0 && V1_0 <= high)

export const memberId = (member) => sha256('belfry/member/v1\0', member.identity.text)

export function envelope (me, kind, destination, body) {
  const signed = Buffer.concat([
    u8(1), u16(V1_0), u16(kind), Buffer.from(me.federation.id, 'hex'), ZERO16, u64(me.federation.epoch),
    memberId(me.member), u64(me.serial), u64(me.incarnation), destination,
    u8(0), ZERO16, ZERO16, i64(nowUs()), u32(body.length), body
  ])
  return Buffer.concat([signed, signEd25519(me.envelopeSeed, Buffer.concat([Buffer.from('belfry/envelope/v1\0'), signed]))])
}

/** An envelope from a member to us, its header and its body; anything that does not fit is refused. */
export function openEnvelope (me, payload, kind, from) {
  const reader = new Reader(payload)
  const header = { layout: reader.u8(), version: reader.u16(), kind: reader.u16() }
  check(header.layout === 1, `an envelope of layout ${header.layout}`)
  header.federation = reader.take(32).toString('hex')
  header.lineage = reader.take(16)
  header.epoch = reader.u64()
  header.sender = reader.take(32)
  header.serial = reader.u64()
  header.incarnation = reader.u64()
  header.destination = reader.take(32)
  header.guard = reader.u8()
  header.guarded = reader.take(16)
  header.token = reader.take(16)
  header.issued = reader.i64()
  const length = reader.u32()
  check(length <= BODY_BYTES, 'a body is too long')
  check(header.destination.equals(memberId(me.member)), 'an envelope for somebody else')
  check(header.kind === kind && header.guard <= 2, 'an envelope of another kind than its frame, or with an unknown guard')
  check(header.guard !== 0 || header.guarded.equals(ZERO16), 'bytes beside no guard')
  check(header.federation === me.federation.id && header.lineage.equals(ZERO16), 'an envelope of another federation')
  check(header.epoch === BigInt(me.federation.epoch), 'an envelope of another epoch')
  check(header.sender.equals(memberId(from)), 'an envelope by somebody else')
  const body = reader.take(length)
  const signed = reader.bytes.subarray(0, reader.at)
  const signature = reader.take(64)
  const key = from.chain.slice(-2).find((one) => BigInt(one.serial) === header.serial) ?? fail('an envelope under an unknown key')
  const message = Buffer.concat([Buffer.from('belfry/envelope/v1\0'), signed])
  check(verifyEd25519(key.envelope.key, message, signature), 'an envelope with a wrong signature')
  return { header, body: new Reader(body), rest: reader.rest() }
}
