//! Snapshots of the image: one plain file with a digest.
//!
//! Owns the file. Openraft never asks for one by itself here (`SnapshotPolicy::Never`), nor is one ever sent.
//!
//! ```text
//! "SFSN", version u8, length of head u32, length of image u64, CRC-32C of both u32, head (SnapshotMeta), image (Snapshot)
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use log_storage::FileSystem;
use log_storage::file_system::{read_file, write_aside};
use prost::Message;

use crate::proto::raft as proto;
use crate::raft::codec;
use crate::raft::storage::small_file::digest;
use crate::raft::types::SnapshotMeta;

/// Name of the snapshot in the data directory.
pub(crate) const SNAPSHOT_FILE: &str = "metadata.snapshot";
const MAGIC: &[u8; 5] = b"SFSN\x01";
const FIXED_BYTES: usize = 5 + 4 + 8 + 4;
const MAX_BYTES: u64 = 4 << 30;

/// An encoded image, as openraft passes it around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotFile(pub(crate) Bytes);

/// Where the snapshot lies.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
}

impl SnapshotStore {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, data_dir: &Path) -> Self {
        Self { fs, path: data_dir.join(SNAPSHOT_FILE) }
    }

    /// Replaces the snapshot durably.
    pub(crate) fn write(&self, meta: &SnapshotMeta, image: &[u8]) -> io::Result<()> {
        let head = codec::encode_snapshot_meta(meta).encode_to_vec();
        let mut body = head.clone();
        body.extend_from_slice(image);
        let mut file = Vec::with_capacity(FIXED_BYTES + body.len());
        file.extend_from_slice(MAGIC);
        let head_length = u32::try_from(head.len()).map_err(io::Error::other)?;
        file.extend_from_slice(&head_length.to_be_bytes());
        let image_length = u64::try_from(image.len()).map_err(io::Error::other)?;
        file.extend_from_slice(&image_length.to_be_bytes());
        file.extend_from_slice(&digest(&body).to_be_bytes());
        file.extend_from_slice(&body);
        write_aside(self.fs.as_ref(), &self.path, &file)
    }

    /// Reads the snapshot; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidData` for a damaged one.
    pub(crate) fn read(&self) -> io::Result<Option<(SnapshotMeta, SnapshotFile)>> {
        let bytes = match read_file(self.fs.as_ref(), &self.path, MAX_BYTES) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let parsed = parse(&bytes).ok_or_else(|| {
            let message = format!("{} is damaged", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(Some(parsed))
    }
}

fn parse(bytes: &Bytes) -> Option<(SnapshotMeta, SnapshotFile)> {
    let (fixed, body) = bytes.split_at_checked(FIXED_BYTES)?;
    let (magic, fixed) = fixed.split_at_checked(MAGIC.len())?;
    let (head_length, fixed) = fixed.split_first_chunk::<4>()?;
    let (image_length, crc) = fixed.split_first_chunk::<8>()?;
    let head_length = usize::try_from(u32::from_be_bytes(*head_length)).ok()?;
    let image_length = usize::try_from(u64::from_be_bytes(*image_length)).ok()?;
    let whole = head_length.checked_add(image_length)? == body.len();
    if magic != MAGIC || !whole || crc != digest(body).to_be_bytes() {
        return None;
    }
    let head = proto::SnapshotMeta::decode(body.get(..head_length)?).ok()?;
    let meta = codec::decode_snapshot_meta(head).ok()?;
    Some((meta, SnapshotFile(bytes.slice(FIXED_BYTES + head_length..))))
}
