//! Probes of clocks between two real transports: stamped at the sockets, for admitted peers only.

use std::time::Duration;

use belfry_node::net::{NetCommand, NetEvent, PeerId, Transport};
use belfry_protocol::clock::{Sample, Stamps};

use crate::support::{Node, admit_each_other, config, connect};

async fn prober(seed: u8, transport: Transport, every: Duration) -> Node {
    let mut config = config(seed);
    config.probe_every = every;
    Node::with(config, transport).await
}

async fn sample(node: &mut Node, of: PeerId) -> Stamps {
    node.until(|event| match event {
        NetEvent::Clock { peer, stamps } if *peer == of => Some(*stamps),
        _ => None,
    })
    .await
}

async fn two_that_measure_each_other(transport: Transport) {
    // Far apart, so that only the bursts are seen.
    let hour = Duration::from_secs(3_600);
    let mut a = prober(1, transport, hour).await;
    let mut b = prober(2, transport, hour).await;
    connect(&mut a, &mut b).await;
    admit_each_other(&mut a, &mut b).await;
    let (id_a, id_b) = (a.id(), b.id());
    for _ in 0..4 {
        for (node, of) in [(&mut a, id_b), (&mut b, id_a)] {
            let stamps = sample(node, of).await;
            let taken = Sample::of(&stamps).expect("one machine, no step");
            // Both ends have one clock: on the scale of the own clocks the difference is none.
            let own = stamps.came.wall_us - i64::try_from(stamps.came.mono_us).expect("small");
            let slack = 1_000;
            assert!(
                taken.lo_us - slack <= own && own <= taken.hi_us + slack,
                "{own} is not in {taken:?}"
            );
            assert!(stamps.answered_us >= stamps.received_us);
        }
    }
    a.send(NetCommand::MeasureClocks).await;
    for _ in 0..4 {
        let _ = sample(&mut a, id_b).await;
    }
    a.close().await;
    b.down_then_close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_are_measured_over_tcp() {
    two_that_measure_each_other(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_are_measured_over_quic() {
    two_that_measure_each_other(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_go_on_and_whoever_was_not_admitted_gets_no_answer() {
    let every = Duration::from_millis(100);
    let mut a = prober(1, Transport::Tcp, every).await;
    let mut b = prober(2, Transport::Tcp, every).await;
    connect(&mut a, &mut b).await;
    // Only one side has heard a hello: its probes wait unread at the other.
    a.send(NetCommand::Admit(b.id())).await;
    tokio::time::sleep(5 * every).await;
    while let Ok(event) = a.events.try_recv() {
        assert!(!matches!(event, NetEvent::Clock { .. }), "{event:?}");
    }
    b.send(NetCommand::Admit(a.id())).await;
    let (id_a, id_b) = (a.id(), b.id());
    for _ in 0..10 {
        let _ = sample(&mut a, id_b).await;
        let _ = sample(&mut b, id_a).await;
    }
    a.close().await;
    b.down_then_close().await;
}
