//! The shards of one kind of coordinator on this broker: told of elections in log order, and asked by partition.
//!
//! Owns the table of the leaderships that last. Its lock is held for a look or a change alone, never while a shard's is taken.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use futures_util::future::join_all;

use super::context::Context;
use super::machine::Machine;
use super::partition_writer::Leadership;
use super::refusal::Refusal;
use super::shard::ShardHandle;

/// The shards that this broker coordinates.
#[derive(Debug)]
pub(super) struct Shards<M: Machine> {
    pub(super) context: Arc<Context<M>>,
    /// The leaderships that last, by partition.
    by_partition: RwLock<BTreeMap<i32, Arc<ShardHandle<M>>>>,
}

impl<M: Machine> Shards<M> {
    /// Starts with none.
    pub(super) fn start(context: Context<M>) -> Self {
        let context = Arc::new(context);
        let timers = Arc::clone(&context);
        context.spawn(async move { timers.timers.run(timers.stop.clone()).await });
        Self { context, by_partition: RwLock::default() }
    }

    /// Notes that this broker was elected: the partition is loaded, then serves. An epoch that is not newer than the one that is known changes nothing. The partition of a new
    /// topic takes the place of the old topic's. Does not block.
    pub(super) fn elected(&self, leadership: Leadership) {
        let shard = ShardHandle::new(&self.context, leadership);
        let before = {
            let mut shards = self.write();
            let known = shards.get(&leadership.partition);
            if self.context.stop.is_cancelled()
                || known.is_some_and(|known| {
                    let known = known.leadership();
                    known.is_of_same_partition(&leadership)
                        && known.leader_epoch >= leadership.leader_epoch
                })
            {
                return;
            }
            shards.insert(leadership.partition, Arc::clone(&shard))
        };
        self.end(before);
        shard.begin_load();
    }

    /// Notes that from this leader epoch on this broker does not lead the partition, or that the partition is gone: every leadership of it up to that epoch ends, and whoever waits is
    /// told. Does not block.
    pub(super) fn resigned(&self, leadership: Leadership) {
        let ended = {
            let mut shards = self.write();
            let is_ended = shards.get(&leadership.partition).is_some_and(|known| {
                let known = known.leadership();
                known.is_of_same_partition(&leadership)
                    && known.leader_epoch <= leadership.leader_epoch
            });
            if !is_ended {
                return;
            }
            shards.remove(&leadership.partition)
        };
        self.end(ended);
    }

    /// Lets the shard of a partition answer, and waits until what the answer depends on is committed.
    pub(super) async fn answer(
        &self,
        partition: i32,
        request: M::Request,
    ) -> Result<M::Response, Refusal> {
        let shard = self.get(partition).ok_or(Refusal::NotCoordinator)?;
        shard.answer(request).await
    }

    /// Lets all shards answer the same request; those that end meanwhile are left out.
    pub(super) async fn answers(
        &self,
        request: impl Fn() -> M::Request,
    ) -> Result<Vec<M::Response>, Refusal> {
        let shards = self.all();
        let answers = shards.iter().map(|shard| shard.answer(request()));
        let mut all = Vec::new();
        for answer in join_all(answers).await {
            match answer {
                Ok(response) => all.push(response),
                Err(Refusal::NotCoordinator) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(all)
    }

    /// Ends every leadership: whoever waits is told [`Refusal::NotCoordinator`], as is everyone who asks from now on. The tasks end soon after.
    pub(super) fn stop(&self) {
        self.context.stop.cancel();
        let shards = std::mem::take(&mut *self.write());
        for shard in shards.into_values() {
            shard.end();
        }
    }

    pub(super) fn get(&self, partition: i32) -> Option<Arc<ShardHandle<M>>> {
        self.read().get(&partition).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<ShardHandle<M>>> {
        self.read().values().cloned().collect()
    }

    /// Ends a leadership off the caller's thread: its state may be large.
    fn end(&self, shard: Option<Arc<ShardHandle<M>>>) {
        if let Some(shard) = shard {
            shard.ended().cancel();
            self.context.spawn(async move { shard.end() });
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<i32, Arc<ShardHandle<M>>>> {
        self.by_partition.read().expect("a panic ends the process, so no lock is ever poisoned")
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<i32, Arc<ShardHandle<M>>>> {
        self.by_partition.write().expect("a panic ends the process, so no lock is ever poisoned")
    }
}
