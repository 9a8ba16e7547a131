#!/usr/bin/env python3
"""Writes the Merkle proof vectors beside this file. Same output on every run; standard library only.

Proofs come from the recursive definitions (RFC 6962 §2.1, draft-ietf-plants-merkle-tree-certs §4.4). `wantErr` is not
taken from how a vector was damaged, since some damage leaves a valid proof of something else. It comes from a judge
that takes the proof apart from the root downwards, so it shares no step with the bottom-up algorithm it checks.

    python3 generate.py            write the four files
    python3 generate.py --judge F  judge a file of such vectors, for example another project's; exit 1 on a difference
"""
import base64
import hashlib
import json
import pathlib
import sys

EMPTY = hashlib.sha256(b"").digest()
MAX = 2**63 - 1


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(data):
    return sha(b"\x00", data)


def node(left, right):
    return sha(b"\x01", left, right)


def split(n):
    """The largest power of two below n."""
    return 1 << ((n - 1).bit_length() - 1)


class Tree:
    """Leaves are `entry 0`, `entry 1`, …; or all alike, which makes trees of 2^63 leaves cheap to build."""

    def __init__(self, alike=False):
        self.alike, self.memo = alike, {}

    def leaf(self, i):
        return leaf_hash(b"alike" if self.alike else b"entry %d" % i)

    def mth(self, start, end):
        if end == start:
            return EMPTY
        if end == start + 1:
            return self.leaf(start)
        key = (end - start) if self.alike else (start, end)
        if key not in self.memo:
            k = start + split(end - start)
            self.memo[key] = node(self.mth(start, k), self.mth(k, end))
        return self.memo[key]

    def path(self, m, start, end):
        if end - start == 1:
            return []
        k = start + split(end - start)
        if m < k:
            return self.path(m, start, k) + [self.mth(k, end)]
        return self.path(m, k, end) + [self.mth(start, k)]

    def subproof(self, s, e, start, end, known=True):
        """Proof that [s, e) is part of [start, end); with s = start = 0 a consistency proof."""
        if (s, e) == (start, end):
            return [] if known else [self.mth(s, e)]
        k = start + split(end - start)
        if e <= k:
            return self.subproof(s, e, start, k, known) + [self.mth(k, end)]
        if s >= k:
            return self.subproof(s, e, k, end, known) + [self.mth(start, k)]
        return self.subproof(k, e, k, end, False) + [self.mth(start, k)]


# Judges: top-down, the inverse of the definitions above. They answer None when the proof does not fit the sizes.


def root_from_path(m, n, leaf, path):
    if n == 1:
        return leaf if not path else None
    if not path:
        return None
    k, last = split(n), path[-1]
    if m < k:
        left = root_from_path(m, k, leaf, path[:-1])
        return left and node(left, last)
    right = root_from_path(m - k, n - k, leaf, path[:-1])
    return right and node(last, right)


def roots_from_subproof(s, e, n, subroot, proof, known=True):
    if (s, e) == (0, n):
        if known:
            return (subroot, subroot) if not proof else None
        return (proof[0], proof[0]) if len(proof) == 1 else None
    if not proof:
        return None
    k, last, rest = split(n), proof[-1], proof[:-1]
    if e <= k:
        both = roots_from_subproof(s, e, k, subroot, rest, known)
        return both and (both[0], node(both[1], last))
    if s >= k:
        both = roots_from_subproof(s - k, e - k, n - k, subroot, rest, known)
        return both and (both[0], node(last, both[1]))
    both = roots_from_subproof(0, e - k, n - k, subroot, rest, False)
    return both and (node(last, both[0]), node(last, both[1]))


def is_subtree(s, e):
    return s < e and s % (1 << (e - s - 1).bit_length()) == 0


def good_inclusion(v):
    m, n = v["leafIdx"], v["treeSize"]
    return m < n and root_from_path(m, n, v["leafHash"], v["proof"]) == v["root"]


def good_subtree_inclusion(v):
    m, s, e = v["leafIdx"], v["start"], v["end"]
    return is_subtree(s, e) and s <= m < e and root_from_path(m - s, e - s, v["leafHash"], v["proof"]) == v["root"]


def good_consistency(v):
    m, n, proof = v["size1"], v["size2"], v["proof"]
    if m > n or (m == 0 and v["root1"] != EMPTY) or (n == 0 and v["root2"] != EMPTY):
        return False
    if m == 0 or m == n:
        return not proof and (m != n or v["root1"] == v["root2"])
    return roots_from_subproof(0, m, n, v["root1"], proof) == (v["root1"], v["root2"])


def good_subtree_consistency(v):
    s, e, n = v["start"], v["end"], v["size"]
    if not is_subtree(s, e) or e > n:
        return False
    return roots_from_subproof(s, e, n, v["root1"], v["proof"]) == (v["root1"], v["root2"])


JUDGES = {
    "inclusion": good_inclusion,
    "subtree_inclusion": good_subtree_inclusion,
    "consistency": good_consistency,
    "subtree_consistency": good_subtree_consistency,
}
HASHES = ("root", "leafHash", "root1", "root2")


def judge(kind, vector):
    """Whether a vector must be refused. A hash that is not 32 bytes is always refused."""
    hashes = [vector[k] for k in HASHES if k in vector] + vector["proof"]
    return any(len(h) != 32 for h in hashes) or not JUDGES[kind](vector)


# Damage. Each function yields (description, changed fields) for a good vector.


def flip(h, bit):
    return bytes(b ^ (1 << bit % 8) if i == bit // 8 else b for i, b in enumerate(h))


def damage_proof(v, roots):
    p = v["proof"]
    for i in range(min(len(p), 4)):
        yield f"bit 4 of proof hash {i} flipped", {"proof": p[:i] + [flip(p[i], 4)] + p[i + 1:]}
    if p:
        yield "proof empty", {"proof": []}
        yield "first proof hash missing", {"proof": p[1:]}
        yield "last proof hash missing", {"proof": p[:-1]}
        yield "last proof hash doubled", {"proof": p + p[-1:]}
        yield "first proof hash doubled", {"proof": p[:1] + p}
        yield "proof hash of 31 bytes", {"proof": [p[0][:31]] + p[1:]}
        yield "proof hash of 33 bytes", {"proof": p[:-1] + [p[-1] + b"\x00"]}
    if len(p) > 1:
        yield "first two proof hashes swapped", {"proof": [p[1], p[0]] + p[2:]}
        yield "proof reversed", {"proof": p[::-1]}
    for name in roots:
        yield f"{name} before the proof", {"proof": [v[name]] + p}
        yield f"{name} after the proof", {"proof": p + [v[name]]}
        yield f"{name} is the empty tree's", {name: EMPTY}
        yield f"bit 0 of {name} flipped", {name: flip(v[name], 0)}
        yield f"bit 255 of {name} flipped", {name: flip(v[name], 255)}
        yield f"{name} of no bytes", {name: b""}
    yield "empty hash after the proof", {"proof": p + [b""]}
    yield "64 hashes after the proof", {"proof": p + [EMPTY] * 64}
    yield "a and b exchanged", {roots[0]: v[roots[1]], roots[1]: v[roots[0]]}


def damage_numbers(v, fields):
    for name in fields:
        x = v[name]
        for text, y in ((f"{name} + 1", x + 1), (f"{name} - 1", x - 1), (f"{name} doubled", 2 * x),
                        (f"{name} halved", x // 2), (f"{name} XOR 2", x ^ 2), (f"{name} is 0", 0)):
            if 0 <= y <= MAX and y != x:
                yield text, {name: y}


def vectors(kind, good, damaged, numbers, roots):
    """`good`: (description, fields) of valid proofs; those in `damaged` are varied too."""
    for desc, v in good:
        variants = [("as it should be", {})]
        if desc in damaged:
            variants += [*damage_numbers(v, numbers), *damage_proof(v, roots)]
        for what, change in variants:
            out = {**v, **change}
            yield {"name": f"{desc}: {what}", **out, "wantErr": judge(kind, out)}


def inclusion(tree, m, n):
    return f"leaf {m} of {n}", {"leafIdx": m, "treeSize": n, "root": tree.mth(0, n), "leafHash": tree.leaf(m),
                                "proof": tree.path(m, 0, n)}


def consistency(tree, m, n):
    proof = [] if m in (0, n) else tree.subproof(0, m, 0, n)
    return f"{m} to {n}", {"size1": m, "size2": n, "root1": tree.mth(0, m), "root2": tree.mth(0, n), "proof": proof}


def subtree_inclusion(tree, m, s, e):
    return f"leaf {m} of [{s}, {e})", {"leafIdx": m, "start": s, "end": e, "root": tree.mth(s, e),
                                       "leafHash": tree.leaf(m), "proof": tree.path(m, s, e)}


def subtree_consistency(tree, s, e, n):
    return f"[{s}, {e}) of {n}", {"start": s, "end": e, "size": n, "root1": tree.mth(s, e), "root2": tree.mth(0, n),
                                  "proof": tree.subproof(s, e, 0, n)}


def everything():
    few, many = Tree(), Tree(alike=True)
    big = (2**32 + 5, 2**40 + 12345, MAX)
    yield "inclusion", [
        *vectors("inclusion", [inclusion(few, m, n) for n in (*range(1, 9), 13) for m in range(n)],
                 {"leaf 0 of 1", "leaf 1 of 2", "leaf 2 of 3", "leaf 5 of 7", "leaf 0 of 8", "leaf 5 of 8",
                  "leaf 12 of 13"}, ("leafIdx", "treeSize"), ("leafHash", "root")),
        *vectors("inclusion", [inclusion(many, m, n) for n in big for m in (0, n // 3, n - 1)],
                 {f"leaf {big[0] - 1} of {big[0]}"}, ("leafIdx", "treeSize"), ("leafHash", "root")),
    ]
    yield "consistency", [
        *vectors("consistency", [consistency(few, m, n) for n in (*range(0, 9), 13) for m in range(n + 1)],
                 {"0 to 0", "0 to 5", "1 to 1", "1 to 8", "2 to 3", "3 to 7", "4 to 8", "6 to 8", "12 to 13"},
                 ("size1", "size2"), ("root1", "root2")),
        *vectors("consistency", [consistency(many, m, n) for n in big for m in (1, n // 3, n - 1)],
                 {f"{big[0] - 1} to {big[0]}"}, ("size1", "size2"), ("root1", "root2")),
    ]
    yield "subtree_inclusion", [
        *vectors("subtree_inclusion",
                 [subtree_inclusion(few, m, s, e) for s, e in ((0, 1), (0, 3), (3, 4), (4, 6), (4, 7), (8, 13), (8, 16))
                  for m in range(s, e)],
                 {"leaf 3 of [3, 4)", "leaf 5 of [4, 6)", "leaf 6 of [4, 7)", "leaf 9 of [8, 16)"},
                 ("leafIdx", "start", "end"), ("leafHash", "root")),
    ]
    pairs = [(s, e, n) for n in (1, 2, 5, 8, 13) for s in range(n) for e in range(s + 1, n + 1) if is_subtree(s, e)]
    far = 2**62
    yield "subtree_consistency", [
        *vectors("subtree_consistency", [subtree_consistency(few, *p) for p in pairs],
                 {"[0, 1) of 1", "[0, 3) of 5", "[2, 4) of 5", "[4, 5) of 5", "[4, 7) of 13", "[8, 13) of 13",
                  "[12, 13) of 13"}, ("start", "end", "size"), ("root1", "root2")),
        *vectors("subtree_consistency",
                 [subtree_consistency(many, s, e, MAX) for s, e in ((0, far), (far, far + 3), (far, MAX), (MAX - 1, MAX))],
                 {}, (), ()),
    ]


def encode(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [encode(x) for x in value] if isinstance(value, list) else value


def decode(vector):
    raw = lambda text: base64.b64decode(text or "")
    out = dict(vector, proof=[raw(x) for x in vector["proof"] or []])
    return {k: raw(v) if k in HASHES else v for k, v in out.items()}


def main():
    here = pathlib.Path(__file__).parent
    if sys.argv[1:2] == ["--judge"]:
        path = pathlib.Path(sys.argv[2])
        wrong = [v["name"] for v in json.loads(path.read_text()) if judge(path.stem, decode(v)) != v["wantErr"]]
        print("\n".join(wrong))
        sys.exit(bool(wrong))
    for kind, items in everything():
        lines = ",\n".join(json.dumps({k: encode(v) for k, v in item.items()}) for item in items)
        (here / f"{kind}.json").write_text(f"[\n{lines}\n]\n")
        print(f"{kind}: {len(items)} vectors, {sum(v['wantErr'] for v in items)} of them to be refused")


main()
