//! The gRPC service that followers open their streams to.
//!
//! Owns who may open one, and the reading half: positions and acknowledgements are stepped where they are read. What is sent back is `follower_stream`'s.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use model::{BrokerEpoch, BrokerId, DirectoryId, TopicIdPartition};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::context::{Context, Running};
use crate::image_update::RegisteredBroker;
use crate::partition::FollowerFetch;
use crate::partition_handle::PartitionHandle;
use crate::replicas::Replicas;
use crate::stream::follower_end::fetchers::{
    CONNECTION_WINDOW_BYTES, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES,
};
use crate::stream::leader_end::follower_stream::{FollowerStream, Session, Updates};
use crate::stream::proto;
use crate::stream::proto::replication_server::{Replication, ReplicationServer};
use crate::stream::wire;

/// The service, to be added to the server of the replication port.
#[derive(Clone, Debug)]
pub struct ReplicationService {
    context: Arc<Context>,
}

impl ReplicationService {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Wraps the service for a tonic server.
    #[must_use]
    pub fn into_server(self) -> ReplicationServer<Self> {
        ReplicationServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Checks who wants to follow (design 3d: each stream opens with who it is, and is refused on a mismatch).
    fn check(
        &self,
        running: &Running,
        hello: &proto::Hello,
    ) -> Result<(BrokerId, BrokerEpoch), Status> {
        let refused = |reason: &str| Err(Status::failed_precondition(reason.to_owned()));
        if hello.cluster_id != running.registration.cluster_id.0 {
            return refused("another cluster");
        }
        if hello.leader_id != self.context.broker_id.0 {
            return refused("another broker was meant");
        }
        let follower = BrokerId(hello.broker_id);
        let Some(broker_epoch) = BrokerEpoch::from_wire(hello.broker_epoch) else {
            return refused("no broker epoch");
        };
        let Ok(directory_id) = <[u8; 16]>::try_from(&hello.directory_id[..]) else {
            return refused("no directory id");
        };
        let brokers = self.context.brokers.load();
        match brokers.get(&follower) {
            Some(known) if known.broker_epoch > broker_epoch => {
                refused("a later registration exists")
            }
            Some(known)
                if known.broker_epoch == broker_epoch
                    && known.directory_id != DirectoryId::from_bytes(directory_id) =>
            {
                refused("another log directory is registered")
            }
            // A registration that this broker's image has not seen yet: its positions wait for the image.
            Some(_) | None => Ok((follower, broker_epoch)),
        }
    }
}

impl Replicas {
    /// Serves the replication streams on a listener until the token is cancelled and the streams have ended.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tune_server(tonic::transport::Server::builder())
            .serve_with_incoming_shutdown(
                self.service().into_server(),
                incoming,
                stop.cancelled_owned(),
            )
            .await
    }
}

/// Sets a tonic server up as the replication streams want it. What it is served from must set `TCP_NODELAY` itself.
#[must_use]
pub fn tune_server(server: tonic::transport::Server) -> tonic::transport::Server {
    server
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
}

#[tonic::async_trait]
impl Replication for ReplicationService {
    type ReplicateStream = BoxStream<proto::LeaderMessage>;

    async fn replicate(
        &self,
        request: Request<Streaming<proto::FollowerMessage>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let running = self.context.running.get();
        let running = running.ok_or_else(|| Status::unavailable("not registered yet"))?;
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|message| message.hello);
        let hello =
            first.ok_or_else(|| Status::invalid_argument("the first message has no hello"))?;
        let (follower, broker_epoch) = match self.check(running, &hello) {
            Ok(checked) => checked,
            Err(status) => {
                let reason = status.message();
                tracing::warn!(
                    follower = hello.broker_id,
                    reason,
                    "a replication stream was refused"
                );
                return Err(status);
            }
        };
        let stream = FollowerStream::new(&self.context, follower, broker_epoch);
        self.context.streams.add(&stream);
        let updates = Updates::new(Arc::clone(&stream));
        let context = Arc::clone(&self.context);
        let stop = running.stop.clone();
        running.tasks.spawn_on(
            async move {
                let reader = Reader { context: &context, stream: &stream };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = reader.run(inbound) => {}
                }
                context.streams.end(&stream);
            },
            &running.runtime,
        );
        Ok(Response::new(Box::pin(updates)))
    }
}

/// Reads what a follower sends.
struct Reader<'a> {
    context: &'a Context,
    stream: &'a Arc<FollowerStream>,
}

impl Reader<'_> {
    async fn run(&self, mut inbound: Streaming<proto::FollowerMessage>) {
        loop {
            match inbound.message().await {
                Ok(Some(message)) => {
                    for fetch in &message.fetches {
                        match wire::read_fetch(fetch, self.stream.broker_epoch()) {
                            Ok((id, fetch)) => self.stream.fetched(self.context, id, fetch),
                            Err(error) => {
                                let follower = self.stream.follower();
                                tracing::warn!(%follower, %error, "a follower sent a malformed message");
                                return;
                            }
                        }
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// The sessions of one stream, and positions for partitions that this broker's image does not have yet.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: HashMap<TopicIdPartition, Arc<Session>>,
    parked: HashMap<TopicIdPartition, FollowerFetch>,
}

impl FollowerStream {
    /// Steps a follower's message, or parks it until the partition is here (design 3b.1).
    fn fetched(self: &Arc<Self>, context: &Context, id: TopicIdPartition, fetch: FollowerFetch) {
        let Some(partition) = context.partition(&id) else {
            self.park(id, fetch);
            // It may have come between the look and the parking.
            if let Some(partition) = context.partition(&id) {
                self.unpark(&partition);
            }
            return;
        };
        let session = self.session_of(partition);
        session.partition().follower_fetched(&session, self.follower(), fetch);
    }

    fn session_of(self: &Arc<Self>, partition: Arc<PartitionHandle>) -> Arc<Session> {
        let mut sessions = self.sessions();
        if let Some(session) = sessions.open.get(&partition.id())
            && Arc::ptr_eq(session.partition(), &partition)
        {
            return Arc::clone(session);
        }
        let id = partition.id();
        let session = self.session(partition);
        sessions.open.insert(id, Arc::clone(&session));
        session
    }

    fn park(&self, id: TopicIdPartition, fetch: FollowerFetch) {
        let mut sessions = self.sessions();
        if sessions.parked.len() < MAX_PARKED {
            sessions.parked.insert(id, fetch);
        }
    }

    /// Steps the parked position of a partition that has arrived.
    fn unpark(self: &Arc<Self>, partition: &Arc<PartitionHandle>) {
        let parked = self.sessions().parked.remove(&partition.id());
        if let Some(fetch) = parked {
            let session = self.session_of(Arc::clone(partition));
            partition.follower_fetched(&session, self.follower(), fetch);
        }
    }
}

/// The open streams of this leader. Bounded by the brokers of the cluster, each of which has one, and a few that are ending.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Mutex<Vec<Weak<FollowerStream>>>,
}

impl Streams {
    fn add(&self, stream: &Arc<FollowerStream>) {
        let mut open = self.lock();
        open.retain(|stream| stream.strong_count() > 0);
        open.push(Arc::downgrade(stream));
    }

    /// Takes an ended stream out of its partitions.
    fn end(&self, stream: &Arc<FollowerStream>) {
        self.lock().retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(stream)));
        stream.close();
        let sessions = std::mem::take(&mut *stream.sessions());
        for session in sessions.open.values() {
            session.partition().forget_session(session);
        }
    }

    /// Delivers positions that waited for a partition.
    pub(crate) fn partition_added(&self, partition: &Arc<PartitionHandle>) {
        for stream in self.streams() {
            stream.unpark(partition);
        }
    }

    /// Lets go of a partition that was removed.
    pub(crate) fn partition_removed(&self, partition: &Arc<PartitionHandle>) {
        for stream in self.streams() {
            stream.sessions().open.remove(&partition.id());
        }
    }

    /// Ends the streams of earlier incarnations of a broker.
    pub(crate) fn broker_registered(&self, broker: &RegisteredBroker) {
        for stream in self.streams() {
            if stream.follower() == broker.broker_id && stream.broker_epoch() < broker.broker_epoch
            {
                stream.close();
            }
        }
    }

    fn streams(&self) -> Vec<Arc<FollowerStream>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<FollowerStream>>> {
        self.open.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Bound of the positions that wait for a partition on one stream; a follower repeats those that were not taken.
const MAX_PARKED: usize = 100_000;

#[cfg(test)]
mod tests;
