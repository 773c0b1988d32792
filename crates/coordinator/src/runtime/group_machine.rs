//! The group machine, as the runtime drives it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::{Timestamp, UnixMillis};

use super::machine::{Asker, Batches, LoadNumber, Machine, Outlet, Wish};
use super::partition_writer::PartitionWriter;
use crate::group::ids::TopicIdentity;
use crate::group::record::GroupRecord;
use crate::group::request::{Request, RequestId};
use crate::group::response::Response;
use crate::group::{Action, Event, GroupConfig, Now, RewriteCursor, Shard, ShardCounts};
use crate::record_format::{self, DecodeError, EncodeError, Encoder};

impl Machine for Shard {
    const TOPIC: &'static str = "__consumer_offsets";

    type Config = GroupConfig;
    type Request = Request;
    type Response = Response;
    type Record = GroupRecord;
    type BatchKind = ();
    type Message = Infallible;
    /// A topic that is gone.
    type Note = TopicIdentity;
    type Cursor = RewriteCursor;
    type Counts = ShardCounts;
    /// Its rebalances.
    type Counted = u64;
    type Totals = AtomicU64;
    type DecodeError = DecodeError;

    fn new(config: GroupConfig) -> Self {
        Self::new(config)
    }

    fn replay_batches(
        &mut self,
        batches: &Bytes,
        skip: &mut dyn FnMut(DecodeError),
    ) -> Result<(), DecodeError> {
        for record in record_format::decode(batches) {
            match record {
                Ok(record) => self.replay(record),
                Err(error) if error.is_skippable() => skip(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn end_load(&mut self, now: Now) {
        self.loaded(now);
    }

    /// Topics with offsets: one that the metadata do not know went away while no coordinator had this shard loaded.
    fn suspicions(&self) -> BTreeSet<TopicIdentity> {
        self.committed_topics()
    }

    fn holds(suspicion: &TopicIdentity, writer: &dyn PartitionWriter) -> bool {
        !writer.topic_exists(suspicion)
    }

    fn request_may_write(request: &Request) -> bool {
        Self::may_write(request)
    }

    fn step_request(&mut self, now: Now, id: RequestId, request: Request) {
        self.step(now, Event::Request(id, request));
    }

    fn step_timeout(&mut self, now: Now) {
        self.step(now, Event::TimeoutReached);
    }

    /// The machine deletes the offsets of topics in parts; the later ones come by its timer.
    fn step_notes(&mut self, now: Now, _load: LoadNumber, notes: BTreeSet<TopicIdentity>) {
        self.step(now, Event::TopicsDeleted(notes.into_iter().collect()));
    }

    fn poll_wish(&mut self) -> Option<Wish<Self>> {
        self.poll_action().map(|action| match action {
            Action::Append(write, records) => Wish::Append(write, (), records),
            Action::Reply(id, response, depends_on) => Wish::Reply(id, response, depends_on),
        })
    }

    fn next_timeout(&self) -> Option<Timestamp> {
        self.poll_timeout()
    }

    fn batches(
        (): (),
        records: &[GroupRecord],
        timestamp: UnixMillis,
        limit_bytes: usize,
    ) -> impl Batches {
        record_format::batches(records, timestamp, limit_bytes)
    }

    fn live_records_behind(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        self.live_records(after, limit_bytes)
    }

    fn bytes_live(&self) -> usize {
        self.live_bytes()
    }

    fn count(&self, _now: Now, counted: &mut u64, totals: &AtomicU64) -> ShardCounts {
        let counts = self.counts();
        let new = counts.completed_rebalance_count.saturating_sub(*counted);
        *counted = counts.completed_rebalance_count;
        totals.fetch_add(new, Ordering::Relaxed);
        counts
    }
}

impl Batches for Encoder<'_> {
    type Error = EncodeError;

    fn next_batch(&mut self) -> Option<Result<Vec<u8>, EncodeError>> {
        self.next()
    }

    fn last_key(&self) -> Option<&str> {
        self.last_record().map(|record| record.group_id().as_str())
    }
}

/// Groups tell other partitions nothing.
#[derive(Debug)]
pub(super) struct NoMessages;

impl Outlet<Infallible> for NoMessages {
    fn send(&self, _asker: Asker, _messages: Vec<Infallible>) {}
}
