//! The way of a machine's messages: each is let go when the write that it depends on is committed, so that nobody acts on what a failover takes back.

use std::sync::Arc;
use std::time::Duration;

use model::Offset;

use super::ShardHandle;
use crate::runtime::context::Context;
use crate::runtime::machine::{Asker, Machine};
use crate::runtime::partition_writer::WriteError;

/// The messages of one pass.
#[derive(Debug)]
pub(super) struct Held<M: Machine> {
    asker: Option<Asker>,
    /// Those that depend on nothing uncommitted.
    free: Vec<M::Message>,
    held: Vec<M::Message>,
    /// What must be committed before any of the held goes: a pass writes once or twice, so they are not told apart.
    depends_on: Option<Offset>,
}

impl<M: Machine> Default for Held<M> {
    fn default() -> Self {
        Self { asker: None, free: Vec::new(), held: Vec::new(), depends_on: None }
    }
}

impl<M: Machine> Held<M> {
    pub(super) fn push(&mut self, asker: Asker, message: M::Message, depends_on: Option<Offset>) {
        self.asker = Some(asker);
        match depends_on {
            Some(_) => self.held.push(message),
            None => self.free.push(message),
        }
        self.depends_on = self.depends_on.max(depends_on);
    }
}

/// Lets messages go, now or when their writes are committed. At the end of the leadership they are dropped: the successor's machine has the same wishes.
pub(super) fn begin<M: Machine>(
    context: &Arc<Context<M>>,
    shard: &Arc<ShardHandle<M>>,
    messages: Held<M>,
) {
    let Held { asker, free, held, depends_on } = messages;
    let Some(asker) = asker else { return };
    if !free.is_empty() {
        context.outlet.send(asker, free);
    }
    let Some(end_offset) = depends_on else { return };
    let (own, shard) = (Arc::clone(context), Arc::clone(shard));
    context.spawn(async move {
        if until_committed(&shard, end_offset).await.is_ok() {
            own.outlet.send(asker, held);
        }
    });
}

/// Waits for as long as it takes; an error is the end of the leadership.
async fn until_committed<M: Machine>(
    shard: &ShardHandle<M>,
    end_offset: Offset,
) -> Result<(), WriteError> {
    loop {
        match shard.committed(end_offset).await {
            Err(WriteError::TimedOut) => {}
            Err(WriteError::NotEnoughReplicas) => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
}

/// How long it waits before it asks again, while too few replicas are in sync.
const PAUSE: Duration = Duration::from_millis(20);
