//! The directories of partitions in a data directory: their names, whose they are, how they come and go.
//!
//! `partition.metadata` names the topic id and decides (design rule 3a.12): a directory of another topic is renamed `-stray` and kept, never adopted, never deleted.

use std::io;
use std::path::{Path, PathBuf};

use log_storage::file_system::{EntryKind, FileSystem, read_file, write_aside};
use model::topic::validate_topic_name;
use model::{Offset, TopicId, TopicPartition};

/// A directory of a partition, as a start finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) path: PathBuf,
    /// Whether a running replica had given itself up.
    pub(crate) mark: LostMark,
    /// Where the damage begins that the mark names: a start does not look below the flush point and would not find it again.
    pub(crate) damaged_from: Option<Offset>,
}

/// Whether a lost mark lies beside a partition (design rule 3a.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostMark {
    Absent,
    Present,
}

/// Lists the partitions of a data directory. What a deletion left behind is removed; what has no legible `partition.metadata` becomes stray.
pub(crate) fn scan(fs: &dyn FileSystem, data_dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs.list(data_dir)? {
        if entry.kind != EntryKind::Directory {
            continue;
        }
        let path = data_dir.join(&entry.name);
        if entry.name.ends_with(DELETE_SUFFIX) {
            fs.remove_dir_all(&path)?;
            continue;
        }
        let Some(partition) = parse_name(&entry.name) else { continue };
        match read_topic_id(fs, &path)? {
            Some(topic_id) => {
                let (mark, damaged_from) = read_lost_mark(fs, &path)?;
                found.push(Found { partition, topic_id, path, mark, damaged_from });
            }
            None => set_aside(fs, data_dir, &path)?,
        }
    }
    Ok(found)
}

/// Creates a partition's directory with its `partition.metadata`; durable once the data directory was synced. One of another topic that has the name is set aside.
pub(crate) fn create(
    fs: &dyn FileSystem,
    data_dir: &Path,
    path: &Path,
    topic_id: TopicId,
) -> io::Result<()> {
    if fs.exists(path)? && read_topic_id(fs, path)? != Some(topic_id) {
        set_aside(fs, data_dir, path)?;
    }
    let is_new = !fs.exists(path)?;
    fs.create_dir(path)?;
    let text = format!("version: 0\ntopic_id: {topic_id}\n");
    let named = write_aside(fs, &path.join(PARTITION_METADATA), text.as_bytes());
    if is_new && named.as_ref().is_err_and(is_out_of_space) {
        // Nothing is in it yet. One that stays all the same is set aside by the next attempt.
        let _ = fs.remove_dir_all(path);
    }
    named
}

/// Says whether an operation failed for want of room alone, so that it may succeed another time.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Renames a directory so that no partition is found in it any more.
pub(crate) fn set_aside(fs: &dyn FileSystem, data_dir: &Path, path: &Path) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("partition");
    let mut target = data_dir.join(format!("{name}{STRAY_SUFFIX}"));
    let mut count = 1;
    while fs.exists(&target)? {
        target = data_dir.join(format!("{name}.{count}{STRAY_SUFFIX}"));
        count += 1;
    }
    tracing::warn!(directory = %path.display(), renamed = %target.display(), "a directory belongs to no partition of this broker and was set aside; nothing reads it any more");
    fs.rename(path, &target)?;
    fs.sync_dir(data_dir)
}

/// Deletes a partition's directory: renamed first, durably, so that a crash leaves nothing that looks like a partition.
pub(crate) fn delete(
    fs: &dyn FileSystem,
    data_dir: &Path,
    path: &Path,
    topic_id: TopicId,
) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("partition");
    let target = data_dir.join(format!("{name}.{topic_id}{DELETE_SUFFIX}"));
    fs.rename(path, &target)?;
    fs.sync_dir(data_dir)?;
    fs.remove_dir_all(&target)
}

/// Marks a replica as lost, durably, with the place from which on its bytes are damaged.
pub(crate) fn write_lost_mark(
    fs: &dyn FileSystem,
    path: &Path,
    damaged_from: Option<Offset>,
) -> io::Result<()> {
    let mut text = "version: 0\n".to_owned();
    if let Some(offset) = damaged_from {
        text.push_str(&format!("damaged_from: {offset}\n"));
    }
    write_aside(fs, &path.join(LOST_MARK), text.as_bytes())
}

fn read_lost_mark(fs: &dyn FileSystem, path: &Path) -> io::Result<(LostMark, Option<Offset>)> {
    let bytes = match read_file(fs, &path.join(LOST_MARK), MAX_METADATA_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((LostMark::Absent, None));
        }
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let offset = text.lines().find_map(|line| line.strip_prefix("damaged_from: "));
    let offset = offset.and_then(|offset| offset.parse().ok()).and_then(Offset::from_wire);
    Ok((LostMark::Present, offset))
}

/// Takes the mark away, durably.
pub(crate) fn remove_lost_mark(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    match fs.remove_file(&path.join(LOST_MARK)) {
        Ok(()) => fs.sync_dir(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads Kafka's form of a directory's name; `None` for names of other things, the metadata log's among them.
fn parse_name(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let number: i32 = partition.parse().ok()?;
    let is_plain = number >= 0 && number.to_string() == partition;
    let is_ours = is_plain && topic != "__cluster_metadata" && validate_topic_name(topic).is_ok();
    is_ours.then(|| TopicPartition { topic: topic.to_owned(), partition: number })
}

fn read_topic_id(fs: &dyn FileSystem, path: &Path) -> io::Result<Option<TopicId>> {
    let bytes = match read_file(fs, &path.join(PARTITION_METADATA), MAX_METADATA_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id:"));
    Ok(id.and_then(|id| id.trim().parse().ok()))
}

/// Kafka's file that names a directory's topic.
const PARTITION_METADATA: &str = "partition.metadata";

/// Says that the replica gave itself up.
const LOST_MARK: &str = "replica-lost";

const STRAY_SUFFIX: &str = "-stray";
const DELETE_SUFFIX: &str = "-delete";

/// Far above what the file ever holds.
const MAX_METADATA_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use log_storage::OsFileSystem;

    use super::*;

    #[test]
    fn names_of_partitions_are_told_from_others() {
        let partition =
            |topic: &str, partition| Some(TopicPartition { topic: topic.to_owned(), partition });
        assert_eq!(parse_name("a-0"), partition("a", 0));
        assert_eq!(parse_name("a-b-12"), partition("a-b", 12));
        for other in
            ["__cluster_metadata-0", "metadata.sled", "a-00", "a-01", "a", "a-0-stray", "-1"]
        {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_new_partition_never_takes_over_what_another_topic_left_under_its_name() {
        let data_dir = tempfile::tempdir().unwrap();
        let (fs, data_dir) = (OsFileSystem, data_dir.path());
        let path = data_dir.join("a-0");
        create(&fs, data_dir, &path, TopicId::from_bytes([7; 16])).unwrap();
        std::fs::write(path.join("00000000000000000000.log"), "of the old topic").unwrap();
        let create_new = || create(&fs, data_dir, &path, TopicId::from_bytes([8; 16]));
        create_new().unwrap();
        assert!(!path.join("00000000000000000000.log").exists());
        assert!(data_dir.join("a-0-stray/00000000000000000000.log").exists());
        create_new().unwrap();
        assert!(!data_dir.join("a-0.1-stray").exists(), "its own directory stays");
    }

    #[test]
    fn directories_without_a_topic_id_are_set_aside_and_kept() {
        let data_dir = tempfile::tempdir().unwrap();
        let fs = OsFileSystem;
        let topic_id = TopicId::from_bytes([7; 16]);
        create(&fs, data_dir.path(), &data_dir.path().join("a-0"), topic_id).unwrap();
        std::fs::create_dir(data_dir.path().join("b-0")).unwrap();
        std::fs::create_dir(data_dir.path().join("b-0-stray")).unwrap();
        std::fs::create_dir(data_dir.path().join("c-0.x-delete")).unwrap();
        write_lost_mark(&fs, &data_dir.path().join("a-0"), Some(Offset(7))).unwrap();

        let found = scan(&fs, data_dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].topic_id, found[0].mark), (topic_id, LostMark::Present));
        assert_eq!(found[0].damaged_from, Some(Offset(7)));
        write_lost_mark(&fs, &found[0].path, None).unwrap();
        assert_eq!(scan(&fs, data_dir.path()).unwrap()[0].damaged_from, None);
        assert!(data_dir.path().join("b-0.1-stray").exists());
        assert!(!data_dir.path().join("c-0.x-delete").exists());

        remove_lost_mark(&fs, &found[0].path).unwrap();
        delete(&fs, data_dir.path(), &found[0].path, topic_id).unwrap();
        assert_eq!(scan(&fs, data_dir.path()).unwrap(), []);
    }
}
