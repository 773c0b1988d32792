//! The group machine, as the runtime drives it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::{ErrorCode, Offset, Timestamp, UnixMillis};

use super::machine::{Asker, Batches, LoadNumber, Machine, Outlet, Wish};
use super::partition_writer::{PartitionWriter, TransactionOrigin};
use crate::group::ids::TopicIdentity;
use crate::group::record::{GroupRecord, TransactionBatch};
use crate::group::request::{CompleteTransaction, Request, RequestId};
use crate::group::response::Response;
use crate::group::{Action, Event, GroupConfig, Now, RewriteCursor, Shard, ShardCounts};
use crate::record_format::{self, DecodeError, EncodeError, Encoder, LogEntry};

impl Machine for Shard {
    const TOPIC: &'static str = "__consumer_offsets";

    type Config = GroupConfig;
    type Request = Request;
    type Response = Response;
    type Record = GroupRecord;
    type BatchKind = ();
    type AskedBatch = TransactionBatch;
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
                Ok(LogEntry::Record(record)) => self.replay(record),
                Ok(LogEntry::OfTransaction { producer_id, offset, record }) => {
                    self.replay_pending(producer_id, offset, record);
                }
                Ok(LogEntry::Marker { producer_id, marker }) => {
                    self.replay_marker(producer_id, marker.result);
                }
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
            Action::AppendOfTransaction(write, batch) => Wish::Ask(write, batch),
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

    fn asked_batch(
        batch: &TransactionBatch,
        timestamp: UnixMillis,
        limit_bytes: usize,
    ) -> Result<(Vec<u8>, TransactionOrigin), Box<dyn Error>> {
        let origin = match batch {
            TransactionBatch::Offsets { guard, .. } => TransactionOrigin::Offsets(*guard),
            TransactionBatch::Marker(CompleteTransaction { transaction_version, .. }) => {
                TransactionOrigin::Marker { transaction_version: *transaction_version }
            }
        };
        Ok((record_format::transaction_batch(batch, timestamp, limit_bytes)?, origin))
    }

    fn step_asked(&mut self, now: Now, result: Result<Offset, ErrorCode>) {
        self.appended(now, result);
    }

    fn log_needed_from(&self) -> Option<Offset> {
        self.needed_from()
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
