//! The part of a file system that data appends leave alone, so that the topic deletion that frees space can commit (design 3a.13).
//!
//! Owns a budget: what was free above the reserve when the file system was asked last, less what was appended since. Others write to the same file
//! system, so it is asked again every [`ASK_AGAIN_BYTES`], and at every append once the budget is used up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::FileSystem;

/// Says whether data may still be appended to a file system.
#[derive(Debug)]
pub struct DiskReserve {
    fs: Arc<dyn FileSystem>,
    directory: PathBuf,
    budget_bytes: AtomicI64,
}

impl DiskReserve {
    /// Watches the file system of a directory.
    #[must_use]
    pub fn new(fs: Arc<dyn FileSystem>, directory: &Path) -> Self {
        Self { fs, directory: directory.to_owned(), budget_bytes: AtomicI64::new(0) }
    }

    /// Takes `bytes` from the budget.
    ///
    /// # Errors
    /// `StorageFull` when that would use the reserve; what the system says when it cannot be asked.
    pub fn take(&self, bytes: usize) -> io::Result<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.budget_bytes.fetch_sub(bytes, Ordering::Relaxed) >= bytes {
            return Ok(());
        }
        let space = self.fs.space(&self.directory)?;
        let reserve = MAX_RESERVE_BYTES.min(space.total_bytes / 50);
        let free = i64::try_from(space.available_bytes.saturating_sub(reserve)).unwrap_or(i64::MAX);
        if free < bytes {
            self.budget_bytes.store(0, Ordering::Relaxed);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.budget_bytes.store((free - bytes).min(ASK_AGAIN_BYTES), Ordering::Relaxed);
        Ok(())
    }
}

/// Greatest size of the reserve.
const MAX_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

const ASK_AGAIN_BYTES: i64 = 16 * 1024 * 1024;
