//! What holds in every image, after every command.
//!
//! Owns the checks; tests and the simulator run them, and a snapshot must pass them before it becomes an image.

use std::collections::BTreeSet;

use model::{BrokerId, TopicIdPartition};

use super::Image;
use super::partition::PartitionState;

/// A broken invariant: a bug, or a snapshot that this code did not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata invariant {number} does not hold: {what}")]
pub struct BrokenInvariant {
    /// Which one, as numbered at [`Image::check_invariants`].
    pub number: u8,
    /// Where and how.
    pub what: String,
}

impl Image {
    /// Checks what holds of every image by itself:
    /// 1. a leader is in the ISR, registered and unfenced;
    /// 2. the ISR is a set of assigned replicas, the replicas are distinct and at least one;
    /// 3. fenced members are in the ISR only while the unfenced ones do not suffice: the floor's end was reached;
    /// 4. each topic has exactly its partitions, and names, ids and partitions point at one another;
    /// 5. lost members are remembered only where the ISR is empty.
    ///
    /// # Errors
    /// The first invariant that is broken.
    pub fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        for (partition, state) in self.partitions() {
            self.check_partition(partition, state)?;
        }
        self.check_topics()
    }

    /// Checks what holds between an image and a later one: epochs never fall, and a leader has no successor in its epoch.
    ///
    /// # Errors
    /// The first invariant that is broken, numbered 6 for partitions, 7 for brokers and 8 for producer ids.
    pub fn check_successor(&self, later: &Self) -> Result<(), BrokenInvariant> {
        for (partition, old) in self.partitions() {
            let Some(new) = later.partition(partition) else {
                continue;
            };
            let same_epoch = new.leader_epoch == old.leader_epoch;
            ensure(new.leader_epoch >= old.leader_epoch, 6, || {
                format!("the leader epoch of {partition} fell")
            })?;
            ensure(new.partition_epoch >= old.partition_epoch, 6, || {
                format!("the partition epoch of {partition} fell")
            })?;
            ensure(!same_epoch || new.leader == old.leader, 6, || {
                format!("{partition} has two leaders in epoch {}", new.leader_epoch)
            })?;
            ensure(new == old || new.partition_epoch > old.partition_epoch, 6, || {
                format!("{partition} changed within its partition epoch")
            })?;
        }
        for old in self.brokers() {
            let new = later.broker(old.broker_id);
            ensure(new.is_some_and(|new| new.broker_epoch >= old.broker_epoch), 7, || {
                format!("the epoch of broker {} fell", old.broker_id)
            })?;
        }
        ensure(later.next_producer_id() >= self.next_producer_id(), 8, || {
            "producer ids are given twice".to_owned()
        })
    }

    fn check_partition(
        &self,
        partition: TopicIdPartition,
        state: &PartitionState,
    ) -> Result<(), BrokenInvariant> {
        if let Some(leader) = state.leader {
            ensure(state.is_in_sync(leader), 1, || {
                format!("leader {leader} of {partition} is not in the ISR")
            })?;
            ensure(self.is_unfenced(leader), 1, || {
                format!("leader {leader} of {partition} is fenced")
            })?;
        }
        let replicas: BTreeSet<BrokerId> = state.replicas.iter().copied().collect();
        let isr: BTreeSet<BrokerId> = state.isr.iter().copied().collect();
        ensure(!replicas.is_empty() && replicas.len() == state.replicas.len(), 2, || {
            format!("the replicas of {partition} are none, or one twice")
        })?;
        ensure(isr.len() == state.isr.len() && isr.is_subset(&replicas), 2, || {
            format!("the ISR of {partition} is no set of its replicas")
        })?;
        let unfenced = self.unfenced_isr(state).count();
        let suffices = unfenced >= self.effective_min_isr(partition);
        ensure(!suffices || unfenced == state.isr.len(), 3, || {
            format!("the ISR of {partition} keeps a fenced member that it can spare")
        })?;
        ensure(state.isr.is_empty() || state.lost_members.is_empty(), 5, || {
            format!("{partition} remembers lost members beside an ISR")
        })
    }

    fn check_topics(&self) -> Result<(), BrokenInvariant> {
        let mut partitions = 0;
        for topic in self.topics.values() {
            let found = self.partitions_of(topic.topic_id).count();
            partitions += found;
            let expected = usize::try_from(topic.partition_count).unwrap_or(0);
            ensure(found == expected && expected > 0, 4, || {
                format!("topic {} has {found} partitions of {expected}", topic.name)
            })?;
            let numbered = self.partitions_of(topic.topic_id).zip(0..);
            let mut numbered = numbered.map(|((partition, _), index)| partition.partition == index);
            ensure(numbered.all(|is_dense| is_dense), 4, || {
                format!("the partitions of topic {} have gaps", topic.name)
            })?;
            ensure(self.topic_id(&topic.name) == Some(topic.topic_id), 4, || {
                format!("the name {} leads to another topic", topic.name)
            })?;
        }
        ensure(partitions == self.partition_count(), 4, || "a partition has no topic".to_owned())?;
        let count = self.topics.len();
        let indexed = self.topic_names.len() == count && self.collision_keys.len() == count;
        ensure(indexed, 4, || "an index names a topic that is not there".to_owned())
    }
}

fn ensure(holds: bool, number: u8, what: impl FnOnce() -> String) -> Result<(), BrokenInvariant> {
    if holds { Ok(()) } else { Err(BrokenInvariant { number, what: what() }) }
}
