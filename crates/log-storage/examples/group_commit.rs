//! Measures group commit: how long it takes until N logs with one new batch each are durable, by number of flush threads.
//!
//! `cargo run --profile quick -p log-storage --example group_commit -- DIR [ROUNDS]`; DIR must be on the disk that is to be measured.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use log_storage::{
    AppendError, AppendOrigin, FatalHandler, FileSystem, Flush, FlushDone, FlushMark, Flushable,
    Flusher, FlusherOptions, LeaderAppend, Log, LogConfig, LogDirectory, OsFileSystem,
};
use model::record_batch::{BatchBuilder, BatchKind, BatchOptions, Codec, NewRecord, TimestampType};
use model::{LeaderEpoch, Offset, TopicId, TopicPartition, UnixMillis};

/// One log behind its owner's lock, and the round's count of logs that are not durable yet.
struct Partition {
    log: Mutex<Log>,
    mark: FlushMark,
    pending: Arc<Pending>,
}

#[derive(Default)]
struct Pending {
    count: Mutex<usize>,
    done: Condvar,
}

impl Pending {
    fn begin(&self, count: usize) {
        *self.count.lock().expect("not poisoned") = count;
    }

    fn wait(&self) {
        let count = self.count.lock().expect("not poisoned");
        drop(self.done.wait_while(count, |count| *count > 0).expect("not poisoned"));
    }
}

impl Partition {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("not poisoned")
    }

    fn append(&self, batch: &[u8]) -> Result<(), AppendError> {
        let append = LeaderAppend {
            leader_epoch: LeaderEpoch(0),
            now: UnixMillis(0),
            origin: AppendOrigin::Coordinator,
        };
        self.lock().append_as_leader(&mut batch.to_vec(), append).map(|_| ())
    }
}

impl Flushable for Partition {
    fn begin_flush(&self) -> Option<Flush> {
        self.lock().begin_flush()
    }

    fn complete_flush(&self, done: FlushDone) {
        self.lock().complete_flush(done);
        let mut count = self.pending.count.lock().expect("not poisoned");
        *count -= 1;
        if *count == 0 {
            self.pending.done.notify_all();
        }
    }

    fn flush_mark(&self) -> &FlushMark {
        &self.mark
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("a directory is expected")?);
    let rounds: u32 = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let batch = batch()?;
    let mut lines = String::from("logs  threads  p50 ms  max ms  logs/s\n");
    for logs in [1_usize, 64, 1_000] {
        for threads in [1_usize, 2, 4, 8, 16] {
            let root = directory.join(format!("group-commit-{logs}-{threads}"));
            let times = measure(&root, (logs, threads), rounds, &batch)?;
            std::fs::remove_dir_all(&root)?;
            let median = times[times.len() / 2];
            let longest = times[times.len() - 1];
            let rate = logs as f64 / median.as_secs_f64();
            lines.push_str(&format!(
                "{logs:>4}  {threads:>7}  {:>6.1}  {:>6.1}  {rate:>6.0}\n",
                median.as_secs_f64() * 1e3,
                longest.as_secs_f64() * 1e3,
            ));
        }
    }
    std::io::Write::write_all(&mut std::io::stdout(), lines.as_bytes())?;
    Ok(())
}

fn measure(
    root: &Path,
    (logs, threads): (usize, usize),
    rounds: u32,
    batch: &[u8],
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    let directory = LogDirectory::open(Arc::clone(&fs), root, FatalHandler::ignore())?;
    let pending = Arc::new(Pending::default());
    let mut partitions: Vec<Arc<Partition>> = Vec::new();
    for number in 0..logs {
        let name = TopicPartition { topic: "t".to_owned(), partition: i32::try_from(number)? };
        let id = TopicId::from_bytes([1; 16]);
        directory.create_partitions(&[(name.clone(), id)])?;
        let options = directory.open_options(&name, id, LogConfig::default(), UnixMillis(0));
        let (log, _) = Log::open(Arc::clone(&fs), &directory.partition_path(&name), options)?;
        let (log, mark) = (Mutex::new(log), FlushMark::default());
        partitions.push(Arc::new(Partition { log, mark, pending: Arc::clone(&pending) }));
    }
    let options = FlusherOptions::new(root.to_owned(), FatalHandler::ignore());
    let flusher = Flusher::start(FlusherOptions { flush_threads: threads, ..options })?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        pending.begin(logs);
        let begun = Instant::now();
        for partition in &partitions {
            partition.append(batch)?;
            let flushable: Arc<dyn Flushable> = Arc::clone(partition) as Arc<dyn Flushable>;
            flusher.mark(&flushable);
        }
        pending.wait();
        times.push(begun.elapsed());
    }
    flusher.stop();
    times.sort();
    Ok(times)
}

fn batch() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset::ZERO,
        leader_epoch: None,
        codec: Codec::None,
        level: None,
        timestamp_type: TimestampType::CreateTime,
        producer: None,
        kind: BatchKind::Plain,
    });
    let value = vec![b'v'; 1_000];
    let record =
        NewRecord { timestamp: UnixMillis(0), key: None, value: Some(&value), headers: &[] };
    builder.append(&record)?;
    Ok(builder.build()?)
}
