//! A member behind a relay, with a relay of libp2p's own in this process; and the local network's discovery.

use belfry_node::net::{Multiaddr, NetCommand, NetError, NetEvent, Protocol, Transport, start};
use libp2p::futures::StreamExt;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{SwarmBuilder, identify, noise, relay, tcp, yamux};
use std::time::Duration;
use tokio::sync::mpsc;

use crate::support::{Node, admit_each_other, config, echo};

#[derive(NetworkBehaviour)]
struct Server {
    relay: relay::Behaviour,
    identify: identify::Behaviour,
}

/// Starts a relay and returns its address with its id.
async fn relay_server() -> Multiaddr {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .expect("TCP")
        .with_behaviour(|key| Server {
            relay: relay::Behaviour::new(key.public().to_peer_id(), relay::Config::default()),
            identify: identify::Behaviour::new(identify::Config::new(
                "/relay/1".to_owned(),
                key.public(),
            )),
        })
        .expect("a behaviour")
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let any = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    swarm.listen_on(any).expect("a listener");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    // Otherwise it would not know how to say where it can be reached.
    swarm.add_external_address(address.clone());
    let id = *swarm.local_peer_id();
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    address.with(Part::P2p(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_listens_only_through_a_relay_is_reached() {
    let relay = relay_server().await;
    let mut hidden = config(1);
    hidden.relays = vec![relay.clone()];
    // A relay is no guest: it needs no place in the lobby and may stay.
    hidden.lobby_slots = 0;
    hidden.lobby_patience = Duration::from_millis(200);
    let mut b = Node::listening(hidden).await;
    let circuit = b
        .until(|event| match event {
            NetEvent::Listening(address) => Some(address.clone()),
            _ => None,
        })
        .await;
    assert!(
        circuit.iter().any(|part| part == Part::P2pCircuit),
        "{circuit}"
    );
    b.address = vec![relay.with(Part::P2pCircuit)];

    let mut outside = config(2);
    outside.circuits = true;
    outside.lobby_slots = 0;
    outside.lobby_patience = Duration::from_secs(2);
    let mut a = Node::listening(outside).await;
    b.send(NetCommand::Members(vec![(a.id(), Vec::new())]))
        .await;
    a.follow(&[&b]).await;
    a.up(b.id()).await;
    b.up(a.id()).await;
    admit_each_other(&mut a, &mut b).await;
    echo(&mut a, &mut b, 1, Protocol::Sync, b"through the relay").await;
    echo(&mut b, &mut a, 1, Protocol::Sync, b"and back").await;
    let status = a.status().await;
    let session = status
        .iter()
        .find(|one| one.peer == b.id())
        .expect("a session");
    assert!(
        session.address.contains("p2p-circuit"),
        "{}",
        session.address
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_relays_in_the_configuration_none_is_used() {
    let relay = relay_server().await;
    let mut b = Node::new(1, Transport::Tcp).await;
    b.address = vec![relay.with(Part::P2pCircuit)];
    let mut a = Node::new(2, Transport::Tcp).await;
    a.follow(&[&b]).await;
    a.until(|event| matches!(event, NetEvent::DialFailed { .. }).then_some(()))
        .await;
    assert!(a.status().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_without_its_id_is_an_error() {
    let mut wrong = config(1);
    wrong.relays = vec!["/ip4/192.0.2.7/tcp/1".parse().expect("an address")];
    let (events, _reader) = mpsc::channel(1);
    let error = start(wrong, events)
        .map(|_| ())
        .expect_err("it says what is wrong");
    assert!(
        matches!(error, NetError::Setup { part: "relays", .. }),
        "{error}"
    );
}

/// Whether anybody is found depends on the machine's network; here it only has to start and to harm nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mdns_a_node_starts_and_strangers_that_are_found_are_not_dialled() {
    let mut one = config(1);
    one.mdns = true;
    let (events, _reader) = mpsc::channel(64);
    match start(one.clone(), events) {
        Ok(_) => {}
        // A machine without interfaces or multicast says so.
        Err(error) => {
            assert!(error.to_string().contains("net.mdns"), "{error}");
            return;
        }
    }
    let mut two = config(2);
    two.mdns = true;
    let a = Node::with(one, Transport::Tcp).await;
    let b = Node::with(two, Transport::Tcp).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(a.status().await.is_empty() && b.status().await.is_empty());
}
