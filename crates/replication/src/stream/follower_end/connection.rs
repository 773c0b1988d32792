//! How a stream to a leader is opened, and what goes out over it: the hello, then what the partitions have to say.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use model::BrokerId;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use crate::local_broker::{LocalBroker, Running};
use crate::partition_handle::Outbox;
use crate::stream::proto::replication_client::ReplicationClient;
use crate::stream::transport::{MAX_MESSAGE_BYTES, tune_endpoint};
use crate::stream::{proto, wire};

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the image has no such broker")]
    Unknown,
    #[error("the address is no address")]
    Address(#[source] tonic::transport::Error),
    #[error("no connection")]
    Transport(#[source] tonic::transport::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("refused: {}", .0.message())]
    Refused(Status),
    #[error("this broker stops")]
    Stopped,
}

/// Opens a stream to a leader. What comes back over it is the leader's; what the outbox has goes out.
pub(super) async fn connect(
    local: &LocalBroker,
    running: &Running,
    leader: BrokerId,
    outbox: &Arc<Outbox>,
) -> Result<Streaming<proto::LeaderMessage>, ConnectError> {
    let broker = local.registered(leader).ok_or(ConnectError::Unknown)?;
    let (host, port) = (broker.replication_host, broker.replication_port);
    // An address of IP version 6 needs its brackets in a URL.
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    // A new endpoint each time, so that the name is resolved anew.
    let endpoint =
        Endpoint::from_shared(format!("http://{host}:{port}")).map_err(ConnectError::Address)?;
    let endpoint = tune_endpoint(endpoint).connect_timeout(local.config.connect_timeout);
    let hello = proto::FollowerMessage {
        hello: Some(proto::Hello {
            cluster_id: running.registration.cluster_id.0.clone(),
            broker_id: local.id().0,
            directory_id: local.directory_id.to_bytes().to_vec().into(),
            broker_epoch: running.registration.broker_epoch.0,
            leader_id: leader.0,
        }),
        fetches: Vec::new(),
    };
    let fetches = Fetches { leader, hello: Some(hello), outbox: Arc::clone(outbox) };
    let open = async {
        let channel = endpoint.connect().await.map_err(ConnectError::Transport)?;
        let mut client = ReplicationClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let response = client.replicate(fetches).await.map_err(ConnectError::Refused)?;
        Ok(response.into_inner())
    };
    // Twice the time of a connection: one for it, one for the answer to the hello.
    tokio::select! {
        () = running.stop.cancelled() => Err(ConnectError::Stopped),
        opened = tokio::time::timeout(local.config.connect_timeout * 2, open) => {
            opened.map_err(|_| ConnectError::TimedOut)?
        }
    }
}

/// The messages to a leader: the hello, then the newest fetch of each marked partition.
#[derive(Debug)]
struct Fetches {
    leader: BrokerId,
    hello: Option<proto::FollowerMessage>,
    outbox: Arc<Outbox>,
}

impl Stream for Fetches {
    type Item = proto::FollowerMessage;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(hello));
        }
        self.outbox.register(task.waker());
        let mut message = proto::FollowerMessage::default();
        while message.fetches.len() < MAX_FETCHES {
            let Some(partition) = self.outbox.pop() else { break };
            if let Some(fetch) = partition.take_unsent_fetch(self.leader) {
                message.fetches.push(wire::fetch(partition.id(), &fetch));
            }
        }
        if !message.fetches.is_empty() {
            return Poll::Ready(Some(message));
        }
        if self.outbox.is_closed() { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// Bound of the fetches in one message.
const MAX_FETCHES: usize = 10_000;
