//! The walk over everything that is live, for the rewrite of the log, and what it would take (docs/adr/0011-coordinators-rewrite-their-log.md).
//!
//! Invariant: a walk from no cursor to none passes each key that is live from its beginning to its end, with the value of the moment in which it is passed.

use super::stored::{GroupOffsets, StoredOffset};
use crate::group::ids::{GroupId, TopicName};
use crate::group::record::{GroupMetadataRecord, GroupRecord, OffsetRecord};

/// How far a walk has come: the last key that it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteCursor {
    group_id: GroupId,
    /// The last offset that was passed; `None` for the group's metadata.
    offset: Option<(TopicName, i32)>,
}

impl RewriteCursor {
    /// The group that the walk is in; it goes on there if the group still exists, else at the next.
    pub(in crate::group) fn group_id(&self) -> &GroupId {
        &self.group_id
    }
}

/// One bounded part of a walk.
#[derive(Debug)]
pub(in crate::group) struct LiveChunk {
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
    pub(in crate::group) fn new(limit_bytes: usize) -> Self {
        Self { records: Vec::new(), bytes: 0, limit_bytes, last: None }
    }

    /// Passes a group: its metadata's last record, if there is one, then its offsets, from behind the cursor if that is in this group. `false` when the chunk is full
    /// before the group's end.
    pub(in crate::group) fn pass(
        &mut self,
        after: Option<&RewriteCursor>,
        group_id: &GroupId,
        metadata: Option<&GroupMetadataRecord>,
        offsets: &GroupOffsets,
    ) -> bool {
        let after = after.filter(|cursor| cursor.group_id == *group_id);
        if let (None, Some(metadata)) = (after, metadata) {
            let bytes = group_record_bytes(group_id, metadata);
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
            let bytes = offset_record_bytes(group_id, topic, stored);
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
    pub(in crate::group) fn end(self) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        (self.records, None)
    }

    /// Ends the chunk where it is full.
    pub(in crate::group) fn pause(self) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
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

/// Returns about how many bytes a group's metadata takes in the log.
pub(in crate::group) fn group_record_bytes(
    group_id: &GroupId,
    metadata: &GroupMetadataRecord,
) -> usize {
    let text = |text: Option<&str>| 2 + text.map_or(0, str::len);
    let members: usize = metadata
        .members
        .iter()
        .map(|member| {
            let name = member.group_instance_id.as_ref().map(|name| name.as_str());
            text(Some(member.member_id.as_str()))
                + text(name)
                + text(Some(&member.client_id))
                + text(Some(&member.client_host))
                + 16
                + member.subscription.len()
                + member.assignment.len()
        })
        .sum();
    let leader = metadata.leader.as_ref().map(|leader| leader.as_str());
    RECORD_OVERHEAD_BYTES
        + 4
        + group_id.as_str().len()
        + 18
        + text(Some(&metadata.protocol_type))
        + text(metadata.protocol_name.as_deref())
        + text(leader)
        + members
}

/// Returns about how many bytes a committed offset takes in the log.
pub(super) fn offset_record_bytes(
    group_id: &GroupId,
    topic: &TopicName,
    stored: &StoredOffset,
) -> usize {
    let expire_time = if stored.expire_time().is_some() { 4 } else { 0 };
    let topic_id = if stored.is_topic_id_written() { 18 } else { 0 };
    let key = 10 + group_id.as_str().len() + topic.as_str().len();
    RECORD_OVERHEAD_BYTES + key + 24 + stored.metadata().len() + expire_time + topic_id
}

/// Returns how many bytes the record of a commit takes in a batch, or some more.
pub(super) fn offset_record_bytes_at_most(
    group_id: &GroupId,
    topic: &TopicName,
    value: &OffsetRecord,
) -> usize {
    let names = group_id.as_str().len() + topic.as_str().len();
    MAX_OFFSET_OVERHEAD_BYTES + names + value.metadata.len()
}

/// The most that the record of an offset takes beside its texts: 21 for lengths, deltas, attributes and the number of headers, 10 for the key, 44 for the value.
const MAX_OFFSET_OVERHEAD_BYTES: usize = 75;

/// Lengths, deltas and attributes of a record in a batch, about.
const RECORD_OVERHEAD_BYTES: usize = 10;
