//! The transactions that this broker coordinates: the way of a request to its shard, and of its wishes to whoever carries them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::ProducerId;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::context::{Context, ContextParts};
use super::machine::Asker;
use super::metrics::ShardMetrics;
use super::partition_writer::{Leadership, PartitionWriter};
use super::refusal::Refusal;
use super::shards::Shards;
use super::transaction_machine::{News, Note, ToOutlet};
use crate::transaction::config::TransactionCoordinatorConfig;
use crate::transaction::request::{ListTransactions, Request};
use crate::transaction::response::{ListedTransaction, Response};
use crate::transaction::{MarkersToWrite, Shard, ShardCounts, WrittenMarkers};

/// What carries a transaction coordinator's wishes. Neither call blocks, and neither is made under a lock.
pub trait TransactionOutlet: fmt::Debug + Send + Sync + 'static {
    /// Has markers written, whose decision is committed: to each partition, again and again until it has it or the leadership has ended. Told by [`TransactionCoordinator::markers_written`].
    fn write_markers(&self, asker: Asker, markers: Vec<MarkersToWrite>);

    /// Draws a producer id, again and again until there is one or the leadership has ended. Told by [`TransactionCoordinator::producer_id_drawn`].
    fn draw_producer_id(&self, asker: Asker);
}

/// What a coordinator of transactions is made of.
#[derive(Debug)]
pub struct TransactionCoordinatorParts {
    /// The transaction topic's log on this broker.
    pub writer: Arc<dyn PartitionWriter>,
    /// What carries its wishes.
    pub outlet: Arc<dyn TransactionOutlet>,
    /// Settings.
    pub config: TransactionCoordinatorConfig,
    /// How long a write may wait to be committed before its client is told that it timed out.
    pub commit_timeout: Duration,
    /// Counters, registered by whoever has the registry.
    pub metrics: TransactionMetrics,
    /// What all tasks belong to: after [`TransactionCoordinator::stop`] it runs empty.
    pub tasks: TaskTracker,
    /// Where they run. Replay runs on its blocking threads.
    pub runtime: Handle,
}

/// The counters of transactions; clones count into the same ones.
#[derive(Clone, Default)]
pub struct TransactionMetrics {
    shards: ShardMetrics,
}

impl fmt::Debug for TransactionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransactionMetrics")
    }
}

impl TransactionMetrics {
    /// Registers the counters under Prometheus names.
    pub fn register(&self, registry: &mut Registry) {
        self.shards.register(registry, "transaction");
    }
}

/// The transactions that this broker coordinates.
#[derive(Debug)]
pub struct TransactionCoordinator {
    shards: Shards<Shard>,
    metrics: TransactionMetrics,
}

impl TransactionCoordinator {
    /// Starts a coordinator that coordinates nothing yet.
    #[must_use]
    pub fn start(parts: TransactionCoordinatorParts) -> Arc<Self> {
        let TransactionCoordinatorParts {
            writer,
            outlet,
            config,
            commit_timeout,
            metrics,
            tasks,
            runtime,
        } = parts;
        let context = Context::new(ContextParts {
            writer,
            outlet: Arc::new(ToOutlet(outlet)),
            machine: config.transaction,
            commit_timeout,
            load_buffer_bytes: config.load_buffer_bytes,
            metrics: metrics.shards.clone(),
            tasks,
            runtime,
        });
        Arc::new(Self { shards: Shards::start(context), metrics })
    }

    /// Notes that this broker was elected: the partition is loaded, then serves, and asks again for the markers of what was decided. As
    /// [`GroupCoordinator::elected`](super::GroupCoordinator::elected).
    pub fn elected(&self, leadership: Leadership) {
        self.shards.elected(leadership);
    }

    /// Notes the end of a leadership, as [`GroupCoordinator::resigned`](super::GroupCoordinator::resigned).
    pub fn resigned(&self, leadership: Leadership) {
        self.shards.resigned(leadership);
    }

    /// Lets the coordinator of a partition answer a request. On [`Response::NeedsProducerId`] nothing has changed, and the same request is to come again with a spare id.
    ///
    /// # Errors
    /// See [`Refusal`]. After [`Refusal::NotAvailable`] a write may still be committed.
    pub async fn handle(&self, partition: i32, request: Request) -> Result<Response, Refusal> {
        let result = self.shards.answer(partition, request).await;
        result.inspect_err(|refusal| self.metrics.shards.refused(*refusal))
    }

    /// Lists the transactional ids of all partitions that this broker coordinates.
    ///
    /// # Errors
    /// [`Refusal::LoadInProgress`] while a partition is loaded, as Kafka; [`Refusal::NotAvailable`] when what a shard knows is not committed in time.
    pub async fn list(&self, request: ListTransactions) -> Result<Vec<ListedTransaction>, Refusal> {
        let answers = self.shards.answers(|| Request::List(request.clone())).await;
        let answers = answers.inspect_err(|refusal| self.metrics.shards.refused(*refusal))?;
        let listed = answers.into_iter().filter_map(|answer| match answer {
            Response::List(listed) => Some(listed),
            _ => None,
        });
        Ok(listed.flatten().collect())
    }

    /// Tells whoever asked for markers that partitions have theirs.
    pub fn markers_written(&self, asker: Asker, written: WrittenMarkers) {
        let WrittenMarkers { transactional_id, decision, partitions } = written;
        self.note(asker, News::MarkersWritten { transactional_id, decision, partitions });
    }

    /// Tells whoever asked for a producer id that one was drawn.
    pub fn producer_id_drawn(&self, asker: Asker, id: ProducerId) {
        self.note(asker, News::ProducerIdDrawn(id));
    }

    /// Returns the token that is cancelled when a leadership ends; `None` when it has.
    #[must_use]
    pub fn ended(&self, leadership: Leadership) -> Option<CancellationToken> {
        let shard = self.shards.get(leadership.partition)?;
        (shard.leadership() == leadership).then(|| shard.ended().clone())
    }

    /// Counts what the loaded shards hold, uncommitted changes included; and what was done since the start, by shards that are gone too.
    #[must_use]
    pub fn counts(&self) -> ShardCounts {
        let mut sum = ShardCounts::default();
        for counts in self.shards.all().iter().filter_map(|shard| shard.counts()) {
            for (state, count) in counts.transactional_ids {
                *sum.transactional_ids.entry(state).or_default() += count;
            }
            sum.oldest_open_for = sum.oldest_open_for.max(counts.oldest_open_for);
            sum.pending_marker_count += counts.pending_marker_count;
        }
        let totals = &self.shards.context.totals;
        sum.commit_count = totals.commits.load(Ordering::Relaxed);
        sum.abort_count = totals.aborts.load(Ordering::Relaxed);
        sum.timeout_count = totals.timeouts.load(Ordering::Relaxed);
        sum.fenced_count = totals.fenced.load(Ordering::Relaxed);
        sum
    }

    /// Ends every leadership: whoever waits is told [`Refusal::NotCoordinator`], as is everyone who asks from now on. The tasks end soon after.
    pub fn stop(&self) {
        self.shards.stop();
    }

    fn note(&self, asker: Asker, news: News) {
        let Asker { leadership, load } = asker;
        if let Some(shard) = self.shards.get(leadership.partition)
            && shard.leadership() == leadership
        {
            shard.note([Note { load, news }]);
            shard.step_noted();
        }
    }
}
