//! FindCoordinator: which broker coordinates a group: the leader of the group's partition of the offsets topic, which is created when the first client asks.
//!
//! A coordinator that may be dead is never named: the client asks again, and finds its successor.

use std::collections::BTreeSet;

use model::ErrorCode;
use protocol::messages::find_coordinator::{
    Coordinator, GROUP_KEY_TYPE, SHARE_KEY_TYPE, TRANSACTION_KEY_TYPE,
};
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use protocol::{KafkaString, VersionRange};

use super::{answers, create_offsets_topic};
use crate::context::{Call, Context};
use crate::coordinators;
use crate::handlers::brokers;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 6 };

/// First version that asks for several keys (KIP-699).
const MANY_KEYS_VERSION: i16 = 4;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let FindCoordinatorRequest { key, key_type, coordinator_keys } = request;
    let keys = if call.version < MANY_KEYS_VERSION { vec![key] } else { coordinator_keys };
    let refused = refused(key_type);
    if refused.is_none() && !keys.is_empty() {
        create_offsets_topic(context).await;
    }
    let mut named = BTreeSet::new();
    let mut keys = keys;
    // One named twice is answered once.
    keys.retain(|key| named.insert(key.clone()));
    let room = &answers::Room::of(context);
    let mut coordinators = answers::ask_each(keys, |key| async move {
        let found = match refused {
            _ if room.is_full() => Err((answers::TOO_LARGE, "")),
            Some(reason) => Err((ErrorCode::InvalidRequest, reason)),
            None => find(context, call, &key),
        };
        let answer = found.unwrap_or_else(|(error_code, message)| {
            context.count_error(call.api_key, error_code);
            let error_message = Some(message.into());
            Coordinator { key, error_code, error_message, ..Coordinator::default() }
        });
        room.take(size_bytes(&answer));
        answer
    })
    .await;
    if call.version >= MANY_KEYS_VERSION {
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let only = coordinators.pop().unwrap_or_default();
    FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..FindCoordinatorResponse::default()
    }
}

/// About how many bytes an answer holds for a key: a key of one letter costs the answer fifty times as much.
fn size_bytes(answer: &Coordinator) -> usize {
    let message = answer.error_message.as_ref().map_or(0, |message| message.len());
    size_of::<Coordinator>() + answer.key.len() + answer.host.len() + message
}

/// Says why no coordinator of this kind is served. Kafka's code for one that is switched off, which clients take as final instead of asking for ever.
fn refused(key_type: i8) -> Option<&'static str> {
    match key_type {
        GROUP_KEY_TYPE => None,
        TRANSACTION_KEY_TYPE => Some("this cluster does not serve transactions"),
        SHARE_KEY_TYPE => Some("this cluster does not serve share groups"),
        _ => Some("an unknown type of coordinator"),
    }
}

fn find(
    context: &Context,
    call: &Call,
    key: &KafkaString,
) -> Result<Coordinator, (ErrorCode, &'static str)> {
    let not_available = |reason| (ErrorCode::CoordinatorNotAvailable, reason);
    let image = context.controller.image();
    let partition = coordinators::partition_of(&image, key);
    let partition =
        partition.ok_or_else(|| not_available("the offsets topic is not created yet"))?;
    let leader = image.partition(partition).and_then(|state| state.leader);
    let leader = leader.ok_or_else(|| not_available("the group's partition has no leader"))?;
    if brokers::is_doubtful(context, &image, leader) {
        return Err(not_available("the group's coordinator may be gone"));
    }
    let endpoint = image.broker(leader).and_then(|broker| broker.endpoint(&call.listener.name));
    let endpoint = endpoint.ok_or_else(|| not_available("it is not reached by this listener"))?;
    Ok(Coordinator {
        key: key.clone(),
        node_id: leader.0,
        host: endpoint.address.host.as_str().into(),
        port: i32::from(endpoint.address.port),
        ..Coordinator::default()
    })
}
