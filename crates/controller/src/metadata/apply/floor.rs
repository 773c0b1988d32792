//! The floor: nothing but loss takes a member out of an ISR unless enough others remain.
//!
//! Owns the rule: at least max(1, effective min ISR) of the remaining members are unfenced in the image. Each ISR member, fenced or not, holds every
//! committed record; so keeping one costs availability at most, and dropping one too early costs records.

use model::{BrokerId, TopicId};

use crate::metadata::image::Image;
use crate::metadata::image::partition::PartitionState;
use crate::metadata::mutation::{self, Mutation};

/// Drops the fenced members when the unfenced ones suffice without them.
pub(super) fn drop_fenced(image: &Image, topic_id: TopicId, state: &mut PartitionState) {
    if suffices(image, topic_id, state) {
        state.isr.retain(|member| image.is_unfenced(*member));
    }
}

/// Takes a member out if the floor allows it.
pub(super) fn leave(
    image: &Image,
    topic_id: TopicId,
    state: &mut PartitionState,
    broker_id: BrokerId,
) {
    let mut without = state.clone();
    without.isr.retain(|member| *member != broker_id);
    if suffices(image, topic_id, &without) {
        state.isr = without.isr;
    }
}

/// Says whether the ISR has at least max(1, effective min ISR) members that are unfenced in the image.
pub(super) fn suffices(image: &Image, topic_id: TopicId, state: &PartitionState) -> bool {
    let floor = state.effective_min_isr(image.min_insync_replicas(topic_id));
    let counts = |member: &BrokerId| {
        image.is_unfenced(*member) || mutation::is_active(Mutation::FencedMembersCount)
    };
    let unfenced = state.isr.iter().filter(|member| counts(member)).count();
    unfenced >= floor || mutation::is_active(Mutation::NoFloor)
}
