"""The tree of RFC 6962 with SHA-256, and proofs as RFC 9162 verifies them. No I/O."""
from notes import check, sha256


def node(left, right):
    return sha256(b"\x01", left, right)


def leaf(entry):
    return sha256(b"\x00", entry)


def root(leaves):
    """The root over leaf hashes. A node without a neighbour goes up as it is: that gives the tree of RFC 6962."""
    level = list(leaves)
    if not level:
        return sha256(b"")
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [node(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def verify_consistency(first, second, first_root, second_root, proof):
    """RFC 9162 §2.1.4.2 for sizes 0 < first < second."""
    check(0 < first < second and proof, "a consistency proof that cannot be")
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    f, s = first - 1, second - 1
    while f & 1:
        f, s = f >> 1, s >> 1
    small = large = path[0]
    for hashed in path[1:]:
        check(s != 0, "a consistency proof with too many hashes")
        if f & 1 or f == s:
            small, large = node(hashed, small), node(hashed, large)
            while f and not f & 1:
                f, s = f >> 1, s >> 1
        else:
            large = node(large, hashed)
        f, s = f >> 1, s >> 1
    check(s == 0 and small == first_root and large == second_root, "a wrong consistency proof")
