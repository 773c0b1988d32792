//! The walk over everything that is live, for the rewrite of the log, and what it would take (docs/adr/0011-coordinators-rewrite-their-log.md).
//!
//! Invariant: a walk from no cursor to none passes each key that is live from its beginning to its end, with the value of the moment in which it is passed.

use crate::group::ids::{GroupId, TopicName};
use crate::group::offsets::GroupOffsets;
use crate::group::record::{GroupMetadataRecord, GroupRecord};
use crate::group::record_size;

/// How far a walk has come: the last key that it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteCursor {
    group_id: GroupId,
    /// The last offset that was passed; `None` for the group's metadata.
    offset: Option<(TopicName, i32)>,
}

impl RewriteCursor {
    /// The group that the walk is in; it goes on there if the group still exists, else at the next.
    pub(super) fn group_id(&self) -> &GroupId {
        &self.group_id
    }
}

/// One bounded part of a walk.
#[derive(Debug)]
pub(super) struct LiveChunk {
    records: Vec<GroupRecord>,
    bytes: usize,
    limit_bytes: usize,
    last: Option<RewriteCursor>,
}

/// Whether a chunk has room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Left,
    Full,
}

impl LiveChunk {
    /// Begins a chunk of about that size at most; it holds one record at least.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { records: Vec::new(), bytes: 0, limit_bytes, last: None }
    }

    /// Passes a group: its metadata's last record, if there is one, then its offsets, from behind the cursor if that is in this group. `false` when the chunk is full
    /// before the group's end.
    pub(super) fn pass(
        &mut self,
        after: Option<&RewriteCursor>,
        group_id: &GroupId,
        metadata: Option<&GroupMetadataRecord>,
        offsets: &GroupOffsets,
    ) -> bool {
        let after = after.filter(|cursor| cursor.group_id == *group_id);
        if let (None, Some(metadata)) = (after, metadata) {
            let bytes = record_size::of_group(group_id, metadata);
            if self.room_for(bytes) == Room::Full {
                return false;
            }
            let value = Some(metadata.clone());
            self.push(GroupRecord::Group { group_id: group_id.clone(), value }, bytes);
            self.last = Some(RewriteCursor { group_id: group_id.clone(), offset: None });
        }
        let after = after.and_then(|cursor| cursor.offset.as_ref());
        for (topic, partition, stored) in
            offsets.iter_after(after.map(|(topic, partition)| (topic, *partition)))
        {
            let bytes = stored.record_bytes(group_id, topic);
            if self.room_for(bytes) == Room::Full {
                return false;
            }
            let record = GroupRecord::Offset {
                group_id: group_id.clone(),
                topic: topic.clone(),
                partition,
                value: Some(stored.to_record()),
            };
            self.push(record, bytes);
            let offset = Some((topic.clone(), partition));
            self.last = Some(RewriteCursor { group_id: group_id.clone(), offset });
        }
        true
    }

    /// Ends the chunk when the last group was passed.
    pub(super) fn end(self) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        (self.records, None)
    }

    /// Ends the chunk where it is full.
    pub(super) fn pause(self) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        (self.records, self.last)
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
