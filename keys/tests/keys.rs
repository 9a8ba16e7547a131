//! The key directory as an operator meets it: created, opened, rotated, damaged, and read by the age crate alone.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use age::secrecy::ExposeSecret as _;
use belfry_keys::{
    CreateOptions, KeyDir, KeyError, NodeKeys, Protection, Purpose, RotateOptions, RotationLevel,
    fingerprint, is_fingerprint,
};
use belfry_protocol::cert::{Scope, verify_chain};
use belfry_protocol::note::{SigningKey, verify_note};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const NODE: &str = "acme.example/line-4";
const NOW_SECONDS: u64 = 1_800_000_000;
const DAY_SECONDS: u64 = 86_400;
const PASSPHRASE: &str = "correct horse battery staple";

fn options(protection: Protection) -> CreateOptions {
    CreateOptions {
        name: NODE.to_owned(),
        protection,
        now_seconds: NOW_SECONDS,
        scope: Scope::Unfounded,
        import_log_key: None,
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn plain() -> (TempDir, NodeKeys) {
    let dir = tempfile::tempdir().unwrap();
    let keys = KeyDir::create(dir.path(), options(Protection::Plain)).unwrap();
    (dir, keys)
}

fn encrypted() -> (TempDir, NodeKeys) {
    let dir = tempfile::tempdir().unwrap();
    let keys = KeyDir::create(
        dir.path(),
        options(Protection::Passphrase(secret(PASSPHRASE))),
    )
    .unwrap();
    (dir, keys)
}

fn open_plain(dir: &Path) -> Result<NodeKeys, KeyError> {
    KeyDir::open(dir, || panic!("a plain directory asks for no passphrase"))
}

fn open(dir: &Path, passphrase: &str) -> Result<NodeKeys, KeyError> {
    KeyDir::open(dir, || Ok(Some(secret(passphrase))))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn names(dir: &Path) -> Vec<String> {
    files(dir)
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn same(a: &NodeKeys, b: &NodeKeys) {
    for purpose in Purpose::ALL {
        assert_eq!(
            a.current().key(purpose).verifier(),
            b.current().key(purpose).verifier()
        );
    }
    assert_eq!(a.identity_verifier(), b.identity_verifier());
    assert_eq!(a.transport_public_key(), b.transport_public_key());
    assert_eq!(a.idem_key(), b.idem_key());
    assert_eq!(a.certificates(), b.certificates());
}

#[test]
fn encrypted_keys_open_with_their_passphrase_only() {
    let (dir, keys) = encrypted();
    assert_eq!(
        names(dir.path()),
        [
            "cert-1.note",
            "identity.age",
            "identity.pub",
            "node-secret.age",
            "operational-1.age",
            "transport.age",
            "unlock.age"
        ]
    );
    same(&keys, &open(dir.path(), PASSPHRASE).unwrap());
    assert!(keys.is_encrypted());
    assert!(matches!(
        open(dir.path(), "wrong"),
        Err(KeyError::WrongPassphrase(_))
    ));
    assert!(matches!(
        KeyDir::open(dir.path(), || Ok(None)),
        Err(KeyError::PassphraseNeeded(_))
    ));
    let failed = KeyDir::open(dir.path(), || {
        Err(KeyError::PassphraseSource("no terminal".to_owned()))
    });
    assert_eq!(
        failed.unwrap_err().to_string(),
        "the passphrase could not be read: no terminal"
    );
    std::fs::remove_file(dir.path().join("keys/unlock.age")).unwrap();
    assert!(matches!(
        open(dir.path(), PASSPHRASE),
        Err(KeyError::Missing(_))
    ));
}

#[test]
fn files_and_directory_are_the_owners_only() {
    for (dir, _) in [plain(), encrypted()] {
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&dir.path().join("keys")), 0o700);
        assert!(files(dir.path()).iter().all(|path| mode(path) == 0o600));
    }
}

#[test]
fn plain_keys_that_others_can_read_are_refused() {
    let (dir, keys) = plain();
    same(&keys, &open_plain(dir.path()).unwrap());
    for name in [
        "identity.key",
        "operational-1.key",
        "transport.key",
        "node-secret.key",
    ] {
        let path = dir.path().join("keys").join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = open_plain(dir.path()).unwrap_err();
        assert!(
            matches!(&refused, KeyError::Permissions { mode: 0o640, .. }),
            "{name}"
        );
        assert!(
            refused
                .to_string()
                .contains(&format!("chmod 600 {}", path.display())),
            "{refused}"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn every_changed_byte_of_a_plain_file_is_an_error() {
    let (dir, keys) = plain();
    for path in files(dir.path()) {
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let refused = open_plain(dir.path()).unwrap_err();
            assert!(!refused.to_string().is_empty(), "{path:?} byte {at}");
        }
        for cut in [0, 1, good.len() / 2, good.len() - 1] {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(open_plain(dir.path()).is_err(), "{path:?} cut to {cut}");
        }
        std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert!(matches!(
            open_plain(dir.path()),
            Err(KeyError::Corrupt { .. })
        ));
        std::fs::write(&path, &good).unwrap();
    }
    same(&keys, &open_plain(dir.path()).unwrap());
}

#[test]
fn changed_bytes_of_encrypted_files_are_errors() {
    let (dir, keys) = encrypted();
    for path in files(dir.path()) {
        let good = std::fs::read(&path).unwrap();
        // Each try costs one scrypt, so a sample; `seal` tries every byte without.
        let tries = if path.ends_with("unlock.age") { 6 } else { 1 };
        for at in (good.len() / 3..good.len()).step_by(good.len() / tries / 3 * 2 + 1) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let refused = open(dir.path(), PASSPHRASE).unwrap_err().to_string();
            assert!(
                !refused.is_empty() && !refused.contains(PASSPHRASE),
                "{path:?} byte {at}"
            );
        }
        std::fs::write(&path, &good).unwrap();
    }
    same(&keys, &open(dir.path(), PASSPHRASE).unwrap());
}

#[test]
fn too_high_a_work_factor_is_refused_before_the_work() {
    let (dir, _) = encrypted();
    let mut recipient = age::scrypt::Recipient::new(secret(PASSPHRASE));
    recipient.set_work_factor(1);
    let mut content = age::encrypt(&recipient, b"x").unwrap();
    let line = content
        .windows(8)
        .position(|window| window == b"> scrypt")
        .unwrap();
    let end = content[line..]
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap()
        + line;
    content.splice(end - 1..end, *b"19");
    std::fs::write(dir.path().join("keys/unlock.age"), content).unwrap();
    assert!(matches!(
        open(dir.path(), PASSPHRASE),
        Err(KeyError::WorkFactor { required: 19, .. })
    ));
}

#[test]
fn the_age_crate_alone_opens_the_files() {
    let (dir, keys) = encrypted();
    let read = |name: &str| std::fs::read(dir.path().join("keys").join(name)).unwrap();
    let unlock = read("unlock.age");
    assert!(
        String::from_utf8_lossy(&unlock)
            .lines()
            .nth(1)
            .unwrap()
            .ends_with(" 15")
    );
    let identity = age::decrypt(&age::scrypt::Identity::new(secret(PASSPHRASE)), &unlock).unwrap();
    let identity: age::x25519::Identity = std::str::from_utf8(&identity).unwrap().parse().unwrap();
    assert!(
        identity
            .to_string()
            .expose_secret()
            .starts_with("AGE-SECRET-KEY-1")
    );
    let text = String::from_utf8(age::decrypt(&identity, &read("identity.age")).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "belfry-key/v1",
            "name acme.example/line-4",
            "purpose identity",
            "serial 0",
            "created 1800000000"
        ]
    );
    let seed = belfry_protocol::base64::decode(lines[5].strip_prefix("seed ").unwrap()).unwrap();
    let key = SigningKey::ed25519(NODE, seed.try_into().unwrap()).unwrap();
    assert_eq!(key.verifier(), keys.identity_verifier());
}

#[test]
fn debug_and_errors_show_no_secret() {
    let (dir, keys) = plain();
    let shown = format!(
        "{keys:?} {keys:#?} {:?} {:?}",
        keys.current(),
        options(Protection::Passphrase(secret(PASSPHRASE)))
    );
    assert!(!shown.contains(PASSPHRASE));
    for path in files(dir.path())
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "key"))
    {
        let text = std::fs::read_to_string(path).unwrap();
        let seed = text
            .lines()
            .find_map(|line| line.strip_prefix("seed "))
            .unwrap()
            .to_owned();
        let bytes = format!("{:?}", belfry_protocol::base64::decode(&seed).unwrap());
        assert!(!shown.contains(&seed) && !shown.contains(&bytes[1..20]));
        std::fs::write(path, text.replace("seed ", "sead ")).unwrap();
        let error = open_plain(dir.path()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&seed));
        std::fs::write(path, &text).unwrap();
    }
}

#[test]
fn every_purpose_has_a_key_of_its_own() {
    let (_dir, keys) = plain();
    let mut seen: BTreeSet<Vec<u8>> =
        BTreeSet::from([keys.identity_verifier().public_key().to_vec()]);
    assert!(seen.insert(keys.transport_public_key().to_vec()));
    for key in [
        keys.log_key(),
        keys.ack_key(),
        keys.mirror_key(),
        keys.envelope_key(),
        keys.subtree_key(),
    ] {
        assert!(seen.insert(key.verifier().public_key().to_vec()));
    }
    let raws = [
        keys.idem_key(),
        keys.pseudonym_key(),
        keys.scrub_key("a", 1),
        keys.scrub_key("a", 2),
        keys.scrub_key("b", 1),
    ];
    assert!(raws.iter().all(|raw| seen.insert(raw.to_vec())));
    assert_eq!(keys.mirror_key().name(), "acme.example/line-4/mirror");
    assert_eq!(
        *keys.export_note_key(Purpose::Ack),
        *keys.ack_key().export()
    );
    let print = fingerprint(keys.identity_verifier());
    assert!(is_fingerprint(&print));
}

#[test]
fn rotation_makes_a_chain_and_keeps_the_old_keys() {
    let (dir, mut keys) = encrypted();
    let (log, idem) = (keys.log_key().verifier().clone(), keys.idem_key());
    assert_eq!(keys.rotation_state(NOW_SECONDS).level, RotationLevel::Ok);
    let later = NOW_SECONDS + 80 * DAY_SECONDS;
    assert_eq!(keys.rotation_state(later).days_left, 10);
    let rotate = RotateOptions {
        now_seconds: later,
        scope: Scope::Lineage([1; 16]),
        log_from_size: 1_000,
        identity: None,
        import_log_key: None,
    };
    keys.rotate(&rotate).unwrap();
    assert_eq!(keys.rotation_state(later).days_left, 90);
    assert_ne!(*keys.log_key().verifier(), log);
    assert_eq!(*keys.log_key_for_size(999).unwrap().verifier(), log);
    assert_eq!(
        keys.log_key_for_size(1_000).unwrap().verifier(),
        keys.log_key().verifier()
    );
    assert_eq!(keys.idem_key(), idem);
    let chain = verify_chain(keys.identity_verifier(), keys.certificates()).unwrap();
    assert_eq!(chain.len(), 2);
    same(&keys, &open(dir.path(), PASSPHRASE).unwrap());
    let back = RotateOptions {
        log_from_size: 999,
        ..rotate
    };
    assert!(matches!(keys.rotate(&back), Err(KeyError::Cert(_))));
    same(&keys, &open(dir.path(), PASSPHRASE).unwrap());
    assert!(keys.remove_serial(2).is_err());
    keys.remove_serial(1).unwrap();
    assert!(keys.keys_of_serial(1).is_none() && keys.log_key_for_size(999).is_none());
    same(&keys, &open(dir.path(), PASSPHRASE).unwrap());
}

#[test]
fn an_interrupted_rotation_leaves_the_old_keys() {
    let (dir, keys) = plain();
    let operational = dir.path().join("keys/operational-2.key");
    std::fs::copy(dir.path().join("keys/operational-1.key"), &operational).unwrap();
    std::fs::write(dir.path().join("keys/operational-3.key.partial"), b"half").unwrap();
    let mut opened = open_plain(dir.path()).unwrap();
    same(&keys, &opened);
    let rotate = RotateOptions {
        now_seconds: NOW_SECONDS,
        scope: Scope::Unfounded,
        log_from_size: 0,
        identity: None,
        import_log_key: None,
    };
    opened.rotate(&rotate).unwrap();
    assert_eq!(opened.current().serial(), 2);
    same(&opened, &open_plain(dir.path()).unwrap());
}

#[test]
fn the_identity_key_can_be_kept_elsewhere() {
    let (dir, keys) = plain();
    let identity = keys.identity_key().unwrap().clone();
    std::fs::remove_file(dir.path().join("keys/identity.key")).unwrap();
    let mut opened = open_plain(dir.path()).unwrap();
    assert!(opened.identity_key().is_none());
    let mut rotate = RotateOptions {
        now_seconds: NOW_SECONDS,
        scope: Scope::Unfounded,
        log_from_size: 5,
        identity: None,
        import_log_key: None,
    };
    assert!(matches!(
        opened.rotate(&rotate),
        Err(KeyError::IdentityAbsent(_))
    ));
    rotate.identity = Some(SigningKey::ed25519(NODE, [1; 32]).unwrap());
    assert!(matches!(opened.rotate(&rotate), Err(KeyError::WrongKey(_))));
    rotate.identity = Some(identity);
    opened.rotate(&rotate).unwrap();
}

#[test]
fn a_foreign_log_key_replaces_the_derived_one() {
    let foreign = SigningKey::ed25519(NODE, [42; 32]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let import = |key: &SigningKey| CreateOptions {
        import_log_key: Some(secret(&format!("{}\n", *key.export()))),
        ..options(Protection::Plain)
    };
    let other = SigningKey::ed25519("other.example", [42; 32]).unwrap();
    assert!(matches!(
        KeyDir::create(dir.path(), import(&other)),
        Err(KeyError::WrongKey(_))
    ));
    let cosigner = SigningKey::cosigner(NODE, [42; 32]).unwrap();
    assert!(matches!(
        KeyDir::create(dir.path(), import(&cosigner)),
        Err(KeyError::WrongKey(_))
    ));
    let keys = KeyDir::create(dir.path(), import(&foreign)).unwrap();
    assert!(names(dir.path()).contains(&"log-1.key".to_owned()));
    assert_eq!(keys.log_key().verifier(), foreign.verifier());
    let opened = open_plain(dir.path()).unwrap();
    let note = opened.log_key().signed_note("text\n").unwrap();
    assert_eq!(
        verify_note(&note, &[foreign.verifier().clone()])
            .unwrap()
            .len(),
        1
    );
    std::fs::remove_file(dir.path().join("keys/log-1.key")).unwrap();
    assert!(matches!(
        open_plain(dir.path()),
        Err(KeyError::Corrupt { .. })
    ));
}

#[test]
fn nothing_is_overwritten_and_bad_choices_leave_nothing() {
    let (dir, _) = plain();
    assert!(KeyDir::exists(dir.path()).unwrap());
    assert!(matches!(
        KeyDir::create(dir.path(), options(Protection::Plain)),
        Err(KeyError::Exists(_))
    ));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        open_plain(empty.path()),
        Err(KeyError::NotFound(_))
    ));
    let no_passphrase = options(Protection::Passphrase(secret("")));
    assert!(matches!(
        KeyDir::create(empty.path(), no_passphrase),
        Err(KeyError::EmptyPassphrase)
    ));
    for name in ["", "Upper", "a b", "x/mirror", "belfry-x"] {
        let bad = CreateOptions {
            name: name.to_owned(),
            ..options(Protection::Plain)
        };
        assert!(matches!(
            KeyDir::create(empty.path(), bad),
            Err(KeyError::Name(_))
        ));
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
    std::fs::create_dir(empty.path().join("keys.creating")).unwrap();
    assert!(matches!(
        KeyDir::create(empty.path(), options(Protection::Plain)),
        Err(KeyError::Interrupted(_))
    ));
}
