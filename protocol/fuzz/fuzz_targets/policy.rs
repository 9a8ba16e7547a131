//! Policies: the printed form of what is read reads as the same policy, and prints the same.
#![no_main]

use belfry_protocol::policy::Policy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(policy) = Policy::parse(data) {
        let printed = policy.to_string();
        let again = Policy::parse(printed.as_bytes()).expect("the canonical form must read");
        assert_eq!(again, policy);
        assert_eq!(again.to_string(), printed);
    }
});
