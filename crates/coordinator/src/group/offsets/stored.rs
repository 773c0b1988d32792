//! The committed offsets of one group, kept small: a shard may hold a million.

use std::collections::{BTreeMap, BTreeSet};

use model::{LeaderEpoch, Offset, TopicId, UnixMillis};

use crate::group::ids::{GroupId, TopicIdentity, TopicName};
use crate::group::record::{GroupRecord, OffsetRecord};
use crate::group::record_size;
use crate::group::turn::LiveTotals;

/// What was last committed for each partition. Invariant: no topic without partitions; partitions ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct GroupOffsets {
    /// A sorted vector takes a third of a map's memory where a topic has one partition, and partitions are mostly committed in ascending order, at its end.
    topics: BTreeMap<TopicName, Vec<(i32, StoredOffset)>>,
}

/// A committed offset in 48 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct StoredOffset {
    pub(super) offset: Offset,
    pub(super) leader_epoch: Option<LeaderEpoch>,
    pub(super) commit_time: UnixMillis,
    /// Zero when it is not known: an option of it would take eight bytes more.
    topic_id: TopicId,
    /// What few commits have.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rare {
    metadata: Box<str>,
    expire_time: Option<UnixMillis>,
}

impl GroupOffsets {
    /// Takes in a record: `value` is what the partition's offset is from now on, `None` that there is none.
    pub(in crate::group) fn replay(
        &mut self,
        totals: &mut LiveTotals,
        group_id: &GroupId,
        key: (TopicName, i32),
        value: Option<OffsetRecord>,
    ) {
        let (topic, partition) = key;
        let bytes_of =
            |topic: &TopicName, stored: &StoredOffset| stored.record_bytes(group_id, topic);
        let Some(value) = value else {
            let Some(partitions) = self.topics.get_mut(&topic) else { return };
            let Ok(index) = position(partitions, partition) else { return };
            let (_, was) = partitions.remove(index);
            if partitions.is_empty() {
                self.topics.remove(&topic);
            }
            totals.offset_count -= 1;
            totals.replaced(bytes_of(&topic, &was), 0);
            return;
        };
        let stored = StoredOffset::from(value);
        let is_bytes = bytes_of(&topic, &stored);
        let Some(partitions) = self.topics.get_mut(&topic) else {
            totals.offset_count += 1;
            totals.replaced(0, is_bytes);
            // Most topics of a group have few partitions here: no room is taken ahead of the second.
            self.topics.insert(topic, vec![(partition, stored)]);
            return;
        };
        match position(partitions, partition) {
            Ok(index) => {
                let was = std::mem::replace(&mut partitions[index].1, stored);
                totals.replaced(bytes_of(&topic, &was), is_bytes);
            }
            Err(index) => {
                partitions.insert(index, (partition, stored));
                totals.offset_count += 1;
                totals.replaced(0, is_bytes);
            }
        }
    }

    /// Says whether nothing is committed.
    pub(in crate::group) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Returns the number of committed offsets.
    pub(in crate::group) fn len(&self) -> usize {
        self.topics.values().map(Vec::len).sum()
    }

    /// Returns tombstones for everything that is committed.
    pub(in crate::group) fn tombstones(&self, group_id: &GroupId) -> Vec<GroupRecord> {
        self.iter().map(|(topic, partition, _)| tombstone(group_id, topic, partition)).collect()
    }

    /// Says whether something is committed for a partition.
    pub(in crate::group) fn contains(&self, topic: &TopicName, partition: i32) -> bool {
        self.get(topic, partition).is_some()
    }

    pub(in crate::group) fn get(&self, topic: &TopicName, partition: i32) -> Option<&StoredOffset> {
        let partitions = self.topics.get(topic)?;
        position(partitions, partition).ok().map(|index| &partitions[index].1)
    }

    /// Adds the topics of all that is committed.
    pub(in crate::group) fn add_topics(&self, topics: &mut BTreeSet<TopicIdentity>) {
        for (name, partitions) in &self.topics {
            let mut last = None;
            for (_, stored) in partitions {
                let id = stored.topic_id();
                if last != Some(id) {
                    topics.insert(TopicIdentity { name: name.clone(), id });
                    last = Some(id);
                }
            }
        }
    }

    pub(super) fn of_topic(&self, topic: &TopicName) -> &[(i32, StoredOffset)] {
        self.topics.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Iterates in ascending order of topic and partition.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicName, i32, &StoredOffset)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, stored)| (topic, *partition, stored))
        })
    }

    /// Iterates over what lies behind a partition, in ascending order; over everything for `None`.
    pub(in crate::group) fn iter_after(
        &self,
        after: Option<(&TopicName, i32)>,
    ) -> impl Iterator<Item = (&TopicName, i32, &StoredOffset)> {
        use std::ops::Bound::{Included, Unbounded};
        let from = after.map_or(Unbounded, |(topic, _)| Included(topic));
        self.topics.range::<TopicName, _>((from, Unbounded)).flat_map(move |(topic, partitions)| {
            let start = match after {
                Some((last, partition)) if last == topic => match position(partitions, partition) {
                    Ok(index) => index + 1,
                    Err(index) => index,
                },
                Some(_) | None => 0,
            };
            partitions[start..].iter().map(move |(partition, stored)| (topic, *partition, stored))
        })
    }
}

impl StoredOffset {
    pub(super) fn metadata(&self) -> &str {
        self.rare.as_ref().map_or("", |rare| &rare.metadata)
    }

    pub(super) fn expire_time(&self) -> Option<UnixMillis> {
        self.rare.as_ref().and_then(|rare| rare.expire_time)
    }

    /// Returns the id of the topic that it was committed for, if that is known.
    pub(super) fn topic_id(&self) -> Option<TopicId> {
        (!self.topic_id.is_zero()).then_some(self.topic_id)
    }

    /// Returns about how many bytes its record takes in the log.
    pub(in crate::group) fn record_bytes(&self, group_id: &GroupId, topic: &TopicName) -> usize {
        let (topic_id, expire_time) = (self.topic_id(), self.expire_time());
        record_size::of_offset(group_id, topic, self.metadata(), topic_id, expire_time)
    }

    pub(in crate::group) fn to_record(&self) -> OffsetRecord {
        OffsetRecord {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata().to_owned(),
            topic_id: self.topic_id(),
            commit_time: self.commit_time,
            expire_time: self.expire_time(),
        }
    }
}

impl From<OffsetRecord> for StoredOffset {
    fn from(record: OffsetRecord) -> Self {
        let is_plain = record.metadata.is_empty() && record.expire_time.is_none();
        Self {
            offset: record.offset,
            leader_epoch: record.leader_epoch,
            commit_time: record.commit_time,
            topic_id: record.topic_id.unwrap_or_default(),
            rare: (!is_plain).then(|| {
                Box::new(Rare {
                    metadata: record.metadata.into_boxed_str(),
                    expire_time: record.expire_time,
                })
            }),
        }
    }
}

/// Returns the record that says that a partition has no committed offset.
pub(in crate::group) fn tombstone(
    group_id: &GroupId,
    topic: &TopicName,
    partition: i32,
) -> GroupRecord {
    GroupRecord::Offset { group_id: group_id.clone(), topic: topic.clone(), partition, value: None }
}

fn position(partitions: &[(i32, StoredOffset)], partition: i32) -> Result<usize, usize> {
    partitions.binary_search_by_key(&partition, |(partition, _)| *partition)
}
