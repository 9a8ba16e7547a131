//! Errors as `application/problem+json` (RFC 9457), with the exit code a command would end with.

use crate::exit::{Code, Failure};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A problem on its way out.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    failure: Failure,
    retry_after_seconds: Option<u64>,
}

impl Problem {
    /// A problem with a status of its own.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            failure: Failure::new(Code::Failed, detail),
            retry_after_seconds: None,
        }
    }

    /// A failure under a status of its own.
    pub(super) fn with(status: StatusCode, failure: Failure) -> Self {
        Self {
            status,
            failure,
            retry_after_seconds: None,
        }
    }

    /// Whether it is a plain failure: what was asked for is not there, or cannot be.
    pub(super) fn is_failed(&self) -> bool {
        self.failure.code == Code::Failed
    }

    /// The same under another status.
    #[must_use]
    pub(super) fn under(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds when to ask again.
    #[must_use]
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Adds what to do.
    #[must_use]
    pub(super) fn hint(mut self, hint: &str) -> Self {
        self.failure.hint = Some(hint.to_owned());
        self
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure.code {
            Code::Usage => StatusCode::BAD_REQUEST,
            Code::Failed | Code::Partial => StatusCode::UNPROCESSABLE_ENTITY,
            Code::Io if failure.message.contains("free") => StatusCode::INSUFFICIENT_STORAGE,
            Code::QuorumNotMet | Code::TimedOut | Code::Recovering => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            failure,
            retry_after_seconds: None,
        }
    }
}

impl From<crate::writer::Failure> for Problem {
    fn from(failure: crate::writer::Failure) -> Self {
        use crate::writer::Failure::{Busy, Full, NotDestroyed, Refused, Stopped};
        use belfry_protocol::engine::ledger::Refusal;
        let (status, retry) = match &failure {
            Refused(Refusal::NotReady { .. }) => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
            Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, None),
            NotDestroyed { .. } => (StatusCode::SERVICE_UNAVAILABLE, None),
            Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
            Full(_) => (StatusCode::INSUFFICIENT_STORAGE, Some(60)),
            Stopped(_) => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
        };
        Self {
            status,
            failure: failure.into(),
            retry_after_seconds: retry,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("error"),
            "status": self.status.as_u16(),
            "detail": self.failure.message,
            "code": self.failure.code.number(),
        });
        if let (Some(hint), Some(map)) = (self.failure.hint, body.as_object_mut()) {
            map.insert("hint".to_owned(), Value::String(hint));
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method",
    )
}

/// Runs blocking work off the async threads.
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Problem> + Send + 'static,
) -> Result<R, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("a handler failed: {error}"),
        )),
    }
}
