//! The way to other brokers: one connection each, on it one stream for all markers, and a call for each question about a transaction.
//!
//! Owns connecting and the bound on what is on its way. It tries nothing twice: what was not answered is the asker's to bring again, who knows where to by then.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use controller::Controller;
use model::{BrokerEpoch, BrokerId, ErrorCode, TopicIdPartition};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use super::proto::transaction_client::TransactionClient;
use super::{Marker, proto, wire};
use crate::logging::LineLimit;

/// The connections to other brokers.
pub(crate) struct Links {
    controller: Controller,
    broker_epoch: BrokerEpoch,
    channels: Mutex<HashMap<BrokerId, (String, Channel)>>,
    queues: Mutex<HashMap<BrokerId, mpsc::Sender<Queued>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    runtime: Handle,
}

/// A marker on its way, and who waits for it. Dropping the sender says that it was not written, as far as anybody knows.
struct Queued {
    partition: TopicIdPartition,
    marker: Marker,
    answer: oneshot::Sender<ErrorCode>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

impl Links {
    /// Makes the links of this registration, without a connection yet. Their tasks run on the current runtime, until `stop`.
    pub(crate) fn new(
        controller: Controller,
        broker_epoch: BrokerEpoch,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            controller,
            broker_epoch,
            channels: Mutex::default(),
            queues: Mutex::default(),
            tasks,
            stop,
            runtime: Handle::current(),
        })
    }

    /// Has a marker written by another broker. [`ErrorCode::NetworkException`] when it is not known whether it was.
    pub(super) async fn write(
        self: &Arc<Self>,
        broker: BrokerId,
        partition: TopicIdPartition,
        marker: Marker,
    ) -> ErrorCode {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue_to(broker);
        // A full queue holds back the markers to this broker alone.
        if queue.send(Queued { partition, marker, answer }).await.is_err() {
            return ErrorCode::NetworkException;
        }
        answered.await.unwrap_or(ErrorCode::NetworkException)
    }

    /// Asks another broker, which coordinates a transactional id.
    pub(super) async fn add_partitions(
        &self,
        broker: BrokerId,
        mut request: proto::AddPartitionsRequest,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let mut client = self.client(broker).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        request.hello = Some(self.hello(broker));
        let asked = tokio::time::timeout(PATIENCE, client.add_partitions(request)).await;
        match asked {
            Ok(Ok(response)) => {
                let codes = response.into_inner().error_codes;
                Ok(codes.into_iter().map(wire::read_code).collect())
            }
            Ok(Err(status)) => {
                tell_of(broker, &status);
                Err(ErrorCode::NetworkException)
            }
            Err(_) => Err(ErrorCode::NetworkException),
        }
    }

    fn queue_to(self: &Arc<Self>, broker: BrokerId) -> mpsc::Sender<Queued> {
        let mut queues = self.queues.lock().expect(NEVER_POISONED);
        let queue = queues.entry(broker).or_insert_with(|| {
            let (sender, queue) = mpsc::channel(MAX_QUEUED);
            let (links, stop) = (Arc::clone(self), self.stop.clone());
            let task = async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = links.run(broker, queue) => {}
                }
            };
            self.tasks.spawn_on(task, &self.runtime);
            sender
        });
        queue.clone()
    }

    /// Carries what is queued for a broker, over one stream after the other.
    async fn run(&self, broker: BrokerId, mut queue: mpsc::Receiver<Queued>) {
        while let Some(first) = queue.recv().await {
            let opened = tokio::time::timeout(PATIENCE, self.open(broker)).await;
            let stream =
                match opened.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
                    Ok(stream) => stream,
                    Err(status) => {
                        tell_of(broker, &status);
                        // Whoever waits looks where the partition is now, and comes again.
                        drop(first);
                        while queue.try_recv().is_ok() {}
                        continue;
                    }
                };
            stream.run(first, &mut queue).await;
        }
    }

    async fn open(&self, broker: BrokerId) -> Result<MarkerStream, Status> {
        let client = self.client(broker);
        let mut client = client.ok_or_else(|| Status::unavailable("the image has no address"))?;
        let (outgoing, messages) = mpsc::channel(MAX_MESSAGES);
        let hello = proto::MarkersMessage { hello: Some(self.hello(broker)), markers: Vec::new() };
        // It is the first in a queue that has room.
        let _ = outgoing.try_send(hello);
        let inbound = client.write_markers(ReceiverStream::new(messages)).await?.into_inner();
        Ok(MarkerStream { outgoing, inbound, last_id: 0, on_their_way: HashMap::new() })
    }

    /// Returns a client over the connection to a broker. It connects when it is used, and again when it was lost.
    fn client(&self, broker: BrokerId) -> Option<TransactionClient<Channel>> {
        let address = {
            let image = self.controller.image();
            let address = &image.broker(broker)?.replication_address;
            // An address of IP version 6 needs its brackets in a URL.
            match &address.host {
                host if host.contains(':') => format!("http://[{host}]:{}", address.port),
                host => format!("http://{host}:{}", address.port),
            }
        };
        let mut channels = self.channels.lock().expect(NEVER_POISONED);
        if let Some((known, channel)) = channels.get(&broker)
            && *known == address
        {
            return Some(TransactionClient::new(channel.clone()));
        }
        let endpoint = Endpoint::from_shared(address.clone()).ok()?;
        let endpoint = endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(false);
        // Must be called on a runtime, as every caller is.
        let channel = endpoint.connect_lazy();
        channels.insert(broker, (address, channel.clone()));
        Some(TransactionClient::new(channel))
    }

    fn hello(&self, callee: BrokerId) -> proto::Hello {
        let cluster_id = self.controller.image().cluster_id().map(|id| id.0.clone());
        proto::Hello {
            cluster_id: cluster_id.unwrap_or_default(),
            broker_id: self.controller.broker_id().0,
            directory_id: self.controller.directory_id().to_bytes().to_vec().into(),
            broker_epoch: self.broker_epoch.0,
            callee_id: callee.0,
        }
    }
}

/// A stream of markers to a broker.
struct MarkerStream {
    outgoing: mpsc::Sender<proto::MarkersMessage>,
    inbound: Streaming<proto::MarkersWritten>,
    last_id: u64,
    on_their_way: HashMap<u64, oneshot::Sender<ErrorCode>>,
}

impl MarkerStream {
    /// Runs until the stream ends. What is on its way then is not known to be written.
    async fn run(mut self, first: Queued, queue: &mut mpsc::Receiver<Queued>) {
        let mut waiting = vec![first];
        loop {
            let room = MAX_ON_THEIR_WAY.saturating_sub(self.on_their_way.len()).min(MAX_MARKERS);
            let outgoing = self.outgoing.clone();
            // Answers are read whatever else goes on: the other end reads on only while it can answer.
            tokio::select! {
                answers = self.inbound.message() => match answers {
                    Ok(Some(answers)) => self.answer(&answers),
                    Ok(None) | Err(_) => return,
                },
                permit = outgoing.reserve(), if !waiting.is_empty() => {
                    let Ok(permit) = permit else { return };
                    permit.send(self.message(&mut waiting));
                }
                taken = queue.recv_many(&mut waiting, room), if waiting.is_empty() && room > 0 => {
                    if taken == 0 {
                        return;
                    }
                }
            }
        }
    }

    fn message(&mut self, waiting: &mut Vec<Queued>) -> proto::MarkersMessage {
        let mut markers = Vec::with_capacity(waiting.len());
        // Whose coordinator was replaced meanwhile is asked for by the next one.
        for queued in waiting.drain(..).filter(|queued| !queued.answer.is_closed()) {
            let Queued { partition, marker, answer } = queued;
            self.last_id += 1;
            markers.push(wire::write_marker(self.last_id, partition, marker));
            self.on_their_way.insert(self.last_id, answer);
        }
        proto::MarkersMessage { hello: None, markers }
    }

    fn answer(&mut self, answers: &proto::MarkersWritten) {
        for result in &answers.results {
            if let Some(answer) = self.on_their_way.remove(&result.id) {
                // Whoever asked may have gone away.
                let _ = answer.send(wire::read_code(result.error_code));
            }
        }
    }
}

fn tell_of(broker: BrokerId, status: &Status) {
    static LINES: LineLimit = LineLimit::new(Duration::from_secs(10));
    if let Some(held_back) = LINES.permit() {
        let reason = status.message();
        tracing::warn!(held_back, %broker, reason, "a broker was not reached for a transaction");
    }
}

const NEVER_POISONED: &str = "a panic ends the process, so no lock is ever poisoned";

/// Markers that wait for a stream to one broker; further ones wait where they come from.
const MAX_QUEUED: usize = 10_000;

/// Markers on a stream that are not answered yet.
const MAX_ON_THEIR_WAY: usize = 10_000;

/// Markers in one message.
pub(super) const MAX_MARKERS: usize = 1_000;

/// Messages that wait for the connection.
const MAX_MESSAGES: usize = 8;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_millis(500);

/// Longest wait for an answer that waits for no partition's replicas, or only for those of the coordinator.
const PATIENCE: Duration = Duration::from_secs(6);

/// How often a connection in use is asked whether it lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(500);

/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);
