//! How many bytes the records of the log take, about: what is live decides when the log is written anew, and bounds decide what is refused.

use model::{TopicId, UnixMillis};

use super::ids::{GroupId, TopicName};
use super::record::GroupMetadataRecord;

/// Returns about how many bytes a group's metadata takes in the log.
pub(super) fn of_group(group_id: &GroupId, metadata: &GroupMetadataRecord) -> usize {
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

/// Returns about how many bytes a committed offset takes in the log. The version that holds a time to expire does not hold the topic's id.
pub(super) fn of_offset(
    group_id: &GroupId,
    topic: &TopicName,
    metadata: &str,
    topic_id: Option<TopicId>,
    expire_time: Option<UnixMillis>,
) -> usize {
    let extra = match (expire_time, topic_id) {
        (Some(_), _) => 4,
        (None, Some(_)) => 18,
        (None, None) => 0,
    };
    let key = 10 + group_id.as_str().len() + topic.as_str().len();
    RECORD_OVERHEAD_BYTES + key + 24 + metadata.len() + extra
}

/// Returns how many bytes the record of a committed offset takes in a batch, or some more.
pub(super) fn of_offset_at_most(group_id: &GroupId, topic: &TopicName, metadata: &str) -> usize {
    let names = group_id.as_str().len() + topic.as_str().len();
    MAX_OFFSET_OVERHEAD_BYTES + names + metadata.len()
}

/// The most that the record of an offset takes beside its texts: 21 for lengths, deltas, attributes and the number of headers, 10 for the key, 44 for the value.
const MAX_OFFSET_OVERHEAD_BYTES: usize = 75;

/// Lengths, deltas and attributes of a record in a batch, about.
const RECORD_OVERHEAD_BYTES: usize = 10;

/// The most bytes of a text that a record can hold: its length is a positive 16-bit number.
pub(super) const MAX_TEXT_BYTES: usize = 32_767;
