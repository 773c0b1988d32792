//! What a coordinator is made of, and what all its shards share: the log, settings, counters, timers, and where tasks run.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use model::Clock;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::GroupMetrics;
use super::partition_writer::PartitionWriter;
use super::timers::Timers;
use crate::config::CoordinatorConfig;

/// What a coordinator is made of.
#[derive(Debug)]
pub struct CoordinatorParts {
    /// The offsets topic's log on this broker.
    pub writer: Arc<dyn PartitionWriter>,
    /// Settings.
    pub config: CoordinatorConfig,
    /// Counters, registered by whoever has the registry.
    pub metrics: GroupMetrics,
    /// What all tasks belong to: after [`GroupCoordinator::stop`](super::GroupCoordinator::stop) it runs empty.
    pub tasks: TaskTracker,
    /// Where they run. Replay runs on its blocking threads.
    pub runtime: Handle,
}

/// What all shards of a broker share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) writer: Arc<dyn PartitionWriter>,
    pub(super) config: CoordinatorConfig,
    pub(super) metrics: GroupMetrics,
    pub(super) timers: Timers,
    pub(super) tasks: TaskTracker,
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    /// Rebalances of all shards since the start, as far as they were counted.
    pub(super) completed_rebalances: AtomicU64,
    /// Held by a load while it reads and replays: the others wait, so that the first shards serve while the last are still to be read.
    pub(super) loads: Semaphore,
    /// Held by a rewrite while it makes progress.
    pub(super) rewrites: Semaphore,
}

impl Context {
    pub(super) fn new(parts: CoordinatorParts) -> Self {
        let CoordinatorParts { writer, config, metrics, tasks, runtime } = parts;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            writer,
            config,
            metrics,
            timers: Timers::new(Clock::start()),
            tasks,
            runtime,
            stop: CancellationToken::new(),
            completed_rebalances: AtomicU64::new(0),
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
