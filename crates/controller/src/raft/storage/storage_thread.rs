//! The one thread that touches Raft's files: all writes pass through it in the order in which openraft asked for them.
//!
//! Owns the log and the small files while it runs. Appends that have queued up are written together and made durable by one fdatasync;
//! each callback fires after that returned, never before. The first failed write or sync is final: it is reported once, and every later
//! job fails.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use log_storage::FileSystem;
use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use super::raft_log::RaftLog;
use super::small_file::{self, CommittedFile};
use crate::failure::{Alive, Failure};
use crate::metrics::Metrics;
use crate::raft::types::{Entry, LogId, Types, Vote};

/// Jobs that may wait; beyond it openraft waits for the disk.
pub(crate) const QUEUE: usize = 1024;
/// Most appends that share one fdatasync.
const MAX_GROUP: usize = 256;
/// Bytes after which the log's end is noted, so that a start after a crash scans no more than this.
const CHECKPOINT_BYTES: usize = 16 << 20;

/// Something to do with Raft's files.
pub(crate) enum Job {
    /// Append, and say when it is durable.
    Append(Vec<Entry>, IOFlushed<Types>),
    /// Replace the vote durably.
    SaveVote(Vote, oneshot::Sender<io::Result<()>>),
    /// Note the last committed log id, not durably.
    SaveCommitted(LogId),
    /// Remove every entry behind this one.
    Truncate(Option<LogId>, oneshot::Sender<io::Result<()>>),
    /// Remove every entry up to this one.
    Purge(LogId, oneshot::Sender<io::Result<()>>),
    /// Read the entries `first..end`.
    Read(u64, u64, oneshot::Sender<io::Result<Vec<Entry>>>),
    /// End, after everything that was asked for before.
    Stop,
}

/// Size at which the log, which is never purged, deserves a warning.
const WARN_BYTES: u64 = 1 << 30;

/// The thread's state.
pub(crate) struct StorageThread {
    pub(crate) log: RaftLog,
    pub(crate) committed: CommittedFile,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) data_dir: PathBuf,
    pub(crate) failure: Failure,
    pub(crate) metrics: Metrics,
    /// Says that the thread has not ended.
    pub(crate) alive: Alive,
}

/// What has been asked for and not yet made durable.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    callbacks: Vec<IOFlushed<Types>>,
    committed: Option<LogId>,
    /// What was written since the log's end was last noted.
    bytes_since_checkpoint: usize,
}

impl StorageThread {
    /// Works until it is told to stop, or nobody can send jobs any more.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut group = Group::default();
        let mut is_orderly = false;
        let mut is_large = false;
        while let Some(job) = jobs.blocking_recv() {
            if matches!(job, Job::Stop) {
                jobs.close();
                is_orderly = true;
                continue;
            }
            self.take(job, &mut group);
            while group.callbacks.len() < MAX_GROUP {
                match jobs.try_recv() {
                    Ok(Job::Stop) => {
                        jobs.close();
                        is_orderly = true;
                    }
                    Ok(job) => self.take(job, &mut group),
                    Err(_) => break,
                }
            }
            self.finish(&mut group);
            if group.bytes_since_checkpoint >= CHECKPOINT_BYTES {
                group.bytes_since_checkpoint = 0;
                if !is_large && self.log.size_bytes() >= WARN_BYTES {
                    is_large = true;
                    tracing::warn!(
                        "the metadata log has passed 1 GiB: it is not compacted yet, so that each start after a crash replays all of it"
                    );
                }
                let result = self.log.checkpoint();
                let _ = self.judge("checkpoint Raft's log", result);
            }
        }
        if is_orderly && !self.failure.is_set() {
            let result = self.log.checkpoint();
            let _ = self.judge("checkpoint Raft's log", result);
        }
        drop(self.alive);
    }

    /// Queues an append; everything else first makes durable what was asked for before it.
    fn take(&mut self, job: Job, group: &mut Group) {
        match job {
            Job::Append(entries, callback) => {
                group.entries.extend(entries);
                group.callbacks.push(callback);
            }
            Job::SaveCommitted(id) => group.committed = Some(id),
            Job::SaveVote(vote, reply) => {
                self.finish(group);
                let result = self.guarded("write the vote", |this| {
                    small_file::write_vote(this.fs.as_ref(), &this.data_dir, &vote)
                });
                let _ = reply.send(result);
            }
            Job::Truncate(last, reply) => {
                self.finish(group);
                let _ = reply.send(
                    self.guarded("truncate Raft's log", |this| this.log.truncate_after(last)),
                );
            }
            Job::Purge(upto, reply) => {
                self.finish(group);
                let _ = reply.send(self.guarded("purge Raft's log", |this| this.log.purge(upto)));
            }
            Job::Stop => {}
            Job::Read(first, end, reply) => {
                self.write(group);
                let _ = reply.send(self.log.read(first, end));
            }
        }
    }

    /// Writes what was queued.
    fn write(&mut self, group: &mut Group) {
        if group.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut group.entries);
        match self.guarded("append to Raft's log", |this| this.log.append(&entries)) {
            Ok(bytes) => group.bytes_since_checkpoint += bytes,
            Err(error) => group.fail(&error),
        }
    }

    /// Writes and syncs the group, then tells openraft.
    fn finish(&mut self, group: &mut Group) {
        self.write(group);
        if !group.callbacks.is_empty() {
            let begun = Instant::now();
            match self.guarded("sync Raft's log", |this| this.log.flush()) {
                Ok(()) => {
                    self.metrics.raft_fsync.observe(begun.elapsed().as_secs_f64());
                    for callback in group.callbacks.drain(..) {
                        callback.io_completed(Ok(()));
                    }
                }
                Err(error) => group.fail(&error),
            }
        }
        if let Some(id) = group.committed.take() {
            let _ = self.guarded("note the committed index", |this| this.committed.write(&id));
        }
    }

    /// Does something unless an earlier thing failed, and reports the first failure.
    fn guarded<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.failure.is_set() {
            return Err(io::Error::other("an earlier write of Raft's storage failed"));
        }
        let result = work(self);
        self.judge(what, result)
    }

    fn judge<T>(&self, what: &str, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let causes = with_causes(error);
            self.failure.set(format!("cannot {what} in {}: {causes}", self.data_dir.display()));
        }
        result
    }
}

/// An error and what is behind it, on one line.
fn with_causes(error: &io::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(behind) = cause {
        line.push_str(": ");
        line.push_str(&behind.to_string());
        cause = behind.source();
    }
    line
}

impl Group {
    fn fail(&mut self, error: &io::Error) {
        for callback in self.callbacks.drain(..) {
            callback.io_completed(Err(io::Error::new(error.kind(), error.to_string())));
        }
    }
}
