//! The storage threads, waited for by what they do and never by time.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::time::Instant;

use model::{LeaderEpoch, Offset, TopicId, TopicPartition, UnixMillis};

use super::*;
use crate::checkpoint_files::Checkpoints;
use crate::config::LogConfig;
use crate::file_system::{Fault, FaultOperation, FileSystem, SimulatedDisk};
use crate::log::{AppendOrigin, LeaderAppend, Log, OpenOptions};
use crate::producers::ProducerTracking;
use crate::test_batches::BatchSpec;

/// A log behind its owner's lock.
struct Partition {
    log: Mutex<Log>,
    mark: FlushMark,
    changed: Condvar,
}

impl Flushable for Partition {
    fn begin_flush(&self) -> Option<Flush> {
        lock(&self.log).begin_flush()
    }

    fn complete_flush(&self, done: FlushDone) {
        lock(&self.log).complete_flush(done);
        self.changed.notify_all();
    }

    fn flush_mark(&self) -> &FlushMark {
        &self.mark
    }
}

impl Partition {
    fn new(disk: &SimulatedDisk, number: i32) -> Arc<Self> {
        let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
        let root = std::path::Path::new("");
        let partition = TopicPartition { topic: "t".to_owned(), partition: number };
        let directory = root.join(partition.to_string());
        fs.create_dir(&directory).unwrap();
        let checkpoints = Checkpoints::load(Arc::clone(&fs), root).unwrap();
        let options = OpenOptions {
            config: LogConfig::default(),
            checkpoint: checkpoints.register(partition, TopicId::from_bytes([1; 16])),
            producers: ProducerTracking::Untracked,
            reserve: None,
            fatal: FatalHandler::ignore(),
            now: UnixMillis(0),
        };
        let log = Mutex::new(Log::open(fs, &directory, options).unwrap().0);
        Arc::new(Self { log, mark: FlushMark::default(), changed: Condvar::new() })
    }

    fn append(&self) -> Offset {
        let append = LeaderAppend {
            leader_epoch: LeaderEpoch(0),
            now: UnixMillis(1_000_000),
            origin: AppendOrigin::Client,
            verification: None,
        };
        let mut log = lock(&self.log);
        log.append_as_leader(&mut BatchSpec::new(1).bytes(), append).unwrap();
        log.log_end_offset()
    }

    fn wait_until_flushed(&self, offset: Offset) {
        let log = lock(&self.log);
        let is_unflushed = |log: &mut Log| log.flushed_offset() < offset;
        let (_log, outcome) =
            self.changed.wait_timeout_while(log, Duration::from_secs(20), is_unflushed).unwrap();
        assert!(!outcome.timed_out(), "it is flushed before long");
    }
}

struct Counter(AtomicUsize);

impl FlushObserver for Counter {
    fn flushed(&self, _latency: Duration, files: usize) {
        self.0.fetch_add(files, Ordering::SeqCst);
    }
}

fn start(fatal: FatalHandler, observer: Arc<dyn FlushObserver>) -> Flusher {
    let options = FlusherOptions::new(PathBuf::from("data"), fatal);
    Flusher::start(FlusherOptions { observer, ..options }).unwrap()
}

#[test]
fn what_is_marked_is_flushed_and_appends_in_between_join_the_next_flush() {
    let disk = SimulatedDisk::new(1);
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    let flusher = start(FatalHandler::ignore(), counter.clone());
    let partitions: Vec<_> = (0..20).map(|number| Partition::new(&disk, number)).collect();
    for _ in 0..50 {
        for partition in &partitions {
            partition.append();
            let flushable: Arc<dyn Flushable> = partition.clone();
            flusher.mark(&flushable);
        }
    }
    partitions.iter().for_each(|partition| partition.wait_until_flushed(Offset(50)));
    let flushes = counter.0.load(Ordering::SeqCst);
    assert!((20..=1_000).contains(&flushes), "{flushes} files synced");
    flusher.stop();
}

#[test]
fn stopping_flushes_what_is_marked_and_runs_what_is_queued() {
    let disk = SimulatedDisk::new(1);
    let flusher = start(FatalHandler::ignore(), Arc::new(()));
    let partition = Partition::new(&disk, 0);
    let end = partition.append();
    let flushable: Arc<dyn Flushable> = partition.clone();
    flusher.mark(&flushable);
    let (sender, receiver) = mpsc::channel();
    flusher.run(move || sender.send(1).unwrap()).unwrap();
    flusher.stop();
    assert_eq!(lock(&partition.log).flushed_offset(), end);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(flusher.run(|| {}), Err(QueueFull));
}

#[test]
fn the_first_failed_flush_is_reported_once_and_nothing_is_flushed_after_it() {
    let disk = SimulatedDisk::new(1);
    let (sender, receiver) = mpsc::channel();
    let fatal = FatalHandler::new(move |error| sender.send(error.operation).unwrap());
    let flusher = start(fatal, Arc::new(()));
    let (failing, healthy) = (Partition::new(&disk, 0), Partition::new(&disk, 1));
    disk.inject(Fault {
        operation: FaultOperation::SyncData,
        path_contains: "t-0".to_owned(),
        after: 0,
        times: u64::MAX,
        error: io::ErrorKind::Other,
    });
    failing.append();
    let flushable: Arc<dyn Flushable> = failing.clone();
    flusher.mark(&flushable);
    assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok("fdatasync"));
    healthy.append();
    let flushable: Arc<dyn Flushable> = healthy.clone();
    flusher.mark(&flushable);
    flusher.stop();
    assert_eq!(lock(&healthy.log).flushed_offset(), Offset(0));
    assert_eq!(lock(&failing.log).flushed_offset(), Offset(0));
    assert!(receiver.try_recv().is_err(), "reported once");
}

#[test]
fn jobs_wait_for_a_storage_thread_however_many_there_are() {
    let flusher = start(FatalHandler::ignore(), Arc::new(()));
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..20_000 {
        let (blocked, sender) = (Arc::clone(&blocked), sender.clone());
        let job = move || {
            // Ends when the test lets go of its end.
            let _ = lock(&blocked).recv();
            sender.send(thread::current().id()).unwrap();
        };
        flusher.run(job).unwrap();
    }
    drop((release, sender));
    let own = thread::current().id();
    let ran_on: Vec<_> = receiver.iter().collect();
    assert_eq!(ran_on.len(), 20_000);
    assert!(ran_on.iter().all(|thread| *thread != own));
    flusher.stop();
}

#[test]
fn jobs_are_bounded_and_delayed_ones_wait_their_time() {
    let flusher = start(FatalHandler::ignore(), Arc::new(()));
    let (sender, receiver) = mpsc::channel();
    let begun = Instant::now();
    let delay = Duration::from_millis(30);
    flusher.run_after(delay, move || sender.send(begun.elapsed()).unwrap()).unwrap();
    assert!(receiver.recv_timeout(Duration::from_secs(20)).unwrap() >= delay);
    let hour = Duration::from_secs(3_600);
    (0..JOB_LIMIT).for_each(|_| flusher.run_after(hour, || panic!("never")).unwrap());
    assert_eq!(flusher.run(|| {}), Err(QueueFull));
    flusher.stop();
}

#[test]
fn a_flush_that_hangs_is_reported_while_it_hangs() {
    struct Hanging(mpsc::SyncSender<Duration>);
    impl FlushObserver for Hanging {
        fn flushed(&self, _latency: Duration, _files: usize) {}
        fn stuck(&self, running: Duration) {
            let _ = self.0.try_send(running);
        }
    }
    struct Blocked(Mutex<mpsc::Receiver<()>>, FlushMark, SimulatedDisk);
    impl Flushable for Blocked {
        fn begin_flush(&self) -> Option<Flush> {
            // The flush itself cannot be made to hang on a simulated disk; its completion can.
            let partition = Partition::new(&self.2, 0);
            partition.append();
            partition.begin_flush()
        }
        fn complete_flush(&self, _done: FlushDone) {
            lock(&self.0).recv().unwrap();
        }
        fn flush_mark(&self) -> &FlushMark {
            &self.1
        }
    }
    let (stuck, reports) = mpsc::sync_channel(1);
    let flusher = start(FatalHandler::ignore(), Arc::new(Hanging(stuck)));
    let (release, blocked) = mpsc::channel();
    let disk = SimulatedDisk::new(1);
    let flushable: Arc<dyn Flushable> =
        Arc::new(Blocked(Mutex::new(blocked), FlushMark::default(), disk));
    flusher.mark(&flushable);
    let running = reports.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(running >= STUCK_AFTER);
    release.send(()).unwrap();
    flusher.stop();
}
