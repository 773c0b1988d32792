//! Random operations against a vector of batches.

use model::{LeaderEpoch, Offset};
use proptest::prelude::*;

use super::fixture::{Home, small};
use crate::config::LogConfig;
use crate::file_system::{CrashMode, SimulatedDisk};
use crate::log::{AppendOutcome, Log};
use crate::test_batches::BatchSpec;

#[derive(Clone, Debug)]
enum Step {
    Append { records: i32, value_bytes: usize },
    Follow { batches: u8 },
    Elect,
    Flush,
    Checkpoint,
    Truncate { back: usize },
    Restart { ahead: i64 },
    AdvanceStart { ahead: i64 },
    Reopen,
    Crash(CrashMode),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mode =
        prop_oneof![Just(CrashMode::LoseAll), Just(CrashMode::KeepAll), Just(CrashMode::Random)];
    let step = prop_oneof![
        8 => (1..6_i32, 0..70_usize).prop_map(|(records, value_bytes)| Step::Append { records, value_bytes }),
        3 => (1..5_u8).prop_map(|batches| Step::Follow { batches }),
        1 => Just(Step::Elect),
        3 => Just(Step::Flush),
        2 => Just(Step::Checkpoint),
        2 => (0..6_usize).prop_map(|back| Step::Truncate { back }),
        1 => (0..30_i64).prop_map(|ahead| Step::Restart { ahead }),
        1 => (1..20_i64).prop_map(|ahead| Step::AdvanceStart { ahead }),
        1 => Just(Step::Reopen),
        2 => mode.prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

/// The log as it should be.
struct Model {
    disk: SimulatedDisk,
    home: Home,
    log: Log,
    /// Bytes of the batches, with their first and next offsets.
    batches: Vec<(i64, i64, Vec<u8>)>,
    start: i64,
    flushed: i64,
    epoch: i32,
}

impl Model {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let home = Home::on(&disk);
        let (log, _) = home.open(small());
        Self { disk, home, log, batches: Vec::new(), start: 0, flushed: 0, epoch: 0 }
    }

    fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |(_, next, _)| *next)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { records, value_bytes } => {
                let spec = BatchSpec::new(records).value_bytes(value_bytes);
                let outcome = self.log.lead(self.epoch, spec).unwrap();
                assert!(matches!(outcome, AppendOutcome::Appended(_)));
                let base = self.end();
                let bytes = spec.at(base).epoch(self.epoch).bytes();
                self.batches.push((base, base + i64::from(records), bytes));
            }
            Step::Follow { batches } => {
                let mut message = Vec::new();
                for _ in 0..batches {
                    let base = self.end();
                    let bytes = BatchSpec::new(3).at(base).epoch(self.epoch).bytes();
                    message.extend_from_slice(&bytes);
                    self.batches.push((base, base + 3, bytes));
                }
                self.log.follow(self.epoch, &message).unwrap().unwrap();
            }
            Step::Elect => {
                self.epoch += 1;
                self.log.assign_epoch(LeaderEpoch(self.epoch), Offset(self.end()));
            }
            Step::Flush => {
                self.log.flush_now().unwrap();
                self.flushed = self.end();
            }
            Step::Checkpoint => {
                self.log.checkpoint_now().unwrap();
                self.flushed = self.end();
            }
            Step::Truncate { back } => self.truncate(back),
            Step::Restart { ahead } => {
                self.start = self.end() + ahead;
                self.batches.clear();
                self.log.restart_at(Offset(self.start)).unwrap();
                self.flushed = self.start;
                self.epoch += 1;
            }
            Step::AdvanceStart { ahead } => {
                self.start = (self.start + ahead).min(self.end());
                if let Some(removal) = self.log.advance_log_start(Offset(self.start)) {
                    removal.run().unwrap().run();
                } else {
                    self.log.options.checkpoint.persist().unwrap();
                }
                let start = self.start;
                self.batches.retain(|(_, next, _)| *next > start);
            }
            Step::Reopen => self.crash(CrashMode::KeepAll),
            Step::Crash(mode) => self.crash(mode),
        }
    }

    fn truncate(&mut self, back: usize) {
        let kept = self.batches.len().saturating_sub(back);
        let offset = self
            .batches
            .get(kept)
            .map_or_else(|| self.end(), |(base, _, _)| (*base).max(self.start));
        if self.batches.get(kept).is_some_and(|(base, _, _)| *base < offset) {
            return;
        }
        self.log.truncate_to(Offset(offset)).unwrap();
        self.batches.truncate(kept);
        self.flushed = self.flushed.min(offset);
        self.epoch += 1;
    }

    fn crash(&mut self, mode: CrashMode) {
        self.disk.crash(mode);
        let (log, recovery) = self.home.open(small());
        assert_eq!(recovery.corruption, None);
        self.log = log;
        let end = self.log.log_end_offset().0;
        assert!(end >= self.flushed, "{end} is left of {}", self.flushed);
        let has_start = |start: &i64| self.batches.iter().any(|(base, _, _)| base == start);
        assert!(
            end == self.end() || end == self.start || has_start(&end),
            "it ends between two batches"
        );
        // A log that ended below its start goes on at the start, without the batch that reached across.
        self.batches.retain(|(_, next, _)| *next <= end);
        self.flushed = end;
        self.epoch += 1;
    }

    fn check(&self) {
        assert_eq!(self.log.log_start_offset().0, self.start);
        assert_eq!(self.log.log_end_offset().0, self.end());
        assert!(self.log.flushed_offset().0 >= self.flushed.min(self.end()));
        let mut next = self.start;
        for (base, end, bytes) in &self.batches {
            let read = self.log.read_from(next, 1).unwrap();
            assert_eq!(read, bytes, "at {next}");
            let epoch = i32::from_be_bytes(bytes[12..16].try_into().unwrap());
            assert_eq!(
                self.log.epoch_for(Offset((*base).max(self.start))),
                Some(LeaderEpoch(epoch))
            );
            next = *end;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_behaves_as_a_vector_of_batches(seed in any::<u64>(), steps in steps()) {
        let mut model = Model::new(seed);
        for step in &steps {
            model.step(step);
            model.check();
        }
    }

    #[test]
    fn any_bytes_in_any_file_are_opened_without_a_panic(
        seed in any::<u64>(),
        damage in prop::collection::vec((0..6_usize, 0..600_usize, any::<u8>()), 1..20),
    ) {
        let mut model = Model::new(seed);
        (0..12).for_each(|_| model.step(&Step::Append { records: 2, value_bytes: 10 }));
        model.step(&Step::Checkpoint);
        model.step(&Step::Append { records: 2, value_bytes: 10 });
        model.step(&Step::Flush);
        let directory = model.home.log_directory();
        let files = model.home.fs.list(&directory).unwrap();
        for (file, position, bit) in damage {
            let path = directory.join(&files[file % files.len()].name);
            let _ = model.disk.flip_bit(&path, position, bit);
        }
        let (log, _) = model.home.open(LogConfig::default());
        let _ = log.read_from(log.log_start_offset().0, 10_000);
    }
}
