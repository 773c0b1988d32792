//! Carries a coordinator's markers to the leaders of their partitions, until each partition has its own.
//!
//! Each marker goes its own way, so that one partition that cannot write holds up no other; on the way to a broker they are batched. Invariant: a partition is told to have
//! its marker only when the marker is committed there, or the partition is gone with its topic.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use controller::Controller;
use coordinator::runtime::{Asker, TransactionCoordinator, TransactionOutlet};
use coordinator::transaction::{MarkersToWrite, WrittenMarkers};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::{BrokerId, ErrorCode, PartitionEpoch, TopicIdPartition, TopicPartition};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{Links, LocalPartitions, Marker, wire};
use crate::producer_ids::ProducerIds;

/// Carries what transaction coordinators wish.
#[derive(Debug)]
pub(crate) struct Carrier {
    road: Arc<Road>,
    producer_ids: Arc<ProducerIds>,
    /// Who is told; set once, since each needs the other.
    coordinator: OnceLock<Arc<TransactionCoordinator>>,
    tasks: TaskTracker,
    runtime: Handle,
}

/// The way to a partition.
#[derive(Debug)]
struct Road {
    controller: Controller,
    local: LocalPartitions,
    links: Arc<Links>,
}

impl Carrier {
    /// Makes a carrier that runs on the current runtime.
    pub(crate) fn new(
        controller: Controller,
        local: LocalPartitions,
        links: Arc<Links>,
        producer_ids: Arc<ProducerIds>,
        tasks: TaskTracker,
    ) -> Self {
        let road = Arc::new(Road { controller, local, links });
        let runtime = Handle::current();
        Self { road, producer_ids, coordinator: OnceLock::new(), tasks, runtime }
    }

    /// Names the coordinator that the carrier works for, before that is told of any election.
    pub(crate) fn serve(&self, coordinator: Arc<TransactionCoordinator>) {
        // There is one coordinator, and it is named once.
        let _ = self.coordinator.set(coordinator);
    }

    /// Runs work for a leadership, until its end at the latest.
    fn spawn<F>(&self, asker: Asker, work: impl FnOnce(Arc<TransactionCoordinator>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(coordinator) = self.coordinator.get() else { return };
        let Some(ended) = coordinator.ended(asker.leadership()) else { return };
        let work = work(Arc::clone(coordinator));
        let task = async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = work => {}
            }
        };
        self.tasks.spawn_on(task, &self.runtime);
    }
}

impl TransactionOutlet for Carrier {
    fn write_markers(&self, asker: Asker, markers: Vec<MarkersToWrite>) {
        for markers in markers {
            let road = Arc::clone(&self.road);
            self.spawn(asker, |coordinator| async move {
                carry(&road, &coordinator, asker, markers).await;
            });
        }
    }

    fn draw_producer_id(&self, asker: Asker) {
        let producer_ids = Arc::clone(&self.producer_ids);
        self.spawn(asker, |coordinator| async move {
            let mut pause = FIRST_PAUSE;
            loop {
                match producer_ids.next().await {
                    Ok(id) => return coordinator.producer_id_drawn(asker, id),
                    Err(error) => tracing::debug!("no producer id yet: {error}"),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }
}

/// Carries the markers of one transaction, and tells the coordinator of those that are written, as they come.
async fn carry(
    road: &Road,
    coordinator: &TransactionCoordinator,
    asker: Asker,
    markers: MarkersToWrite,
) {
    let MarkersToWrite { transactional_id, decision, producer, result, version, partitions } =
        markers;
    let marker = Marker {
        producer,
        result,
        coordinator_epoch: asker.leadership().leader_epoch,
        version: wire::version(version),
    };
    let ways = partitions.into_iter().map(|partition| async move {
        road.carry_to(&partition, marker).await;
        partition
    });
    let ways: FuturesUnordered<_> = ways.collect();
    let mut written = ways.ready_chunks(MAX_TOLD);
    while let Some(partitions) = written.next().await {
        let transactional_id = transactional_id.clone();
        let written = WrittenMarkers { transactional_id, decision, partitions };
        coordinator.markers_written(asker, written);
    }
}

/// Where a partition is led, as far as this broker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// There is no such topic, or it has no such partition.
    Gone,
    /// It has no leader now.
    Leaderless,
    /// With the epoch that grows when anything about it changes: its leader, or who is in sync.
    At(TopicIdPartition, BrokerId, PartitionEpoch),
}

impl Road {
    /// Returns when the partition has the marker, or is gone.
    async fn carry_to(&self, partition: &TopicPartition, marker: Marker) {
        let mut pause = FIRST_PAUSE;
        let mut gone_before = false;
        loop {
            let place = self.place_of(partition);
            let error = match place {
                Place::Gone if gone_before => return,
                Place::Gone => {
                    // This broker may have been elected before it heard of a topic that its predecessor knew.
                    gone_before = true;
                    let _ = tokio::time::timeout(NEWS, self.until_moved(partition, place)).await;
                    continue;
                }
                Place::Leaderless => ErrorCode::LeaderNotAvailable,
                Place::At(id, leader, _) => match self.write(id, leader, marker).await {
                    ErrorCode::None => return,
                    // Only a marker of a later epoch can have ended this transaction there already: an operator's, or this one's former copy.
                    ErrorCode::InvalidProducerEpoch => {
                        tracing::warn!(%partition, producer = %marker.producer, "a partition has a later marker than that of its transaction");
                        return;
                    }
                    error => error,
                },
            };
            gone_before = false;
            if error == ErrorCode::TransactionCoordinatorFenced {
                tracing::warn!(%partition, producer = %marker.producer, "a marker was refused: the partition has heard of a later coordinator");
                pause = LONGEST_PAUSE;
            }
            // What has moved, or has other replicas in sync, is asked at once; what could only not write, after a while.
            let _ = tokio::time::timeout(pause, self.until_moved(partition, place)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn write(&self, id: TopicIdPartition, leader: BrokerId, marker: Marker) -> ErrorCode {
        if leader == self.controller.broker_id() {
            return self.local.write(id, marker).await;
        }
        self.links.write(leader, id, marker).await
    }

    fn place_of(&self, partition: &TopicPartition) -> Place {
        let image = self.controller.image();
        let Some(topic_id) = image.topic_id(&partition.topic) else { return Place::Gone };
        let id = TopicIdPartition { topic_id, partition: partition.partition };
        let Some(state) = image.partition(id) else { return Place::Gone };
        match state.leader {
            Some(leader) => Place::At(id, leader, state.partition_epoch),
            None => Place::Leaderless,
        }
    }

    /// Waits until the partition is elsewhere than it was, or otherwise in sync.
    async fn until_moved(&self, partition: &TopicPartition, was: Place) {
        loop {
            // Read before the image, which may be ahead of it and never behind.
            let next = self.controller.applied_index().map_or(0, |index| index + 1);
            if self.place_of(partition) != was || self.controller.wait_for(next).await.is_err() {
                return;
            }
        }
    }
}

/// The first pause after a partition could not write; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a topic must be unknown before its partitions count as gone.
const NEWS: Duration = Duration::from_secs(1);

/// Most partitions that a coordinator is told of at once.
const MAX_TOLD: usize = 1_000;
