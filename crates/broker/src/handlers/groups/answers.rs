//! Requests that name many groups: each is asked, and one budget bounds what all answers hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, StreamExt as _};
use model::ErrorCode;
use tokio::task::coop::consume_budget;

use crate::context::Context;

/// The bytes that one answer may still take. A small request can name many large groups; what counts is what the answers hold in memory, about.
#[derive(Debug)]
pub(in crate::handlers) struct Room(AtomicUsize);

impl Room {
    /// Makes the room of a request: an answer is no larger than a request may be.
    pub(in crate::handlers) fn of(context: &Context) -> Self {
        Self(AtomicUsize::new(context.config.max_request_bytes))
    }

    pub(in crate::handlers) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    pub(in crate::handlers) fn take(&self, bytes: usize) {
        // One task works on a request.
        let left = self.0.load(Ordering::Relaxed).saturating_sub(bytes);
        self.0.store(left, Ordering::Relaxed);
    }
}

/// Asks about each of many groups, some at once, and keeps the order. Lets other tasks run in between: an answer that is there at once never waits.
pub(in crate::handlers) async fn ask_each<W, A, F>(wanted: Vec<W>, ask: impl Fn(W) -> F) -> Vec<A>
where
    F: Future<Output = A>,
{
    let ask = &ask;
    let asked = wanted.into_iter().map(|wanted| async move {
        consume_budget().await;
        ask(wanted).await
    });
    stream::iter(asked).buffered(TOGETHER).collect().await
}

/// What the answer to a group that an answer has no more room for says.
pub(in crate::handlers) const TOO_LARGE: ErrorCode = ErrorCode::UnknownServerError;

/// Groups of one request that are asked at once: some wait for the replicas.
const TOGETHER: usize = 64;
