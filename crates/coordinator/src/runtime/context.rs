//! What all shards of one kind of coordinator share: the log, settings, counters, timers, and where tasks run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::machine::{Machine, Outlet};
use super::metrics::ShardMetrics;
use super::partition_writer::PartitionWriter;
use super::timers::Timers;

/// What the shards of one kind of coordinator are made of.
pub(super) struct ContextParts<M: Machine> {
    /// The topic's log on this broker.
    pub(super) writer: Arc<dyn PartitionWriter>,
    /// Where the machines' messages go.
    pub(super) outlet: Arc<dyn Outlet<M::Message>>,
    /// What the machines obey.
    pub(super) machine: M::Config,
    /// How long a write may wait to be committed before its client is told that it timed out.
    pub(super) commit_timeout: Duration,
    /// How many bytes a load reads at once.
    pub(super) load_buffer_bytes: usize,
    pub(super) metrics: ShardMetrics,
    pub(super) tasks: TaskTracker,
    pub(super) runtime: Handle,
}

/// What all shards of a coordinator share.
pub(super) struct Context<M: Machine> {
    pub(super) writer: Arc<dyn PartitionWriter>,
    pub(super) outlet: Arc<dyn Outlet<M::Message>>,
    pub(super) machine: M::Config,
    pub(super) commit_timeout: Duration,
    pub(super) load_buffer_bytes: usize,
    pub(super) metrics: ShardMetrics,
    pub(super) timers: Timers<M>,
    pub(super) tasks: TaskTracker,
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    /// Counters of all machines since the start, as far as they were counted.
    pub(super) totals: M::Totals,
    /// Held by a load while it reads and replays: the others wait, so that the first shards serve while the last are still to be read.
    pub(super) loads: Semaphore,
    /// Held by a rewrite while it makes progress.
    pub(super) rewrites: Semaphore,
}

impl<M: Machine> fmt::Debug for Context<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context of {}", M::TOPIC)
    }
}

impl<M: Machine> Context<M> {
    pub(super) fn new(parts: ContextParts<M>) -> Self {
        let ContextParts {
            writer,
            outlet,
            machine,
            commit_timeout,
            load_buffer_bytes,
            metrics,
            tasks,
            runtime,
        } = parts;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            writer,
            outlet,
            machine,
            commit_timeout,
            load_buffer_bytes,
            metrics,
            timers: Timers::new(Clock::start()),
            tasks,
            runtime,
            stop: CancellationToken::new(),
            totals: M::Totals::default(),
            loads: Semaphore::new(processors + LOADS_IN_READ),
            rewrites: Semaphore::new(REWRITES_AT_ONCE),
        }
    }

    /// Runs a future as a task of the tracker that was handed in.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }
}

/// Loads at once beyond the processors: some wait for reads while others replay.
const LOADS_IN_READ: usize = 2;

/// Most rewrites at once: they run behind the requests' backs and may take their time.
const REWRITES_AT_ONCE: usize = 1;
