//! What consumers tell one another through their group: subscriptions and assignments. The coordinator only carries it.

use bytes::Bytes;
use model::TopicPartition;
use protocol::EncodeError;
use protocol::codec::KafkaString;
use protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};

use super::Subscription;
use crate::wire::{numbers_by_topic, partition};

/// The kind of group that consumers are.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";

/// Reads a subscription; `None` for bytes that are none, since another client may have put anything there.
pub(crate) fn read_subscription(bytes: &Bytes) -> Option<Subscription> {
    let subscription = ConsumerProtocolSubscription::decode(bytes.clone()).ok()?;
    let owned = subscription.owned_partitions.iter();
    Some(Subscription {
        topics: subscription.topics.iter().map(String::from).collect(),
        owned: owned.flat_map(|topic| partitions(&topic.topic, &topic.partitions)).collect(),
        generation: (subscription.generation_id >= 0).then_some(subscription.generation_id),
        rack: subscription.rack_id.as_ref().map(String::from),
    })
}

/// Writes a subscription.
///
/// # Errors
/// When a name is longer than the wire can say.
pub(crate) fn write_subscription(subscription: &Subscription) -> Result<Bytes, EncodeError> {
    let mut written = ConsumerProtocolSubscription {
        topics: subscription.topics.iter().map(KafkaString::from).collect(),
        generation_id: subscription.generation.unwrap_or(-1),
        rack_id: subscription.rack.as_ref().map(KafkaString::from),
        ..ConsumerProtocolSubscription::default()
    };
    let owned = numbers_by_topic(&subscription.owned);
    written.owned_partitions.resize_with(owned.len(), Default::default);
    for (place, (topic, partitions)) in written.owned_partitions.iter_mut().zip(owned) {
        place.topic = topic.into();
        place.partitions = partitions;
    }
    written.encode()
}

/// Reads an assignment; `None` for bytes that are none. No bytes are no partitions.
pub(crate) fn read_assignment(bytes: &Bytes) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let assignment = ConsumerProtocolAssignment::decode(bytes.clone()).ok()?;
    let assigned = assignment.assigned_partitions.iter();
    Some(assigned.flat_map(|topic| partitions(&topic.topic, &topic.partitions)).collect())
}

/// Writes an assignment.
///
/// # Errors
/// When a name is longer than the wire can say.
pub(crate) fn write_assignment(assigned: &[TopicPartition]) -> Result<Bytes, EncodeError> {
    let mut written = ConsumerProtocolAssignment::default();
    let topics = numbers_by_topic(assigned);
    written.assigned_partitions.resize_with(topics.len(), Default::default);
    for (place, (topic, partitions)) in written.assigned_partitions.iter_mut().zip(topics) {
        place.topic = topic.into();
        place.partitions = partitions;
    }
    written.encode()
}

fn partitions<'a>(
    topic: &'a KafkaString,
    partitions: &'a [i32],
) -> impl Iterator<Item = TopicPartition> + 'a {
    partitions.iter().map(move |number| partition(topic, *number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_read_as_it_is_written() {
        let at = |partition| TopicPartition { topic: "t".to_owned(), partition };
        let subscription = Subscription {
            topics: vec!["t".to_owned(), "u".to_owned()],
            owned: vec![at(0), at(2)],
            generation: Some(7),
            rack: None,
        };
        let bytes = write_subscription(&subscription).unwrap();
        assert_eq!(read_subscription(&bytes), Some(subscription));
        let assigned = [at(1), at(3)];
        let bytes = write_assignment(&assigned).unwrap();
        assert_eq!(read_assignment(&bytes).unwrap(), assigned);
    }

    #[test]
    fn bytes_that_are_no_subscription_are_none() {
        assert_eq!(read_subscription(&Bytes::from_static(b"\x00")), None);
        assert_eq!(read_assignment(&Bytes::from_static(b"\x00\x01\xff")), None);
        assert_eq!(read_assignment(&Bytes::new()), Some(Vec::new()));
    }
}
