//! What the node listens on: held by the node while it runs, free while it does not.

use super::{Check, Patient};
use crate::net::Transport;
use serde_json::Value;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// How long a port of this machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a port is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// One thing that the node listens on.
struct Port {
    name: &'static str,
    key: &'static str,
    kind: Kind,
    /// As configured.
    wanted: SocketAddr,
    /// As it is, where the node says so.
    real: Option<SocketAddr>,
}

pub(super) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    let Some(config) = patient.config else {
        let why = "the ports are not known without a valid config.toml";
        return vec![Check::unknown("ports", why)];
    };
    let port = |name, key, kind, wanted, real| Port {
        name,
        key,
        kind,
        wanted,
        real,
    };
    let http = std::fs::read_to_string(patient.layout.run().join("http.addr"));
    let http = http.ok().and_then(|text| text.trim().parse().ok());
    let http_real = patient.running.and(http);
    let mut ports = vec![port(
        "ports.http",
        "http.listen",
        Kind::Tcp,
        config.http_listen,
        http_real,
    )];
    if patient.federation.is_some() {
        let both = config.net_transport == Transport::Both;
        if both || config.net_transport == Transport::Tcp {
            ports.push(port(
                "ports.net-tcp",
                "net.listen",
                Kind::Tcp,
                config.net_listen,
                None,
            ));
        }
        if both || config.net_transport == Transport::Quic {
            ports.push(port(
                "ports.net-udp",
                "net.listen",
                Kind::Udp,
                config.net_listen,
                None,
            ));
        }
    }
    if let Some(wanted) = config.export_listen {
        let said = |running: &super::Running| -> Option<SocketAddr> {
            let text = running
                .status
                .pointer("/export/listening")
                .and_then(Value::as_str)?;
            text.strip_prefix("quic://")?.parse().ok()
        };
        let real = patient.running.and_then(said);
        ports.push(port(
            "ports.export",
            "export.listen",
            Kind::Udp,
            wanted,
            real,
        ));
    }
    let running = patient.running.is_some();
    ports.iter().map(|port| port.check(running)).collect()
}

impl Port {
    fn check(&self, running: bool) -> Check {
        let address = self.real.unwrap_or(self.wanted);
        let shown = format!("{} {address}", self.kind.name());
        if address.port() == 0 {
            return match running {
                true => Check::unknown(
                    self.name,
                    format!("{shown}: any port, and the node does not say which"),
                ),
                false => Check::pass(self.name, format!("{shown}: any port")),
            };
        }
        match (self.bind(address), running) {
            (Ok(()), false) => Check::pass(self.name, format!("{shown} is free for the node")),
            (Ok(()), true) => Check::fail(
                self.name,
                format!("the node runs, and nobody listens on {shown}"),
            )
            .remedy(format!(
                "{} may have been changed since the start: restart the node, and see its log",
                self.key
            )),
            (Err(ErrorKind::AddrInUse), true) => self.answers(address, &shown),
            (Err(error), _) => {
                let why = match error {
                    ErrorKind::AddrInUse => "another program listens there".to_owned(),
                    ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
                    other => other.to_string(),
                };
                Check::fail(self.name, format!("{shown} cannot be taken: {why}")).remedy(format!(
                    "stop the other program (`ss -lntup` names it), or choose another address with {} in config.toml",
                    self.key
                ))
            }
        }
    }

    fn bind(&self, address: SocketAddr) -> Result<(), ErrorKind> {
        let bound = match self.kind {
            Kind::Tcp => TcpListener::bind(address).map(drop),
            Kind::Udp => UdpSocket::bind(address).map(drop),
        };
        bound.map_err(|error| error.kind())
    }

    /// Somebody holds it while the node runs; with TCP it must also answer.
    fn answers(&self, mut address: SocketAddr, shown: &str) -> Check {
        match address.ip() {
            IpAddr::V4(any) if any.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(any) if any.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        match self.kind {
            Kind::Udp => Check::pass(self.name, format!("{shown} is held by the running node")),
            Kind::Tcp => match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(_) => Check::pass(self.name, format!("{shown} answers")),
                Err(error) => Check::fail(self.name, format!("{shown} does not answer: {error}"))
                    .remedy("the node may be overloaded, or a firewall drops what this machine says to itself; see its log"),
            },
        }
    }
}
