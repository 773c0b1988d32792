//! How a control plane ends: the reason why it cannot go on, set once, and the proof that its threads are gone.

use std::sync::Arc;

use tokio::sync::watch;

/// Held by every thread of a control plane; the receiving side learns when the last is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Alive {
    _sender: Arc<watch::Sender<()>>,
}

/// The other side of [`Alive`].
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    receiver: watch::Receiver<()>,
}

impl Alive {
    pub(crate) fn new() -> (Self, Ended) {
        let (sender, receiver) = watch::channel(());
        (Self { _sender: Arc::new(sender) }, Ended { receiver })
    }
}

impl Ended {
    /// Waits until every thread has ended.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.receiver.clone();
        // Nothing is ever sent: the wait ends with the senders.
        while receiver.changed().await.is_ok() {}
    }
}

/// A place for the first failure. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    reason: Arc<watch::Sender<Option<String>>>,
}

impl Failure {
    pub(crate) fn new() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    /// Notes a failure, unless one was noted before.
    pub(crate) fn set(&self, reason: String) {
        self.reason.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!("{reason}");
                *first = Some(reason);
            }
            is_first
        });
    }

    pub(crate) fn is_set(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Waits for the failure.
    pub(crate) async fn wait(&self) -> String {
        let mut reason = self.reason.subscribe();
        // The sender lives as long as `self`, so that the wait ends with a value.
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}
