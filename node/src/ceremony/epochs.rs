//! Epochs that became active, and when they take effect: a founding ends with the first one in force that lists this node; a
//! member's `genesis.json` grows. May not judge a link: the vote did.

use super::guests;
use super::task::{Task, now_seconds};
use crate::exit::{Code, Failure};
use crate::member::{self, chain};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{Pinned, Remembering, Ticket, Verifier, chain as verified};
use belfry_protocol::manifest::{Federation, Manifest, Member};
use belfry_protocol::tlog::hash::Hash;

impl Task {
    /// The newest manifest that is active, in force or not.
    pub(super) fn newest(&self) -> Option<&Manifest> {
        self.links.last().map(Link::manifest)
    }

    /// The federation's id, once epoch 0 is known.
    pub(super) fn federation_id(&self) -> Option<Hash> {
        self.links.first().map(|link| link.manifest().hash())
    }

    /// What this node's ticket pins, if it came to a founded federation.
    pub(super) fn pinned(&self) -> Option<Pinned> {
        self.draft.ticket().ok().flatten()?.pinned
    }

    /// Whether the chain of the ticket's federation was shown and verified, if the ticket names one.
    pub(super) fn is_shown(&self, ticket: &Ticket) -> bool {
        let through = |pinned: Pinned| {
            let mut links = self.links.iter();
            self.federation_id() == Some(pinned.federation)
                && links.any(|link| link.manifest().hash() == pinned.manifest)
        };
        ticket.pinned.is_none_or(through)
    }

    /// Whether a manifest lists this node.
    fn lists_me(&self, manifest: &Manifest) -> bool {
        let mut members = manifest.members.iter();
        members.any(|member| member.identity == self.me.identity)
    }

    /// A directory that followed one federation joins no other.
    pub(super) fn check_known(&mut self) {
        let (Some(known), Some(pinned)) = (self.federation_id(), self.pinned()) else {
            return;
        };
        if known != pinned.federation {
            let text = format!(
                "the ticket names another federation ({}) than the one that this directory followed before ({known}); join with a new directory: `belfry init`",
                pinned.federation
            );
            tracing::error!(%text, "this node joins nobody");
            self.welcome = Err(text);
        }
    }

    /// Takes links that are active, each after the one before.
    pub(super) fn activated(&mut self, links: Vec<Link>) {
        for link in links {
            let epoch = link.manifest().epoch;
            if epoch != self.links.len() as u64 {
                continue;
            }
            tracing::info!(epoch, manifest = %link.manifest().hash(), "an epoch is active");
            self.links.push(link);
        }
        self.exchange.set_links(&self.links);
    }

    /// What is due takes effect.
    pub(super) fn look_at_epochs(&mut self) -> Result<(), Failure> {
        let now = now_seconds();
        if self.member.is_none() {
            self.look_for_the_end(now);
            return Ok(());
        }
        let mut changed = false;
        while let Some(link) = self.links.get(self.in_force)
            && chain::is_due(link, now)
        {
            self.take_effect()?;
            changed = true;
        }
        match changed {
            true => self.reopen(),
            false => Ok(()),
        }
    }

    /// So many epochs from the founding on are in force, as far as the clock says.
    fn due(&self, now: u64) -> usize {
        let due = self.links.iter();
        due.take_while(|link| chain::is_due(link, now)).count()
    }

    /// The end of a founding, or of a wish to join: this node is listed in the epoch that is in force.
    fn look_for_the_end(&mut self, now: u64) {
        let due = self.due(now);
        let Some(link) = due.checked_sub(1).and_then(|at| self.links.get(at)) else {
            return;
        };
        let ticket = self.draft.ticket().ok().flatten();
        let is_through = ticket.as_ref().is_none_or(|ticket| self.is_shown(ticket));
        let (pinned, listed) = (self.pinned(), self.lists_me(link.manifest()));
        if listed && is_through {
            tracing::info!(epoch = link.manifest().epoch, "this node is a member now");
            self.in_force = due;
            self.ended = true;
            return;
        }
        if pinned.is_some() {
            if !is_through {
                tracing::debug!("the chain does not reach the manifest of the ticket yet");
            }
            return;
        }
        if self.welcome.is_ok() && self.links.len() == 1 {
            let id = link.manifest().hash();
            let text = format!(
                "the others founded federation {id} without this node; it can join them by an amendment later"
            );
            tracing::error!(%text, "left out");
            self.welcome = Err(text);
        }
    }

    /// The next epoch is in force: written down first, so that a start finds it if the engine was not told.
    fn take_effect(&mut self) -> Result<(), Failure> {
        let until = self.in_force + 1;
        let Some(links) = self.links.get(..until) else {
            return Ok(());
        };
        let file = chain::print(links);
        chain::write(&self.layout, &*self.disk, file.as_bytes())?;
        let damaged = |error: &dyn std::fmt::Display| {
            Failure::new(Code::VerificationFailed, error.to_string())
        };
        let id = self.federation_id().ok_or_else(|| damaged(&"no epoch"))?;
        let newest = links.last().map(Link::manifest).cloned();
        let newest = newest.ok_or_else(|| damaged(&"no epoch"))?;
        let federation = Federation::new(id, newest.clone()).map_err(|error| damaged(&error))?;
        self.in_force = until;
        tracing::info!(epoch = newest.epoch, manifest = %newest.hash(), "an epoch is in force");
        match newest.member(self.me.name.as_str()) {
            Some((_, me)) if me.identity == self.me.identity => self.me = me.clone(),
            _ => tracing::error!(
                epoch = newest.epoch,
                "this node is no member any more: the others go on without it, and its ledger stays readable"
            ),
        }
        let told = self.member.as_ref().map(|beside| {
            let amended = beside.writer.amend(federation);
            amended.map_err(|error| damaged(&error))
        });
        if let Some(false) = told.transpose()? {
            tracing::warn!(
                epoch = newest.epoch,
                "the engine takes this epoch at the next start of the node"
            );
        }
        // Last: it may fail, and is tidied up with the next epoch.
        let listed = |guest: &Member| {
            newest
                .members
                .iter()
                .any(|one| one.identity == guest.identity)
        };
        if self.member.is_some() && guests::forget(&mut self.draft, listed) {
            self.draft.save(&self.layout, &*self.disk)?;
        }
        Ok(())
    }

    /// Loads the votes again: another epoch is in force, or a step failed.
    pub(super) fn reopen(&mut self) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Code::VerificationFailed, error.to_string())
        };
        let mut verifier = Verifier::new(Remembering::default());
        let known = verified::verify_links(&self.links, &mut verifier);
        let known = known.map_err(|error| failed(&error))?;
        let federation = Federation::new(known.id(), known.manifest().clone());
        let federation = federation.map_err(|error| failed(&error))?;
        let watched = member::is_watched(&federation, &self.me.name);
        self.desk.reopen(Some(known), watched)?;
        self.refresh()
    }
}
