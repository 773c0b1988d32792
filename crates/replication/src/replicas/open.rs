//! The start: all logs of the data directory are opened and checked before the broker registers, and taken over once it has.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;

use log_storage::{Corruption, Log, LogConfig, OpenError, OpenOptions, ProducerTracking};
use model::{TopicIdPartition, TopicPartition, UnixMillis};

use super::{OpenReplicasError, Replicas};
use crate::image_update::{AssignedPartition, DirectoryProof, ImageUpdate, PartitionChange};
use crate::storage::Storage;
use crate::storage::partition_directory::{self as directory, Found, LostMark};

/// A log that waits for its broker's registration.
#[derive(Debug)]
pub(super) struct OpenedReplica {
    name: TopicPartition,
    path: PathBuf,
    log: Log,
    corruption: Option<Corruption>,
    mark: LostMark,
}

/// Opens all logs, `threads` at once, and judges what the disk holds.
pub(super) fn open_all(
    storage: &Storage,
    threads: usize,
    now: UnixMillis,
) -> Result<(HashMap<TopicIdPartition, OpenedReplica>, DirectoryProof), OpenReplicasError> {
    let unreadable =
        |source| OpenReplicasError::Directory { path: storage.data_dir.clone(), source };
    let found = directory::scan(storage.fs.as_ref(), &storage.data_dir).map_err(unreadable)?;
    // Read before any log registers itself.
    let entries = storage.checkpoints.entries();
    let queue = Mutex::new(found.into_iter());
    let mut opened: Vec<Result<OpenedOne, OpenError>> = Vec::new();
    let results = Mutex::new(&mut opened);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("a panic ends the process").next();
                    let Some(found) = next else { return };
                    let result = open_one(storage, found, now);
                    results.lock().expect("a panic ends the process").push(result);
                }
            });
        }
    });
    let mut replicas = HashMap::new();
    let mut proof = DirectoryProof::default();
    for result in opened {
        let OpenedOne { id, replica, is_lost } = result?;
        proof.present.insert(id);
        if is_lost {
            tracing::error!(partition = %replica.name, corruption = ?replica.corruption, "this replica lost data that it had flushed: it leaves the in-sync replicas, and is fetched again where another one leads");
            proof.lost.insert(id);
        }
        replicas.insert(id, replica);
    }
    for entry in entries {
        let id =
            TopicIdPartition { topic_id: entry.topic_id, partition: entry.partition.partition };
        if !proof.present.contains(&id) {
            tracing::error!(partition = %entry.partition, "a checkpoint names this replica, and its directory is missing: it leaves the in-sync replicas");
            proof.lost.insert(id);
        }
    }
    Ok((replicas, proof))
}

struct OpenedOne {
    id: TopicIdPartition,
    replica: OpenedReplica,
    is_lost: bool,
}

fn open_one(storage: &Storage, found: Found, now: UnixMillis) -> Result<OpenedOne, OpenError> {
    let Found { partition: name, topic_id, path, mark, damaged_from } = found;
    let id = TopicIdPartition { topic_id, partition: name.partition };
    let options = open_options(storage, &name, id, now);
    let (log, recovery) = Log::open(storage.fs.clone(), &path, options)?;
    let is_lost = log.log_end_offset() < recovery.high_watermark
        || recovery.corruption.is_some()
        || mark == LostMark::Present;
    let remembered = damaged_from.map(|offset| Corruption {
        offset: offset.clamp(log.log_start_offset(), log.log_end_offset()),
        reason: "the run before found it damaged".to_owned(),
    });
    let corruption = [recovery.corruption, remembered]
        .into_iter()
        .flatten()
        .min_by_key(|corruption| corruption.offset);
    let replica = OpenedReplica { name, path, log, corruption, mark };
    Ok(OpenedOne { id, replica, is_lost })
}

/// How a partition's log is opened. Its own configuration follows with its first image.
pub(super) fn open_options(
    storage: &Storage,
    name: &TopicPartition,
    id: TopicIdPartition,
    now: UnixMillis,
) -> OpenOptions {
    OpenOptions {
        config: LogConfig::default(),
        checkpoint: storage.checkpoints.register(name.clone(), id.topic_id),
        producers: ProducerTracking::Tracked,
        reserve: Some(storage.reserve.clone()),
        fatal: storage.fatal_handler.clone(),
        now,
    }
}

impl Replicas {
    /// Takes over the opened logs that the image assigns to this broker, and sets the others aside.
    pub(super) fn adopt_opened(&self, image: &ImageUpdate) {
        let mut opened = {
            let mut opened = self.opened.lock().expect("a panic ends the process");
            std::mem::take(&mut *opened)
        };
        for change in &image.partitions {
            let PartitionChange::Assigned(assigned) = change else { continue };
            if opened
                .get(&assigned.id)
                .is_some_and(|replica| *replica.name.topic == *assigned.topic)
                && let Some(replica) = opened.remove(&assigned.id)
            {
                self.adopt(assigned, replica);
            }
        }
        let storage = &self.local.host.storage;
        let strays: BTreeMap<_, _> = opened.into_iter().collect();
        for (id, replica) in strays {
            drop(replica.log);
            storage.checkpoints.remove(&replica.name, id.topic_id);
            let moved = directory::set_aside(storage.fs.as_ref(), &storage.data_dir, &replica.path);
            if let Err(error) = moved {
                storage.failed("renaming", &replica.path, error);
            }
        }
    }

    /// Takes an opened log over. A damaged one is cut where the damage begins, but only once this replica is out of the ISR and another leads: until then
    /// what lies behind the damage may be the only copy there is, and it stays as it was found.
    pub(super) fn adopt(&self, assigned: &AssignedPartition, mut replica: OpenedReplica) {
        let own = self.local.id();
        let metadata = &assigned.metadata;
        let can_be_fetched =
            !metadata.isr.contains(&own) && metadata.leader.is_some_and(|leader| leader != own);
        if let Some(corruption) = &replica.corruption {
            if !can_be_fetched {
                let offset = corruption.offset;
                tracing::error!(partition = %replica.name, %offset, "a damaged replica stays offline until another one leads");
                self.pending().damaged.insert(assigned.id, replica);
                return;
            }
            if let Err(error) = replica.log.truncate_to(corruption.offset) {
                self.local.host.storage.fatal(&error);
                return;
            }
        }
        if replica.mark == LostMark::Present && replica.corruption.is_some() {
            self.local.host.storage.remove_lost_mark(&replica.path);
            replica.mark = LostMark::Absent;
        }
        let partition = self.new_partition(assigned.id, replica.name, replica.log, replica.mark);
        self.local.add_partitions(&[partition]);
    }
}
