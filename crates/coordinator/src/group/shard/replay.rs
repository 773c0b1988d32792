//! Replay: what the log says becomes state again, record by record.
//!
//! Invariant: what is replayed depends on the last record of each key, not on the order between keys; and of a transaction's records on whether its marker stands behind them. A record that contradicts itself gives some state that holds the
//! invariants, never a panic: it came from a disk.

use model::record_batch::TransactionResult;
use model::{Offset, ProducerId};

use super::Shard;
use crate::group::classic_group::Group;
use crate::group::ids::GroupId;
use crate::group::mutation::{self, Mutation};
use crate::group::record::GroupRecord;

impl Shard {
    /// Takes in a record of the log. Records come in the log's order, before [`Shard::loaded`].
    pub fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Offset { group_id, topic, partition, value } => {
                if value.is_none() && !self.groups.contains_key(&group_id) {
                    return;
                }
                let Self { groups, totals, .. } = self;
                let group = groups.entry(group_id).or_insert_with_key(Group::known);
                group.take_in_offset(totals, (topic, partition), value);
            }
            GroupRecord::Group { group_id, value: Some(value) } => {
                let Self { groups, totals, .. } = self;
                let group = groups.entry(group_id).or_insert_with_key(Group::known);
                group.restore(&value);
                group.set_logged(Some(value), totals);
            }
            GroupRecord::Group { group_id, value: None } => self.replay_tombstone(&group_id),
        }
    }

    /// Takes in a record of a transactional batch and where it stands, in the log's order with all others: an offset waits for the producer's marker. What is no offset counts at once, as in Kafka.
    pub fn replay_pending(&mut self, producer_id: ProducerId, offset: Offset, record: GroupRecord) {
        if mutation::is_active(Mutation::PendingOffsetsLostAtLoad) {
            return;
        }
        let GroupRecord::Offset { group_id, topic, partition, value: Some(value) } = record else {
            return self.replay(record);
        };
        self.transactions.join(producer_id, offset, group_id.clone());
        let Self { groups, totals, .. } = self;
        let group = groups.entry(group_id).or_insert_with_key(Group::known);
        group.take_in_pending(totals, producer_id, (topic, partition), value);
    }

    /// Takes in a producer's marker, in the log's order with all records.
    pub fn replay_marker(&mut self, producer_id: ProducerId, result: TransactionResult) {
        for group_id in self.transactions.end(producer_id) {
            let Self { groups, totals, .. } = self;
            if let Some(group) = groups.get_mut(&group_id) {
                group.complete_transaction(totals, producer_id, result);
            }
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
        let pending_offsets = std::mem::take(&mut group.pending_offsets);
        *group = Group { offsets, pending_offsets, ..Group::known(group_id) };
    }
}
