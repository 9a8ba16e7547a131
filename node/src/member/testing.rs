//! A small federation for tests: keys, manifest, and what every member knows of the others.

use belfry_keys::{CreateOptions, KeyDir, NodeKeys, Protection};
use belfry_protocol::cert::{Scope, certificate_hash};
use belfry_protocol::engine::federation::Status;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::nonces::Counts;
use belfry_protocol::manifest::{
    DEFAULT_VALIDITY_SECONDS, Federation, Limits, Manifest, Member, Quorum, SignedManifest,
    signing_text, smallest_amendment,
};
use belfry_protocol::wire::codec::{self, Encode};
use belfry_protocol::wire::v1::Kind;
use belfry_protocol::wire::{Envelope, Frame, Guard, Header, MemberId, Version, to_member};

const NOW_SECONDS: u64 = 1_800_000_000;

/// A founded federation: one factory, the others towers, in the order of their names.
pub(crate) struct Founded {
    pub(crate) keys: Vec<NodeKeys>,
    pub(crate) file: String,
    pub(crate) federation: Federation,
    _home: tempfile::TempDir,
}

pub(crate) fn found(count: usize) -> Founded {
    let home = tempfile::tempdir().expect("a directory");
    let keys: Vec<NodeKeys> = (0..count)
        .map(|number| {
            let dir = home.path().join(number.to_string());
            std::fs::create_dir_all(&dir).expect("a directory");
            let options = CreateOptions {
                name: format!("{}.test.example", ["a", "b", "c", "d", "e"][number]),
                protection: Protection::Plain,
                now_seconds: NOW_SECONDS,
                scope: Scope::Unfounded,
                import_log_key: None,
            };
            KeyDir::create(&dir, options).expect("keys")
        })
        .collect();
    let members: Vec<Member> = keys
        .iter()
        .enumerate()
        .map(|(number, keys)| Member {
            name: keys.name().to_owned(),
            factory: number == 0,
            tower: number > 0,
            identity: keys.identity_verifier().clone(),
            peer: crate::net::peer_id_of(&keys.transport_public_key()).to_string(),
            addresses: Vec::new(),
            http: None,
            certificate_head: certificate_hash(keys.certificate()),
        })
        .collect();
    let number = u32::try_from(count).expect("few members");
    let manifest = Manifest {
        federation: "test".to_owned(),
        epoch: 0,
        previous: None,
        lineage: [7; 16],
        created_seconds: NOW_SECONDS,
        expires_seconds: NOW_SECONDS + DEFAULT_VALIDITY_SECONDS,
        resign_from_seconds: NOW_SECONDS + DEFAULT_VALIDITY_SECONDS - 86_400,
        protocol: ((1, 0), (1, 0)),
        tower_quorum: Quorum::smallest(number - 1).map_or(1, |quorum| quorum.needed),
        members,
        amendment_threshold: smallest_amendment(number).expect("members"),
        limits: Limits::default(),
        mirroring: true,
        effective_seconds: None,
        recovery_keys: Vec::new(),
    };
    let text = signing_text(&manifest, None);
    let lines = keys
        .iter()
        .map(|keys| keys.identity_key().expect("a key").sign_note(&text))
        .collect::<Result<_, _>>()
        .expect("signatures");
    let signed = SignedManifest::assemble(manifest, None, lines).expect("a manifest");
    let file = signed.to_json();
    let federation = Federation::from(signed.verify_founding().expect("a founding"));
    Founded {
        keys,
        file,
        federation,
        _home: home,
    }
}

impl Founded {
    /// Everybody's chain is known.
    pub(crate) fn members(&self) -> Members {
        let mut members = Members::new(self.federation.clone());
        for (index, keys) in self.keys.iter().enumerate() {
            assert!(members.learn(index, keys.certificates()));
        }
        members
    }

    pub(crate) fn peer(&self, member: usize) -> String {
        self.federation.manifest().members[member].peer.clone()
    }

    /// An envelope from one member to another, signed by the first.
    pub(crate) fn envelope(
        &self,
        from: usize,
        to: usize,
        kind: Kind,
        body: &impl Encode,
    ) -> Envelope {
        let id = |member: usize| MemberId::of(&self.federation.manifest().members[member].identity);
        let header = Header {
            version: Version::V1_0,
            kind: kind.number(),
            federation: self.federation.id(),
            lineage: [0; 16],
            epoch: 0,
            sender: id(from),
            key_serial: 1,
            incarnation: 1,
            destination: to_member(id(to)),
            guard: Guard::None,
            token: [0; 16],
            issued_at_us: 1,
        };
        let key = self.keys[from].envelope_key();
        Envelope::seal(header, codec::encode(body), key).expect("an envelope")
    }
}

/// A frame of sync 1.0.
pub(crate) fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    Frame::encode(Version::V1_0, kind.number(), payload)
}

/// How far an engine in this phase is, with nothing to show.
pub(crate) fn status(phase: &str) -> Status {
    Status {
        phase: phase.to_owned(),
        successor: None,
        appends: true,
        acked: 0,
        epoch: 0,
        resign_from_seconds: u64::MAX,
        expires_seconds: u64::MAX,
        judged_by: None,
        incarnation: 1,
        peers: Vec::new(),
        mirrors: Vec::new(),
        forks: Vec::new(),
        odd_digests: Vec::new(),
        revoked: Vec::new(),
        logs: Vec::new(),
        logs_total: 0,
        refused: Vec::new(),
        quorum: None,
        towers_connected: 0,
        waits_for: Vec::new(),
        wall_steps: 0,
        clock: Default::default(),
        nonces: Counts::default(),
        restoring: Vec::new(),
        needs_serial: false,
    }
}
