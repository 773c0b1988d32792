//! Offsets of one group that producers committed as part of transactions that are open: they count once the transaction's marker is in the log.
//!
//! Invariant: of the offsets of one partition the one whose record stands last in the log counts, whenever the markers come (Kafka's rule). So a partition's entries stand in the order of
//! their records, and a commit outside of transactions outdates those before it: they hide what is committed from who wants it stable, but never come to be.

use std::collections::{BTreeMap, BTreeSet};

use model::record_batch::TransactionResult;
use model::{ProducerId, TopicId};

use crate::group::ids::{TopicIdentity, TopicName};
use crate::group::record::OffsetRecord;

/// The pending offsets of a group. No topic without partitions, no partition without entries, no producer without partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct PendingOffsets {
    topics: BTreeMap<TopicName, BTreeMap<i32, Vec<PendingOffset>>>,
    /// Where each producer has an entry.
    producers: BTreeMap<ProducerId, BTreeSet<(TopicName, i32)>>,
}

/// One partition's offset of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PendingOffset {
    producer_id: ProducerId,
    /// `None` when a later commit outdates it.
    value: Option<OffsetRecord>,
}

/// An offset that a commit brought into force.
pub(in crate::group) type Settled = ((TopicName, i32), OffsetRecord);

impl PendingOffsets {
    /// Takes in an offset of an open transaction. Of one transaction's offsets for a partition the last counts.
    pub(in crate::group) fn hold(
        &mut self,
        producer_id: ProducerId,
        key: (TopicName, i32),
        value: OffsetRecord,
    ) {
        let (topic, partition) = key.clone();
        let entries = self.topics.entry(topic).or_default().entry(partition).or_default();
        entries.retain(|entry| entry.producer_id != producer_id);
        entries.push(PendingOffset { producer_id, value: Some(value) });
        self.producers.entry(producer_id).or_default().insert(key);
    }

    /// Takes in that something was committed for a partition outside of transactions.
    pub(in crate::group) fn outdate(&mut self, topic: &TopicName, partition: i32) {
        let partitions = self.topics.get_mut(topic);
        let entries = partitions.and_then(|partitions| partitions.get_mut(&partition));
        for entry in entries.into_iter().flatten() {
            entry.value = None;
        }
    }

    /// Takes in that a partition's offsets were deleted, pending ones too.
    pub(in crate::group) fn remove(&mut self, topic: &TopicName, partition: i32) {
        let Some(partitions) = self.topics.get_mut(topic) else { return };
        let removed = partitions.remove(&partition).unwrap_or_default();
        if partitions.is_empty() {
            self.topics.remove(topic);
        }
        for PendingOffset { producer_id, .. } in removed {
            let Some(keys) = self.producers.get_mut(&producer_id) else { continue };
            keys.remove(&(topic.clone(), partition));
            if keys.is_empty() {
                self.producers.remove(&producer_id);
            }
        }
    }

    /// Ends a producer's transaction. Returns what comes into force with it, in ascending order.
    pub(in crate::group) fn complete(
        &mut self,
        producer_id: ProducerId,
        result: TransactionResult,
    ) -> Vec<Settled> {
        let keys = self.producers.remove(&producer_id).unwrap_or_default();
        let mut settled = Vec::new();
        for (topic, partition) in keys {
            let Some(partitions) = self.topics.get_mut(&topic) else { continue };
            let Some(entries) = partitions.get_mut(&partition) else { continue };
            let ends = |entry: &PendingOffset| entry.producer_id == producer_id;
            let Some(index) = entries.iter().position(ends) else { continue };
            let ended = entries.remove(index).value.filter(|_| result.is_commit());
            if ended.is_some() {
                for before in &mut entries[..index] {
                    before.value = None;
                }
            }
            if entries.is_empty() {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    self.topics.remove(&topic);
                }
            }
            settled.extend(ended.map(|value| ((topic, partition), value)));
        }
        settled
    }

    /// Says whether no transaction has anything pending here.
    pub(in crate::group) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Says whether an open transaction has an offset for the partition.
    pub(in crate::group) fn contains(&self, topic: &TopicName, partition: i32) -> bool {
        self.topics.get(topic).is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// Returns the number of pending offsets.
    pub(in crate::group) fn len(&self) -> usize {
        self.topics.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    /// Iterates over the partitions with pending offsets, in ascending order.
    pub(in crate::group) fn partitions(&self) -> impl Iterator<Item = (&TopicName, i32)> {
        let each = self.topics.iter();
        each.flat_map(|(topic, partitions)| {
            partitions.keys().map(move |partition| (topic, *partition))
        })
    }

    /// Iterates over a topic's partitions with pending offsets, in ascending order.
    pub(super) fn of_topic(&self, topic: &TopicName) -> impl Iterator<Item = i32> {
        self.topics.get(topic).into_iter().flat_map(|partitions| partitions.keys().copied())
    }

    /// Iterates over the ids of the topic that a partition's pending offsets were committed for.
    pub(super) fn topic_ids(
        &self,
        topic: &TopicName,
        partition: i32,
    ) -> impl Iterator<Item = Option<TopicId>> {
        let entries = self.topics.get(topic).and_then(|partitions| partitions.get(&partition));
        let values = entries.into_iter().flatten().filter_map(|entry| entry.value.as_ref());
        values.map(|value| value.topic_id)
    }

    /// Adds the topics of all that is pending.
    pub(in crate::group) fn add_topics(&self, topics: &mut BTreeSet<TopicIdentity>) {
        for (name, partition) in self.partitions() {
            let ids = self.topic_ids(name, partition);
            topics.extend(ids.map(|id| TopicIdentity { name: name.clone(), id }));
        }
    }

    /// Says whether a producer has anything pending here.
    pub(in crate::group) fn is_of(&self, producer_id: ProducerId) -> bool {
        self.producers.contains_key(&producer_id)
    }

    /// Checks that both indexes say the same.
    ///
    /// # Panics
    /// When they do not: a bug of this module.
    pub(in crate::group) fn check_invariants(&self) {
        let mut count = 0;
        for (producer_id, keys) in &self.producers {
            assert!(!keys.is_empty(), "8: {producer_id} has something pending");
            count += keys.len();
            for (topic, partition) in keys {
                let entries = self.topics.get(topic).and_then(|them| them.get(partition));
                let mut own = entries.into_iter().flatten();
                let is_there = own.any(|entry| entry.producer_id == *producer_id);
                assert!(is_there, "8: {producer_id} has an offset for {topic}-{partition}");
            }
        }
        assert_eq!(count, self.len(), "8: each pending offset is found by its producer");
    }
}
