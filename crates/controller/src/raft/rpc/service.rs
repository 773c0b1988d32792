//! The serving side of Raft's gRPC: hands what arrives to openraft, in the order in which it arrived.
//!
//! Invariant: a call that names another Raft id or another cluster is refused before openraft sees it. A node that was formatted anew
//! must not answer under the id that its disk had before.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::image_feed::ImageFeed;
use crate::proto::raft as proto;
use crate::proto::raft::raft_server::Raft as RaftService;
use crate::raft::Raft;
use crate::raft::codec::{self, AppendResult, DecodeError};
use crate::raft::types::Types;

/// Appends of one stream that openraft works on at a time.
const MAX_IN_FLIGHT: usize = 32;

/// Serves Raft's calls.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) raft_id: u64,
    pub(crate) raft: Raft,
    pub(crate) feed: Arc<ImageFeed>,
    /// Cancelled before openraft is stopped, so that nothing is handed to it any more.
    pub(crate) stop: CancellationToken,
}

impl Service {
    /// Lets a call's request in, or refuses it.
    fn admit<M, R>(
        &self,
        request: Request<M>,
        envelope: fn(&M) -> Option<&proto::Envelope>,
        decode: fn(M) -> Result<R, DecodeError>,
    ) -> Result<R, Status> {
        let message = request.into_inner();
        self.check(envelope(&message))?;
        decode(message).map_err(malformed)
    }

    fn check(&self, envelope: Option<&proto::Envelope>) -> Result<(), Status> {
        if self.stop.is_cancelled() {
            return Err(Status::unavailable("this node is stopping"));
        }
        let envelope = envelope.ok_or_else(|| Status::invalid_argument("no envelope"))?;
        if envelope.to_raft_id != self.raft_id {
            return Err(Status::failed_precondition(format!(
                "this is Raft node {}, not {}",
                self.raft_id, envelope.to_raft_id
            )));
        }
        let image = self.feed.image();
        match image.cluster_id() {
            Some(own) if !envelope.cluster_id.is_empty() && own.0 != envelope.cluster_id => {
                Err(Status::failed_precondition(format!("this node belongs to cluster {own}")))
            }
            _ => Ok(()),
        }
    }
}

type AppendStream =
    Pin<Box<dyn Stream<Item = Result<proto::AppendResponse, Status>> + Send + 'static>>;

#[tonic::async_trait]
impl RaftService for Service {
    type AppendStream = AppendStream;

    async fn append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<AppendStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?;
        self.check(first.as_ref().and_then(|first| first.envelope.as_ref()))?;
        let state = Appends {
            raft: self.raft.clone(),
            stop: self.stop.clone(),
            requests,
            requests_ended: false,
            working: FuturesOrdered::new(),
            broken_session: None,
        };
        let answers = futures_util::stream::unfold(state, |mut state| async move {
            state.next().await.map(|answer| (answer, state))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        let request =
            self.admit(request, |message| message.envelope.as_ref(), codec::decode_vote_request)?;
        let answer = self.raft.vote(request).await.map_err(internal)?;
        Ok(Response::new(codec::encode_vote_response(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        let request =
            self.admit(request, |message| message.envelope.as_ref(), codec::decode_vote_request)?;
        let answer = self.raft.pre_vote(request).await.map_err(internal)?;
        Ok(Response::new(codec::encode_vote_response(&answer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderResponse>, Status> {
        let request =
            self.admit(request, |message| message.envelope.as_ref(), codec::decode_transfer)?;
        let answer = self.raft.handle_transfer_leader(request).await.map_err(internal)?;
        Ok(Response::new(codec::encode_transfer_result(&answer)))
    }
}

type Work = Pin<Box<dyn Future<Output = (u64, Result<AppendResult, Status>)> + Send>>;

/// One append stream: requests go to openraft as they come, answers go back in their order.
struct Appends {
    raft: Raft,
    stop: CancellationToken,
    requests: Streaming<proto::AppendRequest>,
    requests_ended: bool,
    working: FuturesOrdered<Work>,
    /// The session that ended with a refusal: what else it sent is void.
    broken_session: Option<u64>,
}

impl Appends {
    async fn next(&mut self) -> Option<Result<proto::AppendResponse, Status>> {
        loop {
            if self.requests_ended && self.working.is_empty() {
                return None;
            }
            let may_read = !self.requests_ended && self.working.len() < MAX_IN_FLIGHT;
            tokio::select! {
                () = self.stop.cancelled() => return None,
                Some((session, result)) = self.working.next(), if !self.working.is_empty() => {
                    return Some(self.answer(session, result));
                }
                request = self.requests.message(), if may_read => match request {
                    Ok(Some(request)) if self.broken_session == Some(request.session) => {}
                    Ok(Some(request)) => if let Err(status) = self.start(request) {
                        self.requests_ended = true;
                        return Some(Err(status));
                    },
                    // The leader hung up or died; what it sent is worked off.
                    Ok(None) | Err(_) => self.requests_ended = true,
                },
            }
        }
    }

    fn start(&mut self, request: proto::AppendRequest) -> Result<(), Status> {
        let session = request.session;
        let request = codec::decode_append(request).map_err(malformed)?;
        let mut work: Work = Box::pin(append(self.raft.clone(), session, request));
        // The first poll puts the request into openraft's queue. It happens here, so that the order of the stream is openraft's order.
        match (&mut work).now_or_never() {
            Some(done) => self.working.push_back(Box::pin(std::future::ready(done))),
            None => self.working.push_back(work),
        }
        Ok(())
    }

    fn answer(
        &mut self,
        session: u64,
        result: Result<AppendResult, Status>,
    ) -> Result<proto::AppendResponse, Status> {
        let result = result?;
        if result.is_err() {
            self.broken_session = Some(session);
        }
        Ok(codec::encode_append_result(session, &result))
    }
}

async fn append(
    raft: Raft,
    session: u64,
    request: AppendEntriesRequest<Types>,
) -> (u64, Result<AppendResult, Status>) {
    let previous = request.prev_log_id;
    let last = request.entries.last().map(|entry| entry.log_id).or(previous);
    let answer = raft.append_entries(request).await;
    let result = answer.map(|answer| answer.into_stream_result(previous, last)).map_err(internal);
    (session, result)
}

fn malformed(error: DecodeError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}
