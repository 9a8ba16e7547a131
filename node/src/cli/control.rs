//! The client side of the control socket: a command lets a running node do the work. May not open the directory itself.

use crate::exit::{Code, Failure};
use crate::store::Layout;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::Read;
use tokio::net::UnixStream;

/// Blocks of an upload that wait for the node.
const BLOCKS_IN_FLIGHT: usize = 8;
/// Bytes per block of an upload.
const BLOCK: usize = 1 << 18;

/// A running node.
pub(super) struct Control {
    runtime: tokio::runtime::Runtime,
    path: std::path::PathBuf,
}

impl Control {
    /// The node that runs on this directory, if one answers.
    pub(super) fn find(layout: &Layout) -> Option<Self> {
        let path = layout.control_socket();
        // A socket file without a listener is left over from a crash.
        std::os::unix::net::UnixStream::connect(&path).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        Some(Self { runtime, path })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call("GET", path, Full::new(Bytes::new()))
    }

    /// Sends a body that is known, which may be empty, and returns the JSON answer.
    pub(super) fn post_bytes(&self, path: &str, body: impl Into<Bytes>) -> Result<Value, Failure> {
        // At once with its head: a node that does not read it answers and hangs up before a stream would begin.
        self.call("POST", path, Full::new(body.into()))
    }

    /// Sends `body` as it is read and returns the JSON answer.
    pub(super) fn post(
        &self,
        path: &str,
        body: impl Read + Send + 'static,
    ) -> Result<Value, Failure> {
        let (send, receive) =
            tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(BLOCKS_IN_FLIGHT);
        // Detached on purpose: a blocked read of standard input must not hold up an answer that came early.
        std::thread::spawn(move || feed(body, &send));
        self.call("POST", path, StreamBody::new(futures_stream(receive)))
    }

    fn call<B>(&self, method: &str, path: &str, body: B) -> Result<Value, Failure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let lost = |error: &dyn std::fmt::Display| {
            Failure::new(
                Code::Unreachable,
                format!("the running node does not answer: {error}"),
            )
            .hint("see its log; if it hangs, stop it and run the command again")
        };
        self.runtime.block_on(async {
            let stream = UnixStream::connect(&self.path)
                .await
                .map_err(|error| lost(&error))?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| lost(&error))?;
            tokio::spawn(connection);
            let request = hyper::Request::builder()
                .method(method)
                .uri(path)
                .header("host", "control")
                .header("content-type", "application/x-ndjson")
                .body(body)
                .map_err(|error| lost(&error))?;
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| lost(&error))?;
            let status = answer.status().as_u16();
            let bytes = answer
                .into_body()
                .collect()
                .await
                .map_err(|error| lost(&error))?
                .to_bytes();
            let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            if (200..300).contains(&status) {
                Ok(value)
            } else {
                Err(problem(status, &value))
            }
        })
    }
}

fn feed(
    mut body: impl Read,
    send: &tokio::sync::mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>,
) {
    loop {
        let mut block = vec![0; BLOCK];
        let item = match body.read(&mut block) {
            Ok(0) => return,
            Ok(length) => {
                block.truncate(length);
                Ok(Frame::data(Bytes::from(block)))
            }
            Err(error) => Err(error),
        };
        let failed = item.is_err();
        if send.blocking_send(item).is_err() || failed {
            return;
        }
    }
}

/// A bounded channel as a stream.
fn futures_stream<T>(
    mut receive: tokio::sync::mpsc::Receiver<T>,
) -> impl futures_core::Stream<Item = T> {
    crate::http::stream::poll_fn(move |context| receive.poll_recv(context))
}

/// A problem document of the node as a failure of this command.
fn problem(status: u16, value: &Value) -> Failure {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let number = value.get("code").and_then(Value::as_u64).unwrap_or(1);
    let code = crate::exit::TABLE
        .iter()
        .find(|row| u64::from(row.1) == number)
        .map_or(Code::Failed, |row| row.0);
    let message = text("detail")
        .or(text("title"))
        .map_or_else(|| format!("the node answered {status}"), str::to_owned);
    let failure = Failure::new(code, message);
    match text("hint") {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
