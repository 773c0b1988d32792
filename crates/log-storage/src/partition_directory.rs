//! Directories of partitions: their names, and `partition.metadata`, which says to which topic one belongs (Kafka's `PartitionMetadataFile`).
//!
//! Owns names and file. Invariant: a directory counts as a partition's only when its file names the topic id; the name alone proves nothing (design 3a.12).

use std::io;
use std::path::Path;

use model::{TopicId, TopicPartition};

use crate::file_system::{FileSystem, OpenMode, read_file};

/// Name of the file.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// Suffix of a directory that belongs to no partition of this broker and is kept.
pub(crate) const STRAY: &str = "-stray";

/// Suffix of a directory that is being removed.
pub(crate) const DELETE: &str = "-delete";

/// Reads the name of a partition's directory; `None` when it is none, a stray or deleted one among them.
pub(crate) fn parse_name(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = is_number && (partition == "0" || !partition.starts_with('0'));
    let partition = canonical.then(|| partition.parse().ok()).flatten()?;
    model::topic::validate_topic_name(topic).ok()?;
    Some(TopicPartition { topic: topic.to_owned(), partition })
}

/// Returns Kafka's text of the file.
pub(crate) fn metadata_text(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}\n")
}

/// Reads the topic id of a partition's directory.
pub(crate) fn read_topic_id(fs: &dyn FileSystem, directory: &Path) -> io::Result<TopicId> {
    let bytes = read_file(fs, &directory.join(PARTITION_METADATA), MAX_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    };
    match (field("version"), field("topic_id").map(str::parse)) {
        (Some("0"), Some(Ok(topic_id))) => Ok(topic_id),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is malformed")),
    }
}

/// Writes the file into a new directory and syncs its content; the names are the caller's to sync.
pub(crate) fn write_topic_id(
    fs: &dyn FileSystem,
    directory: &Path,
    topic_id: TopicId,
) -> io::Result<()> {
    let file = fs.open(&directory.join(PARTITION_METADATA), OpenMode::Truncate)?;
    file.write_at(metadata_text(topic_id).as_bytes(), 0)?;
    file.sync_data()
}

const MAX_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_system::OsFileSystem;

    #[test]
    fn only_kafkas_names_are_partitions() {
        for (name, expected) in [
            ("orders-0", Some(("orders", 0))),
            ("a-b-12", Some(("a-b", 12))),
            ("orders", None),
            ("orders-", None),
            ("orders-01", None),
            ("orders-+1", None),
            ("orders-0-stray", None),
            ("-0", None),
            ("orders-99999999999", None),
            ("metadata.sled", None),
        ] {
            let parsed = parse_name(name);
            let parsed = parsed.as_ref().map(|found| (found.topic.as_str(), found.partition));
            assert_eq!(parsed, expected, "{name}");
        }
    }

    #[test]
    fn the_topic_id_survives_and_anything_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let id = TopicId::from_bytes([7; 16]);
        write_topic_id(&OsFileSystem, directory.path(), id).unwrap();
        assert_eq!(read_topic_id(&OsFileSystem, directory.path()).unwrap(), id);
        for text in [
            "",
            "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n",
            "version: 0\n",
            "version: 0\ntopic_id: x\n",
        ] {
            std::fs::write(directory.path().join(PARTITION_METADATA), text).unwrap();
            assert!(read_topic_id(&OsFileSystem, directory.path()).is_err(), "{text:?}");
        }
    }
}
