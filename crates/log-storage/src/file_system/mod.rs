//! Access to files: the only way from this crate to a disk.
//!
//! Owns the two traits and what is built on them alone (lazy handles, the write-aside helper). Never decides what is durable: a write is durable
//! when `sync_data` of its file returned, a name when `sync_dir` of its directory did, nothing before.

mod aside;
mod disk_reserve;
mod lazy;
mod os;
#[cfg(any(test, feature = "simulation"))]
mod simulated;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) use aside::ASIDE_SUFFIX;
pub use aside::write_aside;
pub use disk_reserve::DiskReserve;
pub(crate) use lazy::LazyFile;
pub use os::OsFileSystem;
#[cfg(any(test, feature = "simulation"))]
pub use simulated::{CrashMode, Fault, FaultOperation, SimulatedDisk};

/// A file system, real or simulated. All paths are absolute or relative to the same place; none is followed outside what it names.
pub trait FileSystem: fmt::Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` when the mode does not create and the file is missing; whatever the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Creates a directory; one that exists is no error. Its name is durable after [`FileSystem::sync_dir`] of its parent.
    ///
    /// # Errors
    /// Whatever the system says; `NotFound` when the parent is missing.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` when it is missing; whatever the system says.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Renames a file or directory within its file system, atomically; an existing file of the new name is replaced.
    ///
    /// # Errors
    /// Whatever the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// `NotFound` when it is missing; whatever the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything in it.
    ///
    /// # Errors
    /// `NotFound` when it is missing; whatever the system says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: files and directories that were created, renamed or removed.
    ///
    /// # Errors
    /// Whatever the system says; after one, nothing is known about the names.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Says whether a file or directory of this name exists.
    ///
    /// # Errors
    /// Whatever the system says, other than that it is missing.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Returns the size of the file system that holds `path`, and what is free of it for this process.
    ///
    /// # Errors
    /// Whatever the system says.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Takes an exclusive lock on a file, which is created when missing; released when the value is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` when another holder has it; whatever the system says.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// An open file. Positions are explicit, so that readers share a handle.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait File: fmt::Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes at `position`; 0 says that the file ends there.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `position`. After an error any prefix of them, torn in any place, may have been written.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded` when there is no room; whatever the system says.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes content and length durable (`fdatasync`).
    ///
    /// # Errors
    /// Whatever the system says; after one, nothing is known about what was written since the last success, and it must not be tried again.
    fn sync_data(&self) -> io::Result<()>;

    /// Returns the file's length in bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn len(&self) -> io::Result<u64>;

    /// Drops the file's clean pages from the cache, so that the next reads come from the device.
    ///
    /// # Errors
    /// Whatever the system says.
    fn drop_cached(&self) -> io::Result<()>;

    /// Appends exactly `count` bytes from `position` to `buffer`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; whatever the system says. What the buffer holds behind its former end is undefined then.
    fn read_appending(&self, buffer: &mut Vec<u8>, count: usize, position: u64) -> io::Result<()> {
        let start = buffer.len();
        buffer.resize(start + count, 0);
        self.read_exact_at(&mut buffer[start..], position)
    }

    /// Fills `buffer` from `position`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; whatever the system says.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = position + in_file(filled);
            match self.read_at(&mut buffer[filled..], at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(())
    }
}

/// A lock that is held until it is dropped.
pub trait FileLock: fmt::Debug + Send + Sync {}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; created when missing, kept as it is when not.
    Create,
    /// For reading and writing; created when missing, emptied when not.
    Truncate,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name without its directory. A name that is not UTF-8 is left out of listings: nothing of ours has one.
    pub name: String,
    /// What it names.
    pub kind: EntryKind,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else; never followed.
    Other,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The whole file system.
    pub total_bytes: u64,
    /// Free for this process.
    pub available_bytes: u64,
}

/// Says whether a write failed for want of room, the one failure that ends nothing but the append (design 3a.13).
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads a whole file that is at most `limit_bytes` long.
///
/// # Errors
/// `NotFound` when it is missing; `InvalidData` when it is longer; whatever the system says.
pub fn read_file(fs: &dyn FileSystem, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let file = fs.open(path, OpenMode::Read)?;
    let length = file.len()?;
    if length > limit_bytes {
        let message =
            format!("{} has {length} bytes, at most {limit_bytes} make sense", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = vec![0; usize::try_from(length).map_err(too_long)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Removes a file that may be gone already.
pub(crate) fn remove_if_there(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    match fs.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Returns a size in memory as one in a file.
pub(crate) fn in_file(size_bytes: usize) -> u64 {
    u64::try_from(size_bytes).expect("a size in memory fits 64 bits")
}
