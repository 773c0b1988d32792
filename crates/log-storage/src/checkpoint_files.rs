//! The four checkpoint files of a data directory: recovery points, high watermarks, log start offsets, and how far logs are cleaned.
//!
//! Owns their values in memory (one cell per partition, shared with its log) and their text. Kafka's form with a topic id at the end of each line, so that
//! the entry of a deleted topic never counts for a new one of the same name (design 3a.12), a checksum line, and version 1 to tell it from Kafka's 0.
//! Invariant: what a file says of a partition was true when it was written; a value is lowered durably before the bytes that it covers go.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use model::{Offset, TopicId, TopicPartition};

use crate::error::{FatalError, OpenError};
use crate::file_system::{FileSystem, read_file, write_aside};

/// The checkpoint files of one data directory.
#[derive(Debug)]
pub struct Checkpoints {
    fs: Arc<dyn FileSystem>,
    directory: PathBuf,
    cells: Mutex<BTreeMap<TopicPartition, Arc<Cell>>>,
    requested: AtomicU64,
    written: Mutex<Written>,
}

/// One partition's values in the checkpoint files; clones share them.
#[derive(Clone, Debug)]
pub struct PartitionCheckpoint {
    all: Arc<Checkpoints>,
    cell: Arc<Cell>,
}

/// A partition that the files have an entry of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointEntry {
    /// The partition by name.
    pub partition: TopicPartition,
    /// Id of the topic that the values belong to.
    pub topic_id: TopicId,
}

#[derive(Debug)]
struct Cell {
    topic_id: TopicId,
    values: [AtomicI64; 4],
}

/// What the files are known to hold, by value, and up to which request.
#[derive(Debug, Default)]
struct Written {
    request: u64,
    texts: [Option<String>; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    RecoveryPoint = 0,
    HighWatermark = 1,
    LogStart = 2,
    Cleaner = 3,
}

/// Names of the files, in the order of [`Value`] (Kafka's names).
const FILES: [(Value, &str); 4] = [
    (Value::RecoveryPoint, "recovery-point-offset-checkpoint"),
    (Value::HighWatermark, "replication-offset-checkpoint"),
    (Value::LogStart, "log-start-offset-checkpoint"),
    (Value::Cleaner, "cleaner-offset-checkpoint"),
];

impl Checkpoints {
    /// Reads the files of a data directory; missing ones are empty.
    ///
    /// # Errors
    /// [`OpenError::Io`]; a file that is damaged is an error too, as what it said decides how far the logs are trusted.
    pub fn load(fs: Arc<dyn FileSystem>, directory: &Path) -> Result<Arc<Self>, OpenError> {
        // After a kill a name may be in the cache alone: what is read here must not go back with the next power loss.
        fs.sync_dir(directory).map_err(OpenError::io("fsync", directory))?;
        let mut cells: BTreeMap<TopicPartition, Arc<Cell>> = BTreeMap::new();
        for (value, name) in FILES {
            let path = directory.join(name);
            let text = match read_file(fs.as_ref(), &path, MAX_FILE_BYTES) {
                Ok(bytes) => String::from_utf8(bytes).map_err(|_| malformed(1)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => Err(error),
            };
            let entries = match text.and_then(|text| parse(&text)) {
                Ok(entries) => entries,
                // Nothing depends on it but how much is cleaned again.
                Err(error) if value == Value::Cleaner => {
                    tracing::warn!(path = ?path, %error, "the cleaner begins anew");
                    continue;
                }
                Err(error) => return Err(OpenError::io("reading", &path)(error)),
            };
            for (partition, topic_id, offset) in entries {
                let cell = cells.entry(partition).or_insert_with(|| Cell::new(topic_id));
                if cell.topic_id == topic_id {
                    cell.set(value, offset);
                }
            }
        }
        Ok(Arc::new(Self {
            fs,
            directory: directory.to_owned(),
            cells: Mutex::new(cells),
            requested: AtomicU64::new(0),
            written: Mutex::default(),
        }))
    }

    /// Returns the values of a partition, those of the files when they belong to this topic id, else zeros.
    #[must_use]
    pub fn register(
        self: &Arc<Self>,
        partition: TopicPartition,
        topic_id: TopicId,
    ) -> PartitionCheckpoint {
        let mut cells = lock(&self.cells);
        let cell = cells.entry(partition).or_insert_with(|| Cell::new(topic_id));
        if cell.topic_id != topic_id {
            *cell = Cell::new(topic_id);
        }
        PartitionCheckpoint { all: Arc::clone(self), cell: Arc::clone(cell) }
    }

    /// Forgets a partition, when it still belongs to this topic id; the files forget it with the next write.
    pub fn remove(&self, partition: &TopicPartition, topic_id: TopicId) {
        let mut cells = lock(&self.cells);
        if cells.get(partition).is_some_and(|cell| cell.topic_id == topic_id) {
            cells.remove(partition);
        }
    }

    /// Returns all entries, ordered by partition. One whose directory is missing names a replica that lost its data (design 3a.7).
    #[must_use]
    pub fn entries(&self) -> Vec<CheckpointEntry> {
        let entry = |(partition, cell): (&TopicPartition, &Arc<Cell>)| CheckpointEntry {
            partition: partition.clone(),
            topic_id: cell.topic_id,
        };
        lock(&self.cells).iter().map(entry).collect()
    }

    /// Makes the present values durable. Calls that wait for one another share one write; a file whose content did not change is left alone. Blocks.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn persist(&self) -> Result<(), FatalError> {
        let request = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
        let mut written = lock(&self.written);
        if written.request >= request {
            return Ok(());
        }
        // Read before the values: whoever asks from here on may have changed one since.
        let covered = self.requested.load(Ordering::SeqCst);
        let cells = lock(&self.cells).clone();
        for ((value, name), slot) in FILES.into_iter().zip(&mut written.texts) {
            let text = to_text(&cells, value);
            if slot.as_ref() != Some(&text) {
                let path = self.directory.join(name);
                write_aside(self.fs.as_ref(), &path, text.as_bytes())
                    .map_err(|error| FatalError::new("writing", &path, error))?;
                *slot = Some(text);
            }
        }
        written.request = covered;
        Ok(())
    }
}

impl PartitionCheckpoint {
    /// Returns the offset below which everything is durable and needs no scan.
    pub(crate) fn recovery_point(&self) -> Offset {
        self.cell.get(Value::RecoveryPoint)
    }

    /// Returns the high watermark, held down to what this disk had flushed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.cell.get(Value::HighWatermark)
    }

    /// Returns the first offset that is kept.
    pub(crate) fn log_start_offset(&self) -> Offset {
        self.cell.get(Value::LogStart)
    }

    /// Returns the offset below which the log was cleaned.
    pub(crate) fn cleaner_offset(&self) -> Offset {
        self.cell.get(Value::Cleaner)
    }

    /// Makes the present values of all partitions of the directory durable. Blocks.
    ///
    /// # Errors
    /// As [`Checkpoints::persist`].
    pub(crate) fn persist(&self) -> Result<(), FatalError> {
        self.all.persist()
    }

    pub(crate) fn set_recovery_point(&self, offset: Offset) {
        self.cell.set(Value::RecoveryPoint, offset);
    }

    pub(crate) fn set_high_watermark(&self, offset: Offset) {
        self.cell.set(Value::HighWatermark, offset);
    }

    pub(crate) fn set_cleaner_offset(&self, offset: Offset) {
        self.cell.set(Value::Cleaner, offset);
    }

    pub(crate) fn set_log_start_offset(&self, offset: Offset) {
        self.cell.set(Value::LogStart, offset);
    }
}

impl Cell {
    fn new(topic_id: TopicId) -> Arc<Self> {
        Arc::new(Self { topic_id, values: [const { AtomicI64::new(0) }; 4] })
    }

    fn get(&self, value: Value) -> Offset {
        Offset(self.values[value as usize].load(Ordering::SeqCst))
    }

    fn set(&self, value: Value, offset: Offset) {
        self.values[value as usize].store(offset.0, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a panic ends the process, so that no lock is ever poisoned")
}

fn to_text(cells: &BTreeMap<TopicPartition, Arc<Cell>>, value: Value) -> String {
    let mut text = format!("{VERSION}\n{}\n", cells.len());
    for (TopicPartition { topic, partition }, cell) in cells {
        writeln!(text, "{topic} {partition} {} {}", cell.get(value), cell.topic_id)
            .expect("writing to a string does not fail");
    }
    let crc = crc_of(&text);
    writeln!(text, "crc32c {crc:08x}").expect("writing to a string does not fail");
    text
}

fn parse(text: &str) -> io::Result<Vec<(TopicPartition, TopicId, Offset)>> {
    let body = text.trim_end_matches('\n');
    let body = body.get(..=body.rfind('\n').ok_or_else(|| malformed(1))?);
    let body = body.expect("the range ends behind a line feed");
    let stored = text[body.len()..].trim_end().strip_prefix("crc32c ");
    if stored != Some(format!("{:08x}", crc_of(body)).as_str()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong"));
    }
    let mut lines = body.lines();
    if lines.next() != Some(VERSION) {
        return Err(malformed(1));
    }
    let count: Option<usize> = lines.next().and_then(|line| line.parse().ok());
    let entries: io::Result<Vec<_>> = lines
        .enumerate()
        .map(|(index, line)| parse_line(line).ok_or_else(|| malformed(index + 3)))
        .collect();
    entries.and_then(
        |entries| {
            if count == Some(entries.len()) { Ok(entries) } else { Err(malformed(2)) }
        },
    )
}

fn parse_line(line: &str) -> Option<(TopicPartition, TopicId, Offset)> {
    let mut fields = line.split(' ');
    let topic = fields.next()?.to_owned();
    let partition = fields.next()?.parse().ok().filter(|partition| *partition >= 0)?;
    let offset = Offset::from_wire(fields.next()?.parse().ok()?)?;
    let topic_id = fields.next()?.parse().ok()?;
    fields.next().is_none().then_some((TopicPartition { topic, partition }, topic_id, offset))
}

fn malformed(line: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is malformed"))
}

fn crc_of(text: &str) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, text.as_bytes())
}

const VERSION: &str = "1";

/// A million partitions with the longest names.
const MAX_FILE_BYTES: u64 = 320_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_system::OsFileSystem;

    fn partition(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.to_owned(), partition }
    }

    fn id(number: u8) -> TopicId {
        TopicId::from_bytes([number; 16])
    }

    fn load(directory: &Path) -> Arc<Checkpoints> {
        Checkpoints::load(Arc::new(OsFileSystem), directory).unwrap()
    }

    #[test]
    fn values_survive_and_belong_to_one_topic_id() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = load(directory.path());
        let a = checkpoints.register(partition("a", 0), id(1));
        a.set_recovery_point(Offset(7));
        a.set_high_watermark(Offset(6));
        a.set_log_start_offset(Offset(5));
        let _ = checkpoints.register(partition("b", 1), id(2));
        checkpoints.persist().unwrap();

        let again = load(directory.path());
        assert_eq!(again.entries().len(), 2);
        let a = again.register(partition("a", 0), id(1));
        assert_eq!(
            (a.recovery_point(), a.high_watermark(), a.log_start_offset()),
            (Offset(7), Offset(6), Offset(5))
        );
        let recreated = again.register(partition("a", 0), id(9));
        assert_eq!(recreated.recovery_point(), Offset(0));
        again.remove(&partition("a", 0), id(1));
        assert_eq!(again.entries().len(), 2, "the entry is another topic's by now");
        again.remove(&partition("a", 0), id(9));
        again.persist().unwrap();
        assert_eq!(load(directory.path()).entries().len(), 1);
    }

    #[test]
    fn a_damaged_file_is_an_error_wherever_the_damage_is() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = load(directory.path());
        checkpoints.register(partition("a", 0), id(1)).set_recovery_point(Offset(7));
        checkpoints.persist().unwrap();
        let path = directory.path().join(FILES[0].1);
        let bytes = std::fs::read(&path).unwrap();
        for index in 0..bytes.len() - 1 {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let loaded = Checkpoints::load(Arc::new(OsFileSystem), directory.path());
            assert!(loaded.is_err(), "byte {index} of {:?}", String::from_utf8_lossy(&damaged));
        }
        std::fs::write(&path, "").unwrap();
        assert!(Checkpoints::load(Arc::new(OsFileSystem), directory.path()).is_err());
    }
}
