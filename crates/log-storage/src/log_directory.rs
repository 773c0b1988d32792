//! A broker's data directory: what it holds beside the logs, and the directories of the partitions.
//!
//! Owns `meta.properties`, `broker-epoch`, `clean-shutdown`, the lock, the checkpoint files and the names of the partition directories. Never deletes a directory at a
//! start: what belongs to nobody is renamed and kept. Every small file is replaced as a whole and durably.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{BrokerEpoch, BrokerId, ClusterId, DirectoryId, TopicId, TopicPartition};

use crate::checkpoints::Checkpoints;
use crate::config::LogConfig;
use crate::disk_reserve::DiskReserve;
use crate::error::{FatalError, FatalHandler, OpenError};
use crate::file_system::{EntryKind, FileLock, FileSystem, read_file, write_aside};
use crate::log::{OpenOptions, ProducerTracking};
use crate::partition_directory::{DELETE, STRAY, parse_name, read_topic_id, write_topic_id};

/// Identity of a data directory (`meta.properties`), written once, when it is formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster that the directory belongs to; `None` while it has joined none.
    pub cluster_id: Option<ClusterId>,
    /// The broker that the directory belongs to.
    pub node_id: BrokerId,
    /// Drawn at formatting.
    pub directory_id: DirectoryId,
    /// Raft node id, drawn at formatting: a wiped broker never votes under its old one.
    pub raft_id: u64,
}

/// Why a data directory cannot be used; the message is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process has it.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A file says something that cannot be.
    #[error("{} is damaged: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: MalformedFile,
    },
    /// The file system refused, or a checkpoint file is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What is wrong with a small file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFile {
    /// A key is missing, or its value is none.
    #[error("no usable {0}")]
    Field(&'static str),
    /// It has another version than ours.
    #[error("version {0:?} is not supported")]
    Version(String),
}

/// One partition directory, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionEntry {
    /// The partition by the directory's name.
    pub partition: TopicPartition,
    /// Topic id of its `partition.metadata`; `None` when that is missing or damaged, so that the directory is nobody's.
    pub topic_id: Option<TopicId>,
    /// The directory.
    pub path: PathBuf,
}

/// A broker's data directory, locked for this process as long as the value lives.
#[derive(Debug)]
pub struct LogDirectory {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    checkpoints: Arc<Checkpoints>,
    reserve: Arc<DiskReserve>,
    fatal: FatalHandler,
    _lock: Box<dyn FileLock>,
}

impl LogDirectory {
    /// Locks a data directory, creating it when it is missing (its parent must exist), and reads the checkpoint files.
    ///
    /// # Errors
    /// [`DirectoryError::Locked`]; [`DirectoryError::Open`].
    pub fn open(
        fs: Arc<dyn FileSystem>,
        path: &Path,
        fatal: FatalHandler,
    ) -> Result<Self, DirectoryError> {
        fs.create_dir(path).map_err(OpenError::io("creating", path))?;
        if let Some(parent) = path.parent() {
            fs.sync_dir(parent).map_err(OpenError::io("fsync", parent))?;
        }
        let lock_path = path.join(LOCK);
        let lock = match fs.lock(&lock_path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(DirectoryError::Locked { path: path.to_owned() });
            }
            lock => lock.map_err(OpenError::io("locking", &lock_path))?,
        };
        let checkpoints = Checkpoints::load(Arc::clone(&fs), path)?;
        let reserve = Arc::new(DiskReserve::new(Arc::clone(&fs), path));
        Ok(Self { fs, path: path.to_owned(), checkpoints, reserve, fatal, _lock: lock })
    }

    /// Returns the directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    /// Returns the checkpoint files.
    #[must_use]
    pub fn checkpoints(&self) -> &Arc<Checkpoints> {
        &self.checkpoints
    }

    /// Returns the reserve that stops data appends.
    #[must_use]
    pub fn reserve(&self) -> &Arc<DiskReserve> {
        &self.reserve
    }

    /// Reads the identity; `None` when the directory is blank.
    ///
    /// # Errors
    /// [`DirectoryError::Malformed`], [`DirectoryError::Open`].
    pub fn meta(&self) -> Result<Option<MetaProperties>, DirectoryError> {
        let path = self.path.join(META);
        let Some(text) = self.read_text(&path)? else {
            return Ok(None);
        };
        parse_meta(&text).map(Some).map_err(|reason| DirectoryError::Malformed { path, reason })
    }

    /// Writes the identity durably.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn write_meta(&self, meta: &MetaProperties) -> Result<(), FatalError> {
        let mut text = String::from("#\nversion=1\n");
        if let Some(cluster_id) = &meta.cluster_id {
            text.push_str(&format!("cluster.id={cluster_id}\n"));
        }
        text.push_str(&format!(
            "node.id={}\ndirectory.id={}\nraft.id={}\n",
            meta.node_id, meta.directory_id, meta.raft_id
        ));
        self.write_text(META, &text)
    }

    /// Reads the broker epoch under which this directory was used last; `None` when it never was.
    ///
    /// # Errors
    /// [`DirectoryError::Malformed`], [`DirectoryError::Open`].
    pub fn broker_epoch(&self) -> Result<Option<BrokerEpoch>, DirectoryError> {
        self.read_epoch(BROKER_EPOCH)
    }

    /// Writes the broker epoch durably: before the first append, truncation or request to be unfenced under it (design 3a.7).
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn write_broker_epoch(&self, epoch: BrokerEpoch) -> Result<(), FatalError> {
        self.write_text(BROKER_EPOCH, &format!("version=1\nepoch={epoch}\n"))
    }

    /// Reads the mark of a clean shutdown and removes it durably, before the first write of a run. Returns the broker epoch of the run that ended
    /// cleanly.
    ///
    /// # Errors
    /// [`DirectoryError::Malformed`], [`DirectoryError::Open`].
    pub fn take_clean_shutdown(&self) -> Result<Option<BrokerEpoch>, DirectoryError> {
        let epoch = self.read_epoch(CLEAN_SHUTDOWN)?;
        if epoch.is_some() {
            let path = self.path.join(CLEAN_SHUTDOWN);
            self.fs.remove_file(&path).map_err(OpenError::io("removing", &path))?;
            self.fs.sync_dir(&self.path).map_err(OpenError::io("fsync", &self.path))?;
        }
        Ok(epoch)
    }

    /// Leaves the mark of a clean shutdown, once all logs are flushed and checkpointed.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn write_clean_shutdown(&self, epoch: BrokerEpoch) -> Result<(), FatalError> {
        self.write_text(CLEAN_SHUTDOWN, &format!("version=1\nepoch={epoch}\n"))
    }

    /// Lists the partition directories, ordered by name. Stray ones and those that are being removed are left out.
    ///
    /// # Errors
    /// [`DirectoryError::Open`].
    pub fn partitions(&self) -> Result<Vec<PartitionEntry>, DirectoryError> {
        let entries = self.fs.list(&self.path).map_err(OpenError::io("listing", &self.path))?;
        let mut found = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
            if let Some(partition) = parse_name(&entry.name) {
                let path = self.path.join(&entry.name);
                let topic_id = match read_topic_id(self.fs.as_ref(), &path) {
                    Ok(topic_id) => Some(topic_id),
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::InvalidData
                        ) =>
                    {
                        None
                    }
                    Err(error) => return Err(OpenError::io("reading", &path)(error).into()),
                };
                found.push(PartitionEntry { partition, topic_id, path });
            }
        }
        Ok(found)
    }

    /// Returns the path of a partition's directory.
    #[must_use]
    pub fn partition_path(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(partition.to_string())
    }

    /// Creates the directories of some partitions with their `partition.metadata`, durably, as one group: one sync of this directory for all. One that exists
    /// must belong to the same topic. Blocks.
    ///
    /// # Errors
    /// [`OpenError::Stray`] when a directory belongs to another topic, or to none that can be read and is not empty; [`OpenError::Io`].
    pub fn create_partitions(
        &self,
        partitions: &[(TopicPartition, TopicId)],
    ) -> Result<(), OpenError> {
        for (partition, topic_id) in partitions {
            let path = self.partition_path(partition);
            self.fs.create_dir(&path).map_err(OpenError::io("creating", &path))?;
            self.adopt(&path, *topic_id)?;
        }
        if partitions.is_empty() {
            return Ok(());
        }
        self.fs.sync_dir(&self.path).map_err(OpenError::io("fsync", &self.path))
    }

    fn adopt(&self, path: &Path, topic_id: TopicId) -> Result<(), OpenError> {
        let fs = self.fs.as_ref();
        let stray = |reason| Err(OpenError::Stray { path: path.to_owned(), reason });
        match read_topic_id(fs, path) {
            Ok(found) if found == topic_id => return Ok(()),
            Ok(found) => return stray(format!("its topic id is {found}, expected {topic_id}")),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
            {
                // A crash may have left the directory alone, or with a file that was not synced: there is no data then.
                let entries = fs.list(path).map_err(OpenError::io("listing", path))?;
                if entries.iter().any(|entry| entry.name.ends_with(".log")) {
                    return stray("it has data and no topic id".to_owned());
                }
            }
            Err(error) => return Err(OpenError::io("reading", path)(error)),
        }
        write_topic_id(fs, path, topic_id).map_err(OpenError::io("writing", path))?;
        fs.sync_dir(path).map_err(OpenError::io("fsync", path))
    }

    /// Returns how the log of a partition of this directory is opened.
    #[must_use]
    pub fn open_options(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: model::UnixMillis,
    ) -> OpenOptions {
        OpenOptions {
            config,
            checkpoint: self.checkpoints.register(partition.clone(), topic_id),
            producers: ProducerTracking::Tracked,
            reserve: Some(Arc::clone(&self.reserve)),
            fatal: self.fatal.clone(),
            now,
        }
    }

    /// Returns how the Raft log in this directory is opened: no producers, and the reserve is its own to use. Its directory is `__cluster_metadata-0`.
    #[must_use]
    pub fn raft_log_options(&self, now: model::UnixMillis) -> OpenOptions {
        let partition = TopicPartition { topic: RAFT_TOPIC.to_owned(), partition: 0 };
        OpenOptions {
            producers: ProducerTracking::Untracked,
            reserve: None,
            ..self.open_options(&partition, RAFT_TOPIC_ID, LogConfig::for_raft_log(), now)
        }
    }

    /// Returns the partition whose directory holds the Raft log, and its topic id (Kafka's reserved one).
    #[must_use]
    pub fn raft_partition() -> (TopicPartition, TopicId) {
        (TopicPartition { topic: RAFT_TOPIC.to_owned(), partition: 0 }, RAFT_TOPIC_ID)
    }

    /// Renames a partition's directory to a stray one, durably; its checkpoint entries are forgotten. Returns the new path.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn make_stray(&self, entry: &PartitionEntry) -> Result<PathBuf, FatalError> {
        self.set_aside(entry, STRAY)
    }

    /// Renames a partition's directory so that it is no partition's any more, durably; its checkpoint entries are forgotten. What it holds is removed by
    /// [`LogDirectory::remove_deleted`], on a storage thread.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn delete_partition(&self, entry: &PartitionEntry) -> Result<PathBuf, FatalError> {
        self.set_aside(entry, DELETE)
    }

    /// Removes the directories that were renamed by [`LogDirectory::delete_partition`], in this run or an earlier one. One that cannot be removed is left
    /// for the next call.
    pub fn remove_deleted(&self) {
        let entries = match self.fs.list(&self.path) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(path = ?self.path, %error, "data directory cannot be listed");
                return;
            }
        };
        let deleted = |name: &str| name.ends_with(DELETE) && parse_name(name).is_none();
        for entry in entries.iter().filter(|entry| deleted(&entry.name)) {
            let path = self.path.join(&entry.name);
            if let Err(error) = self.fs.remove_dir_all(&path) {
                tracing::warn!(path = ?path, %error, "deleted partition cannot be removed");
            }
        }
    }

    fn set_aside(&self, entry: &PartitionEntry, suffix: &str) -> Result<PathBuf, FatalError> {
        let failed = |error| FatalError::new("renaming", &entry.path, error);
        let mut name = entry.partition.to_string();
        // Topic names are ASCII; the rest of a longest one makes room for id, number and suffix.
        name.truncate(MAX_NAME_BYTES);
        let topic_id = entry.topic_id.unwrap_or_default();
        let mut number = 0_u32;
        let target = loop {
            let target = self.path.join(format!("{name}.{topic_id}.{number}{suffix}"));
            if !self.fs.exists(&target).map_err(failed)? {
                break target;
            }
            number += 1;
        };
        self.fs.rename(&entry.path, &target).map_err(failed)?;
        self.fs
            .sync_dir(&self.path)
            .map_err(|error| FatalError::new("fsync", &self.path, error))?;
        if let Some(topic_id) = entry.topic_id {
            self.checkpoints.remove(&entry.partition, topic_id);
            self.checkpoints.persist()?;
        }
        Ok(target)
    }

    fn read_epoch(&self, name: &str) -> Result<Option<BrokerEpoch>, DirectoryError> {
        let path = self.path.join(name);
        let Some(text) = self.read_text(&path)? else {
            return Ok(None);
        };
        let fields = properties(&text);
        let epoch = check_version(&fields)
            .and_then(|()| field(&fields, "epoch"))
            .map_err(|reason| DirectoryError::Malformed { path, reason })?;
        Ok(Some(BrokerEpoch(epoch)))
    }

    fn read_text(&self, path: &Path) -> Result<Option<String>, DirectoryError> {
        match read_file(self.fs.as_ref(), path, MAX_SMALL_FILE_BYTES) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io("reading", path)(error).into()),
        }
    }

    fn write_text(&self, name: &str, text: &str) -> Result<(), FatalError> {
        let path = self.path.join(name);
        write_aside(self.fs.as_ref(), &path, text.as_bytes())
            .map_err(|error| FatalError::new("writing", &path, error))
    }
}

fn parse_meta(text: &str) -> Result<MetaProperties, MalformedFile> {
    let fields = properties(text);
    check_version(&fields)?;
    Ok(MetaProperties {
        cluster_id: fields.get("cluster.id").map(|text| ClusterId((*text).to_owned())),
        node_id: BrokerId(field(&fields, "node.id")?),
        directory_id: field(&fields, "directory.id")?,
        raft_id: field(&fields, "raft.id")?,
    })
}

/// Reads lines of `key=value`; others are comments.
fn properties(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect()
}

fn check_version(fields: &BTreeMap<&str, &str>) -> Result<(), MalformedFile> {
    match fields.get("version") {
        Some(&"1") => Ok(()),
        Some(other) => Err(MalformedFile::Version((*other).to_owned())),
        None => Err(MalformedFile::Field("version")),
    }
}

fn field<T: std::str::FromStr>(
    fields: &BTreeMap<&str, &str>,
    name: &'static str,
) -> Result<T, MalformedFile> {
    fields.get(name).and_then(|text| text.parse().ok()).ok_or(MalformedFile::Field(name))
}

const META: &str = "meta.properties";
const BROKER_EPOCH: &str = "broker-epoch";
const CLEAN_SHUTDOWN: &str = "clean-shutdown";
const LOCK: &str = ".lock";
const RAFT_TOPIC: &str = "__cluster_metadata";
const RAFT_TOPIC_ID: TopicId = TopicId(uuid::Uuid::from_u128(1));
const MAX_SMALL_FILE_BYTES: u64 = 65_536;
const MAX_NAME_BYTES: usize = 200;

#[cfg(test)]
mod tests;
