//! Why a dial failed, in words for people: one line for each address that was tried, with the cause alone.

use super::door::Refusal;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, TransportError};

/// Our own dial met a connection that came in meanwhile: nothing failed.
pub(super) fn is_duplicate(error: &DialError) -> bool {
    let DialError::Denied { cause } = error else {
        return false;
    };
    cause.downcast_ref::<Refusal>() == Some(&Refusal::Duplicate)
}

/// One line for each address that was tried. libp2p's own text does not say what a denial was about, and names every layer
/// of the transport around a cause.
pub(super) fn describe(error: &DialError) -> String {
    match error {
        DialError::Denied { cause } => match cause.downcast_ref::<Refusal>() {
            Some(refusal) => refusal.to_string(),
            None => format!("denied by a limit: {cause:?}"),
        },
        DialError::Transport(tried) => {
            let line = |(address, error): &(Multiaddr, TransportError<std::io::Error>)| {
                format!("{}: {}", place(address), root(error))
            };
            let lines: Vec<String> = tried.iter().map(line).collect();
            lines.join("\n")
        }
        error => error.to_string(),
    }
}

/// An address without the transport id of who is dialled: that is known.
fn place(address: &Multiaddr) -> String {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address.to_string()
}

/// The innermost cause in one line: what stands around it only names the layers of the transport.
fn root(error: &TransportError<std::io::Error>) -> String {
    let TransportError::Other(outer) = error else {
        return "no transport for this address".to_owned();
    };
    let mut cause: &dyn std::error::Error = outer;
    // An io::Error shows what it wraps as itself, and its source is the source of that.
    if let Some(inner) = outer.get_ref() {
        cause = inner;
    }
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.split(" (os error").next().unwrap_or(text);
    text.replacen("Connection refused", "connection refused", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("Failed to negotiate transport protocol(s):\n[outer layer]")]
    struct Layer(#[source] io::Error);

    #[test]
    fn each_address_is_one_line_with_the_innermost_cause() {
        let id = libp2p::PeerId::random();
        let closed = || io::Error::from_raw_os_error(111);
        let tried: Vec<(Multiaddr, _)> = vec![
            (
                format!("/ip4/192.0.2.1/tcp/35893/p2p/{id}")
                    .parse()
                    .unwrap(),
                TransportError::Other(io::Error::other(Layer(io::Error::other(Layer(closed()))))),
            ),
            (
                "/ip4/192.0.2.1/udp/35893/quic-v1".parse().unwrap(),
                TransportError::Other(closed()),
            ),
            (
                "/dns/north.example".parse().unwrap(),
                TransportError::MultiaddrNotSupported("/dns/north.example".parse().unwrap()),
            ),
        ];
        assert_eq!(
            describe(&DialError::Transport(tried)),
            "/ip4/192.0.2.1/tcp/35893: connection refused\n\
             /ip4/192.0.2.1/udp/35893/quic-v1: connection refused\n\
             /dns/north.example: no transport for this address"
        );
    }
}
