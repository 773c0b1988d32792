//! From a frame to its handler and back: decodes, picks the handler, encodes.
//!
//! Owns the one table in which an API meets its handler; `protocol`'s table says what is served, and the match over its requests is
//! exhaustive. Decoding is a pure function under [`process::guarded`]: a panic in it closes that connection and is counted.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use protocol::header::{RequestError, decode_request, encode_response, unsupported_api_versions};
use protocol::messages::ProduceRequest;
use protocol::{ApiKey, Frame, Request, RequestHeader, Response};

use crate::connection::{self, Accepted, Answer, Outcome, Pipelining};
use crate::context::{Call, Context};
use crate::handlers;
use crate::metrics::ApiLabel;
use crate::process;

/// Makes the function that listeners hand requests to.
#[must_use]
pub(crate) fn handler(context: Arc<Context>) -> Arc<connection::Handler> {
    Arc::new(move |request| handle(&context, request))
}

/// Decodes one request and starts it.
fn handle(context: &Arc<Context>, request: connection::Request) -> Result<Accepted, String> {
    let connection::Request { frame, peer } = request;
    let decoded = process::guarded(|| decode_request(frame)).map_err(|panicked| {
        context.metrics.connections.decode_panics.inc();
        panicked.to_string()
    })?;
    let (header, body) = match decoded {
        Ok(decoded) => decoded,
        Err(RequestError::ApiVersionsVersion { correlation_id, .. }) => {
            return Ok(at_once(unsupported_api_versions(correlation_id)));
        }
        Err(error) => return Err(error.to_string()),
    };
    let RequestHeader { api_key, api_version, correlation_id, client_id } = header;
    let reply = Reply { api_key, version: api_version, correlation_id };
    let call = Call {
        api_key,
        version: api_version,
        client_id: client_id.as_deref().unwrap_or_default().into(),
        client_address: peer.address.ip(),
        listener: peer.listener,
    };
    Ok(start(Arc::clone(context), reply, call, body))
}

/// What an answer needs of its request.
#[derive(Clone, Copy)]
struct Reply {
    api_key: ApiKey,
    version: i16,
    correlation_id: i32,
}

/// Says what a request means for those behind it. Kafka handles one request of a connection after the other; only Produce gains from more, and a Fetch that waits for
/// records holds nobody up: it changes nothing, and a Produce behind it may bring what it waits for.
fn pipelining(api_key: ApiKey) -> Pipelining {
    match api_key {
        // These wait for other members of the group.
        ApiKey::JoinGroup | ApiKey::SyncGroup => Pipelining::LongBarrier,
        ApiKey::Fetch => Pipelining::Open,
        _ => Pipelining::Barrier,
    }
}

/// Makes, of the table from APIs to handlers, the function that starts a request's handler, and for the test the versions that each handler knows.
macro_rules! handlers {
    ($($api:ident => $handler:ident,)*) => {
        fn start(context: Arc<Context>, reply: Reply, call: Call, request: Request) -> Accepted {
            let pipelining = pipelining(reply.api_key);
            let answer = match request {
                $(Request::$api(request) => {
                    debug_assert!(handlers::$handler::VERSIONS.contains(reply.version));
                    let own = Arc::clone(&context);
                    answer(own, reply, async move {
                        let response = handlers::$handler::handle(&context, &call, request).await;
                        Ok(Some(response.into()))
                    })
                })*
                // Takes effect before its answer is asked for.
                Request::Produce(request) => return produce(context, reply, call, request),
            };
            Accepted { answer, pipelining }
        }

        #[cfg(test)]
        const KNOWN_VERSIONS: &[(ApiKey, protocol::VersionRange)] = &[
            (ApiKey::Produce, handlers::produce::VERSIONS),
            $((ApiKey::$api, handlers::$handler::VERSIONS),)*
        ];
    };
}

handlers! {
    Fetch => fetch,
    ListOffsets => list_offsets,
    Metadata => metadata,
    OffsetCommit => offset_commit,
    OffsetFetch => offset_fetch,
    FindCoordinator => find_coordinator,
    JoinGroup => join_group,
    Heartbeat => heartbeat,
    LeaveGroup => leave_group,
    SyncGroup => sync_group,
    DescribeGroups => describe_groups,
    ListGroups => list_groups,
    ApiVersions => api_versions,
    CreateTopics => create_topics,
    DeleteTopics => delete_topics,
    DeleteRecords => delete_records,
    InitProducerId => init_producer_id,
    OffsetForLeaderEpoch => offset_for_leader_epoch,
    AddPartitionsToTxn => add_partitions_to_txn,
    AddOffsetsToTxn => add_offsets_to_txn,
    EndTxn => end_txn,
    WriteTxnMarkers => write_txn_markers,
    TxnOffsetCommit => txn_offset_commit,
    DescribeConfigs => describe_configs,
    AlterConfigs => alter_configs,
    CreatePartitions => create_partitions,
    DeleteGroups => delete_groups,
    ElectLeaders => elect_leaders,
    IncrementalAlterConfigs => incremental_alter_configs,
    OffsetDelete => offset_delete,
    DescribeCluster => describe_cluster,
    DescribeProducers => describe_producers,
    DescribeTransactions => describe_transactions,
    ListTransactions => list_transactions,
    DescribeTopicPartitions => describe_topic_partitions,
}

/// Appends at once, on the calling thread; what is left is the wait for acknowledgements.
fn produce(context: Arc<Context>, reply: Reply, call: Call, request: ProduceRequest) -> Accepted {
    debug_assert!(handlers::produce::VERSIONS.contains(reply.version));
    let appended = handlers::produce::append(&context, call, request);
    // Its effect is done already, unless something came before its topic or replica.
    let pipelining = if appended.is_done() { Pipelining::Open } else { Pipelining::Barrier };
    let answer = answer(context, reply, async move {
        let response = appended.response().await?;
        Ok(response.map(Response::from))
    });
    Accepted { answer, pipelining }
}

/// Encodes what a handler returns; `None` is a request that wants no answer, an error the reason to close the connection.
fn answer(
    context: Arc<Context>,
    reply: Reply,
    response: impl Future<Output = Result<Option<Response>, String>> + Send + 'static,
) -> Answer {
    let started = Instant::now();
    Box::pin(async move {
        let response = response.await;
        let label = ApiLabel { api: reply.api_key.name() };
        let seconds = context.metrics.requests.seconds.get_or_create_owned(&label);
        seconds.observe(started.elapsed().as_secs_f64());
        let response = match response {
            Ok(Some(response)) => response,
            Ok(None) => return Outcome::Nothing,
            Err(reason) => return Outcome::Close(reason),
        };
        match encode_response(reply.correlation_id, reply.version, &response) {
            Ok(frame) => Outcome::Respond(pieces(&frame)),
            Err(error) => Outcome::Close(format!("cannot answer {}: {error}", reply.api_key)),
        }
    })
}

fn at_once(frame: Frame) -> Accepted {
    let answer = Box::pin(std::future::ready(Outcome::Respond(pieces(&frame))));
    Accepted { answer, pipelining: Pipelining::Open }
}

fn pieces(frame: &Frame) -> Vec<Bytes> {
    frame.pieces().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_is_advertised_is_known_to_its_handler() {
        assert_eq!(KNOWN_VERSIONS.len(), protocol::APIS.len());
        for (key, versions) in KNOWN_VERSIONS {
            assert_eq!(key.versions(), *versions, "{key}");
        }
    }
}
