//! The storage threads of one log directory: some flush, some run other jobs that block on the disk.
//!
//! Owns the queues, group commit (whatever is appended while a flush runs goes into the next one; several files are synced at once, so that the journal's commits
//! merge), and the watch over syncs that hang. Knows nothing of logs but [`Flushable`]. After the first failed flush nothing is flushed any more: a retry would
//! call lost pages clean.
//!
//! Both queues are bounded by those who ask: a flushable is queued at most once, and a job is one of a kind that its asker has at most one of at a time (a request
//! its cold read, a log its truncation). [`JOB_LIMIT`] lies far above what they come to, since a job that is refused is run by its asker, and a thread that carries
//! data must not meet the disk.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use model::{Clock, Timestamp};

use crate::error::{FatalError, FatalHandler};
use crate::jobs::flush::{Flush, FlushDone};
use crate::mutation::{Mutation, is_active};

/// Something with a log that can be flushed: a partition's handle. Both methods take the owner's lock for a moment.
pub trait Flushable: Send + Sync {
    /// Begins a flush, or says that there is nothing to do.
    fn begin_flush(&self) -> Option<Flush>;

    /// Completes a flush that ran.
    fn complete_flush(&self, done: FlushDone);

    /// Returns the mark by which the flusher knows whether this one is queued; one per flushable.
    fn flush_mark(&self) -> &FlushMark;
}

/// Whether a flushable is queued or being flushed.
///
/// ```text
///           mark                   thread takes it
///   idle ----------> queued -----------------------> running
///    ^                 ^                              |   |
///    |                 |  thread is done       thread |   | mark
///    |                 +------------- dirty <---------|---+
///    +------------------------------------------------+ is done
/// ```
#[derive(Debug, Default)]
pub struct FlushMark(AtomicU8);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const DIRTY: u8 = 3;

impl FlushMark {
    /// Marks; says whether the flushable has to be put into the queue.
    fn mark(&self) -> bool {
        let next = |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(DIRTY),
            _ => None,
        };
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(IDLE)
    }

    fn take(&self) {
        self.0.store(RUNNING, Ordering::SeqCst);
    }

    /// Ends a flush; says whether the flushable has to be put into the queue again.
    fn done(&self) -> bool {
        let next = |state| Some(if state == DIRTY { QUEUED } else { IDLE });
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(DIRTY)
    }
}

/// Hears how long flushes take.
pub trait FlushObserver: Send + Sync {
    /// One flush of one log synced so many files and took this long.
    fn flushed(&self, latency: Duration, files: usize);

    /// A flush has been running for this long and is not done; called again as long as it hangs.
    fn stuck(&self, running: Duration) {
        let _ = running;
    }
}

/// An observer for which nothing counts.
impl FlushObserver for () {
    fn flushed(&self, _latency: Duration, _files: usize) {}
}

/// The storage threads take no job: too many wait, or they are being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of storage jobs is full")]
pub struct QueueFull;

/// How the storage threads of a log directory are set up.
pub struct FlusherOptions {
    /// The log directory, for messages.
    pub directory: PathBuf,
    /// Hears how long flushes take.
    pub observer: Arc<dyn FlushObserver>,
    /// Hears of the first failed flush.
    pub fatal: FatalHandler,
}

impl FlusherOptions {
    /// Options without an observer.
    #[must_use]
    pub fn new(directory: PathBuf, fatal: FatalHandler) -> Self {
        Self { directory, observer: Arc::new(()), fatal }
    }
}

impl fmt::Debug for FlusherOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlusherOptions").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The storage threads of one log directory; clones share them.
#[derive(Clone, Debug)]
pub struct Flusher {
    shared: Arc<Shared>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

type Job = Box<dyn FnOnce() + Send>;

struct Shared {
    options: FlusherOptions,
    clock: Clock,
    flushes: Mutex<VecDeque<Arc<dyn Flushable>>>,
    flush_wake: Condvar,
    jobs: Mutex<Jobs>,
    job_wake: Condvar,
    timer_wake: Condvar,
    stopping: AtomicBool,
    failed: AtomicBool,
    /// Per flush thread: nanoseconds of the clock at which its flush began, plus one; 0 while it has none.
    running: Vec<AtomicU64>,
}

#[derive(Default)]
struct Jobs {
    ready: VecDeque<Job>,
    delayed: Vec<(Timestamp, Job)>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Flusher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: FlusherOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            options,
            clock: Clock::start(),
            flushes: Mutex::default(),
            flush_wake: Condvar::new(),
            jobs: Mutex::default(),
            job_wake: Condvar::new(),
            timer_wake: Condvar::new(),
            stopping: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            running: (0..FLUSH_THREADS).map(|_| AtomicU64::new(0)).collect(),
        });
        let flusher = Self { shared, threads: Arc::default() };
        for slot in 0..FLUSH_THREADS {
            flusher.spawn(format!("flush-{slot}"), move |shared| shared.flush_loop(slot))?;
        }
        for number in 0..JOB_THREADS {
            flusher.spawn(format!("storage-{number}"), Shared::job_loop)?;
        }
        flusher.spawn("storage-timer".to_owned(), Shared::timer_loop)?;
        Ok(flusher)
    }

    fn spawn(&self, name: String, run: impl FnOnce(&Shared) + Send + 'static) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let handle = thread::Builder::new().name(name).spawn(move || run(&shared))?;
        lock(&self.threads).push(handle);
        Ok(())
    }

    /// Queues a flush, unless one is queued already; when one is running, another follows it. Never blocks on a device.
    pub fn mark(&self, flushable: &Arc<dyn Flushable>) {
        if flushable.flush_mark().mark() {
            self.shared.queue_flush(Arc::clone(flushable));
        }
    }

    /// Runs a job (truncation, cold read, recovery, removal) on a storage thread. Never blocks.
    ///
    /// # Errors
    /// [`QueueFull`]; the job was dropped.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), QueueFull> {
        self.shared.queue_job(|jobs| jobs.ready.push_back(Box::new(job)))?;
        self.shared.job_wake.notify_one();
        Ok(())
    }

    /// Runs a job after a delay.
    ///
    /// # Errors
    /// [`QueueFull`]; the job was dropped.
    pub fn run_after(
        &self,
        delay: Duration,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), QueueFull> {
        let at = self.shared.clock.now() + delay;
        self.shared.queue_job(|jobs| jobs.delayed.push((at, Box::new(job))))?;
        self.shared.timer_wake.notify_one();
        Ok(())
    }

    /// Reports an error of a job that is final for the process, as a failed flush is: nothing is flushed from here on.
    pub fn fatal(&self, error: &FatalError) {
        self.shared.fail(error);
    }

    /// Flushes what is marked, runs what is queued (delayed jobs are dropped), and ends the threads. Blocks. Further calls return at once.
    pub fn stop(&self) {
        {
            let _flushes = lock(&self.shared.flushes);
            let _jobs = lock(&self.shared.jobs);
            self.shared.stopping.store(true, Ordering::SeqCst);
        }
        self.shared.flush_wake.notify_all();
        self.shared.job_wake.notify_all();
        self.shared.timer_wake.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for handle in threads {
            if handle.thread().id() != thread::current().id() && handle.join().is_err() {
                tracing::error!("a storage thread panicked");
            }
        }
    }
}

impl Shared {
    fn queue_flush(&self, flushable: Arc<dyn Flushable>) {
        lock(&self.flushes).push_back(flushable);
        self.flush_wake.notify_one();
    }

    fn queue_job(&self, push: impl FnOnce(&mut Jobs)) -> Result<(), QueueFull> {
        let mut jobs = lock(&self.jobs);
        let waiting = jobs.ready.len() + jobs.delayed.len();
        if waiting >= JOB_LIMIT || self.stopping.load(Ordering::SeqCst) {
            return Err(QueueFull);
        }
        push(&mut jobs);
        Ok(())
    }

    fn flush_loop(&self, slot: usize) {
        while let Some(flushable) = self.next_flush() {
            flushable.flush_mark().take();
            if let Some(flush) = flushable.begin_flush() {
                self.flush(slot, flush, flushable.as_ref());
            }
            if flushable.flush_mark().done() {
                self.queue_flush(flushable);
            }
        }
    }

    fn next_flush(&self) -> Option<Arc<dyn Flushable>> {
        let mut flushes = lock(&self.flushes);
        loop {
            if let Some(flushable) = flushes.pop_front() {
                return Some(flushable);
            }
            if self.stopping.load(Ordering::SeqCst) {
                return None;
            }
            flushes = self.flush_wake.wait(flushes).expect(NOT_POISONED);
        }
    }

    fn flush(&self, slot: usize, flush: Flush, flushable: &dyn Flushable) {
        if self.failed.load(Ordering::SeqCst) {
            return;
        }
        let files = flush.file_count();
        let begun = self.clock.now();
        self.running[slot].store(begun.0 + 1, Ordering::SeqCst);
        let outcome =
            if is_active(Mutation::FlushWithoutSync) { Ok(flush.done) } else { flush.run() };
        match outcome {
            Ok(done) => {
                self.options.observer.flushed(self.clock.now().since(begun), files);
                flushable.complete_flush(done);
            }
            Err(error) => self.fail(&error),
        }
        self.running[slot].store(0, Ordering::SeqCst);
    }

    fn fail(&self, error: &FatalError) {
        if !self.failed.swap(true, Ordering::SeqCst) {
            self.options.fatal.report(error);
        }
    }

    fn job_loop(&self) {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some(job) = jobs.ready.pop_front() {
                drop(jobs);
                job();
                jobs = lock(&self.jobs);
            } else if self.stopping.load(Ordering::SeqCst) {
                return;
            } else {
                jobs = self.job_wake.wait(jobs).expect(NOT_POISONED);
            }
        }
    }

    /// Hands delayed jobs over when their time has come, and looks for syncs that hang.
    fn timer_loop(&self) {
        let mut reported = vec![Duration::ZERO; self.running.len()];
        let mut jobs = lock(&self.jobs);
        while !self.stopping.load(Ordering::SeqCst) {
            let now = self.clock.now();
            for (at, job) in std::mem::take(&mut jobs.delayed) {
                if at <= now {
                    jobs.ready.push_back(job);
                    self.job_wake.notify_one();
                } else {
                    jobs.delayed.push((at, job));
                }
            }
            self.report_stuck(now, &mut reported);
            let next = jobs.delayed.iter().map(|(at, _)| at.since(now)).min();
            let pause =
                next.unwrap_or(WATCH_INTERVAL).clamp(Duration::from_millis(1), WATCH_INTERVAL);
            jobs = self.timer_wake.wait_timeout(jobs, pause).expect(NOT_POISONED).0;
        }
        jobs.delayed.clear();
    }

    fn report_stuck(&self, now: Timestamp, reported: &mut [Duration]) {
        for (slot, reported) in self.running.iter().zip(reported) {
            let running = match slot.load(Ordering::SeqCst) {
                0 => Duration::ZERO,
                begun => now.since(Timestamp(begun - 1)),
            };
            if running < STUCK_AFTER {
                *reported = Duration::ZERO;
            } else if running >= *reported + STUCK_AFTER {
                *reported = if reported.is_zero() { running } else { *reported * 2 };
                let seconds = running.as_secs_f64();
                tracing::error!(directory = ?self.options.directory, seconds, "fsync hangs");
                self.options.observer.stuck(running);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(NOT_POISONED)
}

const NOT_POISONED: &str = "a panic ends the process, so that no lock is ever poisoned";

/// Threads that flush; as many files are synced at once.
const FLUSH_THREADS: usize = 4;

/// Threads for other jobs.
const JOB_THREADS: usize = 2;

/// Jobs that may wait, the delayed ones included: some for each of more partitions and connections than a broker carries, in less than 100 MB.
const JOB_LIMIT: usize = 1 << 18;

/// Age of a sync from which on it is an error (design 3a.13).
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Two looks a second cost nothing, and find a sync that hangs soon enough.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
