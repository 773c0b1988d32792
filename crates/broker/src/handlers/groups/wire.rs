//! Texts and bytes of requests and answers about groups.
//!
//! What a client sent is a slice of its frame and keeps the whole of it in memory: texts reach the coordinator as copies, and of opaque bytes the
//! group machine copies what it keeps.

use coordinator::group::ids::{GenerationId, GroupInstanceId, MemberId};
use coordinator::group::request::MemberRef;
use protocol::KafkaString;

/// Reads who asks, within a group.
pub(super) fn member(
    group_id: &KafkaString,
    member_id: &KafkaString,
    group_instance_id: Option<&KafkaString>,
    generation_id: i32,
) -> MemberRef {
    MemberRef {
        group_id: group_id.as_str().into(),
        member_id: member_id.as_str().into(),
        group_instance_id: instance(group_instance_id),
        generation_id: (generation_id >= 0).then_some(GenerationId(generation_id)),
    }
}

/// Copies a static name.
pub(super) fn instance(id: Option<&KafkaString>) -> Option<GroupInstanceId> {
    id.map(|id| id.as_str().into())
}

/// Turns a text that may be missing into the wire's.
pub(super) fn text(text: Option<String>) -> Option<KafkaString> {
    text.map(Into::into)
}

/// Turns a static name into the wire's.
pub(super) fn instance_text(id: Option<&GroupInstanceId>) -> Option<KafkaString> {
    id.map(|id| id.as_str().into())
}

/// Turns a member's id into the wire's.
pub(super) fn member_text(id: &MemberId) -> KafkaString {
    id.as_str().into()
}
