//! What the runtime asks of a coordinator's machine. Both machines, that of the groups and that of the transactions, are driven by one mechanism.
//!
//! The trait says what a machine is to the driver and nothing of how it is driven: the order of lock, admit, step, drain, unlock and wake stands in `shard` alone.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;

use bytes::Bytes;
use model::{ErrorCode, Offset, Timestamp, UnixMillis};

use super::partition_writer::{Leadership, PartitionWriter, TransactionOrigin};
use crate::group::request::RequestId;
use crate::group::{Now, WriteId};

/// A coordinator's machine: what one partition of its topic keeps.
pub(super) trait Machine: Debug + Send + Sized + 'static {
    /// The topic that keeps it.
    const TOPIC: &'static str;

    /// Its settings.
    type Config: Clone + Debug + Send + Sync;
    /// What is asked of it.
    type Request: Send;
    /// What it answers.
    type Response: Debug + Send;
    /// What it writes.
    type Record: Debug + Send;
    /// What kind of batch records are written as; the default is plain.
    type BatchKind: Copy + Debug + Default + Send;
    /// A batch that its log may refuse; the machine changes only when it is told that it was not.
    type AskedBatch: Debug + Send;
    /// What it wants told to other partitions, once the write that it depends on is committed.
    type Message: Debug + Send;
    /// What it must be told beside requests and timeouts, before any request from then on and as soon as the partition takes writes.
    type Note: Clone + Debug + Ord + Send;
    /// How far a walk over its live records has come.
    type Cursor: Clone + Debug + Send + Sync;
    /// What it holds.
    type Counts;
    /// What of its counters stands in the totals already.
    type Counted: Debug + Default + Send;
    /// Counters of all machines of the coordinator since the start, those that are gone included.
    type Totals: Debug + Default + Send + Sync;
    /// Why its log cannot be read.
    type DecodeError: Error + Send + Sync;

    /// Makes a machine that holds nothing.
    fn new(config: Self::Config) -> Self;

    /// Replays whole batches of its log, in log order. What is about one record that somebody else must have written is handed to `skip`, and reading goes on behind it.
    ///
    /// # Errors
    /// What no replay gets past.
    fn replay_batches(
        &mut self,
        batches: &Bytes,
        skip: &mut dyn FnMut(Self::DecodeError),
    ) -> Result<(), Self::DecodeError>;

    /// Ends the load.
    fn end_load(&mut self, now: Now);

    /// Returns notes that are due if they hold still when nobody who leads can be behind the metadata any more: what happened while nobody had the log loaded. Asked once, at the load.
    fn suspicions(&self) -> BTreeSet<Self::Note>;

    /// Says whether a suspicion holds.
    fn holds(suspicion: &Self::Note, writer: &dyn PartitionWriter) -> bool;

    /// Says whether a request may lead to a write.
    fn request_may_write(request: &Self::Request) -> bool;

    /// Takes in a request.
    fn step_request(&mut self, now: Now, id: RequestId, request: Self::Request);

    /// Takes in that the time of its timeout has come.
    fn step_timeout(&mut self, now: Now);

    /// Takes in notes. What they say of another load than its own is void.
    fn step_notes(&mut self, now: Now, load: LoadNumber, notes: BTreeSet<Self::Note>);

    /// Returns its next wish.
    fn poll_wish(&mut self) -> Option<Wish<Self>>;

    /// Returns when to step its timeout.
    fn next_timeout(&self) -> Option<Timestamp>;

    /// Makes record batches, each when it is asked for, of `limit_bytes` at most.
    fn batches(
        kind: Self::BatchKind,
        records: &[Self::Record],
        timestamp: UnixMillis,
        limit_bytes: usize,
    ) -> impl Batches;

    /// Makes an asked batch, of `limit_bytes` at most, and says what the log is to know of it.
    ///
    /// # Errors
    /// When it cannot be made.
    fn asked_batch(
        batch: &Self::AskedBatch,
        timestamp: UnixMillis,
        limit_bytes: usize,
    ) -> Result<(Vec<u8>, TransactionOrigin), Box<dyn Error>>;

    /// Takes in what came of an asked batch: where it stands, or the answer with which the log has refused it.
    fn step_asked(&mut self, now: Now, result: Result<Offset, ErrorCode>);

    /// Returns the offset from which on the log is needed, whatever a rewrite puts behind it; `None` for none.
    fn log_needed_from(&self) -> Option<Offset>;

    /// Returns live records behind a cursor, and where to go on.
    fn live_records_behind(
        &self,
        after: Option<&Self::Cursor>,
        limit_bytes: usize,
    ) -> (Vec<Self::Record>, Option<Self::Cursor>);

    /// Returns about how many bytes the live records take in the log.
    fn bytes_live(&self) -> usize;

    /// Counts what it holds, and adds what is new in its counters to the totals.
    fn count(&self, now: Now, counted: &mut Self::Counted, totals: &Self::Totals) -> Self::Counts;
}

/// Names one load of a shard; what belongs to an earlier one is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LoadNumber(pub(super) u64);

/// Who sent a message, and is to be told what came of it: one load of the shard of one leadership. A later load of the same leadership has its wishes anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub(super) leadership: Leadership,
    pub(super) load: LoadNumber,
}

impl Asker {
    /// Returns the leadership.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership
    }
}

/// What a machine wants done, in order.
#[derive(Debug)]
pub(super) enum Wish<M: Machine> {
    /// Append these records. When that fails the machine is void.
    Append(WriteId, M::BatchKind, Vec<M::Record>),
    /// Append this batch, and say what came of it before anything else.
    Ask(WriteId, M::AskedBatch),
    /// Answer a request, once the write that it depends on is committed.
    Reply(RequestId, M::Response, Option<WriteId>),
    /// Tell other partitions, once the write that it depends on is committed.
    Send(M::Message, Option<WriteId>),
}

/// Record batches in the making.
pub(super) trait Batches {
    /// Why a batch cannot be made.
    type Error: Error;

    /// Returns the next batch.
    fn next_batch(&mut self) -> Option<Result<Vec<u8>, Self::Error>>;

    /// Names what the last record that was taken in is about.
    fn last_key(&self) -> Option<&str>;
}

/// Where the messages of a coordinator's machines go.
pub(super) trait Outlet<T>: Debug + Send + Sync {
    /// Takes messages whose writes are committed. Called without any lock; does not block.
    fn send(&self, asker: Asker, messages: Vec<T>);
}
