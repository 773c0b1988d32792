//! Random logs, cleaned at random moments, against a reference that cannot be simpler: which records must a reader find?

use std::collections::BTreeMap;

use model::{Offset, UnixMillis};
use proptest::prelude::*;

use super::cleaning::{Found, Keyed, compacted};
use super::fixture::Home;
use crate::file_system::{CrashMode, SimulatedDisk};
use crate::log::{CleanRequest, Log};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Clone, Debug)]
enum Step {
    /// Records: an index into the keys (beyond: none), and whether there is a value.
    Append(Vec<(usize, bool)>, Option<u8>),
    /// Records of a transaction of one of a few producers.
    Transactional(u8, Vec<usize>),
    /// The end of a producer's transaction, if one is open.
    End(u8, bool),
    Roll,
    Clean,
    Elect,
    Truncate {
        back: usize,
    },
    AdvanceStart {
        ahead: i64,
    },
    Crash(CrashMode),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mode =
        prop_oneof![Just(CrashMode::LoseAll), Just(CrashMode::KeepAll), Just(CrashMode::Random)];
    let record = (0..KEYS.len() + 1, prop::bool::weighted(0.8));
    let records = prop::collection::vec(record, 1..6);
    let step = prop_oneof![
        8 => (records, prop::option::of(0..3_u8)).prop_map(|(records, producer)| Step::Append(records, producer)),
        2 => (10..13_u8, prop::collection::vec(0..KEYS.len(), 1..4)).prop_map(|(producer, keys)| Step::Transactional(producer, keys)),
        2 => (10..13_u8, any::<bool>()).prop_map(|(producer, commits)| Step::End(producer, commits)),
        3 => Just(Step::Roll),
        3 => Just(Step::Clean),
        1 => Just(Step::Elect),
        1 => (0..4_usize).prop_map(|back| Step::Truncate { back }),
        1 => (1..9_i64).prop_map(|ahead| Step::AdvanceStart { ahead }),
        1 => mode.prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Clone, Debug)]
struct Written {
    found: Found,
    /// A tombstone that a clean has met.
    is_marked: bool,
    /// Its transaction.
    transaction: Option<usize>,
}

/// A transaction, and its end: offset of the marker, and whether it commits.
struct Transaction {
    producer: u8,
    first_offset: i64,
    end: Option<(i64, bool)>,
}

struct Model {
    disk: SimulatedDisk,
    home: Home,
    log: Log,
    records: Vec<Written>,
    /// Base offsets of all batches.
    bases: Vec<i64>,
    /// What lies below is not truncated.
    stable: i64,
    transactions: Vec<Transaction>,
    epoch: i32,
    sequences: BTreeMap<u8, i32>,
    count: u32,
}

impl Model {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let home = Home::on(&disk);
        let (log, _) = home.open(compacted());
        Self {
            disk,
            home,
            log,
            records: Vec::new(),
            bases: Vec::new(),
            stable: 0,
            transactions: Vec::new(),
            epoch: 0,
            sequences: BTreeMap::new(),
            count: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(records, producer) => self.append(records, *producer),
            Step::Transactional(producer, keys) => {
                let records: Vec<_> = keys.iter().map(|key| (*key, true)).collect();
                let open = self.open_transaction(*producer);
                let transaction = open.unwrap_or(self.transactions.len());
                if open.is_none() {
                    let first_offset = self.log.log_end_offset().0;
                    let producer = *producer;
                    self.transactions.push(Transaction { producer, first_offset, end: None });
                }
                self.append_in(&records, Some(*producer), Some(transaction));
            }
            Step::End(producer, commits) => {
                if let Some(transaction) = self.open_transaction(*producer) {
                    let marker = Keyed::marker(i64::from(*producer), *commits);
                    let offset = self.log.try_write(self.epoch, &marker).unwrap().base_offset.0;
                    self.bases.push(offset);
                    self.transactions[transaction].end = Some((offset, *commits));
                }
            }
            Step::Roll => self.log.close_segment(),
            Step::Clean => self.clean(),
            Step::Elect => self.epoch += 1,
            Step::Truncate { back } => {
                let kept = self.bases.len().saturating_sub(*back);
                if let Some(offset) = self.bases.get(kept).copied()
                    && offset >= self.stable
                {
                    self.log.truncate_to(Offset(offset)).unwrap();
                    self.ends_at(offset);
                }
            }
            Step::AdvanceStart { ahead } => {
                let start = self.log.log_start_offset() + *ahead;
                match self.log.advance_log_start(start) {
                    Some(removal) => removal.run().unwrap().run(),
                    None => self.log.options.checkpoint.persist().unwrap(),
                }
                let start = self.log.log_start_offset().0;
                self.records.retain(|record| record.found.offset >= start);
                self.bases.retain(|base| *base >= start);
            }
            Step::Crash(mode) => {
                self.disk.crash(*mode);
                let (log, recovery) = self.home.open(compacted());
                assert_eq!(recovery.corruption, None);
                self.log = log;
                self.ends_at(self.log.log_end_offset().0);
            }
        }
    }

    fn open_transaction(&self, producer: u8) -> Option<usize> {
        let is_open = |one: &Transaction| one.producer == producer && one.end.is_none();
        self.transactions.iter().position(is_open)
    }

    fn append(&mut self, records: &[(usize, bool)], producer: Option<u8>) {
        self.append_in(records, producer, None);
    }

    fn append_in(
        &mut self,
        records: &[(usize, bool)],
        producer: Option<u8>,
        transaction: Option<usize>,
    ) {
        let pairs = records.iter().map(|(key, has_value)| {
            self.count += 1;
            let key = KEYS.get(*key).copied();
            (key, (*has_value || key.is_none()).then(|| self.count.to_string()))
        });
        let mut batch = Keyed::of(pairs.collect());
        if let Some(producer) = producer {
            let sequence = self.sequences.entry(producer).or_insert(0);
            batch = batch.by(i64::from(producer), *sequence);
            *sequence += i32::try_from(records.len()).unwrap();
        }
        if transaction.is_some() {
            batch = batch.transactional();
        }
        let base_offset = self.log.try_write(self.epoch, &batch).unwrap().base_offset.0;
        self.bases.push(base_offset);
        for (offset, (key, value)) in (base_offset..).zip(batch.records) {
            let found = Found { offset, key: key.map(str::to_owned), value };
            self.records.push(Written { found, is_marked: false, transaction });
        }
    }

    fn clean(&mut self) {
        // What lies above the last segment that is closed may still be truncated.
        let Some(active) = self.log.segment_base_offsets().last().copied() else { return };
        let request = CleanRequest {
            now: UnixMillis(0),
            stable_offset: self.log.last_stable_offset(active),
            map_bytes: 1 << 20,
        };
        let Some(outcome) = self.log.clean_by(request) else { return };
        outcome.unwrap();
        self.stable = self.stable.max(active.0);
        let end = self.log.cleaned_offset().0;
        let transactions = &self.transactions;
        let is_aborted = |record: &Written| {
            record.transaction.is_some_and(|one| matches!(transactions[one].end, Some((_, false))))
        };
        self.records.retain(|record| record.found.offset >= end || !is_aborted(record));
        let mut latest = BTreeMap::new();
        for Written { found, .. } in self.records.iter().filter(|record| record.found.offset < end)
        {
            latest.insert(found.key.clone(), found.offset);
        }
        self.records.retain_mut(|record| {
            let found = &record.found;
            if found.offset >= end {
                return true;
            }
            let is_tombstone = found.value.is_none();
            let stays = found.key.is_some()
                && latest[&found.key] == found.offset
                && !(is_tombstone && record.is_marked);
            record.is_marked = is_tombstone;
            stays
        });
    }

    /// What lay behind is gone, and its producers begin anew.
    fn ends_at(&mut self, end: i64) {
        self.records.retain(|record| record.found.offset < end);
        self.bases.retain(|base| *base < end);
        self.transactions.iter_mut().for_each(|one| {
            one.end = one.end.filter(|(marker, _)| *marker < end);
        });
        // A transaction that is gone is open for nobody.
        for gone in self.transactions.iter_mut().filter(|one| one.first_offset >= end) {
            gone.end = gone.end.or(Some((0, false)));
        }
        self.epoch += 1;
        self.sequences.clear();
        // The present state of each is told by the log alone.
        let ids: Vec<_> = self.log.producer_sequences();
        self.sequences.extend(ids);
    }

    fn check(&self) {
        let expected: Vec<_> = self.records.iter().map(|record| record.found.clone()).collect();
        assert_eq!(self.log.records(), expected);
        self.check_transactions(&self.log);
    }

    /// A reader is told of all aborted records that are there, and of no committed one.
    fn check_transactions(&self, log: &Log) {
        let end = log.log_end_offset();
        let mut aborted = Vec::new();
        for base in log.segment_base_offsets() {
            aborted.extend(log.aborted_lookup(base).execute(end).unwrap());
        }
        for record in &self.records {
            let Some(one) = record.transaction.map(|index| &self.transactions[index]) else {
                continue;
            };
            let offset = Offset(record.found.offset);
            let is_named = aborted.iter().any(|named| {
                named.producer_id.0 == i64::from(one.producer)
                    && (named.first_offset..named.last_offset).contains(&offset)
            });
            let is_aborted = matches!(one.end, Some((_, false)));
            assert_eq!(is_named, is_aborted, "{record:?} among {aborted:?}");
        }
    }

    /// A replica that fetches the whole log comes to the same.
    fn check_follower(&self) {
        let start = self.log.log_start_offset();
        let (mut follower, _) = Home::on(&SimulatedDisk::new(0)).open(compacted());
        if start > Offset::ZERO {
            follower.restart_at(start).unwrap();
        }
        while follower.log_end_offset() < self.log.log_end_offset() {
            let from = follower.log_end_offset();
            let bytes = self.log.read_from(from.0, 400).unwrap();
            let bytes = crate::reads::continued::continued_at(bytes, from);
            let begins = model::record_batch::BatchHeader::parse(&bytes).unwrap().base_offset;
            if begins < from {
                // The log starts inside a batch.
                return;
            }
            follower.follow(self.epoch, &bytes).unwrap();
        }
        assert_eq!(follower.records(), self.log.records());
        self.check_transactions(&follower);
        let stable = |log: &Log| log.last_stable_offset(log.log_end_offset());
        if start == Offset::ZERO {
            assert_eq!(stable(&follower), stable(&self.log));
        }
        for offset in start.0..self.log.log_end_offset().0 {
            let offset = Offset(offset);
            assert_eq!(follower.epoch_for(offset), self.log.epoch_for(offset), "at {offset}");
        }
        if start == Offset::ZERO {
            assert_eq!(follower.producer_sequences(), self.log.producer_sequences());
        }
    }
}

impl Log {
    /// The next sequence of each producer.
    fn producer_sequences(&self) -> Vec<(u8, i32)> {
        let producers = self.producers.as_ref().unwrap().next_sequences();
        producers.into_iter().map(|(id, next)| (u8::try_from(id.0).unwrap(), next)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cleaned_log_holds_what_the_reference_says_and_a_follower_comes_to_the_same(
        seed in any::<u64>(),
        steps in steps(),
    ) {
        let mut model = Model::new(seed);
        for step in &steps {
            model.step(step);
            model.check();
        }
        model.check_follower();
    }
}
