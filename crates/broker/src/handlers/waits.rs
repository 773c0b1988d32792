//! Bounded waits for what this broker is about to hear or to make. A client may be a moment faster than it: another broker has told it of a new topic.

use std::sync::Arc;
use std::time::Duration;

use controller::Controller;
use controller::metadata::Image;
use model::TopicIdPartition;
use replication::{PartitionHandle, Replicas};

/// Waits until this broker's image knows what a client asks about. Bounded: most unknown topics do not exist.
pub(super) async fn until_known(controller: &Controller, is_known: impl Fn(&Image) -> bool) {
    if is_known(&controller.image()) {
        return;
    }
    let known = async {
        loop {
            // Read before the image, which may be ahead of it and never behind.
            let next = controller.applied_index().map_or(0, |index| index + 1);
            if is_known(&controller.image()) || controller.wait_for(next).await.is_err() {
                return;
            }
        }
    };
    // What is not known by then is answered as unknown.
    let _ = tokio::time::timeout(NEWS_OF_TOPICS, known).await;
}

/// Waits for this broker's replica of a new partition. Bounded: a client that comes too early is told to try again anyway.
pub(super) async fn until_made(
    replicas: &Replicas,
    id: TopicIdPartition,
) -> Option<Arc<PartitionHandle>> {
    tokio::time::timeout(CREATION, replicas.made(&id)).await.ok()
}

/// Longest wait for a topic that this broker does not know: another one may have told a client of it a moment ago.
const NEWS_OF_TOPICS: Duration = Duration::from_millis(100);

/// Longest wait for a replica that is being made.
const CREATION: Duration = Duration::from_millis(500);
