//! A disk on which a vote takes its time to become durable, as on a machine under load.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use log_storage::OsFileSystem;
use log_storage::file_system::{DirEntry, File, FileLock, FileSystem, OpenMode, Space};

/// The operating system's files; replacing a vote takes a pause longer, and is counted.
#[derive(Debug, Default)]
pub(crate) struct SlowVotes {
    inner: OsFileSystem,
    pause: Mutex<Duration>,
    saved: AtomicUsize,
}

impl SlowVotes {
    /// From here on each vote takes this much longer.
    pub(crate) fn slow_down(&self, pause: Duration) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }

    /// How many votes all brokers on this disk have saved.
    pub(crate) fn saved(&self) -> usize {
        self.saved.load(Ordering::SeqCst)
    }
}

impl FileSystem for SlowVotes {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.inner.open(path, mode)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if to.ends_with("raft-vote") {
            let pause = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
            thread::sleep(pause);
            self.saved.fetch_add(1, Ordering::SeqCst);
        }
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.inner.lock(path)
    }
}
