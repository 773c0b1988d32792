//! Reads which topics the members of a group of consumers subscribe to.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::CONSUMER;
use crate::group::ids::TopicName;

/// Returns the topics that the members of a generation subscribe to, from their metadata of its strategy; `None` when that is not known: the group is not one of
/// consumers, has members but no strategy yet, or one's metadata cannot be read (Kafka's `computeSubscribedTopics`).
pub(in crate::group) fn subscribed_topics<'a>(
    protocol_type: Option<&str>,
    protocol_name: Option<&str>,
    members: impl Iterator<Item = &'a Bytes>,
) -> Option<BTreeSet<TopicName>> {
    if protocol_type != Some(CONSUMER) {
        return None;
    }
    let mut topics = BTreeSet::new();
    for metadata in members {
        protocol_name?;
        read_topics(metadata, &mut topics)?;
    }
    Some(topics)
}

/// Reads version 0 of the subscription, with which every version begins: what a newer client adds behind it, whatever it be, does not hide its topics.
fn read_topics(metadata: &Bytes, topics: &mut BTreeSet<TopicName>) -> Option<()> {
    let mut rest = metadata.as_ref();
    let version = i16::from_be_bytes(*rest.split_off(..2)?.first_chunk()?);
    if version < 0 {
        return None;
    }
    let count = i32::from_be_bytes(*rest.split_off(..4)?.first_chunk()?);
    for _ in 0..usize::try_from(count).ok()? {
        let length = i16::from_be_bytes(*rest.split_off(..2)?.first_chunk()?);
        let name = rest.split_off(..usize::try_from(length).ok()?)?;
        topics.insert(TopicName::from(std::str::from_utf8(name).ok()?));
    }
    let user_data = i32::from_be_bytes(*rest.split_off(..4)?.first_chunk()?);
    if user_data > 0 {
        rest.split_off(..usize::try_from(user_data).ok()?)?;
    }
    Some(())
}
