//! The transaction machine, as the runtime drives it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::{ErrorCode, Offset, ProducerId, Timestamp, TopicPartition, UnixMillis};

use super::machine::{Asker, Batches, LoadNumber, Machine, Outlet, Wish};
use super::partition_writer::{PartitionWriter, TransactionOrigin};
use super::transaction_coordinator::TransactionOutlet;
use crate::group::request::RequestId;
use crate::group::{Now, WriteId};
use crate::record_format::transactions::{self, DecodeError, EncodeError, Encoder};
use crate::transaction::ids::TransactionalId;
use crate::transaction::record::TransactionRecord;
use crate::transaction::request::Request;
use crate::transaction::response::Response;
use crate::transaction::{
    Action, DecisionId, Event, MarkersToWrite, RewriteCursor, Shard, ShardCounts,
    TransactionConfig, WrittenMarkers,
};

/// What a transaction machine wants told to others.
#[derive(Debug)]
pub(super) enum Message {
    /// Have markers written.
    WriteMarkers(MarkersToWrite),
    /// Draw a producer id.
    DrawProducerId,
}

/// What a transaction machine is told beside requests and timeouts, by whoever carries the wishes of one of its loads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) load: LoadNumber,
    pub(super) news: News,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// Partitions have their markers.
    MarkersWritten {
        transactional_id: TransactionalId,
        decision: DecisionId,
        partitions: Vec<TopicPartition>,
    },
    /// A producer id was drawn.
    ProducerIdDrawn(ProducerId),
}

impl From<News> for Event {
    fn from(news: News) -> Self {
        match news {
            News::MarkersWritten { transactional_id, decision, partitions } => {
                Self::MarkersWritten(WrittenMarkers { transactional_id, decision, partitions })
            }
            News::ProducerIdDrawn(id) => Self::ProducerIdDrawn(id),
        }
    }
}

/// What all machines have done since the start, as far as it was counted.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) commits: AtomicU64,
    pub(super) aborts: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) fenced: AtomicU64,
}

/// What one machine had done when it was counted last.
#[derive(Debug, Default)]
pub(super) struct Counted {
    commits: u64,
    aborts: u64,
    timeouts: u64,
    fenced: u64,
}

impl Machine for Shard {
    const TOPIC: &'static str = "__transaction_state";

    type Config = TransactionConfig;
    type Request = Request;
    type Response = Response;
    type Record = TransactionRecord;
    type BatchKind = ();
    /// Its log takes what it writes.
    type AskedBatch = Infallible;
    type Message = Message;
    type Note = Note;
    type Cursor = RewriteCursor;
    type Counts = ShardCounts;
    type Counted = Counted;
    type Totals = Totals;
    type DecodeError = DecodeError;

    fn new(config: TransactionConfig) -> Self {
        Self::new(config)
    }

    fn replay_batches(
        &mut self,
        batches: &Bytes,
        skip: &mut dyn FnMut(DecodeError),
    ) -> Result<(), DecodeError> {
        for record in transactions::decode(batches) {
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

    /// None: whether a partition is gone is found by whoever carries its marker.
    fn suspicions(&self) -> BTreeSet<Note> {
        BTreeSet::new()
    }

    fn holds(_suspicion: &Note, _writer: &dyn PartitionWriter) -> bool {
        false
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

    fn step_notes(&mut self, now: Now, load: LoadNumber, notes: BTreeSet<Note>) {
        for note in notes.into_iter().filter(|note| note.load == load) {
            self.step(now, note.news.into());
        }
    }

    fn poll_wish(&mut self) -> Option<Wish<Self>> {
        self.poll_action().map(|action| match action {
            Action::Append(write, records) => Wish::Append(write, (), records),
            Action::Reply(id, response, depends_on) => Wish::Reply(id, response, depends_on),
            Action::WriteMarkers(markers, depends_on) => {
                Wish::Send(Message::WriteMarkers(markers), depends_on)
            }
            Action::DrawProducerId => Wish::Send(Message::DrawProducerId, None::<WriteId>),
        })
    }

    fn next_timeout(&self) -> Option<Timestamp> {
        self.poll_timeout()
    }

    fn batches(
        (): (),
        records: &[TransactionRecord],
        timestamp: UnixMillis,
        limit_bytes: usize,
    ) -> impl Batches {
        transactions::batches(records, timestamp, limit_bytes)
    }

    fn asked_batch(
        batch: &Infallible,
        _timestamp: UnixMillis,
        _limit_bytes: usize,
    ) -> Result<(Vec<u8>, TransactionOrigin), Box<dyn Error>> {
        match *batch {}
    }

    fn step_asked(&mut self, _now: Now, _result: Result<Offset, ErrorCode>) {}

    fn log_needed_from(&self) -> Option<Offset> {
        None
    }

    fn live_records_behind(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<TransactionRecord>, Option<RewriteCursor>) {
        self.live_records(after, limit_bytes)
    }

    fn bytes_live(&self) -> usize {
        self.live_bytes()
    }

    fn count(&self, now: Now, counted: &mut Counted, totals: &Totals) -> ShardCounts {
        let counts = self.counts(now);
        for (is, was, total) in [
            (counts.commit_count, &mut counted.commits, &totals.commits),
            (counts.abort_count, &mut counted.aborts, &totals.aborts),
            (counts.timeout_count, &mut counted.timeouts, &totals.timeouts),
            (counts.fenced_count, &mut counted.fenced, &totals.fenced),
        ] {
            total.fetch_add(is.saturating_sub(*was), Ordering::Relaxed);
            *was = is;
        }
        counts
    }
}

impl Batches for Encoder<'_> {
    type Error = EncodeError;

    fn next_batch(&mut self) -> Option<Result<Vec<u8>, EncodeError>> {
        self.next()
    }

    fn last_key(&self) -> Option<&str> {
        self.last_record().map(|record| record.transactional_id.as_str())
    }
}

/// Parts the messages by kind.
#[derive(Debug)]
pub(super) struct ToOutlet(pub(super) Arc<dyn TransactionOutlet>);

impl Outlet<Message> for ToOutlet {
    fn send(&self, asker: Asker, messages: Vec<Message>) {
        let mut markers = Vec::new();
        for message in messages {
            match message {
                Message::WriteMarkers(one) => markers.push(one),
                Message::DrawProducerId => self.0.draw_producer_id(asker),
            }
        }
        if !markers.is_empty() {
            self.0.write_markers(asker, markers);
        }
    }
}
