//! Groups: that each record in the log was polled by a member, once somebody has waited for that.

use std::io;

use super::CheckError;
use super::entry::MAX_GROUPS;
use super::findings::Kind as Anomaly;
use super::state::Checker;
use crate::history::{Event, OperationId, Partition, Role};

/// A group that should have polled a partition to its end.
#[derive(Clone, Debug)]
pub(super) struct GroupEnd {
    group: String,
    partition: usize,
    op: OperationId,
}

impl Checker {
    /// The bit of a member's group; none for other processes. A transactional member's polls count once its transaction is committed, and are
    /// not followed here.
    pub(super) fn group_bit(&mut self, process: usize) -> Option<u32> {
        let settings = &self.processes[process].settings;
        if !matches!(settings.role, Role::GroupMember | Role::ConsumerGroupMember) {
            return None;
        }
        let group = settings.group.clone()?;
        let next = u32::try_from(self.group_bits.len()).unwrap_or(MAX_GROUPS);
        if next >= MAX_GROUPS && !self.group_bits.contains_key(&group) {
            self.findings.unchecked(format!("group {group}: too many groups to follow deliveries"));
            return None;
        }
        Some(*self.group_bits.entry(group).or_insert(next))
    }

    /// A member of a group polled a record.
    pub(super) fn deliver(
        &mut self,
        group: Option<u32>,
        (partition, offset): (usize, i64),
        value: u64,
    ) -> io::Result<()> {
        let Some(bit) = group else { return Ok(()) };
        let mut entry = self.offset(partition, offset)?;
        if entry.value == Some(value) && entry.delivered >> bit & 1 == 0 {
            entry.delivered |= 1 << bit;
            self.put_offset((partition, offset), &entry)?;
        }
        Ok(())
    }

    /// Somebody has waited for a group.
    pub(super) fn group_ended(&mut self, event: &Event, group: &str, partition: &Partition) {
        let partition = self.partition(partition);
        self.group_ends.push(GroupEnd { group: group.to_owned(), partition, op: event.op });
    }

    /// Looks for records that a final read found and no member of a group polled. Of records in transactions those that committed count,
    /// whatever the group reads.
    pub(super) fn judge_deliveries(&mut self) -> Result<(), CheckError> {
        for GroupEnd { group, partition, op } in std::mem::take(&mut self.group_ends) {
            let bit = self.group_bits.get(&group).copied();
            let Some(read) = self.partitions[partition].read_throughs.first().copied() else {
                let name = &self.partitions[partition].name;
                self.findings.unchecked(format!("group {group}, {name}: no final read"));
                continue;
            };
            for offset in read.from..read.to.min(self.partitions[partition].offset_end) {
                let at = self.offset(partition, offset)?;
                let Some(value) = at.value else { continue };
                let entry = self.value(partition, value)?;
                let is_committed = match entry.transaction {
                    Some(number) => self.transaction(number)?.committed(),
                    None => true,
                };
                let was_delivered = bit.is_some_and(|bit| at.delivered >> bit & 1 == 1);
                if was_delivered || entry.found_by == 0 || !is_committed {
                    continue;
                }
                let name = &self.partitions[partition].name;
                self.findings.anomaly(Anomaly::Undelivered, &[entry.send, read.op, op], || {
                    format!(
                        "group {group}, {name}: no member polled value {value} at offset {offset}"
                    )
                });
            }
        }
        Ok(())
    }
}
