//! From a frame to its handler and back: decodes, picks the handler, encodes.
//!
//! Owns the one place where an API meets its handler; `protocol`'s table says what is served, and the match over its requests is
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
pub fn handler(context: Arc<Context>) -> Arc<connection::Handler> {
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
    let call = Call {
        api_key,
        version: api_version,
        correlation_id,
        client_id: client_id.as_deref().unwrap_or_default().into(),
        client_address: peer.address.ip(),
        listener: peer.listener,
    };
    Ok(start(context, call, body))
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

/// The one table from APIs to handlers.
fn start(context: &Arc<Context>, call: Call, request: Request) -> Accepted {
    let own = Arc::clone(context);
    let barrier = pipelining(call.api_key);
    macro_rules! run {
        ($handler:ident, $request:ident) => {{
            debug_assert!(handlers::$handler::VERSIONS.contains(call.version));
            let (context, its) = (Arc::clone(&own), call.clone());
            let answer = answer(own, call, async move {
                Ok(Some(handlers::$handler::handle(&context, &its, $request).await.into()))
            });
            Accepted { answer, pipelining: barrier }
        }};
    }
    match request {
        Request::Produce(request) => {
            debug_assert!(handlers::produce::VERSIONS.contains(call.version));
            let version = call.version;
            if !handlers::produce::knows_topics(&context.controller.image(), version, &request) {
                return produce_later(own, call, request);
            }
            let pending = handlers::produce::append(context, &call, request);
            // Its effect is done already.
            let pipelining = if pending.is_done() { Pipelining::Open } else { Pipelining::Barrier };
            let answer = answer(own, call, async move {
                let response = pending.response().await?;
                Ok(response.map(Response::from))
            });
            Accepted { answer, pipelining }
        }
        Request::Fetch(request) => run!(fetch, request),
        Request::ListOffsets(request) => run!(list_offsets, request),
        Request::Metadata(request) => run!(metadata, request),
        Request::OffsetCommit(request) => run!(offset_commit, request),
        Request::OffsetFetch(request) => run!(offset_fetch, request),
        Request::FindCoordinator(request) => run!(find_coordinator, request),
        Request::JoinGroup(request) => run!(join_group, request),
        Request::Heartbeat(request) => run!(heartbeat, request),
        Request::LeaveGroup(request) => run!(leave_group, request),
        Request::SyncGroup(request) => run!(sync_group, request),
        Request::DescribeGroups(request) => run!(describe_groups, request),
        Request::ListGroups(request) => run!(list_groups, request),
        Request::ApiVersions(request) => run!(api_versions, request),
        Request::CreateTopics(request) => run!(create_topics, request),
        Request::DeleteTopics(request) => run!(delete_topics, request),
        Request::DeleteRecords(request) => run!(delete_records, request),
        Request::InitProducerId(request) => run!(init_producer_id, request),
        Request::OffsetForLeaderEpoch(request) => run!(offset_for_leader_epoch, request),
        Request::DescribeConfigs(request) => run!(describe_configs, request),
        Request::AlterConfigs(request) => run!(alter_configs, request),
        Request::CreatePartitions(request) => run!(create_partitions, request),
        Request::DeleteGroups(request) => run!(delete_groups, request),
        Request::ElectLeaders(request) => run!(elect_leaders, request),
        Request::IncrementalAlterConfigs(request) => run!(incremental_alter_configs, request),
        Request::OffsetDelete(request) => run!(offset_delete, request),
        Request::DescribeCluster(request) => run!(describe_cluster, request),
        Request::DescribeTopicPartitions(request) => run!(describe_topic_partitions, request),
    }
}

/// Handles a Produce to a topic that this broker does not know, or not yet.
fn produce_later(context: Arc<Context>, call: Call, request: ProduceRequest) -> Accepted {
    let (own, its) = (Arc::clone(&context), call.clone());
    let answer = answer(context, call, async move {
        own.until_known(|image| handlers::produce::knows_topics(image, its.version, &request))
            .await;
        let pending = handlers::produce::append(&own, &its, request);
        let response = pending.response().await?;
        Ok(response.map(Response::from))
    });
    Accepted { answer, pipelining: Pipelining::Barrier }
}

/// Encodes what a handler returns; `None` is a request that wants no answer, an error the reason to close the connection.
fn answer(
    context: Arc<Context>,
    call: Call,
    response: impl Future<Output = Result<Option<Response>, String>> + Send + 'static,
) -> Answer {
    let started = Instant::now();
    Box::pin(async move {
        let response = response.await;
        let label = ApiLabel { api: call.api_key.name() };
        let seconds = context.metrics.requests.seconds.get_or_create_owned(&label);
        seconds.observe(started.elapsed().as_secs_f64());
        let response = match response {
            Ok(Some(response)) => response,
            Ok(None) => return Outcome::Nothing,
            Err(reason) => return Outcome::Close(reason),
        };
        match encode_response(call.correlation_id, call.version, &response) {
            Ok(frame) => Outcome::Respond(pieces(&frame)),
            Err(error) => Outcome::Close(format!("cannot answer {}: {error}", call.api_key)),
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
