//! The data directory of this broker, and the threads that work on it.
//!
//! Owns how blocking work leaves a thread that must not wait, and what becomes of a change of the directory that fails: it ends the process.

pub(crate) mod partition_directory;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use log_storage::{Checkpoints, DiskReserve, FatalError, FatalHandler, FileSystem, Flusher};
use tokio::sync::oneshot;

use self::partition_directory as directory;

/// The data directory.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) data_dir: PathBuf,
    pub(crate) flusher: Flusher,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) reserve: Arc<DiskReserve>,
    /// Hears of the first fatal error of a log.
    pub(crate) fatal_handler: FatalHandler,
}

impl Storage {
    /// Runs a job on a storage thread; on this thread when their queue is full, since none of these jobs may be lost.
    pub(crate) fn run_job(&self, job: impl FnOnce() + Send + 'static) {
        let slot = Arc::new(Mutex::new(Some(job)));
        let queued = Arc::clone(&slot);
        if self.flusher.run(move || run_once(&queued)).is_err() {
            run_once(&slot);
        }
    }

    /// Runs a read on a storage thread and waits for what it returns; `None` when the threads were stopped before it ran. Left out when nobody waits any more: requests that are
    /// given up must not keep a slow disk busy.
    pub(crate) async fn run_and_wait<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.run_job(move || {
            if !sender.is_closed() {
                // The asker may have gone away meanwhile.
                let _ = sender.send(read());
            }
        });
        receiver.await.ok()
    }

    /// Ends the process by the fatal handler.
    pub(crate) fn fatal(&self, error: &FatalError) {
        self.flusher.fatal(error);
    }

    /// Ends the process because a change of the data directory failed.
    pub(crate) fn failed(&self, operation: &'static str, path: &Path, error: io::Error) {
        self.fatal(&FatalError { operation, path: path.to_owned(), source: Arc::new(error) });
    }

    /// Takes a lost mark away, durably. Blocks.
    pub(crate) fn remove_lost_mark(&self, path: &Path) {
        if let Err(error) = directory::remove_lost_mark(self.fs.as_ref(), path) {
            self.failed("removing", path, error);
        }
    }
}

fn run_once(slot: &Mutex<Option<impl FnOnce()>>) {
    let job = slot.lock().expect("a panic ends the process, so no lock is ever poisoned").take();
    if let Some(job) = job {
        job();
    }
}
