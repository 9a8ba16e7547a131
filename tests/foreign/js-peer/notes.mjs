// Signed notes, keys, certificates, digests and the manifest, as docs/protocol.md has them. No I/O.
import { createHash, createPrivateKey, createPublicKey, hkdfSync, sign, verify } from 'node:crypto'

export const LOG = 0x01
export const COSIGNATURE = 0x04
const NOTE_BYTES = 1_000_000
const NOTE_LINES = 100
const CHAIN = 256
// RFC 8410: what stands before the 32 bytes of a key in DER.
const DER_SEED = Buffer.from('302e020100300506032b657004220420', 'hex')
const DER_PUBLIC = Buffer.from('302a300506032b6570032100', 'hex')
const PRIME = 2n ** 255n - 19n
// The eight points of small order. OpenSSL takes them; Belfry refuses them in keys and in signatures.
const SMALL_ORDER = new Set([
  '01'.padEnd(64, '0'), 'ec'.padEnd(62, 'f') + '7f', '0'.repeat(64), '80'.padStart(64, '0'),
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa'
])

export const fail = (why) => { throw new Error(why) }
export const check = (right, why) => right || fail(why)
export const sha256 = (...parts) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export function base64 (text) {
  const bytes = Buffer.from(text, 'base64')
  check(bytes.toString('base64') === text, `not canonical base64: ${text.slice(0, 60)}`)
  return bytes
}

/** A number without sign or leading zero, at most 2^63 - 1; here also one that JavaScript can count to. */
export function decimal (text) {
  check(/^(0|[1-9][0-9]{0,18})$/.test(text) && BigInt(text) <= BigInt(Number.MAX_SAFE_INTEGER), `not a decimal: ${text}`)
  return Number(text)
}

function utf8 (bytes) {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
}

export function signEd25519 (seed, message) {
  return sign(null, message, createPrivateKey({ key: Buffer.concat([DER_SEED, seed]), format: 'der', type: 'pkcs8' }))
}

export function publicOf (seed) {
  const key = createPrivateKey({ key: Buffer.concat([DER_SEED, seed]), format: 'der', type: 'pkcs8' })
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(DER_PUBLIC.length)
}

export function verifyEd25519 (key, message, signature) {
  if (signature.length !== 64 || SMALL_ORDER.has(signature.subarray(0, 32).toString('hex'))) return false
  return verify(null, message, createPublicKey({ key: Buffer.concat([DER_PUBLIC, key]), format: 'der', type: 'spki' }), signature)
}

/** `name+id+key`; the base64 may contain a plus sign. */
export function verifierKey (text) {
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? fail(`not a verifier key: ${text}`)
  const bytes = base64(encoded)
  const [type, key] = [bytes[0], bytes.subarray(1)]
  check((type === LOG || type === COSIGNATURE) && key.length === 32, `a key of a type or length that is not known: ${text}`)
  check(sha256(name, '\n', bytes).subarray(0, 4).toString('hex') === id, `the id of a key is wrong: ${text}`)
  const y = BigInt('0x' + Buffer.from(key).reverse().toString('hex')) & (2n ** 255n - 1n)
  check(y < PRIME && !SMALL_ORDER.has(key.toString('hex')), `a weak key: ${text}`)
  return { name, id, type, key, text }
}

export function parseNote (bytes) {
  check(bytes.length <= NOTE_BYTES, 'a note is too long')
  check(!bytes.some((byte) => byte < 0x20 && byte !== 0x0a), 'a note has a control byte')
  const all = utf8(bytes)
  const at = all.lastIndexOf('\n\n')
  check(at > 0 && all.endsWith('\n'), 'a note without text or signatures')
  const lines = all.slice(at + 2, -1).split('\n')
  check(lines.length <= NOTE_LINES, 'a note with too many lines')
  const signatures = lines.map((line) => {
    const [, name, encoded] = /^— ([^ +]+) ([^ ]+)$/.exec(line) ?? fail(`not a signature line: ${line.slice(0, 100)}`)
    const raw = base64(encoded)
    check(raw.length > 4, 'a signature without bytes')
    return { name, id: raw.subarray(0, 4).toString('hex'), signature: raw.subarray(4) }
  })
  return { text: all.slice(0, at + 1), signatures, bytes }
}

/** The keys that signed. Refuses the note if a known key's line is wrong, or if no known key signed. */
export function verifyNote (note, keys) {
  const signers = new Set()
  for (const line of note.signatures) {
    const key = keys.find((key) => key.name === line.name && key.id === line.id)
    if (key === undefined) continue
    check(key.type === LOG && verifyEd25519(key.key, Buffer.from(note.text), line.signature), `a wrong signature by ${key.name}`)
    signers.add(key.text)
  }
  check(signers.size > 0, 'signed by no key that is known')
  return signers
}

/** The fields of a certificate's text. */
export function certificateText (text) {
  const lines = text.slice(0, -1).split('\n')
  check(lines.length === 11 && lines[0] === 'belfry-key-cert/v1', 'not a certificate')
  check(/^(unfounded|lineage [0-9a-f]{32}|federation [0-9a-f]{64})$/.test(lines[1]), 'a certificate for an unknown place')
  const value = (line, word) => line.startsWith(word + ' ') ? line.slice(word.length + 1) : fail(`a certificate without ${word}`)
  const node = value(lines[2], 'node')
  const [log, fromSize] = value(lines[7], 'key log').split(' from-size ')
  const keys = {
    log: verifierKey(log),
    ack: verifierKey(value(lines[8], 'key ack')),
    mirror: verifierKey(value(lines[9], 'key mirror')),
    envelope: verifierKey(value(lines[10], 'key envelope'))
  }
  for (const [use, key] of Object.entries(keys)) {
    const right = use === 'ack' || use === 'mirror' ? COSIGNATURE : LOG
    check(key.type === right && key.name === node + (use === 'mirror' ? '/mirror' : ''), `the ${use} key has a wrong type or name`)
  }
  const [serial, previous] = [decimal(value(lines[3], 'serial')), value(lines[4], 'previous')]
  check(serial > 0 && (serial === 1 ? previous === '-' : /^[0-9a-f]{64}$/.test(previous)), 'a serial without its previous one')
  return {
    node,
    serial,
    previous,
    notBefore: decimal(value(lines[5], 'not-before')),
    notAfter: decimal(value(lines[6], 'not-after')),
    fromSize: decimal(fromSize ?? fail('a log key without from-size')),
    ...keys
  }
}

function certificate (note, identity) {
  check(note.signatures.length === 1, 'a certificate has one signature')
  verifyNote(note, [identity])
  const one = certificateText(note.text)
  check(one.node === identity.name, 'a certificate of another node')
  return { ...one, hash: sha256(note.bytes).toString('hex') }
}

/** A chain from serial 1 on, by an identity key, that contains the certificate which the manifest names. */
export function verifyChain (notes, member) {
  check(notes.length > 0 && notes.length <= CHAIN, 'a chain without certificates, or with too many')
  const chain = notes.map((note) => certificate(note, member.identity))
  const seen = new Set([member.identity.key.toString('hex')])
  chain.forEach((one, index) => {
    const before = chain[index - 1]
    check(one.serial === index + 1 && one.previous === (before?.hash ?? '-'), 'a chain with a gap')
    check(one.notBefore < one.notAfter, 'a certificate that is never valid')
    check(!before || (one.fromSize >= before.fromSize && one.notBefore >= before.notBefore), 'a chain that goes back')
    for (const key of [one.log, one.ack, one.mirror, one.envelope]) {
      check(!seen.has(key.key.toString('hex')), 'a key is used twice')
      seen.add(key.key.toString('hex'))
    }
  })
  check(chain.some((one) => one.hash === member.head), `the chain of ${member.name} does not lead through the manifest's`)
  return chain
}

/** Origin, size and root of a digest's text. */
export function digestText (text) {
  const lines = text.split('\n')
  check(lines.length === 4 && lines[3] === '', 'a digest has three lines')
  const [origin, size, root] = [lines[0], decimal(lines[1]), base64(lines[2])]
  check(root.length === 32 && origin !== '' && Buffer.byteLength(origin) <= 255, 'a malformed digest')
  check(size > 0 || root.equals(sha256('')), 'a root of nothing that is not the empty tree\'s')
  return { origin, size, root }
}

/** The digest in a note, verified with the log key that a chain names for its size. */
export function verifyDigest (note, chains) {
  const { origin, size, root } = digestText(note.text)
  const chain = chains.get(origin) ?? fail(`a digest of ${origin}, of whom no chain is known`)
  const newest = chain.filter((one) => one.fromSize <= size).at(-1) ?? fail('a digest below all log keys')
  verifyNote(note, [newest.log])
  return { origin, size, root, serial: newest.serial }
}

/** RFC 8785 for values that have no fractions: what manifests have. */
function canonical (value) {
  if (Array.isArray(value)) return `[${value.map(canonical)}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)}}`
}

/** The federation of a signed manifest of epoch 0: every member has signed it, and nobody else. */
export function federation (file) {
  const signed = JSON.parse(utf8(file))
  const { manifest, note: text } = signed
  check(canonical(signed) === utf8(file), 'the manifest is not in its one spelling')
  check(manifest.format === 'belfry-manifest/v1' && manifest.epoch === 0, 'a manifest of a format or epoch that is not known here')
  const hash = sha256(canonical(manifest)).toString('hex')
  const note = parseNote(Buffer.from(text))
  check(note.text === `belfry-genesis/v1\n-\n0\n${hash}\n`, 'the note is not on this manifest')
  const members = manifest.members.map((member) => ({
    name: member.name,
    peer: member.peer,
    addresses: member.addresses,
    roles: member.roles,
    head: member.certificate_head,
    identity: verifierKey(member.identity)
  }))
  check(members.every((member) => member.identity.name === member.name), 'an identity key of another name')
  const signers = verifyNote(note, members.map((member) => member.identity))
  check(signers.size === members.length && note.signatures.length === members.length, 'not signed by exactly its members')
  return { id: hash, digest8: hash.slice(0, 8), epoch: 0, members }
}

/** The seed in a plain key file. */
export function keyFile (bytes, purpose) {
  const text = utf8(bytes)
  const at = text.indexOf('check ')
  const lines = Object.fromEntries(text.slice(0, at).split('\n').slice(1, -1).map((line) => line.split(' ')))
  check(text.startsWith('belfry-key/v1\n') && lines.purpose === purpose, `not the ${purpose} key`)
  const sum = sha256('belfry/key-file/v1\0', text.slice(0, at)).toString('hex').slice(0, 16)
  check(text.slice(at) === `check ${sum}\n`, `the file of the ${purpose} key was changed`)
  return { name: lines.name, serial: decimal(lines.serial), seed: base64(lines.seed) }
}

const big = (number) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(BigInt(number)); return bytes }
const field = (bytes) => Buffer.concat([big(bytes.length), bytes])

/** The seed of a purpose key, out of the operational seed. */
export function derive (operational, purpose, type) {
  const parts = ['belfry/key/v1', purpose, Buffer.from([type]), operational.name, big(operational.serial)]
  const info = Buffer.concat(parts.map((part) => field(Buffer.from(part))))
  return Buffer.from(hkdfSync('sha256', operational.seed, Buffer.alloc(0), info, 32))
}
