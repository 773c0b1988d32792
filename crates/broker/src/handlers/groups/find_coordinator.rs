//! FindCoordinator: which broker coordinates a group or a transactional id: the leader of its partition of the coordinators' topic, which is created when the first client asks.
//!
//! A coordinator that may be dead is never named: the client asks again, and finds its successor.

use std::collections::BTreeSet;

use controller::metadata::Image;
use model::{ErrorCode, TopicIdPartition};
use protocol::messages::find_coordinator::{
    Coordinator, GROUP_KEY_TYPE, SHARE_KEY_TYPE, TRANSACTION_KEY_TYPE,
};
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use protocol::{KafkaString, VersionRange};

use super::{answers, create_topic};
use crate::context::{Call, Context};
use crate::coordinators;
use crate::handlers::brokers;
use crate::topics::internal::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::transactions;

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
    let kind = kind(key_type);
    if let Ok(kind) = kind
        && !keys.is_empty()
    {
        create_topic(context, kind.topic()).await;
    }
    let mut named = BTreeSet::new();
    let mut keys = keys;
    // One named twice is answered once.
    keys.retain(|key| named.insert(key.clone()));
    let room = &answers::Room::of(context);
    let mut coordinators = answers::ask_each(keys, |key| async move {
        let found = match kind {
            _ if room.is_full() => Err((answers::TOO_LARGE, "")),
            Err(reason) => Err((ErrorCode::InvalidRequest, reason)),
            Ok(kind) => find(context, call, kind, &key),
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

/// What is coordinated.
#[derive(Clone, Copy)]
enum Kind {
    Group,
    Transaction,
}

impl Kind {
    fn topic(self) -> &'static str {
        match self {
            Self::Group => OFFSETS_TOPIC,
            Self::Transaction => TRANSACTIONS_TOPIC,
        }
    }

    fn partition_of(self, image: &Image, key: &str) -> Option<TopicIdPartition> {
        match self {
            Self::Group => coordinators::partition_of(image, key),
            Self::Transaction => transactions::partition_of(image, key),
        }
    }
}

/// Says what is asked for, or why no coordinator of this kind is served. Kafka's code for one that is switched off, which clients take as final instead of asking for ever.
fn kind(key_type: i8) -> Result<Kind, &'static str> {
    match key_type {
        GROUP_KEY_TYPE => Ok(Kind::Group),
        TRANSACTION_KEY_TYPE => Ok(Kind::Transaction),
        SHARE_KEY_TYPE => Err("this cluster does not serve share groups"),
        _ => Err("an unknown type of coordinator"),
    }
}

fn find(
    context: &Context,
    call: &Call,
    kind: Kind,
    key: &KafkaString,
) -> Result<Coordinator, (ErrorCode, &'static str)> {
    let not_available = |reason| (ErrorCode::CoordinatorNotAvailable, reason);
    let image = context.controller.image();
    let partition = kind.partition_of(&image, key);
    let partition =
        partition.ok_or_else(|| not_available("the coordinators' topic is not created yet"))?;
    let leader = image.partition(partition).and_then(|state| state.leader);
    let leader =
        leader.ok_or_else(|| not_available("the coordinator's partition has no leader"))?;
    if brokers::is_doubtful(context, &image, leader) {
        return Err(not_available("the coordinator may be gone"));
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
