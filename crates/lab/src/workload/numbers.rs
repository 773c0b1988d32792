//! Which value a partition gets next, and which partition a record goes to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;

use crate::history::Partition;

/// Counts the values of each partition, for all producers of a run together.
#[derive(Debug)]
pub(super) struct Numbers {
    next: BTreeMap<Partition, AtomicU64>,
}

impl Numbers {
    pub(super) fn new(topics: &BTreeMap<&str, i32>) -> Self {
        let partitions = topics.iter().flat_map(|(topic, count)| partitions(topic, *count));
        Self { next: partitions.map(|partition| (partition, AtomicU64::new(0))).collect() }
    }

    /// The next value of a partition.
    pub(super) fn take(&self, partition: &Partition) -> u64 {
        let next = self.next.get(partition).expect("plans name the workload's topics alone");
        next.fetch_add(1, Ordering::Relaxed)
    }
}

/// All partitions of a topic.
pub(super) fn partitions(topic: &str, count: i32) -> Vec<Partition> {
    let topic: Arc<str> = Arc::from(topic);
    (0..count).map(|number| Partition { topic: Arc::clone(&topic), number }).collect()
}

/// Chooses partitions by a Zipf distribution: the n-th is drawn 1/n^s times as often as the first.
#[derive(Debug)]
pub(super) struct Choice {
    partitions: Vec<Partition>,
    /// Ascending; the last is 1.
    cumulated: Vec<f64>,
}

impl Choice {
    pub(super) fn new(partitions: Vec<Partition>, skew: f64) -> Self {
        assert!(!partitions.is_empty(), "a producer has a partition to send to");
        let weights: Vec<f64> =
            (1_u32..).take(partitions.len()).map(|rank| f64::from(rank).powf(-skew)).collect();
        let total: f64 = weights.iter().sum();
        let cumulated = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight / total;
                Some(*sum)
            })
            .collect();
        Self { partitions, cumulated }
    }

    pub(super) fn draw(&self, random: &mut impl Rng) -> &Partition {
        let drawn: f64 = random.random();
        let index = self.cumulated.partition_point(|bound| *bound <= drawn);
        &self.partitions[index.min(self.partitions.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn drawn(skew: f64) -> Vec<u32> {
        let choice = Choice::new(partitions("t", 4), skew);
        let mut random = StdRng::seed_from_u64(7);
        let mut counts = vec![0; 4];
        for _ in 0..10_000 {
            let index = usize::try_from(choice.draw(&mut random).number).unwrap();
            counts[index] += 1;
        }
        counts
    }

    #[test]
    fn without_skew_partitions_are_chosen_alike() {
        assert!(drawn(0.0).iter().all(|count| (2_300..2_700).contains(count)));
    }

    #[test]
    fn with_skew_one_the_first_partition_gets_four_times_as_much_as_the_fourth() {
        let counts = drawn(1.0);
        let ratio = f64::from(counts[0]) / f64::from(counts[3]);
        assert!((3.5..4.5).contains(&ratio), "{counts:?}");
    }

    #[test]
    fn values_count_up_in_each_partition() {
        let numbers = Numbers::new(&BTreeMap::from([("t", 2)]));
        let [first, second] = &partitions("t", 2)[..] else { panic!("two partitions") };
        let taken = [first, first, second].map(|partition| numbers.take(partition));
        assert_eq!(taken, [0, 1, 0]);
    }
}
