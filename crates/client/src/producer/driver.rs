//! The producer's task: takes batches out of the accumulator, sends them to the leaders, brings back what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use model::{
    Acks, BrokerId, ErrorCode, Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition,
    UnixMillis,
};
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::accumulator::{Answer, ToSend};
use super::delivery::Written;
use crate::connection::{Connection, Pending};
use crate::error::{Error, RequestError};
use crate::metadata::Topics;
use crate::wire::{by_topic, millis};

struct Driver {
    shared: Arc<Shared>,
    under_way: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Requests under way, per broker.
    requests: BTreeMap<BrokerId, usize>,
    connecting: BTreeSet<BrokerId>,
    is_refreshing: bool,
    is_asking_for_id: bool,
}

type Sent = Vec<(TopicPartition, u64)>;

enum Event {
    Answered {
        broker: BrokerId,
        sent: Sent,
        result: Result<ProduceResponse, RequestError>,
    },
    /// Acks 0: the request is on its way, which is all that will be known.
    Fired {
        broker: BrokerId,
        sent: Sent,
    },
    Connected {
        broker: BrokerId,
        result: Result<(), RequestError>,
    },
    Refreshed,
    ProducerId(Result<(ProducerId, ProducerEpoch), Error>),
}

/// Runs until the producer is dropped and everything is done, or the token ends it.
pub(super) async fn run(shared: Arc<Shared>, token: CancellationToken) {
    let mut driver = Driver {
        shared,
        under_way: FuturesUnordered::new(),
        requests: BTreeMap::new(),
        connecting: BTreeSet::new(),
        is_refreshing: false,
        is_asking_for_id: false,
    };
    loop {
        // Read before anything is looked at: what falls due while we look is then not yet sent and has a timer. Read after, it would have neither.
        let looked_at = driver.shared.clock.now();
        driver.send_ready().await;
        if driver.shared.accumulator().is_finished() {
            break;
        }
        let timer = driver.timer(looked_at);
        tokio::select! {
            () = token.cancelled() => break,
            () = driver.shared.work.notified() => {}
            Some(event) = driver.under_way.next(), if !driver.under_way.is_empty() => {
                driver.take_in(event);
            }
            () = timer => driver.expire(),
        }
        driver.give_back();
    }
    let mut accumulator = driver.shared.accumulator();
    accumulator.close();
    accumulator.fail_all(&Error::Stopped);
    drop(accumulator);
    driver.give_back();
}

impl Driver {
    /// Sends what can be sent: for each leader one batch per partition and request, up to the limits.
    async fn send_ready(&mut self) {
        loop {
            let now = self.shared.clock.now();
            let ready = self.shared.accumulator().ready(now);
            if ready.is_empty() {
                return;
            }
            self.ask_for_producer_id();
            if self.shared.client.is_metadata_old() {
                // A topic may have more partitions by now.
                self.refresh();
            }
            let by_leader = self.by_leader(ready);
            let mut is_any_sent = false;
            for (broker, partitions) in by_leader {
                let in_flight = self.requests.get(&broker).copied().unwrap_or_default();
                if in_flight >= self.shared.config.max_in_flight {
                    continue;
                }
                let Some(connection) = self.shared.client.open_connection(broker) else {
                    self.connect(broker);
                    continue;
                };
                let batches = self.take_batches(&partitions);
                if !batches.is_empty() {
                    is_any_sent = true;
                    self.send(broker, &connection, batches).await;
                }
            }
            if !is_any_sent {
                return;
            }
        }
    }

    /// Sorts partitions by their leaders; those without one are put off and asked for.
    fn by_leader(&mut self, ready: Vec<TopicPartition>) -> BTreeMap<BrokerId, Vec<TopicPartition>> {
        let metadata = self.shared.client.metadata();
        let mut by_leader = BTreeMap::<_, Vec<_>>::new();
        let mut is_any_unknown = false;
        for partition in ready {
            let known = metadata.partition(&partition.topic, partition.partition);
            match known.and_then(|known| known.leader) {
                Some(leader) => by_leader.entry(leader).or_default().push(partition),
                None => {
                    let now = self.shared.clock.now();
                    self.shared.accumulator().postpone(now, &partition);
                    is_any_unknown = true;
                }
            }
        }
        if is_any_unknown {
            self.refresh();
        }
        by_leader
    }

    fn take_batches(&self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, ToSend)> {
        let now = self.shared.clock.now();
        let mut accumulator = self.shared.accumulator();
        let mut bytes = 0;
        let mut batches = Vec::new();
        for partition in partitions {
            // A batch is no larger than a request may be, so the first always fits.
            if bytes >= self.shared.config.max_request_bytes {
                break;
            }
            if let Some(batch) = accumulator.take(now, partition) {
                bytes += batch.bytes.len();
                batches.push((partition.clone(), batch));
            }
        }
        batches
    }

    /// Queues a request on the leader's connection, here and not in a task of its own, so that requests leave in the order of the batches.
    async fn send(
        &mut self,
        broker: BrokerId,
        connection: &Connection,
        batches: Vec<(TopicPartition, ToSend)>,
    ) {
        let acks = self.shared.config.acks;
        let sent: Sent = batches.iter().map(|(at, batch)| (at.clone(), batch.order)).collect();
        let request = self.request(&batches);
        let newest = self.shared.accumulator().newest_produce();
        let event: BoxFuture<'static, Event> =
            match submit(connection, acks, newest, &request).await {
                Err(error) => {
                    for (partition, order) in sent {
                        self.answered(&partition, order, unsent(error.clone()));
                    }
                    return;
                }
                Ok(Some(pending)) => Box::pin(async move {
                    let result = pending.response().await;
                    Event::Answered { broker, sent, result }
                }),
                Ok(None) => Box::pin(async move { Event::Fired { broker, sent } }),
            };
        *self.requests.entry(broker).or_default() += 1;
        self.under_way.push(event);
    }

    /// Connects to a broker beside everything else: one that does not answer must not hold up the others.
    fn connect(&mut self, broker: BrokerId) {
        if !self.connecting.insert(broker) {
            return;
        }
        let client = self.shared.client.clone();
        self.under_way.push(Box::pin(async move {
            let result = client.connection(broker).await.map(|_| ());
            Event::Connected { broker, result }
        }));
    }

    /// Puts off the partitions of a broker that cannot be connected to.
    fn postpone_partitions_of(&self, broker: BrokerId) {
        let now = self.shared.clock.now();
        let metadata = self.shared.client.metadata();
        self.shared.accumulator().postpone_all(now, |at| {
            let known = metadata.partition(&at.topic, at.partition);
            known.is_some_and(|known| known.leader == Some(broker))
        });
    }

    fn request(&self, batches: &[(TopicPartition, ToSend)]) -> ProduceRequest {
        let partitions = batches.iter().map(|(at, batch)| {
            (at, PartitionProduceData { index: at.partition, records: Some(batch.bytes.clone()) })
        });
        let topics = by_topic(partitions).into_iter().map(|(name, partition_data)| {
            TopicProduceData { name: name.into(), partition_data, ..TopicProduceData::default() }
        });
        ProduceRequest {
            transactional_id: self.shared.transactional_id.as_ref().map(Into::into),
            acks: self.shared.config.acks.to_wire(),
            timeout_ms: millis(self.shared.config.request_timeout),
            topic_data: topics.collect(),
        }
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Answered { broker, sent, result } => {
                self.one_request_less(broker);
                let answers = sent.into_iter().map(|(partition, order)| {
                    let answer = match &result {
                        Ok(response) => answer_of(response, &partition),
                        Err(error) => Answer::Unknown(error.clone()),
                    };
                    (partition, order, answer)
                });
                for (partition, order, answer) in answers.collect::<Vec<_>>() {
                    self.answered(&partition, order, answer);
                }
            }
            Event::Fired { broker, sent } => {
                self.one_request_less(broker);
                for (partition, order) in sent {
                    let written = Written { base_offset: None, log_append_time: None };
                    self.answered(&partition, order, Answer::Written(written));
                }
            }
            Event::Connected { broker, result } => {
                self.connecting.remove(&broker);
                if result.is_err() {
                    self.postpone_partitions_of(broker);
                    self.refresh();
                }
            }
            // The next attempt shows whether it helped; partitions without a leader are put off anyway.
            Event::Refreshed => self.is_refreshing = false,
            Event::ProducerId(result) => {
                self.is_asking_for_id = false;
                let mut accumulator = self.shared.accumulator();
                match result {
                    Ok((id, epoch)) => accumulator.set_producer_id(id, epoch),
                    Err(error) => accumulator.fail_all(&error),
                }
            }
        }
    }

    fn answered(&mut self, partition: &TopicPartition, order: u64, answer: Answer) {
        let now = self.shared.clock.now();
        if self.shared.accumulator().answered(now, partition, order, answer) {
            self.refresh();
        }
    }

    fn one_request_less(&mut self, broker: BrokerId) {
        if let Some(count) = self.requests.get_mut(&broker) {
            *count = count.saturating_sub(1);
        }
    }

    /// Asks for metadata, one request at a time.
    fn refresh(&mut self) {
        if self.is_refreshing {
            return;
        }
        self.is_refreshing = true;
        let client = self.shared.client.clone();
        let topics: Vec<_> = client.metadata().topics.keys().cloned().collect();
        self.under_way.push(Box::pin(async move {
            let _ = client.refresh_metadata(Topics::Named(&topics)).await;
            Event::Refreshed
        }));
    }

    fn ask_for_producer_id(&mut self) {
        if self.is_asking_for_id || !self.shared.accumulator().needs_producer_id() {
            return;
        }
        self.is_asking_for_id = true;
        let client = self.shared.client.clone();
        self.under_way.push(Box::pin(async move {
            // Any broker gives out ids; the timeout has no meaning without a transaction, but old brokers check it.
            let request =
                InitProducerIdRequest { transaction_timeout_ms: 60_000, ..Default::default() };
            let result = client
                .retry(|| async {
                    let response = client.any_connection().await?.request(&request).await?;
                    Error::check("producer id", response.error_code, None)?;
                    Ok((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)))
                })
                .await;
            Event::ProducerId(result)
        }));
    }

    fn expire(&self) {
        let now = self.shared.clock.now();
        self.shared.accumulator().expire(now);
    }

    /// Waits for the next thing that falls due after `looked_at`.
    fn timer(&self, looked_at: Timestamp) -> impl Future<Output = ()> + use<> {
        let due = self.shared.accumulator().poll_timeout(looked_at);
        let instant = due.map(|due| self.shared.clock.instant_of(due));
        async move {
            match instant {
                Some(instant) => tokio::time::sleep_until(instant.into()).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Gives memory of finished batches back and wakes those who wait for a flush.
    fn give_back(&self) {
        let freed = self.shared.accumulator().take_freed_bytes();
        if freed > 0 {
            self.shared.memory.add_permits(freed);
            self.shared.done.notify_waiters();
        }
    }
}

fn answer_of(response: &ProduceResponse, partition: &TopicPartition) -> Answer {
    let found = response
        .responses
        .iter()
        .filter(|topic| topic.name == partition.topic)
        .flat_map(|topic| &topic.partition_responses)
        .find(|answer| answer.index == partition.partition);
    let Some(answer) = found else {
        return Answer::Refused(
            ErrorCode::UnknownServerError,
            Some("the response does not name the partition".to_owned()),
        );
    };
    if answer.error_code.is_error() {
        let message = answer.error_message.as_ref().map(String::from);
        return Answer::Refused(answer.error_code, message);
    }
    let time = answer.log_append_time_ms;
    Answer::Written(Written {
        base_offset: Offset::from_wire(answer.base_offset),
        log_append_time: (time >= 0).then_some(UnixMillis(time)),
    })
}

fn unsent(error: RequestError) -> Answer {
    if error.is_certainly_unsent() {
        Answer::Unsent(error.into())
    } else {
        // It broke while the request was queued: whether it left is not known.
        Answer::Unknown(error)
    }
}

async fn submit(
    connection: &Connection,
    acks: Acks,
    newest: i16,
    request: &ProduceRequest,
) -> Result<Option<Pending<ProduceRequest>>, RequestError> {
    if acks == Acks::None {
        connection.send_unanswered(request).await?;
        return Ok(None);
    }
    connection.submit_up_to(newest, request, Duration::ZERO).await.map(Some)
}
