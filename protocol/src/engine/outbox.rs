//! What a step wants done, kept apart by what it risks (R9): promises wait for the commit, the rest may go at once.
//! The types make it impossible to send a promise early: reading one takes a [`Committed`].

/// Proof that a transaction is durable. Only a store's commit makes one.
#[derive(Debug)]
pub struct Committed(());

impl Committed {
    /// For implementers of [`super::store::Transaction::commit`] alone: call it after the sync returned.
    #[must_use]
    pub fn after_durable_commit() -> Self {
        Self(())
    }
}

/// The outputs of one step.
#[derive(Debug)]
pub struct Outbox<P, F> {
    promises: Vec<P>,
    free: Vec<F>,
}

impl<P, F> Default for Outbox<P, F> {
    fn default() -> Self {
        Self {
            promises: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<P, F> Outbox<P, F> {
    /// Adds an output that may leave only after the commit.
    pub fn promise(&mut self, output: P) {
        self.promises.push(output);
    }

    /// Adds an output that may leave at once.
    pub fn free(&mut self, output: F) {
        self.free.push(output);
    }

    /// Takes the free outputs; allowed before the commit.
    pub fn take_free(&mut self) -> Vec<F> {
        std::mem::take(&mut self.free)
    }

    /// The promises, in order, once they are durable.
    #[must_use]
    pub fn release(self, _proof: &Committed) -> Vec<P> {
        self.promises
    }

    /// How many outputs of each sort there are; a mark to roll back to.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.promises.len(), self.free.len())
    }

    /// Drops what came after a mark.
    pub(crate) fn roll_back(&mut self, mark: (usize, usize)) {
        self.promises.truncate(mark.0);
        self.free.truncate(mark.1);
    }
}
