//! What the log says of one partition's offset, by another way than the machine's: at each place of the log the offset that stands last counts, and one of a transaction only from its
//! commit marker on.

use std::collections::BTreeMap;

use coordinator::group::ids::GroupId;
use coordinator::group::record::GroupRecord;
use model::ProducerId;
use model::record_batch::TransactionResult;

use super::log::Entry;

/// What somebody was shown of a partition's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The committed offset.
    pub(super) committed: Option<i64>,
    /// Whether it was said to be unstable; `None` to who did not ask.
    pub(super) is_unstable: Option<bool>,
}

/// A partition's offset at a place of the log.
#[derive(Debug, Default)]
pub(super) struct OffsetTruth {
    committed: Option<i64>,
    /// Where the record stands that says so.
    said_at: usize,
    /// Of each open transaction: where its last offset stands, and which one it is.
    pending: BTreeMap<ProducerId, (usize, i64)>,
}

impl OffsetTruth {
    /// Takes in the entry at a position; positions count from 1.
    fn take_in(&mut self, position: usize, entry: &Entry, key: &(GroupId, i32)) {
        for value in entry.plain().iter().filter_map(|record| said_of(record, key)) {
            self.committed = value;
            self.said_at = position;
            if value.is_none() {
                self.pending.clear();
            }
        }
        if let Some((producer_id, records)) = entry.pending() {
            for value in records.iter().filter_map(|record| said_of(record, key)) {
                let offset = value.expect("no transaction deletes");
                self.pending.insert(producer_id, (position, offset));
            }
        }
        if let Some((producer_id, result)) = entry.marker()
            && let Some((said_at, offset)) = self.pending.remove(&producer_id)
            && result == TransactionResult::Commit
            && said_at > self.said_at
        {
            (self.committed, self.said_at) = (Some(offset), said_at);
        }
    }

    fn is_shown_as(&self, shown: Shown) -> bool {
        match shown.is_unstable {
            Some(true) => !self.pending.is_empty(),
            Some(false) => self.pending.is_empty() && self.committed == shown.committed,
            None => self.committed == shown.committed,
        }
    }
}

/// Returns what a record says of a partition: an offset, or that there is none.
fn said_of(record: &GroupRecord, key: &(GroupId, i32)) -> Option<Option<i64>> {
    match record {
        GroupRecord::Offset { group_id, partition, value, .. }
            if (group_id, partition) == (&key.0, &key.1) =>
        {
            Some(value.as_ref().map(|value| value.offset.0))
        }
        GroupRecord::Offset { .. } | GroupRecord::Group { .. } => None,
    }
}

/// Finds, at or after `floor`, the first end of the log at which a partition's offset is what was shown.
pub(super) fn found_at(
    view: &[&Entry],
    key: &(GroupId, i32),
    shown: Shown,
    floor: usize,
) -> Option<usize> {
    let mut truth = OffsetTruth::default();
    for (position, entry) in view.iter().enumerate() {
        if position >= floor && truth.is_shown_as(shown) {
            return Some(position);
        }
        truth.take_in(position + 1, entry, key);
    }
    truth.is_shown_as(shown).then_some(view.len())
}

/// Returns what is committed for a partition at the end of a log.
pub(super) fn committed_at_end(view: &[&Entry], key: &(GroupId, i32)) -> Option<i64> {
    let mut truth = OffsetTruth::default();
    for (position, entry) in view.iter().enumerate() {
        truth.take_in(position + 1, entry, key);
    }
    truth.committed
}
