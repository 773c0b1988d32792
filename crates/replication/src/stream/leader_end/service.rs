//! The gRPC service that followers open their streams to.
//!
//! Owns who may open one, and the reading half: positions and acknowledgements are stepped where they are read.

use std::sync::Arc;

use model::{BrokerEpoch, BrokerId, DirectoryId};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::follower_stream::FollowerStream;
use super::streams::Streams;
use super::updates::Updates;
use crate::local_broker::{LocalBroker, Running};
use crate::stream::proto::replication_server::{Replication, ReplicationServer};
use crate::stream::transport::MAX_MESSAGE_BYTES;
use crate::stream::{proto, wire};

/// The service, to be added to the server of the replication port.
#[derive(Clone, Debug)]
pub(crate) struct ReplicationService {
    local: Arc<LocalBroker>,
    streams: Arc<Streams>,
}

impl ReplicationService {
    pub(crate) fn new(local: Arc<LocalBroker>, streams: Arc<Streams>) -> Self {
        Self { local, streams }
    }

    /// Wraps the service for a tonic server.
    pub(crate) fn into_server(self) -> ReplicationServer<Self> {
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
        if hello.leader_id != self.local.id().0 {
            return refused("another broker was meant");
        }
        let follower = BrokerId(hello.broker_id);
        let Some(broker_epoch) = BrokerEpoch::from_wire(hello.broker_epoch) else {
            return refused("no broker epoch");
        };
        let Ok(directory_id) = <[u8; 16]>::try_from(&hello.directory_id[..]) else {
            return refused("no directory id");
        };
        match self.local.registered(follower) {
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

#[tonic::async_trait]
impl Replication for ReplicationService {
    type ReplicateStream = BoxStream<proto::LeaderMessage>;

    async fn replicate(
        &self,
        request: Request<Streaming<proto::FollowerMessage>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let running = self.local.running();
        let running = running.ok_or_else(|| Status::unavailable("not registered yet"))?;
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|message| message.hello);
        let hello =
            first.ok_or_else(|| Status::invalid_argument("the first message has no hello"))?;
        let (follower, broker_epoch) = match self.check(running, &hello) {
            Ok(checked) => checked,
            Err(status) => {
                let (follower, reason) = (hello.broker_id, status.message());
                // A follower tries again and again.
                if self.streams.is_new_refusal(follower, reason) {
                    tracing::warn!(follower, reason, "a replication stream was refused");
                }
                return Err(status);
            }
        };
        let stream = Arc::new(FollowerStream::new(follower, broker_epoch));
        self.streams.add(&stream);
        let updates = Updates::new(Arc::clone(stream.queue()), &self.local.config);
        let (local, streams) = (Arc::clone(&self.local), Arc::clone(&self.streams));
        let stop = running.stop.clone();
        running.tasks.spawn_on(
            async move {
                let reader = Reader { local: &local, stream: &stream };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = reader.run(inbound) => {}
                }
                streams.end(&stream);
            },
            &running.runtime,
        );
        Ok(Response::new(Box::pin(updates)))
    }
}

/// Reads what a follower sends.
struct Reader<'a> {
    local: &'a LocalBroker,
    stream: &'a Arc<FollowerStream>,
}

impl Reader<'_> {
    async fn run(&self, mut inbound: Streaming<proto::FollowerMessage>) {
        loop {
            match inbound.message().await {
                Ok(Some(message)) => {
                    for fetch in &message.fetches {
                        match wire::read_fetch(fetch, self.stream.broker_epoch()) {
                            Ok((id, fetch)) => self.stream.fetched(self.local, id, fetch),
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

#[cfg(test)]
mod tests;
