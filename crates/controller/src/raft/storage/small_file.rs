//! Raft's small files: the vote, which must never be lost, and the last committed log id, which may be.
//!
//! Owns their layout: a version, a length and a CRC-32C around a protobuf message. The vote is replaced as a whole and durably.
//! The committed log id is overwritten in place without a sync: a torn or lost write only means that a start applies less at first.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc_fast::{CrcAlgorithm, checksum};
use log_storage::file_system::{OpenMode, read_file, write_aside};
use log_storage::{File, FileSystem};
use prost::Message;

use crate::proto::raft as proto;
use crate::raft::codec;
use crate::raft::types::{LogId, Vote};

/// Name of the vote's file in the data directory.
pub(crate) const VOTE_FILE: &str = "raft-vote";
/// Name of the committed log id's file in the data directory.
pub(crate) const COMMITTED_FILE: &str = "raft-committed";
/// Name of the file that holds the last purged log id; there is none while nothing was purged.
pub(crate) const PURGED_FILE: &str = "raft-purged";

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 6;
/// The committed log id is padded to this, so that a write in place always covers the one before.
const COMMITTED_BYTES: usize = 64;
const MAX_BYTES: u64 = 4096;

fn seal(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let length =
        u8::try_from(body.len()).expect("two varints and a fixed number are below 256 bytes");
    let mut bytes = vec![VERSION, length, 0, 0, 0, 0];
    bytes[2..HEAD_BYTES].copy_from_slice(&digest(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn unseal<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let head = bytes.get(..HEAD_BYTES)?;
    let body = bytes.get(HEAD_BYTES..HEAD_BYTES + usize::from(head[1]))?;
    let sound = head[0] == VERSION && head[2..] == digest(body).to_be_bytes();
    if sound { M::decode(body).ok() } else { None }
}

/// The CRC-32C of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> u32 {
    let value = checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(value).expect("a 32-bit checksum")
}

/// Reads a durable file; `None` when there is none.
fn read_durable<M: Message + Default>(fs: &dyn FileSystem, path: &Path) -> io::Result<Option<M>> {
    match read_file(fs, path, MAX_BYTES) {
        Ok(bytes) => unseal(&bytes).map(Some).ok_or_else(|| {
            let message = format!("{} is damaged", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the vote; `None` when this node never voted.
///
/// # Errors
/// `InvalidData` for a damaged one: who cannot prove their vote must not vote.
pub(crate) fn read_vote(fs: &dyn FileSystem, data_dir: &Path) -> io::Result<Option<Vote>> {
    let stored: Option<proto::Vote> = read_durable(fs, &data_dir.join(VOTE_FILE))?;
    stored
        .map(|vote| codec::decode_vote(Some(vote)))
        .transpose()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Replaces the vote durably.
pub(crate) fn write_vote(fs: &dyn FileSystem, data_dir: &Path, vote: &Vote) -> io::Result<()> {
    write_aside(fs, &data_dir.join(VOTE_FILE), &seal(&codec::encode_vote(vote)))
}

/// Reads the last purged log id.
pub(crate) fn read_purged(fs: &dyn FileSystem, data_dir: &Path) -> io::Result<Option<LogId>> {
    let stored: Option<proto::LogId> = read_durable(fs, &data_dir.join(PURGED_FILE))?;
    Ok(stored.map(codec::decode_log_id))
}

/// Replaces the last purged log id durably.
pub(crate) fn write_purged(fs: &dyn FileSystem, data_dir: &Path, id: &LogId) -> io::Result<()> {
    write_aside(fs, &data_dir.join(PURGED_FILE), &seal(&codec::encode_log_id(id)))
}

/// The file of the last committed log id.
#[derive(Debug)]
pub(crate) struct CommittedFile {
    file: Arc<dyn File>,
}

impl CommittedFile {
    pub(crate) fn open(fs: &dyn FileSystem, data_dir: &Path) -> io::Result<Self> {
        let path: PathBuf = data_dir.join(COMMITTED_FILE);
        Ok(Self { file: fs.open(&path, OpenMode::Create)? })
    }

    /// Reads it; `None` when it was never written or does not prove to be whole.
    pub(crate) fn read(&self) -> io::Result<Option<LogId>> {
        let mut bytes = [0; COMMITTED_BYTES];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(unseal::<proto::LogId>(&bytes).map(codec::decode_log_id)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Overwrites it in the page cache.
    pub(crate) fn write(&self, id: &LogId) -> io::Result<()> {
        let mut bytes = seal(&codec::encode_log_id(id));
        bytes.resize(COMMITTED_BYTES, 0);
        self.file.write_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use log_storage::OsFileSystem;

    use super::*;

    #[test]
    fn a_vote_survives_and_a_damaged_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let fs = OsFileSystem;
        assert_eq!(read_vote(&fs, directory.path()).unwrap(), None);
        let vote = Vote::new_committed(7, u64::MAX);
        write_vote(&fs, directory.path(), &vote).unwrap();
        assert_eq!(read_vote(&fs, directory.path()).unwrap(), Some(vote));
        let path = directory.path().join(VOTE_FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[7] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = read_vote(&fs, directory.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_torn_committed_log_id_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let fs = OsFileSystem;
        let file = CommittedFile::open(&fs, directory.path()).unwrap();
        assert_eq!(file.read().unwrap(), None);
        file.write(&codec::log_id(3, 300)).unwrap();
        file.write(&codec::log_id(3, 4)).unwrap();
        let again = CommittedFile::open(&fs, directory.path()).unwrap();
        assert_eq!(again.read().unwrap(), Some(codec::log_id(3, 4)));
        again.file.write_at(&[9], 7).unwrap();
        assert_eq!(again.read().unwrap(), None);
    }
}
