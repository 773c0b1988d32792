//! What all shards of a broker share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::timers::Timers;
use super::writer::PartitionWriter;
use crate::config::CoordinatorConfig;
use crate::metrics::GroupMetrics;

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
    /// Runs a future as a task of the tracker that was handed in.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }
}

/// Loads at once beyond the processors: some wait for reads while others replay.
const LOADS_IN_READ: usize = 2;

/// Most rewrites at once: they run behind the requests' backs and may take their time.
const REWRITES_AT_ONCE: usize = 1;

/// Returns the permits of [`Context::loads`].
pub(super) fn loads() -> Semaphore {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new(processors + LOADS_IN_READ)
}

/// Returns the permits of [`Context::rewrites`].
pub(super) fn rewrites() -> Semaphore {
    Semaphore::new(REWRITES_AT_ONCE)
}
