//! The streams that followers have open to this broker, for what concerns them all: partitions and brokers that come and go.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::follower_stream::FollowerStream;
use crate::image_update::RegisteredBroker;
use crate::partition_handle::PartitionHandle;

/// The open streams of this leader. Bounded by the brokers of the cluster, each of which has one, and a few that are ending.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Mutex<Vec<Weak<FollowerStream>>>,
    /// Who was refused last, and why.
    refused: Mutex<Option<(i32, String)>>,
}

impl Streams {
    /// Notes that a stream was refused; says whether that is news.
    pub(super) fn is_new_refusal(&self, follower: i32, reason: &str) -> bool {
        let new = Some((follower, reason.to_owned()));
        let mut refused =
            self.refused.lock().expect("a panic ends the process, so no lock is ever poisoned");
        let is_new = *refused != new;
        *refused = new;
        is_new
    }

    pub(super) fn add(&self, stream: &Arc<FollowerStream>) {
        let mut open = self.lock();
        open.retain(|stream| stream.strong_count() > 0);
        open.push(Arc::downgrade(stream));
    }

    /// Takes an ended stream out of its partitions.
    pub(super) fn end(&self, stream: &Arc<FollowerStream>) {
        self.lock().retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(stream)));
        stream.close();
        stream.forget_all();
    }

    /// Delivers positions that waited for a partition.
    pub(crate) fn partition_added(&self, partition: &Arc<PartitionHandle>) {
        for stream in self.streams() {
            stream.unpark(partition);
        }
    }

    /// Lets go of a partition that was removed.
    pub(crate) fn partition_removed(&self, partition: &Arc<PartitionHandle>) {
        for stream in self.streams() {
            stream.forget(partition);
        }
    }

    /// Ends the streams of earlier incarnations of a broker.
    pub(crate) fn broker_registered(&self, broker: &RegisteredBroker) {
        for stream in self.streams() {
            if stream.follower() == broker.broker_id && stream.broker_epoch() < broker.broker_epoch
            {
                stream.close();
            }
        }
    }

    fn streams(&self) -> Vec<Arc<FollowerStream>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<FollowerStream>>> {
        self.open.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_news_once() {
        let streams = Streams::default();
        assert!(streams.is_new_refusal(2, "another cluster"));
        assert!(!streams.is_new_refusal(2, "another cluster"));
        assert!(streams.is_new_refusal(2, "no broker epoch"));
        assert!(streams.is_new_refusal(3, "no broker epoch"));
    }
}
