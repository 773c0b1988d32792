//! Random logs, cleaned at random moments, against a reference that cannot be simpler: which records must a reader find?

use std::collections::BTreeMap;

use model::{Offset, UnixMillis};
use proptest::prelude::*;

use super::cleaning::{Found, Keyed, compacted};
use super::fixture::Home;
use crate::compaction::Fates;
use crate::file_system::{CrashMode, SimulatedDisk};
use crate::log::{CleanRequest, Log};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Clone, Debug)]
enum Step {
    /// Records: an index into the keys (beyond: none), and whether there is a value.
    Append(Vec<(usize, bool)>, Option<u8>),
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
    base_offset: i64,
    /// A tombstone that a clean has met.
    is_marked: bool,
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
            epoch: 0,
            sequences: BTreeMap::new(),
            count: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(records, producer) => self.append(records, *producer),
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

    fn append(&mut self, records: &[(usize, bool)], producer: Option<u8>) {
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
        let base_offset = self.log.try_write(self.epoch, &batch).unwrap().base_offset.0;
        self.bases.push(base_offset);
        for (offset, (key, value)) in (base_offset..).zip(batch.records) {
            let found = Found { offset, key: key.map(str::to_owned), value };
            self.records.push(Written { found, base_offset, is_marked: false });
        }
    }

    fn clean(&mut self) {
        // What lies above the last segment that is closed may still be truncated.
        let Some(active) = self.log.segment_base_offsets().last().copied() else { return };
        let request = CleanRequest {
            now: UnixMillis(0),
            stable_offset: active,
            fates: Fates::Known(Vec::new()),
            map_bytes: 1 << 20,
        };
        let Some(outcome) = self.log.clean_by(request) else { return };
        outcome.unwrap();
        self.stable = active.0;
        let end = self.log.cleaned_offset().0;
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
        self.epoch += 1;
        self.sequences.clear();
        // The present state of each is told by the log alone.
        let ids: Vec<_> = self.log.producer_sequences();
        self.sequences.extend(ids);
    }

    fn check(&self) {
        let expected: Vec<_> = self.records.iter().map(|record| record.found.clone()).collect();
        assert_eq!(self.log.records(), expected);
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
        for offset in start.0..self.log.log_end_offset().0 {
            let offset = Offset(offset);
            assert_eq!(follower.epoch_for(offset), self.log.epoch_for(offset), "at {offset}");
        }
        let of_leader: BTreeMap<_, _> = self.log.producer_sequences().into_iter().collect();
        for (id, sequence) in follower.producer_sequences() {
            assert_eq!(of_leader.get(&id), Some(&sequence), "producer {id}");
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
