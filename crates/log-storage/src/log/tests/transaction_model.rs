//! Random operations on a log of transactions: whatever happens to it, it says of them what a replay of all its batches says.

use model::{LeaderEpoch, Offset};
use proptest::prelude::*;

use super::fixture::{Home, TxnClient, small};
use super::naive::Naive;
use crate::file_system::{CrashMode, SimulatedDisk};
use crate::log::{AppendOutcome, Log};
use crate::test_batches::BatchSpec;

#[derive(Clone, Debug)]
enum Step {
    Write { client: usize, records: i32 },
    End { client: usize, commits: bool },
    Plain,
    Commit { back: i64 },
    Flush,
    Checkpoint,
    Truncate { back: i64 },
    Crash(CrashMode),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mode =
        prop_oneof![Just(CrashMode::LoseAll), Just(CrashMode::KeepAll), Just(CrashMode::Random)];
    let step = prop_oneof![
        8 => (0..4_usize, 1..4_i32).prop_map(|(client, records)| Step::Write { client, records }),
        6 => (0..4_usize, any::<bool>()).prop_map(|(client, commits)| Step::End { client, commits }),
        2 => Just(Step::Plain),
        2 => (0..10_i64).prop_map(|back| Step::Commit { back }),
        1 => Just(Step::Flush),
        2 => Just(Step::Checkpoint),
        1 => (0..25_i64).prop_map(|back| Step::Truncate { back }),
        1 => mode.prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..80)
}

struct Model {
    disk: SimulatedDisk,
    home: Home,
    log: Log,
    clients: Vec<TxnClient>,
    epoch: i32,
    /// The highest high watermark that the log was told and still has: below it all is decided for good.
    told: i64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let home = Home::on(&disk);
        let (log, _) = home.open(small());
        let clients = (1..=4).map(TxnClient::new).collect();
        Self { disk, home, log, clients, epoch: 0, told: 0 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { client, records } => {
                self.clients[client].write(&mut self.log, self.epoch, records);
            }
            Step::End { client, commits } => {
                self.clients[client].end(&mut self.log, self.epoch, commits);
            }
            Step::Plain => {
                let outcome = self.log.lead(self.epoch, BatchSpec::new(1)).unwrap();
                assert!(matches!(outcome, AppendOutcome::Appended(_)));
            }
            Step::Commit { back } => {
                self.told = self.told.max(self.log.log_end_offset().0 - back);
                self.log.set_high_watermark(Offset(self.told));
            }
            Step::Flush => self.log.flush_now().unwrap(),
            Step::Checkpoint => self.log.checkpoint_now().unwrap(),
            Step::Truncate { back } => {
                let offset = (self.log.log_end_offset().0 - back).max(0);
                self.log.truncate_to(Offset(offset)).unwrap();
                self.goes_on();
            }
            Step::Crash(mode) => {
                self.disk.crash(mode);
                let (log, recovery) = self.home.open(small());
                assert_eq!(recovery.corruption, None);
                self.log = log;
                self.goes_on();
            }
        }
    }

    fn goes_on(&mut self) {
        self.epoch += 1;
        self.log.assign_epoch(LeaderEpoch(self.epoch), self.log.log_end_offset());
        self.told = self.told.min(self.log.log_end_offset().0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transactions_are_what_a_replay_of_all_batches_says(seed in any::<u64>(), steps in steps()) {
        let mut model = Model::new(seed);
        for (number, step) in steps.iter().enumerate() {
            model.step(step);
            if number % 8 == 7 || number + 1 == steps.len() || !matches!(step, Step::Write { .. } | Step::End { .. }) {
                Naive::of(&model.log).check(&model.log, model.told, &format!("step {number}, {step:?}"));
            }
        }
    }
}
