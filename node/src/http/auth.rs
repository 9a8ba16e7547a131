//! Bearer tokens: who may append or read, and for which tenant. The control socket needs none.

use super::problem::Problem;
use super::state::App;
use crate::clock;
use crate::store::tokens::{Scope, Token};
use axum::http::{HeaderMap, StatusCode, header};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// What a handler stands behind: the app, and whether its listener is trusted.
#[derive(Clone)]
pub(super) struct Door {
    /// The app.
    pub app: Arc<App>,
    /// Whether whoever is connected owns the node.
    pub trusted: bool,
}

/// Who asks.
pub(super) enum Caller {
    /// Through the control socket.
    Owner,
    /// With a token.
    Token(Token),
}

impl Caller {
    /// The tenant this caller is bound to.
    pub(super) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Owner => None,
            Self::Token(token) => token.tenant.as_deref(),
        }
    }
}

impl Door {
    /// The caller, if it may do what `allows` wants.
    pub(super) fn caller(&self, headers: &HeaderMap, allows: &[Scope]) -> Result<Caller, Problem> {
        if self.trusted {
            return Ok(Caller::Owner);
        }
        let text = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed")
                    .hint("make one with `belfry token create` and send `Authorization: Bearer …`")
            })?;
        let tokens = self
            .app
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let token = tokens
            .authenticate(text, clock::wall())
            .map_err(|error| Problem::from(crate::exit::Failure::from(error)))?;
        match token {
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "the token is unknown, expired or revoked",
            )),
            Some(token) if allows.contains(&token.scope) => Ok(Caller::Token(token)),
            Some(token) => {
                let scope = token.scope.name();
                Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    format!("a token of scope {scope} does not allow this"),
                ))
            }
        }
    }

    /// Whether the caller may see entry bundles (R10).
    pub(super) fn may_read_all(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.app.public_entries.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.caller(headers, &[Scope::ReadAll]).map(|_| ())
    }
}
