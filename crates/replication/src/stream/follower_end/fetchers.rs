//! The follower's end of the replication streams: one task per leader broker, for all partitions that it leads.
//!
//! A task connects, opens positions, appends what comes and acknowledges. Acknowledgements wait in the partitions: the outbox of a stream is a set of partitions
//! that have one, so a reader never waits for a writer and nothing grows with the rate of appends.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use model::{BrokerId, TopicIdPartition};
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use crate::context::{Context, Running};
use crate::partition::{Event, ReplicaRole};
use crate::partition_handle::{LeaderMessage, PartitionHandle};
use crate::stream::proto;
use crate::stream::proto::replication_client::ReplicationClient;
use crate::stream::wire;

/// The tasks and the outboxes of their open streams.
#[derive(Debug, Default)]
pub(crate) struct Fetchers {
    /// Leaders that have a task.
    tasks: Mutex<HashSet<BrokerId>>,
    /// Open streams.
    open: ArcSwap<HashMap<BrokerId, Arc<Outbox>>>,
}

impl Fetchers {
    /// Notes that a partition has a fetch for its leader. Dropped when no stream is open: the position follows when one is.
    pub(crate) fn mark(&self, leader: BrokerId, partition: Arc<PartitionHandle>) {
        if let Some(outbox) = self.open.load().get(&leader) {
            outbox.mark(partition);
        }
    }

    /// Makes sure that a task fetches from a leader.
    pub(crate) fn ensure(&self, context: &Arc<Context>, leader: BrokerId) {
        let Some(running) = context.running.get() else { return };
        if leader == context.broker_id || running.stop.is_cancelled() {
            return;
        }
        if self.lock().insert(leader) {
            let context = Arc::clone(context);
            running.tasks.spawn_on(run(context, leader), &running.runtime);
        }
    }

    /// Says whether something is to be fetched from a leader and no stream to it is open.
    pub(crate) fn is_cut_off_from(&self, leader: BrokerId) -> bool {
        !self.open.load().contains_key(&leader) && self.lock().contains(&leader)
    }

    /// Ends the task of a leader that no partition follows any more; says whether it did.
    fn retire(&self, context: &Context, leader: BrokerId) -> bool {
        // Under the lock that `ensure` takes, so that a partition that begins to follow meanwhile gets a new task.
        let mut tasks = self.lock();
        let is_followed = context.partitions.load().values().any(|partition| {
            matches!(partition.role(), ReplicaRole::Follower(followed, _) if followed == leader)
        });
        if !is_followed {
            tasks.remove(&leader);
        }
        !is_followed
    }

    fn set_open(&self, leader: BrokerId, outbox: Option<Arc<Outbox>>) {
        self.open.rcu(|open| {
            let mut open = HashMap::clone(open);
            match &outbox {
                Some(outbox) => open.insert(leader, Arc::clone(outbox)),
                None => open.remove(&leader),
            };
            open
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<BrokerId>> {
        self.tasks.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Fetches from one leader until the broker stops or nothing is led there any more.
async fn run(context: Arc<Context>, leader: BrokerId) {
    let Some(running) = context.running.get() else { return };
    let mut pause = FIRST_PAUSE;
    while !running.stop.is_cancelled() && !context.fetchers.retire(&context, leader) {
        let outbox = Arc::new(Outbox::default());
        match connect(&context, running, leader, &outbox).await {
            Ok(updates) => {
                pause = FIRST_PAUSE;
                tracing::debug!(%leader, "replication stream opened");
                context.fetchers.set_open(leader, Some(Arc::clone(&outbox)));
                for partition in context.partitions.load().values() {
                    partition.step(Event::StreamOpened { leader });
                }
                let end = receive(&context, running, leader, updates).await;
                context.fetchers.set_open(leader, None);
                outbox.close();
                tracing::debug!(%leader, ?end, "replication stream ended");
            }
            Err(error) => tracing::debug!(%leader, %error, "no replication stream"),
        }
        tokio::select! {
            () = running.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(context.config.reconnect_backoff_max.max(FIRST_PAUSE));
    }
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("the image has no such broker")]
    Unknown,
    #[error("the address is no address")]
    Address(#[source] tonic::transport::Error),
    #[error("no connection")]
    Transport(#[source] tonic::transport::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("refused: {0}")]
    Refused(Status),
}

async fn connect(
    context: &Context,
    running: &Running,
    leader: BrokerId,
    outbox: &Arc<Outbox>,
) -> Result<Streaming<proto::LeaderMessage>, ConnectError> {
    let (host, port) = {
        let brokers = context.brokers.load();
        let broker = brokers.get(&leader).ok_or(ConnectError::Unknown)?;
        (broker.replication_host.clone(), broker.replication_port)
    };
    // An address of IP version 6 needs its brackets in a URL.
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    // A new endpoint each time, so that the name is resolved anew.
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}"))
        .map_err(ConnectError::Address)?
        .connect_timeout(context.config.connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .max_frame_size(MAX_FRAME_BYTES);
    let hello = proto::FollowerMessage {
        hello: Some(proto::Hello {
            cluster_id: running.registration.cluster_id.0.clone(),
            broker_id: context.broker_id.0,
            directory_id: context.directory_id.to_bytes().to_vec().into(),
            broker_epoch: running.registration.broker_epoch.0,
            leader_id: leader.0,
        }),
        fetches: Vec::new(),
    };
    let fetches = Fetches { hello: Some(hello), outbox: Arc::clone(outbox) };
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
        () = running.stop.cancelled() => Err(ConnectError::TimedOut),
        opened = tokio::time::timeout(context.config.connect_timeout * 2, open) => {
            opened.map_err(|_| ConnectError::TimedOut)?
        }
    }
}

/// Why a stream ended.
#[derive(Debug)]
#[expect(dead_code, reason = "the fields are read by the log line alone")]
enum End {
    Stopped,
    Closed,
    Failed(Status),
    Malformed(wire::Malformed),
}

async fn receive(
    context: &Context,
    running: &Running,
    leader: BrokerId,
    mut updates: Streaming<proto::LeaderMessage>,
) -> End {
    let mut unyielded_bytes = 0;
    loop {
        let message = tokio::select! {
            () = running.stop.cancelled() => return End::Stopped,
            message = updates.message() => message,
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return End::Closed,
            Err(status) => return End::Failed(status),
        };
        for update in message.updates {
            match wire::read_update(update) {
                Ok((id, answer, batches)) => {
                    unyielded_bytes += batches.len();
                    if let Some(partition) = context.partition(&id) {
                        partition.leader_answered(&LeaderMessage {
                            leader,
                            answer,
                            batches: &batches,
                        });
                    }
                }
                Err(malformed) => return End::Malformed(malformed),
            }
        }
        // Bytes that are there already make no await point, and other tasks of this thread wait.
        if unyielded_bytes >= YIELD_AFTER_BYTES {
            unyielded_bytes = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// The partitions that have a fetch for one leader, for as long as a stream to it is open.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    marked: Mutex<Marked>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Marked {
    order: VecDeque<Arc<PartitionHandle>>,
    members: HashSet<TopicIdPartition>,
    is_closed: bool,
}

impl Outbox {
    fn mark(&self, partition: Arc<PartitionHandle>) {
        let mut marked = self.lock();
        if marked.is_closed || !marked.members.insert(partition.id()) {
            return;
        }
        marked.order.push_back(partition);
        drop(marked);
        self.waker.wake();
    }

    fn close(&self) {
        let mut marked = self.lock();
        *marked = Marked { is_closed: true, ..Marked::default() };
        drop(marked);
        self.waker.wake();
    }

    fn pop(&self) -> Option<Arc<PartitionHandle>> {
        let mut marked = self.lock();
        let partition = marked.order.pop_front()?;
        marked.members.remove(&partition.id());
        Some(partition)
    }

    fn lock(&self) -> MutexGuard<'_, Marked> {
        self.marked.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// The messages to a leader: the hello, then the newest fetch of each marked partition.
#[derive(Debug)]
struct Fetches {
    hello: Option<proto::FollowerMessage>,
    outbox: Arc<Outbox>,
}

impl Stream for Fetches {
    type Item = proto::FollowerMessage;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(hello));
        }
        self.outbox.waker.register(task.waker());
        let mut message = proto::FollowerMessage::default();
        while message.fetches.len() < MAX_FETCHES {
            let Some(partition) = self.outbox.pop() else { break };
            if let Some(fetch) = partition.take_unsent_fetch() {
                message.fetches.push(wire::fetch(partition.id(), &fetch));
            }
        }
        if !message.fetches.is_empty() {
            return Poll::Ready(Some(message));
        }
        if self.outbox.lock().is_closed { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// HTTP/2 window of one stream, both ways: a few messages in flight.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 8 << 20;

/// HTTP/2 window of a connection.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Largest HTTP/2 frame: with the windows, what makes the streams fast.
pub(crate) const MAX_FRAME_BYTES: u32 = 1 << 20;

/// Largest message: above any batch that a request of at most `socket.request.max.bytes` (100 MiB) can bring.
pub(crate) const MAX_MESSAGE_BYTES: usize = 128 << 20;

/// How often a connection is asked whether it lives.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(500);

/// How long it may take to answer.
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause before the first reconnect.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Bytes that are appended before other tasks get a turn.
const YIELD_AFTER_BYTES: usize = 256 << 10;

/// Bound of the fetches in one message.
const MAX_FETCHES: usize = 10_000;
