//! One follower's stream, as this leader sees it: its partitions, and where what the follower says goes.
//!
//! Owns the positions that came before the partition did: nobody would send them again soon (design 3b.1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use model::{BrokerEpoch, BrokerId, TopicIdPartition};

use crate::local_broker::LocalBroker;
use crate::partition::FollowerFetch;
use crate::partition_handle::{PartitionHandle, SendQueue, Session};

/// One follower's stream.
#[derive(Debug)]
pub(crate) struct FollowerStream {
    queue: Arc<SendQueue>,
    sessions: Mutex<Sessions>,
}

/// The sessions of one stream, and positions for partitions that this broker's image does not have yet.
#[derive(Debug, Default)]
struct Sessions {
    open: HashMap<TopicIdPartition, Arc<Session>>,
    parked: HashMap<TopicIdPartition, FollowerFetch>,
}

impl FollowerStream {
    pub(super) fn new(follower: BrokerId, broker_epoch: BrokerEpoch) -> Self {
        let queue = Arc::new(SendQueue::new(follower, broker_epoch));
        Self { queue, sessions: Mutex::default() }
    }

    /// What the stream takes its messages from.
    pub(super) fn queue(&self) -> &Arc<SendQueue> {
        &self.queue
    }

    /// The follower.
    pub(super) fn follower(&self) -> BrokerId {
        self.queue.follower()
    }

    /// The follower's incarnation.
    pub(super) fn broker_epoch(&self) -> BrokerEpoch {
        self.queue.broker_epoch()
    }

    /// Ends the stream of messages.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Takes the stream out of its partitions.
    pub(super) fn forget_all(&self) {
        let sessions = std::mem::take(&mut *self.sessions());
        for session in sessions.open.values() {
            session.partition().forget_session(session);
        }
    }

    /// Lets go of a partition that was removed.
    pub(super) fn forget(&self, partition: &PartitionHandle) {
        self.sessions().open.remove(&partition.id());
    }

    /// Steps a follower's message, or parks it until the partition is here (design 3b.1).
    pub(super) fn fetched(&self, local: &LocalBroker, id: TopicIdPartition, fetch: FollowerFetch) {
        let Some(partition) = local.partition(&id) else {
            self.park(id, fetch);
            // It may have come between the look and the parking.
            if let Some(partition) = local.partition(&id) {
                self.unpark(&partition);
            }
            return;
        };
        let session = self.session_of(partition);
        session.partition().follower_fetched(&session, fetch);
    }

    pub(super) fn session_of(&self, partition: Arc<PartitionHandle>) -> Arc<Session> {
        let mut sessions = self.sessions();
        if let Some(session) = sessions.open.get(&partition.id())
            && Arc::ptr_eq(session.partition(), &partition)
        {
            return Arc::clone(session);
        }
        let id = partition.id();
        let session = Session::new(&self.queue, partition);
        sessions.open.insert(id, Arc::clone(&session));
        session
    }

    fn park(&self, id: TopicIdPartition, fetch: FollowerFetch) {
        let mut sessions = self.sessions();
        if sessions.parked.len() < MAX_PARKED {
            sessions.parked.insert(id, fetch);
        }
    }

    /// Steps the parked position of a partition that has arrived.
    pub(super) fn unpark(&self, partition: &Arc<PartitionHandle>) {
        let parked = self.sessions().parked.remove(&partition.id());
        if let Some(fetch) = parked {
            let session = self.session_of(Arc::clone(partition));
            partition.follower_fetched(&session, fetch);
        }
    }

    /// The sessions. Locked without any partition's lock.
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Bound of the positions that wait for a partition on one stream; a follower repeats those that were not taken.
const MAX_PARKED: usize = 100_000;
