//! What must hold over all brokers and clients together, kept apart from every machine: the committed history and who led when.
//!
//! The history grows with the first high watermark that passes an offset; from then on every replica's committed prefix, every leader and
//! every ISR member is held against it.

use std::collections::{BTreeMap, BTreeSet};

use model::{BrokerId, LeaderEpoch, Offset};

use super::model_log::{Batch, ModelLog};

/// The omniscient record of a run.
#[derive(Debug, Default)]
pub(super) struct Checker {
    committed: Vec<Batch>,
    /// Who led in an epoch: (broker, incarnation).
    leaders: BTreeMap<LeaderEpoch, (BrokerId, u64)>,
    /// Payloads acknowledged with `acks=all`.
    pub(super) acknowledged: BTreeSet<u64>,
    /// Everything below was deleted on purpose.
    pub(super) deleted_below: Offset,
    /// Whether bytes that only sit in a page cache count, because the topic says so.
    counts_page_cache: bool,
}

impl Checker {
    pub(super) fn new(counts_page_cache: bool) -> Self {
        Self { counts_page_cache, ..Self::default() }
    }

    /// The topic counts the page cache from now on; what was counted so is on no disk perhaps, so this holds for the rest of the run.
    pub(super) fn count_page_cache(&mut self) {
        self.counts_page_cache = true;
    }

    /// Returns the exclusive end of the committed history.
    pub(super) fn committed_end(&self) -> Offset {
        self.committed.last().map_or(Offset::ZERO, Batch::end_offset)
    }

    /// A broker leads in an epoch: nobody else ever does, and in the newest epoch it has everything that was committed.
    pub(super) fn leads(
        &mut self,
        leader: (BrokerId, u64),
        epoch: LeaderEpoch,
        newest: LeaderEpoch,
        log: &ModelLog,
    ) {
        let first = *self.leaders.entry(epoch).or_insert(leader);
        assert_eq!(first, leader, "two leaders in epoch {epoch}");
        if epoch == newest {
            let what = format!("the leader {} of epoch {epoch}", leader.0);
            self.check_holds_all(&what, log, log.end());
        }
    }

    /// A replica's high watermark moved up. A leader's may extend the history; a follower's may not.
    pub(super) fn high_watermark_moved(
        &mut self,
        broker: BrokerId,
        is_leader: bool,
        to: Offset,
        log: &ModelLog,
    ) {
        let known = self.committed_end();
        if to > known {
            assert!(
                is_leader,
                "follower {broker} believes {to} committed, nobody committed more than {known}"
            );
            assert!(
                log.start() <= known,
                "leader {broker} commits {to} without what follows {known}"
            );
            let new: Vec<Batch> =
                log.read(known).take_while(|batch| batch.base_offset < to).copied().collect();
            self.committed.extend(new);
            assert_eq!(self.committed_end(), to, "leader {broker} commits whole batches it has");
        }
        if to > log.start() {
            let (own, agreed) = (log.batch_ending_at(to), self.batch_ending_at(to));
            assert_eq!(own, agreed, "broker {broker} commits something else up to {to}");
        }
    }

    /// A client was told that its batch is committed.
    pub(super) fn acknowledge_all(&mut self, payload: u64, end: Offset) {
        let batch = self.batch_ending_at(end);
        let is_committed = batch.is_some_and(|batch| batch.payload == payload);
        assert!(is_committed, "payload {payload} acknowledged up to {end}, there is {batch:?}");
        self.acknowledged.insert(payload);
    }

    /// A member of the newest image's ISR holds the whole history, durably where the topic flushes.
    pub(super) fn check_member(&self, broker: BrokerId, log: &ModelLog) {
        let countable = if self.counts_page_cache { log.end() } else { log.flushed() };
        self.check_holds_all(&format!("ISR member {broker}"), log, countable);
    }

    fn check_holds_all(&self, who: &str, log: &ModelLog, countable: Offset) {
        let end = self.committed_end();
        let deleted = self.deleted_below;
        assert!(countable >= end, "{who} has {countable} of the committed {end}");
        assert!(log.start() <= deleted.max(Offset::ZERO), "{who} begins at {}", log.start());
        if end > log.start() {
            assert_eq!(log.batch_ending_at(end), self.committed.last(), "{who} has other records");
        }
    }

    fn batch_ending_at(&self, end: Offset) -> Option<&Batch> {
        let index = self.committed.partition_point(|batch| batch.end_offset() < end);
        self.committed.get(index).filter(|batch| batch.end_offset() == end)
    }

    /// Checks the end of a run against a log that everyone agrees on: nothing acknowledged is lost, idempotent producers' batches stand once and in order.
    pub(super) fn check_final(&self, log: &ModelLog) {
        let present: BTreeSet<u64> = log.batches().map(|batch| batch.payload).collect();
        let history = self.committed.iter().filter(|batch| batch.end_offset() > log.start());
        for batch in history {
            assert!(present.contains(&batch.payload), "committed batch {batch:?} is lost");
        }
        let deleted: BTreeSet<u64> = self
            .committed
            .iter()
            .filter(|batch| batch.end_offset() <= self.deleted_below)
            .map(|batch| batch.payload)
            .collect();
        for payload in &self.acknowledged {
            let is_there = present.contains(payload) || deleted.contains(payload);
            assert!(is_there, "acknowledged payload {payload} is lost");
        }
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for batch in log.batches() {
            if let Some((producer, sequence)) = batch.producer {
                let before = last.insert(producer, sequence);
                assert!(
                    before.is_none_or(|before| before + 1 == sequence),
                    "producer {producer}: sequence {sequence} follows {before:?}"
                );
            }
        }
    }
}
