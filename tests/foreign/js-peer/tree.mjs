// The tree of RFC 6962 with SHA-256, and proofs as RFC 9162 verifies them. No I/O.
import { check, sha256 } from './notes.mjs'

const node = (left, right) => sha256(Buffer.from([1]), left, right)
export const leaf = (entry) => sha256(Buffer.from([0]), entry)

/** The root over leaf hashes. */
export function root (leaves) {
  if (leaves.length === 0) return sha256('')
  let level = leaves
  // A node without a neighbour goes up as it is: that gives the tree of RFC 6962.
  while (level.length > 1) {
    const next = []
    for (let at = 0; at < level.length; at += 2) next.push(at + 1 < level.length ? node(level[at], level[at + 1]) : level[at])
    level = next
  }
  return level[0]
}

/** RFC 9162 §2.1.4.2 for sizes 0 < first < second. */
export function verifyConsistency (first, second, firstRoot, secondRoot, proof) {
  check(first > 0 && first < second && proof.length > 0, 'a consistency proof that cannot be')
  const path = [...proof]
  if (Number.isInteger(Math.log2(first))) path.unshift(firstRoot)
  let [f, s] = [BigInt(first) - 1n, BigInt(second) - 1n]
  while (f & 1n) { f >>= 1n; s >>= 1n }
  let [small, large] = [path[0], path[0]]
  for (const hash of path.slice(1)) {
    check(s !== 0n, 'a consistency proof with too many hashes')
    if ((f & 1n) || f === s) {
      small = node(hash, small)
      large = node(hash, large)
      while (f !== 0n && !(f & 1n)) { f >>= 1n; s >>= 1n }
    } else {
      large = node(large, hash)
    }
    f >>= 1n
    s >>= 1n
  }
  check(s === 0n && small.equals(firstRoot) && large.equals(secondRoot), 'a wrong consistency proof')
}
