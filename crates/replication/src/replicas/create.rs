//! Replicas that come and go while the broker runs. Directories are made and deleted on storage threads; the image applier never waits for a disk.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use log_storage::Log;
use model::{TopicIdPartition, TopicPartition};

use super::open::open_options;
use super::{Pending, Replicas};
use crate::image_update::AssignedPartition;
use crate::partition_handle::PartitionHandle;
use crate::storage::partition_directory::{self as directory, LostMark};

impl Replicas {
    /// Creates replicas in the background, in groups whose directory entries are synced together.
    pub(super) fn create(self: &Arc<Self>, new: Vec<AssignedPartition>) {
        let mut ready = Vec::with_capacity(new.len());
        {
            let mut pending = self.pending();
            for assigned in new {
                let (id, name) = (assigned.id, name_of(&assigned));
                pending.creating.insert(id, assigned);
                match pending.deleting.get_mut(&name) {
                    Some(waiting) => waiting.push(id),
                    None => ready.push((id, name)),
                }
            }
        }
        for group in ready.chunks(GROUP) {
            let me = Arc::clone(self);
            let group = group.to_vec();
            self.local.host.storage.run_job(move || me.create_group(&group));
        }
    }

    fn create_group(self: &Arc<Self>, group: &[(TopicIdPartition, TopicPartition)]) {
        let storage = &self.local.host.storage;
        let (mut made, mut without_room) = (Vec::with_capacity(group.len()), Vec::new());
        for (id, name) in group {
            if !self.is_wanted(id) {
                self.free_name(name);
                continue;
            }
            let path = storage.data_dir.join(name.to_string());
            // Values of a directory that went missing say nothing about this one.
            storage.checkpoints.remove(name, id.topic_id);
            let (fs, data_dir) = (storage.fs.as_ref(), &storage.data_dir);
            match directory::create(fs, data_dir, &path, id.topic_id) {
                Ok(()) => made.push((*id, name.clone())),
                Err(error) if directory::is_out_of_space(&error) => {
                    without_room.push((*id, name.clone()));
                }
                Err(error) => return storage.failed("creating", &path, error),
            }
        }
        if !without_room.is_empty() {
            self.try_again(without_room);
        }
        // Nothing to sync: a full disk is left alone.
        if !made.is_empty()
            && let Err(error) = storage.fs.sync_dir(&storage.data_dir)
        {
            return storage.failed("syncing", &storage.data_dir, error);
        }
        self.created(self.open_new(&made));
    }

    /// Opens the logs of directories that were just created.
    fn open_new(
        self: &Arc<Self>,
        group: &[(TopicIdPartition, TopicPartition)],
    ) -> Vec<Arc<PartitionHandle>> {
        let storage = &self.local.host.storage;
        let mut partitions = Vec::with_capacity(group.len());
        for (id, name) in group {
            let path = storage.data_dir.join(name.to_string());
            let options = open_options(storage, name, *id, self.local.host.clock.wall());
            match Log::open(storage.fs.clone(), &path, options) {
                Ok((log, _)) => {
                    let mark = LostMark::Absent;
                    partitions.push(self.new_partition(*id, name.clone(), log, mark));
                }
                Err(error) => {
                    tracing::error!(partition = %name, path = %path.display(), error = &error as &dyn Error, "a new log cannot be opened: this broker has no replica of the partition until it is started again");
                    let mut pending = self.pending();
                    pending.without_room.remove(id);
                    let is_wanted = pending.creating.remove(id).is_some();
                    drop(pending);
                    if !is_wanted {
                        self.delete(*id, name, &path);
                    }
                }
            }
        }
        partitions
    }

    /// Creates replicas that found no room on the disk once more, after a pause: until it has room, and for as long as they are wanted.
    fn try_again(self: &Arc<Self>, group: Vec<(TopicIdPartition, TopicPartition)>) {
        let Some(running) = self.local.running() else { return };
        {
            let mut pending = self.pending();
            let Pending { creating, without_room, .. } = &mut *pending;
            let news: Vec<_> = group
                .iter()
                .filter(|(id, _)| creating.contains_key(id) && without_room.insert(*id))
                .map(|(_, name)| name.to_string())
                .collect();
            if !news.is_empty() {
                let data_dir = self.local.host.storage.data_dir.display();
                tracing::error!(partitions = ?news, %data_dir, "the disk has no room for new replicas: they stay offline and are created as soon as there is room; delete topics or enlarge the disk");
            }
        }
        let (me, stop) = (Arc::clone(self), running.stop.clone());
        let again = async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(NO_ROOM_PAUSE) => {}
            }
            let storage = Arc::clone(&me.local.host);
            storage.storage.run_job(move || me.create_group(&group));
        };
        running.tasks.spawn_on(again, &running.runtime);
    }

    fn is_wanted(&self, id: &TopicIdPartition) -> bool {
        self.pending().creating.contains_key(id)
    }

    /// Puts new replicas into the map and steps the newest image that came for each meanwhile.
    ///
    /// One that leads is stepped before it can be found, so that no producer is sent away by a replica that has not heard of its leadership yet. One that follows can be found
    /// before it is stepped: a stream that opens meanwhile tells those that it finds, and a leader that none of them follows loses its stream.
    fn created(self: &Arc<Self>, partitions: Vec<Arc<PartitionHandle>>) {
        // Under the lock, so that an image is either handed over here or finds the replica in the map.
        let mut pending = self.pending();
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for partition in partitions {
            pending.without_room.remove(&partition.id());
            match pending.creating.remove(&partition.id()) {
                Some(assigned) => wanted.push((partition, assigned)),
                None => unwanted.push(partition),
            }
        }
        let own = self.local.id();
        let (leading, others): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|(_, assigned)| assigned.metadata.leader == Some(own));
        for (partition, assigned) in leading {
            partition.metadata_changed(assigned.metadata.clone(), &assigned.config);
        }
        let visible: Vec<_> = wanted.iter().map(|(partition, _)| Arc::clone(partition)).collect();
        self.local.add_partitions(&visible);
        for (partition, assigned) in others {
            partition.metadata_changed(assigned.metadata.clone(), &assigned.config);
        }
        drop(pending);
        for (partition, _) in &wanted {
            self.streams.partition_added(partition);
        }
        for partition in unwanted {
            partition.remove().run();
            self.delete(partition.id(), partition.name(), &partition.directory());
        }
        self.created.notify_waiters();
    }

    /// Stops a replica and deletes its directory.
    pub(super) fn remove(self: &Arc<Self>, id: TopicIdPartition) {
        let mut pending = self.pending();
        // A creation that is under way finds itself unwanted when it is done, and deletes what it made.
        if let Some(assigned) = pending.creating.remove(&id) {
            pending.without_room.remove(&id);
            let name = name_of(&assigned);
            // One that still waits for the name has made nothing.
            let waits = pending.deleting.get_mut(&name).is_some_and(|waiting| {
                let before = waiting.len();
                waiting.retain(|waiting| *waiting != id);
                waiting.len() < before
            });
            if !waits {
                pending.deleting.insert(name, Vec::new());
            }
            drop(pending);
            self.created.notify_waiters();
            return;
        }
        let Some(partition) = self.local.partition(&id) else { return };
        pending.deleting.insert(partition.name().clone(), Vec::new());
        drop(pending);
        self.local.remove_partition(&id);
        let retirement = partition.remove();
        self.streams.partition_removed(&partition);
        let me = Arc::clone(self);
        self.local.host.storage.run_job(move || {
            // A checkpoint that is under way writes files by their names, and another topic may get the name next.
            retirement.run();
            me.delete(id, partition.name(), &partition.directory());
        });
    }

    /// Deletes a directory; then its name is free for those that wait for it.
    fn delete(self: &Arc<Self>, id: TopicIdPartition, name: &TopicPartition, path: &Path) {
        let storage = &self.local.host.storage;
        storage.checkpoints.remove(name, id.topic_id);
        if let Err(error) = storage.checkpoints.persist() {
            return storage.fatal(&error);
        }
        let deleted = directory::delete(storage.fs.as_ref(), &storage.data_dir, path, id.topic_id);
        if let Err(error) = deleted {
            return storage.failed("deleting", path, error);
        }
        self.free_name(name);
    }

    /// Lets those have a name that wait for it.
    fn free_name(self: &Arc<Self>, name: &TopicPartition) {
        let waiting = {
            let mut pending = self.pending();
            let ids = pending.deleting.remove(name).unwrap_or_default();
            ids.into_iter().filter(|id| pending.creating.contains_key(id)).collect::<Vec<_>>()
        };
        if !waiting.is_empty() {
            let group: Vec<_> = waiting.into_iter().map(|id| (id, name.clone())).collect();
            self.create_group(&group);
        }
    }
}

fn name_of(assigned: &AssignedPartition) -> TopicPartition {
    TopicPartition { topic: assigned.topic.to_string(), partition: assigned.id.partition }
}

/// Directories that are created with one sync of the data directory.
const GROUP: usize = 32;

/// How long a replica that found no room on the disk waits before it is created once more.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(1);
