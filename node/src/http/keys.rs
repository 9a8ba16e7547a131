//! Keys over HTTP (R6): how old this node's and the members' are, and the control socket's way to new ones. May not hand out a
//! secret.

use super::auth::Door;
use super::problem::{Problem, blocking};
use super::state::App;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::key_state::{KeyState, word};
use crate::node::Node;
use axum::Json;
use axum::extract::State;
use belfry_keys::{KeyDir, NodeKeys, RotationState};
use belfry_protocol::cert::Reason;
use belfry_protocol::engine::federation::members::Members;
use secrecy::SecretString;
use serde_json::{Value, json};

/// What `key rotate` asks.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    /// Opens the keys, if they are encrypted.
    passphrase: Option<String>,
    /// Also within an overlap.
    early: bool,
}

pub(super) async fn rotate(
    State(door): State<Door>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Problem> {
    let Rotate { passphrase, early } = request(&body)?;
    let renewed = blocking(move || {
        let node = &door.app.node;
        let passphrase = passphrase.map(SecretString::from);
        let unlock = || unlock(node, passphrase);
        Ok(node.renewer().rotate(early, unlock)?)
    })
    .await?;
    tracing::warn!(
        serial = renewed.serial,
        from_size = renewed.from_size,
        "an operator rotated the keys"
    );
    Ok(Json(crate::cli::describe_rotation(&renewed)))
}

/// What `key revoke` asks.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    /// Opens the keys, if they are encrypted.
    passphrase: Option<String>,
    /// Which.
    serial: u64,
    /// A reason's word.
    reason: String,
}

pub(super) async fn revoke(
    State(door): State<Door>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Problem> {
    let Revoke {
        passphrase,
        serial,
        reason,
    } = request(&body)?;
    let reason = Reason::parse(&reason)
        .ok_or_else(|| Failure::new(Code::Usage, format!("{reason:?} is no reason")))?;
    let note = blocking(move || {
        let node = &door.app.node;
        let passphrase = passphrase.map(SecretString::from);
        let unlock = || unlock(node, passphrase);
        Ok(node.revoke(serial, reason, unlock)?)
    })
    .await?;
    tracing::warn!(serial, %reason, "an operator revoked keys");
    Ok(Json(crate::cli::describe_revocation(serial, reason, &note)))
}

fn request<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // The text of an error may hold a part of what was read.
    serde_json::from_slice(body)
        .map_err(|_| Failure::new(Code::Usage, "not a request of this version"))
}

/// The node's keys as they are now, opened by whoever knows the passphrase.
fn unlock(node: &Node, passphrase: Option<SecretString>) -> Result<NodeKeys, Failure> {
    KeyDir::open(node.layout.dir(), || Ok(passphrase))
        .map_err(|error| Failure::new(Code::KeyUnavailable, error.to_string()))
}

/// How old this node's keys are; nothing where its files do not hold.
pub(super) fn state(app: &App) -> Option<KeyState> {
    let node = &app.node;
    let now_seconds = clock::now().wall_seconds();
    KeyState::read(node.layout.dir(), &node.config.name, now_seconds).ok()
}

/// `GET /api/v1/keys`: as public as the certificates.
pub(super) async fn keys(State(door): State<Door>) -> Result<Json<Value>, Problem> {
    let shown = blocking(move || {
        let mut shown = json!({ "name": door.app.node.config.name });
        if let Some(own) = state(&door.app) {
            shown["own"] = own.json();
        }
        let link = door.app.node.membership().map(|(_, link)| link);
        if let Some(members) = link.and_then(|link| link.members()) {
            shown["members"] = members_keys(&members);
        }
        Ok(shown)
    })
    .await?;
    Ok(Json(shown))
}

/// The newest serial of each member, as far as it is known here.
fn members_keys(members: &Members) -> Value {
    let now_seconds = clock::now().wall_seconds();
    let member = |one: usize| {
        let newest = members.chain(one).last()?;
        let RotationState { days_left, level } =
            RotationState::at(newest.not_after_seconds, now_seconds);
        let revoked = (1..=newest.serial).filter(|serial| members.is_revoked(one, *serial));
        Some(json!({
            "name": members.name(one), "serial": newest.serial, "state": word(level), "days_left": days_left,
            "not_after": clock::shown_seconds(newest.not_after_seconds), "revoked": revoked.collect::<Vec<_>>(),
        }))
    };
    (0..members.count()).filter_map(member).collect()
}
