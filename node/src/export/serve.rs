//! One export: reads the ask, answers, and sends the pieces as fast as the reader takes them. Holds two batches at most;
//! a reader that takes nothing loses its place.

use super::ledgers::{Export, Ledgers, Who};
use super::server::{Counts, Places};
use belfry_protocol::export::{Ask, MAX_ASK_BYTES, Refused, Why};
use belfry_protocol::wire::frame::FRAME_HEAD_BYTES;
use hyper::body::Bytes;
use libp2p::PeerId;
use quinn::{RecvStream, SendStream, VarInt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a reader may take to say what it wants.
const ASK_PATIENCE: Duration = Duration::from_secs(5);
/// How long a reader may take nothing; it lives, or its connection would be closed.
const STALL: Duration = Duration::from_secs(30);
/// Bytes that are handed to the transport at once: a reader must take so many within [`STALL`].
const CHUNK_BYTES: usize = 64 << 10;
/// What a reader is told whose stream is given up.
const GIVEN_UP: u32 = 1;

/// Why an export ended early.
enum Ended {
    /// The reader is told why.
    Refused(Refused),
    /// The reader went away.
    Gone(String),
    /// The reader took nothing for too long.
    Stalled,
}

impl From<Refused> for Ended {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Serves one stream to its end.
pub(super) async fn serve(
    ledgers: Arc<Ledgers>,
    places: Arc<Places>,
    peer: PeerId,
    (mut send, receive): (SendStream, RecvStream),
) {
    let counts = Arc::clone(&places.counts);
    match export(ledgers, &places, peer, &mut send, receive).await {
        Ok(()) => {}
        Err(Ended::Refused(refused)) => {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%peer, why = ?refused.why(), reason = %refused.reason, "an export was refused");
            let told = async {
                send.write_all(&refused.to_bytes()).await.ok()?;
                send.finish().ok()?;
                send.stopped().await.ok()
            };
            // A reader that does not listen is told nothing.
            let _ = timeout(ASK_PATIENCE, told).await;
        }
        Err(Ended::Gone(reason)) => tracing::info!(%peer, reason, "the reader of an export left"),
        Err(Ended::Stalled) => {
            tracing::warn!(%peer, "the reader of an export took nothing for 30 s and lost its place");
            let _ = send.reset(VarInt::from_u32(GIVEN_UP));
        }
    }
}

async fn export(
    ledgers: Arc<Ledgers>,
    places: &Places,
    peer: PeerId,
    send: &mut SendStream,
    receive: RecvStream,
) -> Result<(), Ended> {
    let ask = read_ask(receive).await?;
    let origin = ask.origin.to_string();
    let admitting = Arc::clone(&ledgers);
    let (who, ask) = blocking(move || Ok((admitting.admit(peer, &ask)?, ask))).await?;
    let Some(_place) = places.take(who == Who::Stranger) else {
        let reason = "as many exports run here as may; try again in a while";
        return Err(Refused::new(Why::Busy, reason).into());
    };
    let from = ask.from;
    let mut export = blocking(move || ledgers.open(&ask)).await?;
    let (size, first) = (export.size, export.accepted.to_bytes());
    tracing::info!(%who, origin, from, size, "an export begins");
    let mut reading = spawn_blocking(move || {
        let batch = export.batch();
        (export, batch)
    });
    write(send, first, &places.counts).await?;
    loop {
        let (export, batch) = reading.await.map_err(|_| crashed())?;
        let batch = batch?;
        if batch.is_empty() {
            break;
        }
        // Read ahead while this batch is on its way.
        reading = read_on(export);
        for piece in batch {
            write(send, piece, &places.counts).await?;
        }
    }
    send.finish()
        .map_err(|error| Ended::Gone(error.to_string()))?;
    match timeout(STALL, send.stopped()).await {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(code))) => return Err(Ended::Gone(format!("it stopped with {code}"))),
        Ok(Err(error)) => return Err(Ended::Gone(error.to_string())),
        Err(_) => return Err(Ended::Stalled),
    }
    places.counts.done.fetch_add(1, Ordering::Relaxed);
    tracing::info!(%who, origin, from, size, "an export ended");
    Ok(())
}

type Batch = Result<Vec<Vec<u8>>, Refused>;

fn read_on(mut export: Export) -> tokio::task::JoinHandle<(Export, Batch)> {
    spawn_blocking(move || {
        let batch = export.batch();
        (export, batch)
    })
}

async fn read_ask(mut receive: RecvStream) -> Result<Ask, Ended> {
    let malformed = |reason: &str| Refused::new(Why::Malformed, reason);
    let reading = receive.read_to_end(FRAME_HEAD_BYTES + MAX_ASK_BYTES);
    let bytes = match timeout(ASK_PATIENCE, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(quinn::ReadToEndError::TooLong)) => {
            return Err(malformed("the ask is too long").into());
        }
        Ok(Err(error)) => return Err(Ended::Gone(error.to_string())),
        Err(_) => return Err(malformed("the ask did not come within 5 s").into()),
    };
    Ok(Ask::parse(&bytes).map_err(|error| malformed(&error.to_string()))?)
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Refused> + Send + 'static,
) -> Result<R, Ended> {
    spawn_blocking(work)
        .await
        .map_err(|_| crashed())?
        .map_err(Ended::from)
}

fn crashed() -> Ended {
    Refused::new(Why::Broken, "the export failed here; its operator was told").into()
}

/// Hands bytes to the transport, which takes them as the reader does.
async fn write(send: &mut SendStream, bytes: Vec<u8>, counts: &Counts) -> Result<(), Ended> {
    let mut bytes = Bytes::from(bytes);
    while !bytes.is_empty() {
        let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
        let length = chunk.len() as u64;
        match timeout(STALL, send.write_chunk(chunk)).await {
            Ok(Ok(())) => counts.sent_bytes.fetch_add(length, Ordering::Relaxed),
            Ok(Err(error)) => return Err(Ended::Gone(error.to_string())),
            Err(_) => return Err(Ended::Stalled),
        };
    }
    Ok(())
}
