//! What is broken on purpose: switches of the product's for this thread, and nodes that forget what they must not. The
//! rules must notice each, or they notice nothing.

use crate::node::Node;
use crate::plan::{Plan, Sabotage};
use belfry_node::sabotage::Sabotage as Product;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::federation::mirror::Mirror;
use belfry_protocol::engine::ledger::start::Incarnation;
use belfry_protocol::engine::store::{Record, StoreError, Table, Transaction};
use belfry_protocol::wire::v1::Kind;

/// Turns the product's switches as a plan says: a run has one thread.
pub(crate) fn turn(plan: &Plan) {
    let is = |what| plan.sabotage == Some(what);
    Product::SynchronousNormal.turn(is(Sabotage::SynchronousNormal));
    Product::NoStartUpCheck.turn(is(Sabotage::NoStartUpCheck));
}

/// Before a start: what was only in memory is gone.
pub(crate) fn forget(node: &mut Node, what: Option<Sabotage>) {
    let volatile = [
        Sabotage::VolatileFloor,
        Sabotage::VolatileMarks,
        Sabotage::VolatileRevocations,
    ];
    if !what.is_some_and(|what| volatile.contains(&what)) {
        return;
    }
    // What cannot be written is not forgotten, and the control fails.
    let _ = match &mut node.drive {
        Some(drive) if !drive.is_made() => Ok(()),
        Some(drive) => drive.put_records(|tx| change(tx, what)),
        None => {
            let mut tx = node.store.begin();
            change(&mut tx, what).and_then(|()| tx.commit().map(drop))
        }
    };
}

fn change(tx: &mut impl Transaction, what: Option<Sabotage>) -> Result<(), StoreError> {
    match what {
        Some(Sabotage::VolatileFloor) => tx.put_record(Record::NonceFloor, &i64::MIN.to_be_bytes()),
        Some(Sabotage::VolatileMarks) => {
            for (origin, mut mirror) in Mirror::all(tx)? {
                mirror.promised = Incarnation {
                    number: 0,
                    instance: [0; 16],
                };
                mirror.promised_by = Vec::new();
                mirror.acked = None;
                mirror.store(tx, &origin)?;
            }
            Ok(())
        }
        Some(Sabotage::VolatileRevocations) => {
            for (key, _) in tx.rows(Table::Revocations, &[], usize::from(u16::MAX))? {
                tx.remove_row(Table::Revocations, &key)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a node does not hear this, because it tells of a revocation.
pub(crate) fn is_unheard(node: &Node, input: &Input, what: Option<Sabotage>) -> bool {
    let bytes = match input {
        Input::Response {
            bytes: Some(bytes), ..
        }
        | Input::Gossip { bytes, .. } => bytes,
        _ => return false,
    };
    let deaf = what == Some(Sabotage::VolatileRevocations) && node.boot > 1;
    deaf && crate::watch::framed(bytes, Kind::Revocations).is_some()
}
