//! DescribeTransactions: what coordinators know of transactional ids, for tools (KIP-664).

use std::collections::{BTreeMap, BTreeSet};

use coordinator::transaction::request::Request;
use coordinator::transaction::response::{Response, TransactionDescription};
use model::ErrorCode;
use protocol::messages::describe_transactions::{TopicData, TransactionState};
use protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use protocol::{KafkaString, VersionRange};

use super::{UNEXPECTED, ask};
use crate::context::{Call, Context};
use crate::handlers::groups::answers;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let mut named = BTreeSet::new();
    let mut wanted = request.transactional_ids;
    // One named twice is described once.
    wanted.retain(|id| named.insert(id.clone()));
    let room = &answers::Room::of(context);
    let transaction_states = answers::ask_each(wanted, |transactional_id| async move {
        let described = match describe(context, &transactional_id).await {
            _ if room.is_full() => Err(answers::TOO_LARGE),
            described => described,
        };
        let state = described.unwrap_or_else(|error_code| {
            context.count_error(call.api_key, error_code);
            TransactionState { error_code, transactional_id, ..TransactionState::default() }
        });
        room.take(size_bytes(&state));
        state
    })
    .await;
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

async fn describe(
    context: &Context,
    transactional_id: &KafkaString,
) -> Result<TransactionState, ErrorCode> {
    if transactional_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let asked = Request::Describe(transactional_id.as_str().into());
    match ask(context, transactional_id, asked).await? {
        Response::Describe(Some(description)) => Ok(shown(description)),
        Response::Describe(None) => Err(ErrorCode::TransactionalIdNotFound),
        _ => Err(UNEXPECTED),
    }
}

fn shown(description: TransactionDescription) -> TransactionState {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for one in description.partitions {
        topics.entry(one.topic).or_default().push(one.partition);
    }
    let topics = topics.into_iter();
    let topics = topics.map(|(topic, partitions)| TopicData { topic: topic.into(), partitions });
    TransactionState {
        error_code: ErrorCode::None,
        transactional_id: description.transactional_id.as_str().into(),
        transaction_state: description.state.name().into(),
        transaction_timeout_ms: i32::try_from(description.transaction_timeout.as_millis())
            .unwrap_or(i32::MAX),
        transaction_start_time_ms: description.started_at.map_or(-1, |at| at.0),
        producer_id: description.producer.id.0,
        producer_epoch: description.producer.epoch.0,
        topics: topics.collect(),
    }
}

/// About how many bytes an answer holds.
fn size_bytes(state: &TransactionState) -> usize {
    let topics = state.topics.iter();
    let topics =
        topics.map(|topic| size_of::<TopicData>() + topic.topic.len() + 4 * topic.partitions.len());
    size_of::<TransactionState>() + state.transactional_id.len() + topics.sum::<usize>()
}
