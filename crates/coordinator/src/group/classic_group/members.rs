//! The members of a group with what is counted about them.
//!
//! Invariants: no two members have one static name; the counts are those of the members.

use std::collections::BTreeMap;
use std::time::Duration;

use super::member::Member;
use super::protocols::ProtocolCounts;
use crate::group::ids::{GroupInstanceId, MemberId};
use crate::group::request::{JoinProtocol, RequestId};

/// The members of a group, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub(in crate::group) struct Members {
    by_id: BTreeMap<MemberId, Member>,
    by_instance: BTreeMap<GroupInstanceId, MemberId>,
    protocols: ProtocolCounts,
    parked_join_count: usize,
}

impl Members {
    pub(in crate::group) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(in crate::group) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(in crate::group) fn contains(&self, member_id: &MemberId) -> bool {
        self.by_id.contains_key(member_id)
    }

    pub(in crate::group) fn get(&self, member_id: &MemberId) -> Option<&Member> {
        self.by_id.get(member_id)
    }

    pub(in crate::group) fn get_mut(&mut self, member_id: &MemberId) -> Option<&mut Member> {
        self.by_id.get_mut(member_id)
    }

    pub(in crate::group) fn iter(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.by_id.iter()
    }

    pub(in crate::group) fn iter_mut(&mut self) -> impl Iterator<Item = (&MemberId, &mut Member)> {
        self.by_id.iter_mut()
    }

    /// Returns the first member's id.
    pub(in crate::group) fn first(&self) -> Option<&MemberId> {
        self.by_id.keys().next()
    }

    /// Returns the id that a static member has now.
    pub(in crate::group) fn id_of(&self, instance: &GroupInstanceId) -> Option<&MemberId> {
        self.by_instance.get(instance)
    }

    /// Returns how many members know each strategy.
    pub(in crate::group) fn protocols(&self) -> &ProtocolCounts {
        &self.protocols
    }

    /// Says whether one who knows these strategies shares one with all members.
    pub(in crate::group) fn share_one_of(&self, protocols: &[JoinProtocol]) -> bool {
        protocols.iter().any(|protocol| self.protocols.is(&protocol.name, self.len()))
    }

    /// Holds the vote on the strategy: each member for the first of its own that all know; most votes win, and the first by name among equals. `None` without members.
    pub(in crate::group) fn elect_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.by_id.values() {
            let known_to_all =
                |protocol: &&JoinProtocol| self.protocols.is(&protocol.name, self.len());
            if let Some(vote) = member.protocols.iter().find(known_to_all) {
                *votes.entry(&vote.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    /// Returns how many wait for the rebalance.
    pub(in crate::group) fn parked_join_count(&self) -> usize {
        self.parked_join_count
    }

    /// Returns the longest time that a rebalance waits for a member; zero without members.
    pub(in crate::group) fn rebalance_timeout(&self) -> Duration {
        self.by_id.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// Adds a member. Whoever has its id or its static name is ousted; only a log that contradicts itself leads to that, so nothing of it is parked or armed.
    pub(in crate::group) fn insert(&mut self, member_id: MemberId, member: Member) {
        self.remove(&member_id);
        let instance = member.group_instance_id.as_ref();
        if let Some(namesake) = instance.and_then(|name| self.by_instance.get(name)).cloned() {
            self.remove(&namesake);
        }
        if let Some(instance) = &member.group_instance_id {
            self.by_instance.insert(instance.clone(), member_id.clone());
        }
        self.protocols.add(&member.protocols);
        self.parked_join_count += usize::from(member.parked_join.is_some());
        self.by_id.insert(member_id, member);
    }

    pub(in crate::group) fn remove(&mut self, member_id: &MemberId) -> Option<Member> {
        let member = self.by_id.remove(member_id)?;
        if let Some(instance) = &member.group_instance_id {
            self.by_instance.remove(instance);
        }
        self.protocols.subtract(&member.protocols);
        self.parked_join_count -= usize::from(member.parked_join.is_some());
        Some(member)
    }

    /// Gives a member other strategies.
    pub(in crate::group) fn set_protocols(
        &mut self,
        member_id: &MemberId,
        protocols: Vec<JoinProtocol>,
    ) {
        if let Some(member) = self.by_id.get_mut(member_id) {
            self.protocols.subtract(&member.protocols);
            self.protocols.add(&protocols);
            member.protocols = protocols;
        }
    }

    /// Parks a member's JoinGroup; returns the one that was parked before.
    pub(in crate::group) fn park_join(
        &mut self,
        member_id: &MemberId,
        id: RequestId,
    ) -> Option<RequestId> {
        let member = self.by_id.get_mut(member_id)?;
        let before = member.parked_join.replace(id);
        self.parked_join_count += usize::from(before.is_none());
        before
    }

    /// Takes a member's parked JoinGroup, to answer it.
    pub(in crate::group) fn take_join(&mut self, member_id: &MemberId) -> Option<RequestId> {
        let taken = self.by_id.get_mut(member_id)?.parked_join.take();
        self.parked_join_count -= usize::from(taken.is_some());
        taken
    }
}
