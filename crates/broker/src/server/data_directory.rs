//! The data directory as the broker owns it: whose it is, the lock, the stored broker epoch, the mark of a clean stop.
//!
//! Invariants: nothing is changed in a directory that holds what no broker of ours has left there; one process at a time; the mark is gone,
//! durably, before the first write of a run, and comes back only after every log was flushed; the stored epoch is durable before the
//! broker appends, truncates or asks to be unfenced (design 3a.7).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use controller::metadata::LastShutdown;
use log_storage::FileSystem;
use log_storage::file_system::{FileLock, read_file, write_aside};
use model::BrokerEpoch;

/// File that says whose the directory is. The control plane writes it, durably, before anything else but the lock.
const IDENTITY_FILE: &str = "meta.properties";
/// What may be there without it: the lock and the half-written identity of a first start that was killed, and what mkfs makes.
const NOBODYS: [&str; 3] = [LOCK_FILE, "meta.properties.tmp", "lost+found"];
/// Names of a directory that is not ours that its refusal gives: enough to know it again.
const MAX_TOLD: usize = 3;

/// File that is locked while a process has the directory.
const LOCK_FILE: &str = ".lock";
/// File with the broker epoch of the last registration.
const EPOCH_FILE: &str = "broker-epoch";
/// File that a clean stop leaves, with the broker epoch of that run.
const CLEAN_MARK: &str = "clean-shutdown";

/// Longest content of these files.
const MAX_BYTES: u64 = 64;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataDirectoryError {
    /// It belongs to something else, and is left as it is.
    #[error(
        "{} is not the data directory of a broker: it has no {IDENTITY_FILE} and holds {holds}; name a new or empty directory in log.dirs, or put {IDENTITY_FILE} back if a broker has lost it",
        path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Some of the names in it.
        holds: String,
    },
    /// Another process has it.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// It holds something that no broker wrote.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// A verb.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A data directory that this process holds.
#[derive(Debug)]
pub(super) struct DataDirectory {
    path: PathBuf,
    fs: Arc<dyn FileSystem>,
    _lock: Box<dyn FileLock>,
}

/// What the run before left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastRun {
    /// The broker epoch of the directory, `None` in a fresh one.
    pub(super) broker_epoch: Option<BrokerEpoch>,
    /// How it ended.
    pub(super) shutdown: LastShutdown,
}

impl DataDirectory {
    /// Takes the directory, reads what the run before left, and removes the mark of its clean stop. One that is not ours is left as it is.
    pub(super) fn take(
        fs: Arc<dyn FileSystem>,
        path: &Path,
    ) -> Result<(Self, LastRun), DataDirectoryError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirectoryError::Io { what, path, source }
        };
        // Before the lock, which is a file in it already.
        if let Some(holds) = foreign_names(&*fs, path).map_err(failed("list", path))? {
            return Err(DataDirectoryError::NotOurs { path: path.to_owned(), holds });
        }
        create(&*fs, path).map_err(failed("create", path))?;
        let lock_file = path.join(LOCK_FILE);
        let lock = fs.lock(&lock_file).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => DataDirectoryError::Locked(path.to_owned()),
            _ => failed("lock", &lock_file)(source),
        })?;
        let directory = Self { path: path.to_owned(), fs, _lock: lock };
        let broker_epoch = directory.read(EPOCH_FILE)?;
        let marked = directory.read(CLEAN_MARK)?;
        if marked.is_some() {
            let mark = path.join(CLEAN_MARK);
            directory.fs.remove_file(&mark).map_err(failed("remove", &mark))?;
            directory.fs.sync_dir(path).map_err(failed("sync", path))?;
        }
        // A mark of another epoch is left over from a copy of the directory.
        let clean = marked.is_some() && marked == broker_epoch;
        let shutdown = if clean { LastShutdown::Clean } else { LastShutdown::Unclean };
        Ok((directory, LastRun { broker_epoch, shutdown }))
    }

    /// Makes the broker epoch of this run durable.
    pub(super) fn store_broker_epoch(&self, epoch: BrokerEpoch) -> Result<(), DataDirectoryError> {
        self.write(EPOCH_FILE, epoch)
    }

    /// Leaves the mark of a clean stop, durably.
    pub(super) fn mark_clean(&self, epoch: BrokerEpoch) -> Result<(), DataDirectoryError> {
        self.write(CLEAN_MARK, epoch)
    }

    fn write(&self, name: &str, epoch: BrokerEpoch) -> Result<(), DataDirectoryError> {
        let path = self.path.join(name);
        write_aside(&*self.fs, &path, format!("{epoch}\n").as_bytes())
            .map_err(|source| DataDirectoryError::Io { what: "write", path, source })
    }

    fn read(&self, name: &str) -> Result<Option<BrokerEpoch>, DataDirectoryError> {
        let path = self.path.join(name);
        let bytes = match read_file(&*self.fs, &path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DataDirectoryError::Io { what: "read", path, source }),
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.trim().parse() {
            Ok(epoch) => Ok(Some(BrokerEpoch(epoch))),
            Err(_) => {
                let reason = format!("{:?} is no broker epoch", text.trim());
                Err(DataDirectoryError::Damaged { path, reason })
            }
        }
    }
}

/// Names some of what a directory holds that is not ours. A directory that is missing, empty, or left by a first start that was killed is free to take.
fn foreign_names(fs: &dyn FileSystem, path: &Path) -> io::Result<Option<String>> {
    let entries = match fs.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if entries.iter().any(|entry| entry.name == IDENTITY_FILE) {
        return Ok(None);
    }
    let names = entries.iter().map(|entry| entry.name.as_str());
    let foreign: Vec<&str> = names.filter(|name| !NOBODYS.contains(name)).collect();
    let (told, rest) = foreign.split_at(foreign.len().min(MAX_TOLD));
    Ok(match (told, rest) {
        ([], _) => None,
        (_, []) => Some(told.join(", ")),
        _ => Some(format!("{} and {} more", told.join(", "), rest.len())),
    })
}

/// Creates the directory and what is missing above it. Each name is on the disk before anything is put below it: with a name that a power loss takes away goes everything
/// below, however well that was synced.
fn create(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    // The epoch was stored below names that were all durable.
    if fs.exists(&path.join(EPOCH_FILE))? {
        return Ok(());
    }
    let mut names: Vec<&Path> = path.ancestors().collect();
    names.reverse();
    for pair in names.windows(2) {
        let [parent, directory] = pair else { continue };
        if fs.exists(directory)? {
            // It may be the work of a start that was killed before its sync. One that somebody else made may not be ours to open, and is on the disk long since.
            let _ = fs.sync_dir(parent);
        } else {
            fs.create_dir(directory)?;
            fs.sync_dir(parent)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use log_storage::OsFileSystem;
    use log_storage::file_system::{CrashMode, SimulatedDisk};

    use super::*;

    fn take(path: &Path) -> Result<(DataDirectory, LastRun), DataDirectoryError> {
        DataDirectory::take(Arc::new(OsFileSystem), path)
    }

    /// Writes what the control plane does before it writes anything else.
    fn format(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
        write_aside(fs, &path.join("meta.properties"), b"version=1\n")
    }

    #[test]
    fn the_clean_mark_holds_for_one_start() {
        let dir = tempfile::tempdir().unwrap();
        let (held, last) = take(dir.path()).unwrap();
        assert_eq!(last, LastRun { broker_epoch: None, shutdown: LastShutdown::Unclean });
        format(&OsFileSystem, dir.path()).unwrap();
        held.store_broker_epoch(BrokerEpoch(7)).unwrap();
        held.mark_clean(BrokerEpoch(7)).unwrap();
        drop(held);
        let (held, last) = take(dir.path()).unwrap();
        assert_eq!(last.broker_epoch, Some(BrokerEpoch(7)));
        assert_eq!(last.shutdown, LastShutdown::Clean);
        drop(held);
        assert_eq!(take(dir.path()).unwrap().1.shutdown, LastShutdown::Unclean);
    }

    #[test]
    fn a_first_start_outlives_a_power_loss_with_every_directory_above_it() {
        let disk = SimulatedDisk::new(1);
        let take = || DataDirectory::take(Arc::new(disk.clone()), Path::new("/srv/broker-1/data"));
        // A start that is killed at once leaves names that nobody has synced.
        disk.create_dir(Path::new("/srv")).unwrap();
        disk.crash(CrashMode::KeepAll);
        let (held, _) = take().unwrap();
        format(&disk, Path::new("/srv/broker-1/data")).unwrap();
        held.store_broker_epoch(BrokerEpoch(7)).unwrap();
        disk.crash(CrashMode::LoseAll);
        drop(held);
        assert_eq!(take().unwrap().1.broker_epoch, Some(BrokerEpoch(7)));
    }

    #[test]
    fn two_processes_never_have_one_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path()).unwrap();
        let second = take(dir.path()).unwrap_err().to_string();
        assert!(second.contains("in use by another process"), "{second}");
        drop(held);
        take(dir.path()).unwrap();
    }

    #[test]
    fn a_damaged_epoch_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        format(&OsFileSystem, dir.path()).unwrap();
        std::fs::write(dir.path().join("broker-epoch"), "seven").unwrap();
        assert!(take(dir.path()).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn a_directory_that_holds_something_else_is_refused_and_left_as_it_is() {
        let path = Path::new("/data");
        for names in [
            &["broker-1", "broker-2", "broker-3"][..],
            &["orders-0", "orders-1", "cleaner-offset-checkpoint", "orders-10"],
            &["lost+found", "notes.txt"],
            // A broker's that has lost its identity: whatever it voted and acknowledged, it would be another broker.
            &[".lock", "__cluster_metadata-0", "broker-epoch"],
        ] {
            let disk = SimulatedDisk::new(1);
            disk.create_dir(path).unwrap();
            for name in names {
                disk.create_dir(&path.join(name)).unwrap();
            }
            let before = (disk.list(path).unwrap(), disk.operations());
            let refused = DataDirectory::take(Arc::new(disk.clone()), path).unwrap_err();
            assert!(matches!(refused, DataDirectoryError::NotOurs { .. }), "{names:?}: {refused}");
            assert_eq!((disk.list(path).unwrap(), disk.operations()), before, "{names:?}");
        }
    }

    #[test]
    fn a_refusal_names_some_of_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..5 {
            std::fs::create_dir(dir.path().join(format!("orders-{number}"))).unwrap();
        }
        let refused = take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("holds orders-0, orders-1, orders-2 and 2 more;"), "{refused}");
        assert!(refused.starts_with(&dir.path().display().to_string()), "{refused}");
        assert!(refused.contains("log.dirs"), "{refused}");
    }

    #[test]
    fn a_new_file_system_is_free_to_take() {
        let disk = SimulatedDisk::new(1);
        disk.create_dir(Path::new("/data")).unwrap();
        disk.create_dir(Path::new("/data/lost+found")).unwrap();
        DataDirectory::take(Arc::new(disk), Path::new("/data")).unwrap();
    }

    #[test]
    fn a_first_start_that_ended_at_any_point_is_begun_again() {
        let path = Path::new("/srv/data");
        let first_start = |disk: &SimulatedDisk| {
            let (held, _) = DataDirectory::take(Arc::new(disk.clone()), path).unwrap();
            format(disk, path).unwrap();
            held
        };
        let whole = SimulatedDisk::new(1);
        let _held = first_start(&whole);
        let steps = whole.operations();
        assert!(steps > 4, "directories, lock, identity: {steps}");
        for mode in [CrashMode::KeepAll, CrashMode::LoseAll, CrashMode::Random] {
            for step in 0..=steps {
                let disk = SimulatedDisk::new(step);
                disk.power_off_after(step);
                if let Ok((_held, _)) = DataDirectory::take(Arc::new(disk.clone()), path) {
                    // It ends where the power goes, whatever that is.
                    let _ = format(&disk, path);
                }
                disk.crash(mode);
                let held = first_start(&disk);
                held.store_broker_epoch(BrokerEpoch(7)).unwrap();
                drop(held);
                disk.crash(CrashMode::LoseAll);
                let (_held, last) = DataDirectory::take(Arc::new(disk), path).unwrap();
                assert_eq!(last.broker_epoch, Some(BrokerEpoch(7)), "{mode:?} at {step}");
            }
        }
    }
}
