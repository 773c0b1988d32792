//! Publishes the image: readers take it without a lock, and those who follow it get what changed, merged.
//!
//! Owns the published pointer and one pending set per subscriber. A slow subscriber holds back nobody: what it has not fetched merges,
//! and its size is bounded by the image's. Invariant: a subscriber's changes are at least the difference between two images it was given.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use crate::metadata::{Changes, Image};

/// A published image and what changed since the one before.
#[derive(Clone, Debug)]
pub struct ImageChange {
    /// The image, with at least all of `changes` in it.
    pub image: Arc<Image>,
    /// Index of the last command in the image, `None` before the first.
    pub applied_index: Option<u64>,
    /// What changed since this subscriber's previous image.
    pub changes: Changes,
}

/// Where the state machine publishes and everyone else reads.
pub(crate) struct ImageFeed {
    published: ArcSwap<Published>,
    applied: watch::Sender<Option<u64>>,
    subscribers: Mutex<Vec<Weak<Subscriber>>>,
}

/// An image and how far it goes.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) image: Arc<Image>,
    pub(crate) applied_index: Option<u64>,
}

#[derive(Default)]
struct Subscriber {
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Default)]
struct Pending {
    change: Option<ImageChange>,
    closed: bool,
}

/// A stream of image changes for one follower of the image.
pub struct ImageChanges {
    subscriber: Arc<Subscriber>,
}

impl ImageChanges {
    /// Waits for the next change. All changes since the last call come as one. `None` when the control plane has stopped.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ImageChange> {
        loop {
            {
                let mut pending = lock(&self.subscriber.pending);
                if let Some(change) = pending.change.take() {
                    return Some(change);
                }
                if pending.closed {
                    return None;
                }
            }
            self.subscriber.wake.notified().await;
        }
    }
}

impl fmt::Debug for ImageChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageChanges").finish_non_exhaustive()
    }
}

impl fmt::Debug for ImageFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageFeed").finish_non_exhaustive()
    }
}

impl ImageFeed {
    pub(crate) fn new(image: Arc<Image>, applied_index: Option<u64>) -> Self {
        Self {
            published: ArcSwap::from_pointee(Published { image, applied_index }),
            applied: watch::Sender::new(applied_index),
            subscribers: Mutex::new(Vec::new()),
        }
    }

    /// Returns the latest image.
    pub(crate) fn image(&self) -> Arc<Image> {
        Arc::clone(&self.published.load().image)
    }

    /// Returns the latest image with its index.
    pub(crate) fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Follows the index of the last applied command.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }

    /// Publishes an image. The pointer moves before anyone is woken, so that whoever is woken sees it.
    pub(crate) fn publish(&self, image: Arc<Image>, applied_index: u64, changes: &Changes) {
        self.published.store(Arc::new(Published {
            image: Arc::clone(&image),
            applied_index: Some(applied_index),
        }));
        if !changes.is_empty() {
            lock(&self.subscribers).retain(|subscriber| {
                let Some(subscriber) = subscriber.upgrade() else { return false };
                subscriber.add(&image, applied_index, changes);
                true
            });
        }
        self.applied.send_replace(Some(applied_index));
    }

    /// Starts to follow. The first change a subscriber gets carries the whole present image, with no list of what changed.
    pub(crate) fn subscribe(&self) -> ImageChanges {
        let subscriber = Arc::new(Subscriber::default());
        let mut subscribers = lock(&self.subscribers);
        // Under the list's lock, so that no publication falls between the first image and the subscription.
        let published = self.published.load_full();
        lock(&subscriber.pending).change = Some(ImageChange {
            image: Arc::clone(&published.image),
            applied_index: published.applied_index,
            changes: Changes::default(),
        });
        subscribers.push(Arc::downgrade(&subscriber));
        ImageChanges { subscriber }
    }

    /// Ends all subscriptions.
    pub(crate) fn close(&self) {
        for subscriber in lock(&self.subscribers).drain(..).filter_map(|weak| weak.upgrade()) {
            lock(&subscriber.pending).closed = true;
            subscriber.wake.notify_one();
        }
    }
}

impl Subscriber {
    fn add(&self, image: &Arc<Image>, applied_index: u64, changes: &Changes) {
        let mut pending = lock(&self.pending);
        match &mut pending.change {
            Some(change) => {
                change.image = Arc::clone(image);
                change.applied_index = Some(applied_index);
                change.changes.merge(changes.clone());
            }
            empty => {
                *empty = Some(ImageChange {
                    image: Arc::clone(image),
                    applied_index: Some(applied_index),
                    changes: changes.clone(),
                });
            }
        }
        self.wake.notify_one();
    }
}

// Nothing panics under these locks, and a panic ends the process anyway; so a poisoned lock is used as it is.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_util::FutureExt;
    use model::BrokerId;

    use super::*;

    fn changes(broker: i32) -> Changes {
        Changes { brokers: BTreeSet::from([BrokerId(broker)]), ..Changes::default() }
    }

    fn feed() -> ImageFeed {
        ImageFeed::new(Arc::default(), None)
    }

    #[test]
    fn the_first_item_is_the_present_image_without_changes() {
        let feed = feed();
        feed.publish(Arc::default(), 7, &changes(1));
        let mut follower = feed.subscribe();
        let first = follower.next().now_or_never().flatten().unwrap();
        assert_eq!(first.applied_index, Some(7));
        assert!(first.changes.is_empty());
        assert!(follower.next().now_or_never().is_none(), "nothing has changed since");
    }

    #[test]
    fn what_a_slow_follower_has_not_fetched_comes_as_one() {
        let feed = feed();
        let mut follower = feed.subscribe();
        follower.next().now_or_never().flatten().unwrap();
        feed.publish(Arc::default(), 1, &changes(1));
        feed.publish(Arc::default(), 2, &changes(2));
        let change = follower.next().now_or_never().flatten().unwrap();
        assert_eq!(change.applied_index, Some(2));
        assert_eq!(change.changes.brokers, BTreeSet::from([BrokerId(1), BrokerId(2)]));
    }

    #[test]
    fn an_entry_that_changes_nothing_moves_the_index_alone() {
        let feed = feed();
        let mut follower = feed.subscribe();
        follower.next().now_or_never().flatten().unwrap();
        feed.publish(Arc::default(), 3, &Changes::default());
        assert!(follower.next().now_or_never().is_none());
        assert_eq!(*feed.applied().borrow(), Some(3));
    }

    #[test]
    fn a_closed_feed_ends_its_followers_after_what_they_have_not_fetched() {
        let feed = feed();
        let mut follower = feed.subscribe();
        feed.close();
        assert!(follower.next().now_or_never().flatten().is_some());
        assert!(follower.next().now_or_never().flatten().is_none());
    }
}
