//! Replay: what the log says becomes state again, record by record.
//!
//! Invariant: what is replayed depends on the last record of each key, not on the order between keys. A record that contradicts itself gives some state that holds the
//! invariants, never a panic: it came from a disk.

use bytes::Bytes;
use model::Timestamp;

use super::Shard;
use crate::group::classic_group::{Existence, Group, Member, Phase, Standing};
use crate::group::ids::{GroupId, MemberId};
use crate::group::mutation::{self, Mutation};
use crate::group::record::{GroupMetadataRecord, GroupRecord, MemberRecord};
use crate::group::request::JoinProtocol;

impl Shard {
    /// Takes in a record of the log. Records come in the log's order, before [`Shard::loaded`].
    pub fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Offset { group_id, topic, partition, value } => {
                if value.is_none() && !self.groups.contains_key(&group_id) {
                    return;
                }
                let Self { groups, totals, .. } = self;
                let group = groups.entry(group_id).or_insert_with_key(known);
                group.offsets.replay(totals, &group.id, (topic, partition), value);
            }
            GroupRecord::Group { group_id, value: Some(value) } => {
                let Self { groups, totals, .. } = self;
                let group = groups.entry(group_id).or_insert_with_key(known);
                restore(group, &value);
                group.set_logged(Some(value), totals);
            }
            GroupRecord::Group { group_id, value: None } => self.replay_tombstone(&group_id),
        }
    }

    /// What is left of a group whose tombstone came is a group of offsets alone; without any it goes when the load ends.
    fn replay_tombstone(&mut self, group_id: &GroupId) {
        if mutation::is_active(Mutation::TombstoneIgnored) {
            return;
        }
        let Self { groups, totals, .. } = self;
        let Some(group) = groups.get_mut(group_id) else { return };
        group.set_logged(None, totals);
        let offsets = std::mem::take(&mut group.offsets);
        *group = Group { offsets, ..known(group_id) };
    }
}

/// Makes an empty group of which the log tells.
fn known(group_id: &GroupId) -> Group {
    Group { existence: Existence::Known, ..Group::blank(group_id.clone(), None, None) }
}

/// Makes a group what its record says.
fn restore(group: &mut Group, record: &GroupMetadataRecord) {
    let offsets = std::mem::take(&mut group.offsets);
    let logged = group.logged.take();
    *group = Group {
        phase: if record.members.is_empty() { Phase::Empty } else { Phase::Stable },
        state_since: record.state_since,
        protocol_type: Some(record.protocol_type.clone()).filter(|name| !name.is_empty()),
        protocol_name: record.protocol_name.clone().filter(|_| !record.members.is_empty()),
        generation: record.generation_id,
        offsets,
        logged,
        ..known(&group.id)
    };
    if !record.members.is_empty() {
        // A generation has a type and a strategy; a record without them cannot be joined, and its members expire.
        group.protocol_type.get_or_insert_default();
        group.protocol_name.get_or_insert_default();
    }
    for member in &record.members {
        let restored = restored(member, group.protocol_name.as_deref().unwrap_or_default());
        group.members.insert(member.member_id.clone(), restored);
    }
    let is_member = |leader: &&MemberId| group.members.contains(leader);
    let leader = record.leader.as_ref().filter(is_member).or_else(|| group.members.first());
    group.leader = leader.cloned();
    group.note_subscriptions();
}

/// Makes the member that a record tells of. Of its strategies only the chosen one is known, so when it joins with all of them it counts as changed.
fn restored(record: &MemberRecord, protocol_name: &str) -> Member {
    let metadata = Bytes::copy_from_slice(&record.subscription);
    Member {
        group_instance_id: record.group_instance_id.clone(),
        client_id: record.client_id.clone(),
        client_host: record.client_host.clone(),
        rebalance_timeout: record.rebalance_timeout,
        session_timeout: record.session_timeout,
        protocols: vec![JoinProtocol { name: protocol_name.to_owned(), metadata }],
        assignment: Bytes::copy_from_slice(&record.assignment),
        standing: Standing::Established,
        parked_join: None,
        parked_sync: None,
        deadline: Timestamp::ZERO,
        armed_at: None,
    }
}
