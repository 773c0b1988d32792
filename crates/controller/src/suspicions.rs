//! Brokers whose connection broke and that were not heard from since: a suspicion, no proof.
//!
//! Owns what this node saw itself, with the time, which an active controller inherits when its term begins; and the set that the handle reads:
//! that, and the active controller's word. The lock is held for a few instructions and never across an await.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use model::{BrokerId, Clock, Timestamp};

/// What is believed of other brokers' connections.
pub(crate) struct Suspicions {
    clock: Clock,
    /// When a connection of this node's to a broker broke.
    seen: Mutex<BTreeMap<BrokerId, Timestamp>>,
    published: ArcSwap<BTreeSet<BrokerId>>,
}

impl Suspicions {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, seen: Mutex::default(), published: ArcSwap::default() }
    }

    /// Says whether a broker is suspected. Costs one atomic load.
    pub(crate) fn contains(&self, broker_id: BrokerId) -> bool {
        self.published.load().contains(&broker_id)
    }

    /// Notes that the connection to a broker broke; the first time counts.
    pub(crate) fn broken(&self, broker_id: BrokerId) {
        let now = self.clock.now();
        self.lock().entry(broker_id).or_insert(now);
        self.publish(&BTreeSet::new());
    }

    /// Notes that a broker was heard.
    pub(crate) fn heard(&self, broker_id: BrokerId) {
        self.lock().remove(&broker_id);
    }

    /// Takes the active controller's word for who is suspected; what this node saw of others is older.
    pub(crate) fn take_word(&self, suspects: &BTreeSet<BrokerId>) {
        self.lock().retain(|broker_id, _| suspects.contains(broker_id));
        self.publish(suspects);
    }

    /// Returns the brokers whose connection to this node broke, with the time.
    pub(crate) fn seen(&self) -> BTreeMap<BrokerId, Timestamp> {
        self.lock().clone()
    }

    /// Publishes these suspects, and those whose connection to this node broke.
    pub(crate) fn publish(&self, suspects: &BTreeSet<BrokerId>) {
        let mut all = suspects.clone();
        all.extend(self.lock().keys());
        if **self.published.load() != all {
            self.published.store(Arc::new(all));
        }
    }

    // Nothing panics under this lock, and a panic ends the process anyway; so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BrokerId, Timestamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
