//! A member's keys as the engine takes them. Makes none.

use belfry_keys::{NodeKeys, Purpose, PurposeKeys};
use belfry_protocol::cert::Certificate;
use belfry_protocol::engine::keys::{LogKeys, OVERLAP_SECONDS, OwnKeys, Serial};

/// The keys that the engine signs with.
#[must_use]
pub fn own_keys(keys: &NodeKeys) -> OwnKeys {
    let serial = |keys: &PurposeKeys, certificate: &Certificate| Serial {
        number: keys.serial(),
        not_before_seconds: certificate.not_before_seconds,
        not_after_seconds: certificate.not_after_seconds,
        envelope: keys.key(Purpose::Envelope).clone(),
        ack: keys.key(Purpose::Ack).clone(),
        mirror: keys.key(Purpose::Mirror).clone(),
        subtree: Some(keys.key(Purpose::Subtree).clone()),
    };
    let contents = keys.certificate_contents();
    let newest = keys.certificate_content();
    let log = contents.iter().filter_map(|one| {
        let here = keys.keys_of_serial(one.serial)?;
        Some((one.log_from_size, here.key(Purpose::Log).clone()))
    });
    let log: Vec<_> = log.collect();
    // A revoked serial signs nothing more; its log key is still there to check what it signed.
    let before = contents.iter().rev().nth(1);
    let before = before.filter(|one| !keys.is_revoked(one.serial));
    let before = before.and_then(|one| {
        let here = keys.keys_of_serial(one.serial)?;
        Some(serial(here, one))
    });
    let log = LogKeys::new(log).unwrap_or_else(|| keys.log_key().clone().into());
    let both_until = newest.not_before_seconds.saturating_add(OVERLAP_SECONDS);
    OwnKeys {
        certificates: keys.certificates().to_vec(),
        log: log
            .both_until(if before.is_some() { both_until } else { 0 })
            .ending(newest.not_after_seconds),
        newest: serial(keys.current(), newest),
        before,
    }
}
