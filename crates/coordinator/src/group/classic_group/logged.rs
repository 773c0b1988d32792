//! What the log says of a group: the group's record from its state, and its state from the record.
//!
//! Invariant: `logged` is the last record that was written or replayed, and the shard's totals count it.

use model::record_batch::TransactionResult;
use model::{ProducerId, Timestamp};

use super::{Existence, Group, Member, Phase, Standing};
use crate::group::ids::{GroupId, MemberId, TopicName};
use crate::group::mutation::{self, Mutation};
use crate::group::record::{GroupMetadataRecord, GroupRecord, MemberRecord, OffsetRecord};
use crate::group::record_size;
use crate::group::request::JoinProtocol;
use crate::group::turn::{LiveTotals, Turn};

impl Group {
    /// Makes an empty group of which the log tells.
    pub(in crate::group) fn known(id: &GroupId) -> Self {
        Self { existence: Existence::Known, ..Self::blank(id.clone(), None, None) }
    }

    /// Becomes what the group's record says. Offsets stay, pending ones too.
    pub(in crate::group) fn restore(&mut self, record: &GroupMetadataRecord) {
        let offsets = std::mem::take(&mut self.offsets);
        let pending_offsets = std::mem::take(&mut self.pending_offsets);
        let logged = self.logged.take();
        *self = Self {
            phase: if record.members.is_empty() { Phase::Empty } else { Phase::Stable },
            state_since: record.state_since,
            protocol_type: Some(record.protocol_type.clone()).filter(|name| !name.is_empty()),
            protocol_name: record.protocol_name.clone().filter(|_| !record.members.is_empty()),
            generation: record.generation_id,
            offsets,
            pending_offsets,
            logged,
            ..Self::known(&self.id)
        };
        if !record.members.is_empty() {
            // A generation has a type and a strategy; a record without them cannot be joined, and its members expire.
            self.protocol_type.get_or_insert_default();
            self.protocol_name.get_or_insert_default();
        }
        for member in &record.members {
            let restored = restored(member, self.protocol_name.as_deref().unwrap_or_default());
            self.members.insert(member.member_id.clone(), restored);
        }
        let is_member = |leader: &&MemberId| self.members.contains(leader);
        let leader = record.leader.as_ref().filter(is_member).or_else(|| self.members.first());
        self.leader = leader.cloned();
        self.note_subscriptions();
    }

    /// Returns the group's record as it is now.
    pub(in crate::group) fn to_record(&self) -> GroupMetadataRecord {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| MemberRecord {
            member_id: id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout,
            session_timeout: member.session_timeout,
            subscription: member.metadata(protocol_name),
            assignment: member.assignment.clone(),
        });
        GroupMetadataRecord {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation_id: self.generation,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: members.collect(),
        }
    }

    /// Says whether a batch would hold the group's record.
    pub(in crate::group) fn fits_a_record(&self, turn: &Turn<'_>) -> bool {
        record_size::of_group(&self.id, &self.to_record()) <= turn.config.max_record_bytes
    }

    /// Writes the group as it is to the log. It has no members, or it [fits](Self::fits_a_record).
    pub(in crate::group) fn write_metadata(&mut self, turn: &mut Turn<'_>) {
        let value = self.to_record();
        self.set_logged(Some(value.clone()), turn.totals);
        turn.append(GroupRecord::Group { group_id: self.id.clone(), value: Some(value) });
    }

    /// Notes what the log says of the group.
    pub(in crate::group) fn set_logged(
        &mut self,
        value: Option<GroupMetadataRecord>,
        totals: &mut LiveTotals,
    ) {
        let bytes_of = |value: &GroupMetadataRecord| record_size::of_group(&self.id, value);
        let was_bytes = self.logged.as_deref().map_or(0, bytes_of);
        totals.replaced(was_bytes, value.as_ref().map_or(0, bytes_of));
        self.logged = value.map(Box::new);
    }

    /// Writes records about the group's offsets to the log and takes them in.
    pub(in crate::group) fn write_offsets(
        &mut self,
        records: Vec<GroupRecord>,
        turn: &mut Turn<'_>,
    ) {
        self.take_in_offsets(&records, turn);
        for record in records {
            turn.append(record);
        }
    }

    /// Takes in records about the group's offsets.
    pub(in crate::group) fn take_in_offsets(
        &mut self,
        records: &[GroupRecord],
        turn: &mut Turn<'_>,
    ) {
        for record in records {
            if let GroupRecord::Offset { topic, partition, value, .. } = record {
                let key = (topic.clone(), *partition);
                self.take_in_offset(turn.totals, key, value.clone());
            }
        }
    }
}

impl Group {
    /// Takes in what is from now on committed for a partition; `None` for nothing. Whatever a transaction has pending for it is older.
    pub(in crate::group) fn take_in_offset(
        &mut self,
        totals: &mut LiveTotals,
        key: (TopicName, i32),
        value: Option<OffsetRecord>,
    ) {
        let (topic, partition) = &key;
        if value.is_some() {
            self.pending_offsets.outdate(topic, *partition);
        } else {
            self.pending_offsets.remove(topic, *partition);
        }
        self.offsets.replay(totals, &self.id, key, value);
    }

    /// Takes in what a transaction that is open is to commit.
    pub(in crate::group) fn take_in_pending(
        &mut self,
        totals: &mut LiveTotals,
        producer_id: ProducerId,
        key: (TopicName, i32),
        value: OffsetRecord,
    ) {
        if mutation::is_active(Mutation::OffsetsVisibleBeforeMarker) {
            return self.take_in_offset(totals, key, Some(value));
        }
        self.pending_offsets.hold(producer_id, key, value);
    }

    /// Takes in that a producer's transaction has ended.
    pub(in crate::group) fn complete_transaction(
        &mut self,
        totals: &mut LiveTotals,
        producer_id: ProducerId,
        result: TransactionResult,
    ) {
        for (key, value) in self.pending_offsets.complete(producer_id, result) {
            self.offsets.replay(totals, &self.id, key, Some(value));
        }
    }
}

/// Makes the member that a record tells of. Of its strategies only the chosen one is known, so when it joins with all of them it counts as changed.
fn restored(record: &MemberRecord, protocol_name: &str) -> Member {
    let metadata = record.subscription.clone();
    Member {
        group_instance_id: record.group_instance_id.clone(),
        client_id: record.client_id.clone(),
        client_host: record.client_host.clone(),
        rebalance_timeout: record.rebalance_timeout,
        session_timeout: record.session_timeout,
        protocols: vec![JoinProtocol { name: protocol_name.to_owned(), metadata }],
        assignment: record.assignment.clone(),
        standing: Standing::Established,
        parked_join: None,
        parked_sync: None,
        deadline: Timestamp::ZERO,
        armed_at: None,
    }
}
