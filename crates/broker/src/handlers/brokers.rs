//! Which brokers clients are told of: never one that may be dead, and none that their listener does not reach.

use controller::metadata::{BrokerRegistration, Endpoint, Image};
use model::BrokerId;

use crate::context::Context;

/// Says whether a leader may be dead: its connection broke, or the image has it fenced.
pub(super) fn is_doubtful(context: &Context, image: &Image, leader: BrokerId) -> bool {
    leader != context.broker_id()
        && (!image.is_unfenced(leader) || context.controller.is_suspected(leader))
}

/// Returns the broker that clients are told to send administrative requests to. Any broker takes them; the active controller saves a
/// hop, and a broker that is not served on the client's listener, or may be dead, is never named.
pub(super) fn controller_id(context: &Context, image: &Image, listener: &str) -> Option<BrokerId> {
    let serves = |broker: &BrokerId| {
        image.is_unfenced(*broker)
            && !is_doubtful(context, image, *broker)
            && image.broker(*broker).is_some_and(|known| known.endpoint(listener).is_some())
    };
    let first = context.controller.active_controller().filter(serves);
    let own = || Some(context.broker_id()).filter(serves);
    let any = || image.brokers().map(|broker| broker.broker_id).find(serves);
    first.or_else(own).or_else(any)
}

/// Returns the unfenced brokers that are reached by a listener, with their addresses there.
pub(super) fn live<'a>(
    image: &'a Image,
    listener: &'a str,
) -> impl Iterator<Item = (&'a BrokerRegistration, &'a Endpoint)> {
    image
        .brokers()
        .filter(|broker| !broker.is_fenced())
        .filter_map(|broker| Some((broker, broker.endpoint(listener)?)))
}
