//! A small HTTP client for what others answer: one request at a time, bounded answers, a time limit, no redirects.
//! May not judge an answer, and keeps nothing between requests but connections.

use crate::exit::{Code, Failure};
use std::time::Duration;

/// Most bytes of an answer that are read: the most that a witness may answer, and a note with all its lines.
pub(crate) const MAX_ANSWER_BYTES: usize = 131_072;

/// A client.
#[derive(Clone)]
pub(crate) struct Web {
    client: reqwest::Client,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Status code.
    pub status: u16,
    /// `Content-Type` exactly as it was sent.
    pub content_type: Option<String>,
    /// `Retry-After`, if it is a number of seconds.
    pub retry_after_seconds: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Web {
    /// A client for `url`, whose every request ends within `timeout`.
    ///
    /// # Errors
    /// When `url` is no `http` or `https` address, or no client can be made.
    pub(crate) fn new(url: &str, timeout: Duration) -> Result<Self, Failure> {
        let parsed = reqwest::Url::parse(url).ok();
        let host = parsed
            .as_ref()
            .filter(|parsed| matches!(parsed.scheme(), "http" | "https"))
            .and_then(|parsed| parsed.host_str());
        let Some(host) = host else {
            return Err(Failure::new(
                Code::Usage,
                format!("{url:?} is no address like https://witness.example"),
            ));
        };
        // Only the first call installs it; a second finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(timeout)
            // A submission that is sent elsewhere would be judged by somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("belfry/", env!("CARGO_PKG_VERSION")));
        if matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| Failure::new(Code::Failed, format!("no HTTP client: {error}")))?;
        Ok(Self { client })
    }

    /// Sends a request; the error says why there is no answer.
    pub(crate) async fn send(
        &self,
        method: reqwest::Method,
        url: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, String> {
        self.send_for(method, url, body, MAX_ANSWER_BYTES).await
    }

    /// As [`Web::send`], for an answer of at most so many bytes.
    pub(crate) async fn send_for(
        &self,
        method: reqwest::Method,
        url: &str,
        body: Option<Vec<u8>>,
        most_bytes: usize,
    ) -> Result<Answer, String> {
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.body(body);
        }
        let mut answer = request.send().await.map_err(|error| why(&error))?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let content_type = header("content-type");
        let retry_after_seconds = header("retry-after").and_then(|text| text.parse().ok());
        let mut read = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| why(&error))? {
            if read.len() + part.len() > most_bytes {
                return Err(format!("the answer is larger than {most_bytes} bytes"));
            }
            read.extend_from_slice(&part);
        }
        Ok(Answer {
            status: answer.status().as_u16(),
            content_type,
            retry_after_seconds,
            body: read,
        })
    }
}

impl Answer {
    /// Whether the content type is exactly `wanted`: clients of witnesses compare it so, without any charset.
    pub(crate) fn is_exactly(&self, wanted: &str) -> bool {
        self.content_type.as_deref() == Some(wanted)
    }
}

/// The innermost reason, which is what helps: the outer ones repeat the address.
fn why(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    match error.is_timeout() {
        true => "no answer in time".to_owned(),
        false => inner.to_string(),
    }
}
