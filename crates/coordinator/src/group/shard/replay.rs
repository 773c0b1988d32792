//! Replay: what the log says becomes state again, record by record.
//!
//! Invariant: what is replayed depends on the last record of each key, not on the order between keys. A record that contradicts itself gives some state that holds the
//! invariants, never a panic: it came from a disk.

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
                group.offsets.replay(totals, &group.id, (topic, partition), value);
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

    /// What is left of a group whose tombstone came is a group of offsets alone; without any it goes when the load ends.
    fn replay_tombstone(&mut self, group_id: &GroupId) {
        if mutation::is_active(Mutation::TombstoneIgnored) {
            return;
        }
        let Self { groups, totals, .. } = self;
        let Some(group) = groups.get_mut(group_id) else { return };
        group.set_logged(None, totals);
        let offsets = std::mem::take(&mut group.offsets);
        *group = Group { offsets, ..Group::known(group_id) };
    }
}
