//! Raft's log and vote as openraft sees them: a window of recent entries in memory, and the storage thread behind it.
//!
//! Owns the window and the order of jobs. An entry is readable as soon as `append` returns, from the window; what has left the window is
//! read by the storage thread, behind every write that was asked for before.
//! Invariant: everything that changes the disk is a job, sent in the order in which openraft asked.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};
use tokio::sync::{mpsc, oneshot};

use super::raft_log::{Bounds, RaftLog};
use super::small_file;
use super::storage_thread::{Job, QUEUE, StorageThread};
use crate::raft::types::{Entry, LogId, Types, Vote};

/// Most entries and bytes that stay in memory.
const WINDOW_ENTRIES: usize = 8192;
const WINDOW_BYTES: usize = 16 << 20;
/// Most entries that one read for replication returns, and their bytes (one entry may have more): they travel in one message.
const MAX_READ_ENTRIES: u64 = 1024;
const MAX_READ_BYTES: usize = 8 << 20;

/// Openraft's log store; clones are readers of the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    vote: Option<Vote>,
    /// What was saved, bounded by what the log holds after recovery (openraft saves it before the entries are flushed).
    committed: Option<LogId>,
    bounds: Bounds,
    /// The newest entries, without a gap up to the last one.
    window: VecDeque<Entry>,
    window_bytes: usize,
    /// Counts truncations, so that a read which began before one is made again.
    truncations: u64,
}

impl LogStore {
    /// Reads what the files say and starts the thread that owns them from here on.
    pub(crate) fn start(thread: StorageThread) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let vote = small_file::read_vote(thread.fs.as_ref(), &thread.data_dir)?;
        let bounds = thread.log.bounds()?;
        let committed = committed_within(&thread.log, thread.committed.read()?, bounds)?;
        let state = State {
            vote,
            committed,
            bounds,
            window: VecDeque::new(),
            window_bytes: 0,
            truncations: 0,
        };
        let (jobs, queue) = mpsc::channel(QUEUE);
        let handle = std::thread::Builder::new()
            .name("raft-storage".to_owned())
            .spawn(move || thread.run(queue))?;
        Ok((Self { shared: Arc::new(Shared { state: Mutex::new(state) }), jobs }, handle))
    }

    /// Returns the last log id present.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.state().bounds.last
    }

    /// Returns the way to the storage thread.
    pub(crate) fn jobs(&self) -> mpsc::Sender<Job> {
        self.jobs.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).await.map_err(|_| stopped())
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Job,
    ) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply)).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Reads `first..end`, from memory where it is there.
    async fn read(&self, first: u64, end: u64) -> io::Result<Vec<Entry>> {
        loop {
            let (missing_end, truncations, mut newer) = {
                let state = self.state();
                let (first, end) = state.clamp(first, end);
                if first >= end {
                    return Ok(Vec::new());
                }
                let window_start = state.window_start();
                let from = first.max(window_start);
                let newer: Vec<Entry> = state.window_range(from, end).cloned().collect();
                (window_start.min(end), state.truncations, newer)
            };
            if first >= missing_end {
                return Ok(newer);
            }
            let older = self.ask(|reply| Job::Read(first, missing_end, reply)).await?;
            if self.state().truncations != truncations {
                continue;
            }
            let mut entries = older;
            entries.append(&mut newer);
            return Ok(entries);
        }
    }
}

/// Openraft saves the committed log id before the entries are flushed, and refuses to start when it points past the log: after a power loss
/// the log may end earlier. What is present below it is committed all the same.
fn committed_within(
    log: &RaftLog,
    saved: Option<LogId>,
    bounds: Bounds,
) -> io::Result<Option<LogId>> {
    let (Some(saved), Some(last)) = (saved, bounds.last) else { return Ok(None) };
    if saved.index() >= last.index() {
        return Ok(Some(last));
    }
    // The log's own id at that index: after a power loss the place may have been written again by a later term.
    let present = log.read(saved.index(), saved.index() + 1)?;
    Ok(present.first().map(|entry| entry.log_id).or(bounds.purged))
}

impl State {
    fn window_start(&self) -> u64 {
        let next = self.bounds.last.map_or(0, |last| last.index() + 1);
        self.window.front().map_or(next, |entry| entry.log_id.index())
    }

    /// Limits a range to what the log holds.
    fn clamp(&self, first: u64, end: u64) -> (u64, u64) {
        let start = self.bounds.purged.map_or(0, |purged| purged.index() + 1);
        let next = self.bounds.last.map_or(0, |last| last.index() + 1);
        (first.max(start), end.min(next))
    }

    fn window_range(&self, first: u64, end: u64) -> impl Iterator<Item = &Entry> {
        let start = self.window_start();
        let skip = usize::try_from(first.saturating_sub(start)).unwrap_or(usize::MAX);
        let take = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX);
        self.window.iter().skip(skip).take(take)
    }

    fn push(&mut self, entry: Entry) {
        self.bounds.last = Some(entry.log_id);
        self.window_bytes += weight(&entry);
        self.window.push_back(entry);
        while self.window.len() > WINDOW_ENTRIES || self.window_bytes > WINDOW_BYTES {
            let Some(oldest) = self.window.pop_front() else { break };
            self.window_bytes -= weight(&oldest);
        }
    }

    fn truncate_after(&mut self, last: Option<LogId>) {
        let end = last.map_or(0, |last| last.index() + 1);
        while self.window.back().is_some_and(|entry| entry.log_id.index() >= end) {
            if let Some(entry) = self.window.pop_back() {
                self.window_bytes -= weight(&entry);
            }
        }
        self.bounds.last = self.bounds.last.min(last).max(self.bounds.purged);
        self.truncations += 1;
    }

    fn purge(&mut self, upto: LogId) {
        while self.window.front().is_some_and(|entry| entry.log_id.index() <= upto.index()) {
            if let Some(entry) = self.window.pop_front() {
                self.window_bytes -= weight(&entry);
            }
        }
        self.bounds.purged = Some(upto);
        self.bounds.last = self.bounds.last.max(Some(upto));
    }
}

/// Bytes that an entry costs in memory, roughly.
fn weight(entry: &Entry) -> usize {
    const FIXED: usize = 128;
    match &entry.payload {
        EntryPayload::Normal(command) => FIXED + command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => FIXED,
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "Raft's storage thread has stopped")
}

fn half_open(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let first = match range.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (first, end)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (first, end) = half_open(&range);
        self.read(first, end).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.state().vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let mut entries = self.read(start, end.min(start.saturating_add(MAX_READ_ENTRIES))).await?;
        let mut bytes = 0;
        let fitting = entries.iter().take_while(|entry| {
            let is_first = bytes == 0;
            bytes += weight(entry);
            is_first || bytes <= MAX_READ_BYTES
        });
        let count = fitting.count();
        entries.truncate(count);
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let bounds = self.state().bounds;
        Ok(LogState { last_purged_log_id: bounds.purged, last_log_id: bounds.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.ask(|reply| Job::SaveVote(vote, reply)).await?;
        self.state().vote = Some(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.state().committed = committed;
        match committed {
            Some(id) => self.send(Job::SaveCommitted(id)).await,
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.state().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        {
            let mut state = self.state();
            for entry in &entries {
                state.push(entry.clone());
            }
        }
        self.send(Job::Append(entries, callback)).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.state().truncate_after(last_log_id);
        self.ask(|reply| Job::Truncate(last_log_id, reply)).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.state().purge(log_id);
        self.ask(|reply| Job::Purge(log_id, reply)).await
    }
}
