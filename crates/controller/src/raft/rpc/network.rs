//! Openraft's way to other nodes: gRPC on their control ports.
//!
//! Owns one channel per node and, per openraft client, one long-lived append stream that carries openraft's short sessions one after the
//! other: a heartbeat costs a message, never a call. A stream or channel that fails or stalls is dropped and made anew.
//! Invariant: every message names the Raft id that it is meant for.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use model::BrokerId;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::image_feed::ImageFeed;
use crate::peers::address_book::AddressBook;
use crate::peers::connect::{ConnectError, MAX_MESSAGE_BYTES, connect};
use crate::proto::raft as proto;
use crate::proto::raft::raft_client::RaftClient;
use crate::raft::codec::{self, AppendResult, DecodeError};
use crate::raft::state_machine::snapshot::SnapshotFile;
use crate::raft::types::{Node, Types, Vote};

/// Appends in flight on one stream; also what its queue holds, so that sending never waits.
const MAX_IN_FLIGHT: usize = 16;
/// Longest wait for the answer to an append with entries, which includes the follower's fsync.
const APPEND_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a vote, which includes the voter's fsync.
const VOTE_TIMEOUT: Duration = Duration::from_secs(2);

type RpcResult<T> = Result<T, RPCError<Types>>;
type BoxFuture<'s, T> = Pin<Box<dyn Future<Output = T> + Send + 's>>;
/// A unary call by a client, with its request.
type Call<Q, A> =
    fn(RaftClient<Channel>, Q) -> BoxFuture<'static, Result<tonic::Response<A>, Status>>;
type BoxStream<'s, T> = Pin<Box<dyn Stream<Item = T> + Send + 's>>;

/// Makes clients, and keeps one channel per node for all of them.
#[derive(Clone)]
pub(crate) struct Network {
    shared: Arc<Shared>,
}

struct Shared {
    raft_id: u64,
    addresses: Arc<AddressBook>,
    feed: Arc<ImageFeed>,
    /// Told of brokers whose control port refused.
    refused: mpsc::Sender<BrokerId>,
    serial: AtomicU64,
    channels: Mutex<BTreeMap<u64, SharedChannel>>,
}

impl Network {
    pub(crate) fn new(
        raft_id: u64,
        addresses: Arc<AddressBook>,
        feed: Arc<ImageFeed>,
        refused: mpsc::Sender<BrokerId>,
    ) -> Self {
        let shared = Shared {
            raft_id,
            addresses,
            feed,
            refused,
            serial: AtomicU64::new(0),
            channels: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &Node) -> Client {
        Client { shared: Arc::clone(&self.shared), target, node: *node, link: None }
    }
}

impl Shared {
    fn cached_channel(&self, target: u64) -> Option<SharedChannel> {
        self.channels().get(&target).cloned()
    }

    async fn channel(&self, target: u64, node: Node) -> RpcResult<SharedChannel> {
        match self.cached_channel(target) {
            Some(channel) => Ok(channel),
            None => self.new_channel(target, node).await,
        }
    }

    async fn new_channel(&self, target: u64, node: Node) -> RpcResult<SharedChannel> {
        let broker_id = node.broker_id();
        let Some(address) = self.addresses.address_of(broker_id) else {
            return Err(unreachable(format!("the address of broker {broker_id} is unknown")));
        };
        match connect(&address).await {
            Ok(channel) => {
                let serial = self.serial.fetch_add(1, Ordering::Relaxed);
                let made = SharedChannel { serial, channel };
                self.channels().insert(target, made.clone());
                Ok(made)
            }
            Err(error) => {
                if matches!(error, ConnectError::Refused) {
                    // A full queue means that it is known by now.
                    let _ = self.refused.try_send(broker_id);
                }
                Err(unreachable(format!("broker {broker_id} at {address}: {error}")))
            }
        }
    }

    fn forget_channel(&self, target: u64, serial: u64) {
        let mut channels = self.channels();
        if channels.get(&target).is_some_and(|channel| channel.serial == serial) {
            channels.remove(&target);
        }
    }

    fn channels(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, SharedChannel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn envelope(&self, target: u64) -> proto::Envelope {
        let image = self.feed.image();
        let cluster_id = image.cluster_id().map(|id| id.0.clone()).unwrap_or_default();
        proto::Envelope { cluster_id, from_raft_id: self.raft_id, to_raft_id: target }
    }
}

/// A channel and the number it was made under, so that a late failure of an old one does not drop its successor.
#[derive(Clone)]
struct SharedChannel {
    serial: u64,
    channel: Channel,
}

/// Openraft's client to one node.
pub(crate) struct Client {
    shared: Arc<Shared>,
    target: u64,
    node: Node,
    link: Option<Link>,
}

/// An open append stream.
struct Link {
    /// The channel it runs over.
    channel: u64,
    requests: mpsc::Sender<proto::AppendRequest>,
    responses: Streaming<proto::AppendResponse>,
    session: u64,
    /// Requests sent and not answered, of all sessions.
    unanswered: usize,
}

impl Client {
    /// Returns the open stream, or opens one. A stream whose earlier session was abandoned without an answer is stalled and is replaced.
    async fn link(&mut self) -> RpcResult<&mut Link> {
        if self.link.as_ref().is_some_and(|link| link.unanswered >= MAX_IN_FLIGHT / 4) {
            self.drop_link();
        }
        if self.link.is_none() {
            let shared = self.shared.channel(self.target, self.node).await?;
            let link = open_link(&shared, self.shared.envelope(self.target)).await;
            match link {
                Ok(link) => self.link = Some(link),
                Err(status) => {
                    self.shared.forget_channel(self.target, shared.serial);
                    return Err(self.error_of(&status));
                }
            }
        }
        self.link.as_mut().ok_or_else(|| unreachable("no stream".to_owned()))
    }

    fn drop_link(&mut self) {
        if let Some(link) = self.link.take() {
            self.shared.forget_channel(self.target, link.channel);
        }
    }

    /// Turns a failed call into openraft's error. Every failure earns a back-off: a node that refuses to talk would be asked in a tight loop.
    fn error_of(&self, status: &Status) -> RPCError<Types> {
        unreachable(format!("{}: {}", self.node, status.message()))
    }

    fn malformed(&self, error: DecodeError) -> RPCError<Types> {
        unreachable(format!("{} sent nonsense: {error}", self.node))
    }

    /// Makes a unary call and reads its answer.
    async fn ask<Q, A, R>(
        &self,
        request: Q,
        call: Call<Q, A>,
        decode: fn(A) -> Result<R, DecodeError>,
    ) -> RpcResult<R>
    where
        Q: Clone,
    {
        let answer = self.call(request, call).await?;
        decode(answer).map_err(|error| self.malformed(error))
    }

    /// Makes a unary call; over a new channel when the kept one turns out to be dead, since a vote must not be lost to that.
    async fn call<Q: Clone, A>(&self, request: Q, call: Call<Q, A>) -> RpcResult<A> {
        if let Some(kept) = self.shared.cached_channel(self.target) {
            match answer_in_time(call(client(kept.channel), request.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(status)
                    if status.code() != Code::Unavailable && status.code() != Code::Unknown =>
                {
                    return Err(self.error_of(&status));
                }
                Err(_) => self.shared.forget_channel(self.target, kept.serial),
            }
        }
        let new = self.shared.new_channel(self.target, self.node).await?;
        let answer = answer_in_time(call(client(new.channel), request)).await;
        answer.map_err(|status| {
            self.shared.forget_channel(self.target, new.serial);
            self.error_of(&status)
        })
    }
}

fn client(channel: Channel) -> RaftClient<Channel> {
    RaftClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

async fn answer_in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    let answer = timeout(VOTE_TIMEOUT, call).await;
    answer
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
        .map(tonic::Response::into_inner)
}

async fn open_link(shared: &SharedChannel, envelope: proto::Envelope) -> Result<Link, Status> {
    let (requests, queue) = mpsc::channel(2 * MAX_IN_FLIGHT);
    let first =
        proto::AppendRequest { envelope: Some(envelope), ..proto::AppendRequest::default() };
    requests.try_send(first).map_err(|_| Status::internal("a new queue has room"))?;
    let opening = client(shared.channel.clone()).append(ReceiverStream::new(queue)).await?;
    let responses = opening.into_inner();
    Ok(Link { channel: shared.serial, requests, responses, session: 0, unanswered: 0 })
}

/// A session of openraft's on the link: requests go out as they come, answers come back in order.
struct Session<'s, S> {
    client: &'s mut Client,
    input: S,
    input_ended: bool,
    /// The session's number on the link; `None` until its first request is there.
    session: Option<u64>,
    in_flight: usize,
    ended: bool,
}

impl<S> Session<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    /// Returns the next answer, sending requests meanwhile; `None` when all are answered.
    async fn next(&mut self) -> Option<RpcResult<AppendResult>> {
        loop {
            if self.ended || (self.input_ended && self.in_flight == 0) {
                return None;
            }
            if self.session.is_none() {
                // Openraft's back-off lies in its input: it must be asked before the node is, or a node that refuses is asked in a tight loop.
                match self.input.next().await {
                    None => self.input_ended = true,
                    Some(first) => match self.begin(&first).await {
                        Ok(()) => {}
                        Err(error) => return Some(Err(error)),
                    },
                }
                continue;
            }
            let Some(link) = self.client.link.as_mut() else {
                self.ended = true;
                return None;
            };
            let may_send = !self.input_ended && self.in_flight < MAX_IN_FLIGHT;
            tokio::select! {
                request = self.input.next(), if may_send => match request {
                    None => self.input_ended = true,
                    Some(request) => {
                        if let Err(error) = self.send(&request) {
                            return Some(Err(error));
                        }
                    }
                },
                response = timeout(APPEND_TIMEOUT, link.responses.message()),
                    if self.in_flight > 0 =>
                {
                    match response {
                        Ok(Ok(Some(response))) => {
                            link.unanswered = link.unanswered.saturating_sub(1);
                            if Some(response.session) == self.session {
                                return Some(self.answer(response));
                            }
                        }
                        Ok(Ok(None)) => return Some(Err(self.fail("the stream ended"))),
                        Ok(Err(status)) => return Some(Err(self.fail(status.message()))),
                        Err(_) => return Some(Err(self.fail("no answer in time"))),
                    }
                }
            }
        }
    }

    /// Takes the link, which is opened when there is none, and sends the first request.
    async fn begin(&mut self, first: &AppendEntriesRequest<Types>) -> RpcResult<()> {
        match self.client.link().await {
            Ok(link) => {
                link.session += 1;
                self.session = Some(link.session);
                self.send(first)
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }

    fn send(&mut self, request: &AppendEntriesRequest<Types>) -> RpcResult<()> {
        let message = codec::encode_append(request, self.session.unwrap_or_default(), None);
        let sent = self.client.link.as_mut().is_some_and(|link| {
            link.unanswered += 1;
            link.requests.try_send(message).is_ok()
        });
        if sent {
            self.in_flight += 1;
            Ok(())
        } else {
            Err(self.fail("the stream is closed"))
        }
    }

    fn answer(&mut self, response: proto::AppendResponse) -> RpcResult<AppendResult> {
        self.in_flight = self.in_flight.saturating_sub(1);
        match codec::decode_append_result(response) {
            Ok(result) => {
                if let Err(StreamAppendError::Conflict(_) | StreamAppendError::HigherVote(_)) =
                    result
                {
                    self.ended = true;
                }
                Ok(result)
            }
            Err(error) => {
                self.ended = true;
                self.client.drop_link();
                Err(self.client.malformed(error))
            }
        }
    }

    fn fail(&mut self, message: &str) -> RPCError<Types> {
        self.ended = true;
        self.client.drop_link();
        self.client.error_of(&Status::unavailable(message))
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<Types>> {
        let input = Box::pin(futures_util::stream::iter([rpc]));
        let mut output = RaftNetworkV2::stream_append(self, input, option).await?;
        match output.next().await {
            Some(result) => Ok(AppendEntriesResponse::from(result?)),
            None => Err(unreachable("the stream ended without an answer".to_owned())),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<BoxStream<'s, RpcResult<AppendResult>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let session = Session {
                session: None,
                client: self,
                input,
                input_ended: false,
                in_flight: 0,
                ended: false,
            };
            let answers = futures_util::stream::unfold(session, |mut session| async move {
                session.next().await.map(|answer| (answer, session))
            });
            let answers: BoxStream<'s, RpcResult<AppendResult>> = Box::pin(answers);
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> RpcResult<VoteResponse<Types>> {
        let request = codec::encode_vote_request(&rpc, self.shared.envelope(self.target));
        self.ask(
            request,
            |mut client, request| Box::pin(async move { client.vote(request).await }),
            codec::decode_vote_response,
        )
        .await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> RpcResult<VoteResponse<Types>> {
        let request = codec::encode_vote_request(&rpc, self.shared.envelope(self.target));
        self.ask(
            request,
            |mut client, request| Box::pin(async move { client.pre_vote(request).await }),
            codec::decode_vote_response,
        )
        .await
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        _option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<Types>> {
        let request = codec::encode_transfer(&req, self.shared.envelope(self.target));
        self.ask(
            request,
            |mut client, request| Box::pin(async move { client.transfer_leader(request).await }),
            codec::decode_transfer_result,
        )
        .await
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        // The log is never purged, so nobody needs a snapshot from another node.
        let reason = openraft::AnyError::error("snapshots are not sent");
        Err(StreamingError::Unreachable(Unreachable::new(&reason)))
    }
}

fn unreachable(message: String) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(message))
}
