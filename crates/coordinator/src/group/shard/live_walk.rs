//! The walk over everything that is live, for the rewrite of the log, and what it would take (docs/adr/0011-coordinators-rewrite-their-log.md).
//!
//! Invariant: a walk from no cursor to none passes each key that is live from its beginning to its end, with the value of the moment in which it is passed. A committed offset for whose partition
//! a transaction has one pending is passed by, for above the pending one it would outdate it: its turn comes when nothing is pending any more, unless it has changed since.

use std::collections::BTreeMap;

use crate::group::classic_group::Group;
use crate::group::ids::{GroupId, TopicName};
use crate::group::mutation::{self, Mutation};
use crate::group::offsets::StoredOffset;
use crate::group::record::{GroupRecord, OffsetRecord};
use crate::group::record_size;

/// How far a walk has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteCursor {
    /// The last key that it passed; `None` at the end of all groups.
    position: Option<Position>,
    /// What it passed by.
    deferred: Deferred,
}

/// A key of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    group_id: GroupId,
    /// An offset; `None` for the group's metadata.
    offset: Option<(TopicName, i32)>,
}

/// Committed offsets that were passed by, as they were then.
type Deferred = BTreeMap<(GroupId, TopicName, i32), OffsetRecord>;

/// What becomes of a committed offset for whose partition a transaction has one pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsettled {
    /// It is passed as all others.
    Passed,
    /// It waits.
    Deferred,
}

impl RewriteCursor {
    /// The group that the walk is in; it goes on there if the group still exists, else at the next. `None` behind all groups.
    pub(super) fn group_id(&self) -> Option<&GroupId> {
        self.position.as_ref().map(|position| &position.group_id)
    }
}

/// One bounded part of a walk.
#[derive(Debug)]
pub(super) struct LiveChunk {
    records: Vec<GroupRecord>,
    bytes: usize,
    limit_bytes: usize,
    unsettled: Unsettled,
    cursor: RewriteCursor,
}

/// Whether a chunk has room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Left,
    Full,
}

impl LiveChunk {
    /// Begins a chunk of about that size at most; it holds one record at least, if there is one.
    pub(super) fn new(
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
        unsettled: Unsettled,
    ) -> Self {
        let start = RewriteCursor { position: None, deferred: Deferred::new() };
        let cursor = after.cloned().unwrap_or(start);
        Self { records: Vec::new(), bytes: 0, limit_bytes, unsettled, cursor }
    }

    /// Passes a group: its metadata's last record, if there is one, then its offsets, from behind the cursor if that is in this group. `false` when the chunk is full
    /// before the group's end.
    pub(super) fn pass(&mut self, group: &Group) -> bool {
        let group_id = &group.id;
        let resumed = self.cursor.position.as_ref();
        let resumed = resumed.filter(|position| position.group_id == *group_id).cloned();
        if let (None, Some(metadata)) = (&resumed, group.logged.as_deref()) {
            let bytes = record_size::of_group(group_id, metadata);
            if self.room_for(bytes) == Room::Full {
                return false;
            }
            let value = Some(metadata.clone());
            self.push(GroupRecord::Group { group_id: group_id.clone(), value }, bytes);
            self.cursor.position = Some(Position { group_id: group_id.clone(), offset: None });
        }
        let from = resumed.and_then(|position| position.offset);
        let from = from.as_ref().map(|(topic, partition)| (topic, *partition));
        for (topic, partition, stored) in group.offsets.iter_after(from) {
            if self.defers(group, topic, partition) {
                let key = (group_id.clone(), topic.clone(), partition);
                self.cursor.deferred.insert(key, stored.to_record());
            } else if !self.offer(group_id, topic, partition, stored) {
                return false;
            }
            let offset = Some((topic.clone(), partition));
            self.cursor.position = Some(Position { group_id: group_id.clone(), offset });
        }
        true
    }

    fn defers(&self, group: &Group, topic: &TopicName, partition: i32) -> bool {
        self.unsettled == Unsettled::Deferred
            && !mutation::is_active(Mutation::RewriteAbovePending)
            && group.pending_offsets.contains(topic, partition)
    }

    /// Takes a committed offset in, unless the chunk is full.
    fn offer(
        &mut self,
        group_id: &GroupId,
        topic: &TopicName,
        partition: i32,
        stored: &StoredOffset,
    ) -> bool {
        let bytes = stored.record_bytes(group_id, topic);
        if self.room_for(bytes) == Room::Full {
            return false;
        }
        let (group_id, topic) = (group_id.clone(), topic.clone());
        let value = Some(stored.to_record());
        self.push(GroupRecord::Offset { group_id, topic, partition, value }, bytes);
        true
    }

    /// Ends the walk over the groups, and looks again at what it passed by. What has changed since stands in the log behind the walk's beginning: the offset of a transaction that was open
    /// then does too, for the log is not cut behind the first record of one.
    pub(super) fn end(
        mut self,
        groups: &BTreeMap<GroupId, Group>,
    ) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        self.cursor.position = None;
        for (key, was) in std::mem::take(&mut self.cursor.deferred) {
            let (group_id, topic, partition) = &key;
            let Some(group) = groups.get(group_id) else { continue };
            let Some(stored) = group.offsets.get(topic, *partition) else { continue };
            if stored.to_record() != was {
                continue;
            }
            let waits = group.pending_offsets.contains(topic, *partition);
            if waits || !self.offer(group_id, topic, *partition, stored) {
                self.cursor.deferred.insert(key, was);
            }
        }
        let cursor = (!self.cursor.deferred.is_empty()).then_some(self.cursor);
        (self.records, cursor)
    }

    /// Ends the chunk where it is full.
    pub(super) fn pause(self) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        (self.records, Some(self.cursor))
    }

    fn room_for(&self, bytes: usize) -> Room {
        if self.records.is_empty() || self.bytes + bytes <= self.limit_bytes {
            Room::Left
        } else {
            Room::Full
        }
    }

    fn push(&mut self, record: GroupRecord, bytes: usize) {
        self.records.push(record);
        self.bytes += bytes;
    }
}
