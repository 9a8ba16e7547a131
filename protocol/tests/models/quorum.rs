//! The arithmetic of R2, counted out: which thresholds make quorums meet in an honest tower.
//! Sizes decide it up to 30 towers; up to 7 the sets themselves are listed, which checks the counting.

/// floor((n - 1) / 3)
fn liars(n: u32) -> u32 {
    (n - 1) / 3
}

fn tower_quorums(n: u32) -> impl Iterator<Item = u32> {
    let f = liars(n);
    (1..=n - f).filter(move |k| 2 * k > n + f)
}

fn recovery_answers(n: u32, k: u32) -> u32 {
    n + liars(n) - k + 1
}

/// The fewest honest members that two sets of sizes `a` and `b` among `n` share.
fn shared_honest(n: u32, f: u32, a: u32, b: u32) -> u32 {
    (a + b).saturating_sub(n).saturating_sub(f)
}

/// The same by listing every pair of sets; the liars sit wherever they do most harm.
fn shared_honest_listed(n: u32, f: u32, a: u32, b: u32) -> u32 {
    let sets = |size: u32| (0..1_u32 << n).filter(move |set| set.count_ones() == size);
    sets(a)
        .flat_map(|x| sets(b).map(move |y| (x & y).count_ones()))
        .min()
        .map_or(0, |shared| shared.saturating_sub(f))
}

#[test]
fn counting_agrees_with_listing() {
    for n in 1..=7 {
        for (a, b) in (1..=n).flat_map(|a| (1..=n).map(move |b| (a, b))) {
            for f in 0..=liars(n) {
                let listed = shared_honest_listed(n, f, a, b);
                assert_eq!(
                    shared_honest(n, f, a, b),
                    listed,
                    "n {n}, f {f}, {a} and {b}"
                );
            }
        }
    }
}

#[test]
fn two_tower_quorums_share_an_honest_tower() {
    for n in 1..=30 {
        assert!(tower_quorums(n).count() > 0, "n {n}: no quorum is possible");
        for k in tower_quorums(n) {
            assert!(shared_honest(n, liars(n), k, k) > 0, "n {n}, k {k}");
        }
    }
}

#[test]
fn recovery_finds_an_honest_holder_and_does_not_need_the_liars() {
    for n in 1..=30 {
        for k in tower_quorums(n) {
            let r = recovery_answers(n, k);
            assert!(shared_honest(n, liars(n), k, r) > 0, "n {n}, k {k}, r {r}");
            assert!(r <= n - liars(n), "n {n}, k {k}: r {r} waits for a liar");
        }
    }
}

/// Two lives that both finished recovery under one number would each need r promises; whoever signs needs k more.
#[test]
fn a_signing_quorum_meets_every_recovery_in_an_honest_tower() {
    for n in 1..=30 {
        for k in tower_quorums(n) {
            // A restored tower counts as a liar until it has caught up: r must still be reachable without f towers.
            assert!(recovery_answers(n, k) + liars(n) <= n, "n {n}, k {k}");
            assert!(shared_honest(n, liars(n), recovery_answers(n, k), k) > 0);
        }
    }
}

#[test]
fn lower_thresholds_break() {
    for n in 1..=30 {
        let f = liars(n);
        let k = tower_quorums(n).min().unwrap();
        // The smallest quorum is the smallest: one less may share nobody honest.
        assert_eq!(shared_honest(n, f, k - 1, k - 1), 0, "n {n}, k {}", k - 1);
        for k in tower_quorums(n) {
            let r = recovery_answers(n, k);
            assert_eq!(
                shared_honest(n, f, k, r - 1),
                0,
                "n {n}, k {k}, r {}",
                r - 1
            );
        }
        // Above n - f the liars can stop every signature by silence.
        assert!(tower_quorums(n).all(|k| k <= n - f));
    }
}

/// 2t - n > f: 3 of 4, 4 of 5 and 5 of 7 are safe, 3 of 5 and 2 of 4 are not.
#[test]
fn amendments_share_an_honest_member() {
    for (t, n, safe) in [
        (3, 4, true),
        (4, 5, true),
        (5, 7, true),
        (3, 5, false),
        (2, 4, false),
    ] {
        assert_eq!(2 * t > n + liars(n), safe, "{t} of {n}");
        assert_eq!(shared_honest(n, liars(n), t, t) > 0, safe, "{t} of {n}");
    }
}

/// C2: a promise outlives one lost disk only where 2r - n > f, which is why disk ids exist.
#[test]
fn a_promise_survives_a_lost_disk_only_at_the_smallest_quorum() {
    for n in 1..=30 {
        let f = liars(n);
        for k in tower_quorums(n) {
            let r = recovery_answers(n, k);
            assert_eq!(2 * r > n + f, 2 * k == n + f + 1, "n {n}, k {k}");
        }
    }
}
