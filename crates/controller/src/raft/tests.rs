//! Openraft's own suite over our log store and state machine, and what a power loss does to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use log_storage::file_system::OpenMode;
use log_storage::{CrashMode, FatalHandler, FileSystem, OsFileSystem, SimulatedDisk};
use model::Clock;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, StorageError, StorageHelper};
use tempfile::TempDir;

use super::codec::log_id;
use super::state_machine::StateMachine;
use super::state_machine::snapshot::SnapshotStore;
use super::storage::log_store::LogStore;
use super::storage::raft_log::{LOG_DIR, RaftLog};
use super::storage::small_file::{COMMITTED_FILE, CommittedFile};
use super::storage::storage_thread::StorageThread;
use super::types::{EncodedCommand, Entry, LogId, Types, Vote};
use crate::failure::{Alive, Failure};
use crate::image_feed::ImageFeed;
use crate::metadata::Image;
use crate::metrics::Metrics;

fn open_machine(fs: Arc<dyn FileSystem>, data_dir: &Path) -> StateMachine {
    let feed = Arc::new(ImageFeed::new(Arc::new(Image::default()), None));
    StateMachine::new(feed, SnapshotStore::new(fs, data_dir), Failure::new(), None, None)
}

fn open_log(fs: &Arc<dyn FileSystem>, data_dir: &Path) -> (LogStore, JoinHandle<()>) {
    let clock = Clock::start();
    let log = RaftLog::open(Arc::clone(fs), data_dir, clock, FatalHandler::ignore()).unwrap();
    let thread = StorageThread {
        log,
        committed: CommittedFile::open(fs.as_ref(), data_dir).unwrap(),
        fs: Arc::clone(fs),
        data_dir: data_dir.to_owned(),
        failure: Failure::new(),
        metrics: Metrics::new(),
        alive: Alive::new().0,
    };
    LogStore::start(thread).unwrap()
}

struct Builder;

impl StoreBuilder<Types, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
        let data_dir: PathBuf = directory.path().to_owned();
        let (log, _) = open_log(&fs, &data_dir);
        let machine = open_machine(fs, &data_dir);
        Ok((directory, log, machine))
    }
}

#[test]
fn the_storage_passes_openrafts_suite() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Suite::test_all(Builder)).unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn entry(term: u64, index: u64) -> Entry {
    let command = EncodedCommand(format!("command {index} of term {term}").into_bytes().into());
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(command) }
}

/// Appends one entry and says whether it became durable.
async fn append(store: &mut LogStore, entry: Entry) -> bool {
    let (sender, receiver) = Types::oneshot();
    let appended = store.append([entry], IOFlushed::signal(sender)).await;
    appended.is_ok() && matches!(receiver.await, Ok(Ok(())))
}

/// What a run was told is on disk.
#[derive(Debug, Default)]
struct Promised {
    last: Option<LogId>,
    vote: Option<Vote>,
}

/// Votes, appends, commits and truncates until the power goes.
async fn work(store: &mut LogStore, promised: &mut Promised) {
    for index in 0..12 {
        let term = 1 + index / 4;
        if index % 4 == 0 {
            let vote = Vote::new_committed(term, 7);
            if store.save_vote(&vote).await.is_err() {
                return;
            }
            promised.vote = Some(vote);
        }
        // A later leader replaces what the one before it left behind.
        if index == 8 {
            promised.last = promised.last.min(Some(log_id(2, 6)));
            if store.truncate_after(Some(log_id(2, 6))).await.is_err() {
                return;
            }
            if !append(store, entry(3, 7)).await {
                return;
            }
            promised.last = Some(log_id(3, 7));
        }
        if store.save_committed(Some(log_id(term, index))).await.is_err() {
            return;
        }
        if !append(store, entry(term, index)).await {
            return;
        }
        promised.last = Some(log_id(term, index));
    }
}

#[test]
fn whatever_was_promised_survives_a_power_loss_at_any_moment() {
    let data_dir = Path::new("/data");
    let mut whole_run = None;
    for stop_after in 0_u64.. {
        if whole_run.is_some_and(|operations| stop_after > operations) {
            break;
        }
        let disk = SimulatedDisk::new(stop_after);
        disk.create_dir(data_dir).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
        let (mut store, thread) = open_log(&fs, data_dir);
        let begun = disk.operations();
        if stop_after > 0 {
            disk.power_off_after(stop_after);
        }
        let mut promised = Promised::default();
        block_on(work(&mut store, &mut promised));
        drop(store);
        thread.join().unwrap();
        // The first round runs to its end, to count the operations.
        whole_run.get_or_insert_with(|| disk.operations() - begun);
        disk.crash(CrashMode::Random);

        let (mut store, thread) = open_log(&fs, data_dir);
        block_on(async {
            let last = store.last_log_id();
            assert!(last >= promised.last, "{stop_after}: {last:?} after {promised:?}");
            let vote = store.read_vote().await.unwrap();
            assert!(vote >= promised.vote, "{stop_after}: {vote:?} after {promised:?}");
            let committed = store.read_committed().await.unwrap();
            assert!(committed <= last, "{stop_after}: {committed:?} beyond {last:?}");
            let count = last.map_or(0, |last| last.index() + 1);
            let entries = store.try_get_log_entries(0..count).await.unwrap();
            let indices = entries.iter().map(|entry| entry.log_id.index());
            assert!(indices.eq(0..count), "{stop_after}: {entries:?}");
        });
        drop(store);
        thread.join().unwrap();
    }
}

#[test]
fn a_committed_log_id_beyond_the_log_is_held_down_to_the_log() {
    let data_dir = Path::new("/data");
    let disk = SimulatedDisk::new(1);
    disk.create_dir(data_dir).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
    let (mut store, thread) = open_log(&fs, data_dir);
    block_on(async {
        store.save_vote(&Vote::new_committed(1, 7)).await.unwrap();
        for index in 0..4 {
            assert!(append(&mut store, entry(1, index)).await);
        }
    });
    drop(store);
    thread.join().unwrap();
    // The committed log id reached the disk, and the entries that it names did not.
    CommittedFile::open(fs.as_ref(), data_dir).unwrap().write(&log_id(1, 9)).unwrap();
    let file = fs.open(&data_dir.join(COMMITTED_FILE), OpenMode::Write).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(data_dir).unwrap();
    drop(file);
    disk.crash(CrashMode::LoseAll);

    let (mut store, _thread) = open_log(&fs, data_dir);
    let mut machine = open_machine(fs, data_dir);
    block_on(async {
        assert_eq!(store.read_committed().await.unwrap(), Some(log_id(1, 3)));
        // Openraft's start: it would refuse a committed log id that the log does not have.
        let state = StorageHelper::new(&mut store, &mut machine).get_initial_state().await;
        assert!(state.is_ok());
        assert_eq!(machine.applied_state().await.unwrap().0, Some(log_id(1, 3)));
    });
}

#[test]
fn a_few_large_commands_are_enough_for_the_logs_end_to_be_noted() {
    let directory = tempfile::tempdir().unwrap();
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    let (mut store, thread) = open_log(&fs, directory.path());
    block_on(async {
        for index in 0..3 {
            let command = EncodedCommand(vec![7; 8 << 20].into());
            let payload = EntryPayload::Normal(command);
            assert!(append(&mut store, Entry { log_id: log_id(1, index), payload }).await);
        }
    });
    // Nobody asks for a stop: as at a crash, what was noted before is all that the next start has.
    drop(store);
    thread.join().unwrap();
    let noted = directory.path().join(LOG_DIR).join("recovery-point-offset-checkpoint");
    let noted = std::fs::read_to_string(noted).unwrap_or_default();
    assert!(noted.contains("__cluster_metadata 0 2"), "a start would scan all of it: {noted:?}");
}
