//! Who is in Raft's membership, and which voters it should have.
//!
//! Pure: decides about a change from the membership, the configured voters and the nodes that have said hello. Invariants: a voter is
//! replaced only by a node of the same broker that has been formatted anew and has caught up; the voters change in one joint step, and
//! never while a configured voter would be left without any node.

use std::collections::{BTreeMap, BTreeSet};

use model::BrokerId;

use crate::metadata::RaftId;

/// The effective membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// Voters, of both sets while a joint change is under way.
    pub(crate) voters: BTreeMap<RaftId, BrokerId>,
    /// Nodes that only listen.
    pub(crate) learners: BTreeMap<RaftId, BrokerId>,
    /// Whether a joint change is under way.
    pub(crate) is_joint: bool,
}

impl Members {
    /// Says whether the node is in the membership.
    pub(crate) fn contains(&self, raft_id: RaftId) -> bool {
        self.voters.contains_key(&raft_id) || self.learners.contains_key(&raft_id)
    }

    /// Returns the voters by broker.
    pub(crate) fn voters_by_broker(&self) -> BTreeMap<BrokerId, RaftId> {
        self.voters.iter().map(|(raft_id, broker_id)| (*broker_id, *raft_id)).collect()
    }

    /// Returns the voters that should vote instead of the present ones; `None` when nothing is to be changed.
    ///
    /// `present` holds, for each broker that has said hello in this term, the Raft id of its storage; `caught_up` the learners whose logs
    /// are near the leader's.
    pub(crate) fn wanted_voters(
        &self,
        configured: &BTreeSet<BrokerId>,
        present: &BTreeMap<BrokerId, RaftId>,
        caught_up: &BTreeSet<RaftId>,
    ) -> Option<BTreeSet<RaftId>> {
        if self.is_joint {
            return None;
        }
        let by_broker = self.voters_by_broker();
        let mut wanted = BTreeSet::new();
        for broker_id in configured {
            let voter = by_broker.get(broker_id).copied();
            let newer = present.get(broker_id).copied().filter(|raft_id| {
                Some(*raft_id) != voter
                    && self.learners.get(raft_id) == Some(broker_id)
                    && caught_up.contains(raft_id)
            });
            wanted.insert(newer.or(voter)?);
        }
        // A voter that is not configured stays: one node's file must not shrink the quorum.
        let kept = self.voters.iter().filter(|(_, broker)| !configured.contains(*broker));
        wanted.extend(kept.map(|(raft_id, _)| *raft_id));
        let present_voters: BTreeSet<RaftId> = self.voters.keys().copied().collect();
        (wanted != present_voters).then_some(wanted)
    }

    /// Returns learners whose broker has come back under another id: they will never answer again.
    pub(crate) fn stale_learners(&self, present: &BTreeMap<BrokerId, RaftId>) -> BTreeSet<RaftId> {
        self.learners
            .iter()
            .filter(|(raft_id, broker)| present.get(*broker).is_some_and(|now| now != *raft_id))
            .map(|(raft_id, _)| *raft_id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(pairs: &[(u64, i32)]) -> BTreeMap<RaftId, BrokerId> {
        pairs.iter().map(|(raft_id, broker)| (RaftId(*raft_id), BrokerId(*broker))).collect()
    }

    fn hello(pairs: &[(i32, u64)]) -> BTreeMap<BrokerId, RaftId> {
        pairs.iter().map(|(broker, raft_id)| (BrokerId(*broker), RaftId(*raft_id))).collect()
    }

    fn ids(ids: &[u64]) -> BTreeSet<RaftId> {
        ids.iter().map(|id| RaftId(*id)).collect()
    }

    fn configured(brokers: &[i32]) -> BTreeSet<BrokerId> {
        brokers.iter().map(|broker| BrokerId(*broker)).collect()
    }

    #[test]
    fn a_wiped_voter_is_replaced_once_its_new_storage_has_caught_up() {
        let members = Members {
            voters: nodes(&[(11, 1), (12, 2), (13, 3)]),
            learners: nodes(&[(22, 2)]),
            is_joint: false,
        };
        let present = hello(&[(1, 11), (2, 22), (3, 13)]);
        let wanted = |caught_up: &[u64]| {
            members.wanted_voters(&configured(&[1, 2, 3]), &present, &ids(caught_up))
        };
        assert_eq!(wanted(&[]), None);
        assert_eq!(wanted(&[22]), Some(ids(&[11, 22, 13])));
    }

    #[test]
    fn one_voter_becomes_three_in_one_step_and_never_two() {
        let members = Members {
            voters: nodes(&[(11, 1)]),
            learners: nodes(&[(12, 2), (13, 3)]),
            is_joint: false,
        };
        let present = hello(&[(1, 11), (2, 12), (3, 13)]);
        let wanted = |caught_up: &[u64]| {
            members.wanted_voters(&configured(&[1, 2, 3]), &present, &ids(caught_up))
        };
        assert_eq!(wanted(&[12]), None);
        assert_eq!(wanted(&[12, 13]), Some(ids(&[11, 12, 13])));
    }

    #[test]
    fn a_file_that_names_fewer_voters_removes_none() {
        let members = Members {
            voters: nodes(&[(11, 1), (12, 2), (13, 3)]),
            learners: BTreeMap::new(),
            is_joint: false,
        };
        assert_eq!(members.wanted_voters(&configured(&[1]), &hello(&[]), &ids(&[])), None);
    }

    #[test]
    fn a_learner_that_is_no_configured_voter_stays_one() {
        let members =
            Members { voters: nodes(&[(11, 1)]), learners: nodes(&[(14, 4)]), is_joint: false };
        let present = hello(&[(1, 11), (4, 14)]);
        assert_eq!(members.wanted_voters(&configured(&[1]), &present, &ids(&[14])), None);
    }

    #[test]
    fn the_storage_that_a_learner_had_before_is_dropped() {
        let members = Members {
            voters: nodes(&[(11, 1)]),
            learners: nodes(&[(14, 4), (24, 4), (15, 5)]),
            is_joint: false,
        };
        assert_eq!(members.stale_learners(&hello(&[(4, 24)])), ids(&[14]));
    }
}
