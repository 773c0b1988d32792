//! Reads the logs of a stopped node from its disk, to compare them with those of the other replicas: batch by batch, each as its bytes.
//!
//! Knows of the format what every broker of this protocol has in its `.log` files: a batch begins with its base offset and its length, and
//! has the distance to its last offset further on.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufReader, ErrorKind, Read as _};
use std::path::Path;

use super::{NodeId, bit_flip};

/// Base offset, length, leader epoch, magic, checksum, attributes, last offset delta.
const HEAD: usize = 27;
/// What the length counts begins behind base offset and length.
const BEHIND_LENGTH: usize = 12;
/// No broker takes a larger batch.
const LARGEST_BATCH: usize = 1 << 30;

/// The log of one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaLog {
    batches: Vec<Batch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    /// Offsets `[from, to)`.
    from: i64,
    to: i64,
    hash: u64,
}

/// What is to be compared of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaDigest {
    pub(crate) node: NodeId,
    pub(crate) partition: i32,
    /// Offsets `[from, to)`.
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Of the batches between the highest begin and the lowest end of the partition's replicas.
    pub(crate) digest: String,
}

/// The logs of a topic's partitions in a node's data directory, by partition.
pub(super) fn read(data: &Path, topic: &str) -> io::Result<BTreeMap<i32, ReplicaLog>> {
    let mut logs = BTreeMap::new();
    for directory in bit_flip::partitions(data, topic) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.rsplit('-').next().and_then(|number| number.parse().ok());
        let Some(number) = number else { continue };
        let log: &mut ReplicaLog = logs.entry(number).or_default();
        for (segment, _) in bit_flip::segments(&directory) {
            read_segment(&segment, &mut log.batches)?;
        }
    }
    Ok(logs)
}

fn read_segment(path: &Path, batches: &mut Vec<Batch>) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut batch = vec![0; HEAD];
    loop {
        match file.read_exact(&mut batch[..HEAD]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let from = i64::from_be_bytes(bytes(&batch, 0));
        let length = i32::from_be_bytes(bytes(&batch, 8));
        let last = i32::from_be_bytes(bytes(&batch, 23));
        let size = usize::try_from(length).unwrap_or(0).saturating_add(BEHIND_LENGTH);
        // Room that a broker took and did not fill is zeros.
        if !(HEAD..LARGEST_BATCH).contains(&size) {
            return Ok(());
        }
        batch.resize(size, 0);
        file.read_exact(&mut batch[HEAD..])?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&batch);
        batches.push(Batch { from, to: from + i64::from(last) + 1, hash: hasher.finish() });
    }
}

fn bytes<const N: usize>(batch: &[u8], at: usize) -> [u8; N] {
    let mut found = [0; N];
    found.copy_from_slice(&batch[at..at + N]);
    found
}

/// Digests of what all replicas of each partition should have alike.
pub(super) fn digests(logs: &BTreeMap<NodeId, BTreeMap<i32, ReplicaLog>>) -> Vec<ReplicaDigest> {
    let of = |partition: i32| {
        let logs = logs.iter();
        logs.filter_map(move |(node, logs)| Some((*node, logs.get(&partition)?)))
    };
    let mut digests = Vec::new();
    let mut partitions: Vec<i32> = logs.values().flat_map(|logs| logs.keys().copied()).collect();
    partitions.sort_unstable();
    partitions.dedup();
    for partition in partitions {
        let from = of(partition).map(|(_, log)| log.from()).max().unwrap_or(0);
        let to = of(partition).map(|(_, log)| log.to()).min().unwrap_or(0);
        for (node, log) in of(partition) {
            let mut hasher = DefaultHasher::new();
            let is_common = |batch: &&Batch| batch.from >= from && batch.to <= to;
            for batch in log.batches.iter().filter(is_common) {
                hasher.write_i64(batch.from);
                hasher.write_i64(batch.to);
                hasher.write_u64(batch.hash);
            }
            let digest = format!("{:016x}", hasher.finish());
            let (from, to) = (log.from(), log.to());
            digests.push(ReplicaDigest { node, partition, from, to, digest });
        }
    }
    digests
}

impl ReplicaLog {
    fn from(&self) -> i64 {
        self.batches.first().map_or(0, |batch| batch.from)
    }

    fn to(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(from: i64, records: i32, content: u8) -> Vec<u8> {
        let mut batch = from.to_be_bytes().to_vec();
        batch.extend(50_i32.to_be_bytes());
        batch.resize(23, 0);
        batch.extend((records - 1).to_be_bytes());
        batch.resize(62, content);
        batch
    }

    /// Digests of node 1 with these segments and of node 2 with those.
    fn compare(one: &[Vec<u8>], two: &[Vec<u8>]) -> (ReplicaDigest, ReplicaDigest) {
        let mut logs = BTreeMap::new();
        for (node, segments) in [(1, one), (2, two)] {
            let data = tempfile::tempdir().unwrap();
            let directory = data.path().join("lab-0");
            std::fs::create_dir(&directory).unwrap();
            for (number, segment) in segments.iter().enumerate() {
                std::fs::write(directory.join(format!("{number:020}.log")), segment).unwrap();
            }
            logs.insert(node, read(data.path(), "lab").unwrap());
        }
        let [one, two] = digests(&logs).try_into().unwrap();
        (one, two)
    }

    #[test]
    fn replicas_with_the_same_batches_have_the_same_digest_however_they_are_cut_into_segments() {
        let (one, two) = compare(
            &[batch(0, 3, 1), batch(3, 1, 2)],
            &[[batch(0, 3, 1), batch(3, 1, 2), vec![0; 100]].concat()],
        );
        assert_eq!(one.digest, two.digest);
        assert_eq!((one.from, one.to, two.from, two.to), (0, 4, 0, 4));
    }

    #[test]
    fn what_only_one_has_behind_or_before_the_others_is_not_compared_but_told() {
        let (one, two) = compare(
            &[batch(0, 3, 1), batch(3, 1, 2)],
            &[[batch(3, 1, 2), batch(4, 1, 2)].concat()],
        );
        assert_eq!(one.digest, two.digest);
        assert_eq!((one.from, one.to, two.from, two.to), (0, 4, 3, 5));
    }

    #[test]
    fn another_byte_or_another_cut_into_batches_is_another_digest() {
        let (one, two) = compare(&[batch(0, 2, 1)], &[batch(0, 2, 2)]);
        assert_ne!(one.digest, two.digest);
        let (one, two) = compare(&[batch(0, 2, 1)], &[[batch(0, 1, 1), batch(1, 1, 1)].concat()]);
        assert_ne!(one.digest, two.digest);
    }
}
