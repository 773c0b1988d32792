//! The image in sled, written behind it by one thread: so that a clean restart need not replay the log.
//!
//! Owns `metadata.sled/`. Never the truth: sled is opened again only when its directory holds the clean mark, which is taken away before the
//! first write of a run and put back at its orderly end, after everything was synced. Without the mark, or with anything odd, the directory is
//! removed before sled sees it, and the log is replayed. Invariant: what is read back is one image, at the log id that the mark names.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message;

use crate::error::StartError;
use crate::failure::Alive;
use crate::metadata::{Image, RecordKey};
use crate::proto::raft as proto;
use crate::raft::codec;
use crate::raft::types::SnapshotMeta;

/// Name of the directory in the data directory.
pub(crate) const SLED_DIR: &str = "metadata.sled";
const CLEAN_MARK: &str = "clean";
/// The tree of the image's records; the default tree holds the one key below.
const RECORDS: &str = "records";
const APPLIED_KEY: &str = "applied";
const CACHE_BYTES: u64 = 8 << 20;
/// Larger values sled writes to files that it never syncs.
const MAX_VALUE_BYTES: usize = 60 * 1024;
/// Pause between two writes, in which changes gather.
const LINGER: Duration = Duration::from_millis(20);

/// The store and the thread that writes it.
pub(crate) struct Materialized {
    writer: Writer,
    thread: Mutex<Option<JoinHandle<()>>>,
    found: Mutex<Option<Found>>,
}

/// What a clean stop left.
pub(crate) struct Found {
    pub(crate) image: Image,
    pub(crate) meta: SnapshotMeta,
}

/// Hands changes to the thread.
#[derive(Clone)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Default)]
struct Pending {
    records: BTreeSet<RecordKey>,
    latest: Option<(Arc<Image>, SnapshotMeta)>,
    clear: bool,
    end: Option<End>,
}

/// How the thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// After everything is written and synced, with the mark.
    Marked,
    /// At once, without it.
    Unmarked,
}

impl Materialized {
    /// Opens the store, with what a clean stop left in it, or empties it.
    pub(crate) fn open(data_dir: &Path, alive: Alive) -> Result<Self, StartError> {
        let directory = data_dir.join(SLED_DIR);
        let failed = |what: &str| {
            let what = format!("{what} {}", directory.display());
            move |source: io::Error| StartError::Io { what, source }
        };
        let mark = take_mark(&directory).map_err(failed("take the clean mark from"))?;
        if mark.is_none() {
            remove(&directory).map_err(failed("empty"))?;
        }
        let (db, found) = match open_marked(&directory, mark) {
            Some((db, found)) => (db, Some(found)),
            None => {
                remove(&directory).map_err(failed("empty"))?;
                let db = sled_config(&directory).open().map_err(|error| StartError::Io {
                    what: format!("open {}", directory.display()),
                    source: io::Error::other(error),
                })?;
                (db, None)
            }
        };
        let shared = Arc::new(Shared { pending: Mutex::default(), wake: Condvar::new() });
        let written = found.as_ref().map(|found| found.meta.clone());
        let behind =
            Behind { db, directory: directory.clone(), shared: Arc::clone(&shared), written };
        let thread = std::thread::Builder::new()
            .name("metadata-store".to_owned())
            .spawn(move || {
                behind.run();
                drop(alive);
            })
            .map_err(failed("start the writer of"))?;
        Ok(Self {
            writer: Writer { shared },
            thread: Mutex::new(Some(thread)),
            found: Mutex::new(found),
        })
    }

    /// Takes what a clean stop left; `None` when the log must be replayed.
    pub(crate) fn take_found(&self) -> Option<Found> {
        lock(&self.found).take()
    }

    /// Returns the way to the thread.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Writes what is pending, syncs it and sets the clean mark. Blocks.
    pub(crate) fn close(self) {
        self.writer.end(End::Marked);
        if let Some(thread) = lock(&self.thread).take() {
            // A thread that panicked has ended the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Materialized {
    fn drop(&mut self) {
        self.writer.end(End::Unmarked);
    }
}

impl Writer {
    /// Ends the thread; the first word counts.
    fn end(&self, end: End) {
        lock(&self.shared.pending).end.get_or_insert(end);
        self.shared.wake.notify_one();
    }

    /// Notes that records changed and where the image stands now. Never waits for the disk; what is not yet written merges.
    pub(crate) fn write(
        &self,
        image: &Arc<Image>,
        meta: SnapshotMeta,
        records: impl IntoIterator<Item = RecordKey>,
    ) {
        let mut pending = lock(&self.shared.pending);
        pending.records.extend(records);
        pending.latest = Some((Arc::clone(image), meta));
        self.shared.wake.notify_one();
    }

    /// Replaces everything, after a snapshot was installed or when what was found must not be used.
    pub(crate) fn replace(&self, image: &Arc<Image>, meta: SnapshotMeta) {
        let mut pending = lock(&self.shared.pending);
        pending.clear = true;
        pending.records = image.record_keys().collect();
        pending.latest = Some((Arc::clone(image), meta));
        self.shared.wake.notify_one();
    }
}

/// The thread's side.
struct Behind {
    db: sled::Db,
    directory: PathBuf,
    shared: Arc<Shared>,
    /// Where the store stands.
    written: Option<SnapshotMeta>,
}

impl Behind {
    fn run(mut self) {
        loop {
            let taken = self.take();
            if let Some((image, meta)) = &taken.latest
                && taken.end != Some(End::Unmarked)
            {
                if let Err(error) = self.apply(&taken, image, meta) {
                    // The store is a convenience: without it the next start replays the log.
                    tracing::warn!(%error, "the materialised metadata is given up: the next start replays the metadata log");
                    return;
                }
                self.written = Some(meta.clone());
            }
            match taken.end {
                Some(End::Marked) => break,
                Some(End::Unmarked) => return,
                None => std::thread::sleep(LINGER),
            }
        }
        if let Some(meta) = self.written.take()
            && let Err(error) = self.finish(&meta)
        {
            tracing::warn!(%error, "the materialised metadata has no clean mark: the next start replays the metadata log");
        }
    }

    /// Waits for something to do and takes it.
    fn take(&self) -> Pending {
        let mut pending = lock(&self.shared.pending);
        while pending.latest.is_none() && pending.end.is_none() {
            pending = self.shared.wake.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut *pending)
    }

    fn apply(&self, taken: &Pending, image: &Image, meta: &SnapshotMeta) -> sled::Result<()> {
        let records = self.db.open_tree(RECORDS)?;
        if taken.clear {
            records.clear()?;
        }
        let mut batch = sled::Batch::default();
        for key in &taken.records {
            match image.record(key) {
                Some(value) if value.len() > MAX_VALUE_BYTES => {
                    let message = format!("a record has {} bytes", value.len());
                    return Err(sled::Error::Unsupported(message));
                }
                Some(value) => batch.insert(key.encode(), value),
                None => batch.remove(key.encode()),
            }
        }
        records.apply_batch(batch)?;
        self.db.insert(APPLIED_KEY, codec::encode_snapshot_meta(meta).encode_to_vec())?;
        Ok(())
    }

    /// Closes sled, syncs its files (which its own flush does not), and sets the mark.
    fn finish(self, meta: &SnapshotMeta) -> io::Result<()> {
        let Self { db, directory, .. } = self;
        db.flush().map_err(io::Error::other)?;
        drop(db);
        sync_tree(&directory)?;
        let aside = directory.join("clean.tmp");
        fs::write(&aside, codec::encode_snapshot_meta(meta).encode_to_vec())?;
        File::open(&aside)?.sync_all()?;
        fs::rename(&aside, directory.join(CLEAN_MARK))?;
        File::open(&directory)?.sync_all()
    }
}

fn sled_config(directory: &Path) -> sled::Config {
    sled::Config::new().path(directory).flush_every_ms(None).cache_capacity(CACHE_BYTES)
}

/// Reads the mark and removes it durably, so that nothing this run leaves half done can be trusted.
fn take_mark(directory: &Path) -> io::Result<Option<Vec<u8>>> {
    let path = directory.join(CLEAN_MARK);
    let mark = match fs::read(&path) {
        Ok(mark) => mark,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    fs::remove_file(&path)?;
    File::open(directory)?.sync_all()?;
    Ok(Some(mark))
}

/// Opens what the mark vouches for; `None` when anything is odd.
fn open_marked(directory: &Path, mark: Option<Vec<u8>>) -> Option<(sled::Db, Found)> {
    let mark = mark?;
    let meta =
        codec::decode_snapshot_meta(proto::SnapshotMeta::decode(mark.as_slice()).ok()?).ok()?;
    let db = sled_config(directory).open().ok()?;
    if db.get(APPLIED_KEY).ok()??.as_ref() != mark.as_slice() {
        return None;
    }
    let tree = db.open_tree(RECORDS).ok()?;
    let records: Vec<_> = tree.iter().collect::<sled::Result<_>>().ok()?;
    let image = Image::from_records(records).ok()?;
    Some((db, Found { image, meta }))
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

// Nothing panics under these locks, and a panic ends the process anyway; so a poisoned lock is used as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use model::ClusterId;

    use super::*;
    use crate::metadata::{self, Command, FormCluster};

    fn formed() -> (Arc<Image>, BTreeSet<RecordKey>) {
        let mut image = Image::default();
        let command = Command::FormCluster(FormCluster {
            cluster_id: ClusterId("AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
            voters: std::collections::BTreeMap::new(),
            configs: std::collections::BTreeMap::new(),
        });
        let applied = metadata::apply(&mut image, 3, &command);
        (Arc::new(image), applied.changes.records)
    }

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta { last_log_id: Some(codec::log_id(2, index)), ..SnapshotMeta::default() }
    }

    fn open(data_dir: &Path) -> Materialized {
        Materialized::open(data_dir, Alive::new().0).unwrap()
    }

    #[test]
    fn a_clean_stop_leaves_the_image_and_taking_it_takes_the_mark() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        assert!(store.take_found().is_none());
        let (image, records) = formed();
        store.writer().write(&image, meta(3), records);
        store.close();
        let store = open(directory.path());
        let found = store.take_found().unwrap();
        assert_eq!((&found.image, &found.meta), (image.as_ref(), &meta(3)));
        assert!(!directory.path().join(SLED_DIR).join(CLEAN_MARK).exists());
        // Nothing changed in this run: the store is as good as before.
        store.close();
        assert!(open(directory.path()).take_found().is_some());
    }

    #[test]
    fn without_the_mark_the_directory_is_emptied_before_sled_sees_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let (image, records) = formed();
        store.writer().write(&image, meta(3), records);
        store.close();
        let sled_dir = directory.path().join(SLED_DIR);
        fs::remove_file(sled_dir.join(CLEAN_MARK)).unwrap();
        fs::write(sled_dir.join("left-behind"), "x").unwrap();
        assert!(open(directory.path()).take_found().is_none());
        assert!(!sled_dir.join("left-behind").exists());
    }

    #[test]
    fn a_mark_that_names_another_log_id_than_the_store_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let (image, records) = formed();
        store.writer().write(&image, meta(3), records);
        store.close();
        let other = codec::encode_snapshot_meta(&meta(4)).encode_to_vec();
        fs::write(directory.path().join(SLED_DIR).join(CLEAN_MARK), other).unwrap();
        assert!(open(directory.path()).take_found().is_none());
    }
}
