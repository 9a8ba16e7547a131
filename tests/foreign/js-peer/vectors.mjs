// Reads what docs/protocol.md shows, and refuses what it says must be refused: node vectors.mjs docs/vectors
// Prints one JSON line with how much that was; anything wrong: a message on stderr and exit code 1.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  certificateText, check, digestText, federation, parseNote, sha256, verifierKey, verifyChain, verifyDigest
} from './notes.mjs'
import { leaf, root, verifyConsistency } from './tree.mjs'
import { helloIsBy, parseFrame, parseHello, readGoodbye, u64 } from './wire.mjs'

const read = (name) => readFileSync(join(process.argv[2], name))
const hex = (name) => Buffer.from(read(`wire/${name}.hex`).toString().replaceAll('\n', ''), 'hex')
const row = (purpose) => JSON.parse(read('keys.json')).keys.find((one) => one.purpose === purpose)

// What is right.
const identity = verifierKey(row('identity').vkey)
const notes = ['certificate-1.note', 'certificate-2.note'].map((name) => parseNote(read(name)))
const member = { name: identity.name, identity, head: sha256(notes[1].bytes).toString('hex') }
const chain = verifyChain(notes, member)
const digest = verifyDigest(parseNote(read('ledger/checkpoint')), new Map([[member.name, chain.slice(0, 1)]]))
check(digest.size === 7 && federation(read('genesis/signed.json')).members.length === 4, 'the digest or the manifest reads differently')
const hello = parseHello(hex('hello'))
check(helloIsBy(hello, verifyChain(hello.notes, { ...member, head: sha256(hello.notes.at(-1).bytes).toString('hex') })), 'the hello is not signed')
check(readGoodbye(hex('goodbye')).goodbye === 10 && parseFrame(hex('frame')).kind === 0x0304, 'the goodbye or the frame reads differently')
check(sha256(u64(7), 'topic/1', 'hello').subarray(0, 20).toString('hex') === 'f0498601e739cbb9b53f657776fdc36619c9a9f1', 'the message id differs')
const tree = JSON.parse(read('tree.json'))
const leaves = tree.leaf_data.map((data) => leaf(Buffer.from(data, 'hex')))
const roots = tree.roots.map((one) => Buffer.from(one, 'base64'))
check(roots.every((one, size) => one.equals(root(leaves.slice(0, size)))), 'a root differs')
const proofs = tree.consistency_7.filter(({ old }) => old > 0 && old < 7)
for (const { old, proof } of proofs) verifyConsistency(old, 7, roots[old], roots[7], proof.map((one) => Buffer.from(one, 'base64')))

// What is wrong.
const readers = {
  vkey: verifierKey,
  note: (text) => parseNote(Buffer.from(text)),
  checkpoint: digestText,
  certificate: certificateText,
  'signed-manifest': (text) => federation(Buffer.from(text))
}
const isTaken = (read, ...args) => {
  try { return read(...args) !== false } catch { return false }
}
let refused = 0
for (const { format, text, why } of JSON.parse(read('refused.json')).filter(({ format }) => format in readers)) {
  check(!isTaken(readers[format], text), `a ${format} was taken although: ${why}`)
  refused += 1
}

// No byte of what is signed may be another one.
const first = { ...member, head: sha256(notes[0].bytes).toString('hex') }
const signed = {
  certificate: [read('certificate-1.note'), (bytes) => verifyChain([parseNote(bytes)], first)],
  digest: [read('ledger/checkpoint'), (bytes) => verifyDigest(parseNote(bytes), new Map([[member.name, chain.slice(0, 1)]]))],
  manifest: [read('genesis/signed.json'), federation],
  hello: [hex('hello'), (bytes) => {
    const hello = parseHello(bytes)
    return helloIsBy(hello, verifyChain(hello.notes, { ...first, head: sha256(hello.notes.at(-1).bytes).toString('hex') }))
  }]
}
let changed = 0
for (const [what, [bytes, verify]] of Object.entries(signed)) {
  check(isTaken(verify, bytes), `the ${what} was refused`)
  for (let at = 0; at < bytes.length; at++, changed++) {
    const other = Buffer.from(bytes)
    other[at] ^= 1
    check(!isTaken(verify, other), `the ${what} was taken with another byte ${at}`)
  }
}
console.log(JSON.stringify({ ok: true, roots: roots.length, proofs: proofs.length, refused, changed }))
