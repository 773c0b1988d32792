//! The power goes at every single operation of a workload of transactions, and comes back: what is stable and what is aborted is what the batches that are left say.

use model::{LeaderEpoch, Offset};

use super::fixture::{Home, TxnClient, small};
use super::naive::Naive;
use crate::error::{AppendError, FatalError};
use crate::file_system::{CrashMode, SimulatedDisk};
use crate::log::{AppendOutcome, Log};
use crate::test_batches::BatchSpec;

/// Why a workload stopped: the power.
struct PowerOff;

impl From<FatalError> for PowerOff {
    fn from(_: FatalError) -> Self {
        Self
    }
}

fn appended(outcome: Result<AppendOutcome, AppendError>) -> Result<(), PowerOff> {
    match outcome {
        Ok(AppendOutcome::Appended(_)) => Ok(()),
        Err(AppendError::Fatal(_)) => Err(PowerOff),
        other => panic!("{other:?}"),
    }
}

/// What the owner of a log goes on with after each start.
struct Owner {
    clients: [TxnClient; 3],
    epoch: i32,
    /// The highest high watermark that the log was told.
    told: i64,
}

impl Owner {
    fn new() -> Self {
        Self {
            clients: [TxnClient::new(1), TxnClient::new(2), TxnClient::new(3)],
            epoch: 0,
            told: 0,
        }
    }

    /// Transactions of three producers that overlap: two out of three are aborted.
    fn transactions(&mut self, log: &mut Log, count: usize) -> Result<(), PowerOff> {
        for number in 0..count {
            for write in 0..2 {
                let client = &mut self.clients[(number + write) % 3];
                appended(client.try_write(log, self.epoch, 2))?;
            }
            appended(log.lead(self.epoch, BatchSpec::new(1)))?;
            let client = &mut self.clients[number % 3];
            appended(client.try_end(log, self.epoch, number % 3 == 0))?;
        }
        Ok(())
    }

    fn truncate(&mut self, log: &mut Log, offset: i64) -> Result<(), PowerOff> {
        log.truncate_to(Offset(offset.max(log.log_start_offset().0)))?;
        self.epoch += 1;
        log.assign_epoch(LeaderEpoch(self.epoch), log.log_end_offset());
        Naive::of(log).check(log, log.log_end_offset().0, "truncated");
        Ok(())
    }

    fn workload(&mut self, log: &mut Log) -> Result<(), PowerOff> {
        self.transactions(log, 4)?;
        log.checkpoint_now()?;
        self.transactions(log, 3)?;
        log.flush_now()?;
        self.told = 20;
        log.set_high_watermark(Offset(20));
        self.truncate(log, 33)?;
        self.transactions(log, 2)?;
        log.checkpoint_now()?;
        self.transactions(log, 2)?;
        self.truncate(log, 24)?;
        self.transactions(log, 3)?;
        log.flush_now()?;
        self.told = log.log_end_offset().0;
        log.set_high_watermark(Offset(self.told));
        log.checkpoint_now()?;
        self.transactions(log, 1)
    }
}

#[test]
fn a_crash_at_any_operation_leaves_no_transaction_in_another_state_than_its_batches() {
    let count = {
        let disk = SimulatedDisk::new(0);
        let (mut log, _) = Home::on(&disk).open(small());
        let before = disk.operations();
        assert!(Owner::new().workload(&mut log).is_ok());
        disk.operations() - before
    };
    assert!(count > 60, "{count} operations");
    for operations in 0..=count {
        for (seed, mode) in [
            (1, CrashMode::LoseAll),
            (2, CrashMode::KeepAll),
            (3, CrashMode::Random),
            (4, CrashMode::Random),
        ] {
            let context = format!("power off after {operations} operations, seed {seed}, {mode:?}");
            crash_once(operations, seed, mode, &context);
        }
    }
}

fn crash_once(operations: u64, seed: u64, mode: CrashMode, context: &str) {
    let disk = SimulatedDisk::new(seed);
    let mut owner = Owner::new();
    let (mut log, _) = Home::on(&disk).open(small());
    disk.power_off_after(operations);
    let _ = owner.workload(&mut log);
    drop(log);
    disk.crash(mode);

    let home = Home::again(&disk);
    let (mut log, recovery) = home.open(small());
    assert_eq!(recovery.corruption, None, "{context}");
    Naive::of(&log).check(&log, owner.told, context);

    // It goes on, and another crash comes before and behind the next checkpoint.
    owner.epoch += 1;
    assert!(owner.transactions(&mut log, 2).is_ok(), "{context}");
    log.flush_now().unwrap();
    disk.crash(CrashMode::LoseAll);
    let (mut log, _) = home.open(small());
    Naive::of(&log).check(&log, owner.told, context);
    log.checkpoint_now().unwrap();
    disk.crash(CrashMode::LoseAll);
    let (log, recovery) = home.open(small());
    assert_eq!(recovery.scanned_bytes, 0, "{context}: a checkpoint leaves nothing to scan");
    Naive::of(&log).check(&log, owner.told, context);
}
