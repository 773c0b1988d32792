//! What the followers on this broker have to say to their leaders, as sets of partitions: never as messages, so nothing grows with the rate of appends.
//!
//! A partition marks the outbox of its leader; the stream to that leader takes the partition's newest fetch when it has room. It also says which leaders a stream is
//! wanted to: who opens one asks here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use arc_swap::ArcSwap;
use futures_util::task::AtomicWaker;
use model::{BrokerId, TopicIdPartition};
use tokio::sync::Notify;

use crate::partition_handle::PartitionHandle;

/// The outboxes of open streams, and the leaders that streams are wanted to.
#[derive(Debug, Default)]
pub(crate) struct Outboxes {
    open: ArcSwap<HashMap<BrokerId, Arc<Outbox>>>,
    leaders: Mutex<Leaders>,
    wanted: Notify,
}

/// Leaders that partitions here follow. Bounded by the brokers of the cluster.
#[derive(Debug, Default)]
struct Leaders {
    followed: HashSet<BrokerId>,
    /// Those of them that nobody fetches from yet.
    unserved: VecDeque<BrokerId>,
}

impl Outboxes {
    /// Notes that a partition has a fetch for its leader. Dropped when no stream is open: the position follows when one is.
    pub(crate) fn mark(&self, leader: BrokerId, partition: Arc<PartitionHandle>) {
        if let Some(outbox) = self.open.load().get(&leader) {
            outbox.mark(partition);
        }
    }

    /// Asks for a stream to a leader, unless there is one or one is being opened.
    pub(crate) fn follow(&self, leader: BrokerId) {
        let mut leaders = self.lock();
        if leaders.followed.insert(leader) {
            leaders.unserved.push_back(leader);
            drop(leaders);
            self.wanted.notify_one();
        }
    }

    /// Waits for the next leader that a stream is wanted to. For one caller, who fetches from it until it is [retired](Self::retire).
    pub(crate) async fn next_wanted(&self) -> BrokerId {
        loop {
            let next = self.lock().unserved.pop_front();
            if let Some(leader) = next {
                return leader;
            }
            self.wanted.notified().await;
        }
    }

    /// Ends the wish for a stream to a leader that no partition follows any more; says whether it did.
    pub(crate) fn retire(&self, leader: BrokerId, is_followed: impl FnOnce() -> bool) -> bool {
        // Looked at under the lock that `follow` takes, so that a partition that begins to follow meanwhile gets a new stream.
        let mut leaders = self.lock();
        let is_retired = !is_followed();
        if is_retired {
            leaders.followed.remove(&leader);
        }
        is_retired
    }

    /// Says whether something is to be fetched from a leader and no stream to it is open.
    pub(crate) fn is_cut_off_from(&self, leader: BrokerId) -> bool {
        !self.open.load().contains_key(&leader) && self.lock().followed.contains(&leader)
    }

    /// Opens or closes the outbox of a leader.
    pub(crate) fn set_open(&self, leader: BrokerId, outbox: Option<&Arc<Outbox>>) {
        self.open.rcu(|open| {
            let mut open = HashMap::clone(open);
            match outbox {
                Some(outbox) => open.insert(leader, Arc::clone(outbox)),
                None => open.remove(&leader),
            };
            open
        });
    }

    fn lock(&self) -> MutexGuard<'_, Leaders> {
        self.leaders.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// The partitions that have a fetch for one leader, for as long as a stream to it is open.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    marked: Mutex<Marked>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Marked {
    order: VecDeque<Arc<PartitionHandle>>,
    members: HashSet<TopicIdPartition>,
    is_closed: bool,
}

impl Outbox {
    fn mark(&self, partition: Arc<PartitionHandle>) {
        let mut marked = self.lock();
        if marked.is_closed || !marked.members.insert(partition.id()) {
            return;
        }
        marked.order.push_back(partition);
        drop(marked);
        self.waker.wake();
    }

    /// Takes the partition that has waited longest.
    pub(crate) fn pop(&self) -> Option<Arc<PartitionHandle>> {
        let mut marked = self.lock();
        let partition = marked.order.pop_front()?;
        marked.members.remove(&partition.id());
        Some(partition)
    }

    /// Wakes this task when a partition is marked or the outbox is closed.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Forgets what is marked; nothing is marked any more.
    pub(crate) fn close(&self) {
        let mut marked = self.lock();
        *marked = Marked { is_closed: true, ..Marked::default() };
        drop(marked);
        self.waker.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Marked> {
        self.marked.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_leader_is_wanted_once_until_nobody_follows_it_any_more() {
        let outboxes = Outboxes::default();
        let leader = BrokerId(2);
        let next = || outboxes.next_wanted().now_or_never();
        outboxes.follow(leader);
        outboxes.follow(leader);
        assert!(outboxes.is_cut_off_from(leader));
        assert_eq!((next(), next()), (Some(leader), None));
        assert!(!outboxes.retire(leader, || true), "a partition follows it");
        outboxes.follow(leader);
        assert_eq!(next(), None);
        assert!(outboxes.retire(leader, || false));
        assert!(!outboxes.is_cut_off_from(leader));
        outboxes.follow(leader);
        assert_eq!(next(), Some(leader));
    }
}
