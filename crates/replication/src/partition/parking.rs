//! Messages of followers that are ahead of this broker's image wait here until it gets there (design 3b.1): nobody would send them again soon.

use model::BrokerId;

use super::Partition;
use super::event::FollowerFetch;
use super::mutation::{Mutation, is_active};
use super::role::Role;

/// How a follower's message relates to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// Of an older leader epoch or registration, or to a replica that does not lead: dropped.
    Stale,
    /// Right for this leader.
    Present,
    /// Of a leader epoch, registration or assignment that the image has not reached: parked.
    Early,
}

impl Partition {
    /// Compares a message with the image.
    pub(super) fn relation(&self, follower: BrokerId, fetch: &FollowerFetch) -> Relation {
        let Some(metadata) = &self.metadata else { return Relation::Early };
        if fetch.leader_epoch > metadata.leader_epoch {
            return Relation::Early;
        }
        let leads = matches!(self.role, Role::Leader(_));
        let is_old = fetch.leader_epoch < metadata.leader_epoch
            && !is_active(Mutation::JoinWithoutFetchInEpoch);
        if is_old || !leads {
            return Relation::Stale;
        }
        match metadata.replica(follower).and_then(|replica| replica.broker_epoch) {
            Some(known) if fetch.broker_epoch < known => Relation::Stale,
            Some(known) if fetch.broker_epoch == known => Relation::Present,
            Some(_) | None => Relation::Early,
        }
    }

    /// Keeps the newest message per broker until the image gets there.
    pub(super) fn park(&mut self, follower: BrokerId, fetch: &FollowerFetch) {
        if is_active(Mutation::NewerPositionDropped) {
            return;
        }
        let age =
            |fetch: &FollowerFetch| (fetch.broker_epoch, fetch.leader_epoch, fetch.generation);
        let is_newest = match self.parked.get(&follower) {
            Some(parked) => age(parked) <= age(fetch),
            None => self.parked.len() < MAX_PARKED,
        };
        if is_newest {
            self.parked.insert(follower, *fetch);
        }
    }

    pub(super) fn unpark(&mut self) {
        for (follower, fetch) in std::mem::take(&mut self.parked) {
            self.follower_fetched(follower, &fetch);
        }
    }
}

/// How many brokers may have a message parked; one beyond it is dropped, and comes again with its keep-alive.
const MAX_PARKED: usize = 64;
