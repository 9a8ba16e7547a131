//! The network as libp2p's transport sees it: listens on a node's port and dials those of others.

use super::pipe::Pipe;
use super::{BACKLOG, FIRST_CALLER, FIRST_PORT, Listener, Net};
use belfry_node::net::{Carrier, Multiaddr, Stream};
use libp2p::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::futures::future::{BoxFuture, FutureExt, Ready, ready};
use libp2p::multiaddr::Protocol;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often a caller tries whose first packet was lost; the caller's own time-out ends it.
const KNOCK: Duration = Duration::from_secs(1);

/// What a node's transport runs over.
pub(super) fn carrier(net: Net, host: usize) -> Carrier {
    Transport::boxed(Host {
        net,
        host,
        listening: None,
        announced: false,
    })
}

/// One node's side.
struct Host {
    net: Net,
    host: usize,
    listening: Option<(ListenerId, u16)>,
    announced: bool,
}

fn address(port: u16) -> Multiaddr {
    Multiaddr::from(Ipv4Addr::LOCALHOST).with(Protocol::Tcp(port))
}

/// The port of an address of this network.
fn port_of(address: &Multiaddr) -> Option<u16> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(Ipv4Addr::LOCALHOST), Protocol::Tcp(port)) => Some(port),
        _ => None,
    }
}

async fn dial(net: Net, from: usize, port: u16) -> io::Result<Box<dyn Stream>> {
    let to = usize::from(port.saturating_sub(FIRST_PORT));
    loop {
        let open = {
            let mut state = net.lock();
            let open = !state.is_blocked((from, to)) && !state.is_blocked((to, from));
            open.then(|| state.delay((from, to)))
        };
        match open {
            Some(delay) => break tokio::time::sleep(delay).await,
            None => tokio::time::sleep(KNOCK).await,
        }
    }
    let (mine, back) = {
        let mut state = net.lock();
        let taken = state.listeners.get(&port).map(|one| one.arrived.len());
        let mine = taken.is_some_and(|taken| taken < BACKLOG).then(|| {
            let (mine, theirs) = state.connect(&net, from, to);
            if let Some(listener) = state.listeners.get_mut(&port) {
                listener.arrived.push_back(theirs);
                if let Some(waker) = listener.waker.take() {
                    waker.wake();
                }
            }
            mine
        });
        (mine, state.delay((to, from)))
    };
    tokio::time::sleep(back).await;
    match mine {
        Some(pipe) => Ok(Box::new(pipe)),
        None => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

impl Transport for Host {
    type Output = Box<dyn Stream>;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Box<dyn Stream>>>;
    type Dial = BoxFuture<'static, io::Result<Box<dyn Stream>>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        wanted: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        let Some(port) = port_of(&wanted) else {
            return Err(TransportError::MultiaddrNotSupported(wanted));
        };
        let mut state = self.net.lock();
        if state.listeners.contains_key(&port) {
            return Err(TransportError::Other(io::ErrorKind::AddrInUse.into()));
        }
        state.listeners.insert(port, Listener::default());
        drop(state);
        self.listening = Some((id, port));
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let found = self.listening.take_if(|(listening, _)| *listening == id);
        if let Some((_, port)) = found {
            let gone = self.net.lock().listeners.remove(&port);
            // Outside the lock: what arrived ends now.
            drop(gone);
        }
        found.is_some()
    }

    fn dial(
        &mut self,
        wanted: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        match port_of(&wanted) {
            Some(port) => Ok(dial(self.net.clone(), self.host, port).boxed()),
            None => Err(TransportError::MultiaddrNotSupported(wanted)),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let Some((listener_id, port)) = self.listening else {
            return Poll::Pending;
        };
        let listen_addr = address(port);
        if !self.announced {
            self.announced = true;
            return Poll::Ready(TransportEvent::NewAddress {
                listener_id,
                listen_addr,
            });
        }
        let mut state = self.net.lock();
        let caller = FIRST_CALLER + u16::try_from(state.next % 20_000).unwrap_or(0);
        let Some(listener) = state.listeners.get_mut(&port) else {
            return Poll::Pending;
        };
        let Some(pipe) = listener.arrived.pop_front() else {
            listener.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let stream: Box<dyn Stream> = Box::<Pipe>::new(pipe);
        Poll::Ready(TransportEvent::Incoming {
            listener_id,
            upgrade: ready(Ok(stream)),
            local_addr: listen_addr,
            send_back_addr: address(caller),
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some((id, _)) = self.listening {
            self.remove_listener(id);
        }
    }
}
