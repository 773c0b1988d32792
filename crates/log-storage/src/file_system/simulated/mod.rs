//! A disk in memory that does what a real one may do and rarely does.
//!
//! Owns what is durable and what is not: bytes until `sync_data` of their file, names until `sync_dir` of their directory. At a crash each unsynced write is kept,
//! lost or torn at sectors, and a prefix of each directory's unsynced changes is kept, all from the seed that was given. Operations fail on demand. The same seed
//! and the same calls give the same disk.

mod node;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use node::{Directory, FileNode, Node, Random};

use super::{DirEntry, EntryKind, File, FileLock, FileSystem, OpenMode, Space};

/// What is left of unsynced changes when the power goes, or the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// Nothing.
    LoseAll,
    /// Everything, as after a kill of the process: it is still in the cache alone, and a later crash may lose it.
    KeepAll,
    /// Some of it: writes kept, lost or torn one by one, whatever their order; of each directory's changes a prefix.
    Random,
}

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOperation {
    /// Reading from a file.
    Read,
    /// Writing to a file; with `StorageFull`, half of the bytes are written first.
    Write,
    /// Syncing a file. What was not durable before stays in the cache until that is dropped, and never reaches the device.
    SyncData,
    /// Cutting or extending a file.
    SetLen,
    /// Syncing a directory.
    SyncDir,
    /// Creating, renaming or removing a name.
    Name,
}

/// A failure to come.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What fails.
    pub operation: FaultOperation,
    /// Only paths that contain this text.
    pub path_contains: String,
    /// How many matching operations succeed before.
    pub after: u64,
    /// How many fail then.
    pub times: u64,
    /// The error that they fail with.
    pub error: io::ErrorKind,
}

/// The disk. Clones share it; it is itself a file system.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

struct State {
    nodes: Vec<Node>,
    random: Random,
    /// Crashes so far; a handle of an earlier one is dead.
    incarnation: u64,
    /// Operations that changed something, or tried to.
    operations: u64,
    /// After this many the power is off.
    power_off_at: Option<u64>,
    faults: Vec<Fault>,
    total_bytes: u64,
    locks: BTreeSet<PathBuf>,
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimulatedDisk")
            .field("operations", &state.operations)
            .field("incarnation", &state.incarnation)
            .finish_non_exhaustive()
    }
}

impl SimulatedDisk {
    /// An empty disk of 1 TiB.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            nodes: vec![Node::Directory(Directory::default())],
            random: Random::new(seed),
            incarnation: 0,
            operations: 0,
            power_off_at: None,
            faults: Vec::new(),
            total_bytes: 1 << 40,
            locks: BTreeSet::new(),
        })))
    }

    /// Cuts the power and turns it on again: handles and locks die, unsynced changes are treated by `mode`.
    pub fn crash(&self, mode: CrashMode) {
        let mut state = self.state();
        let State { nodes, random, .. } = &mut *state;
        nodes.iter_mut().for_each(|node| node.crash(mode, random));
        state.incarnation += 1;
        state.power_off_at = None;
        state.locks.clear();
    }

    /// Lets so many more changing operations (writes, cuts, syncs, names) succeed; then everything fails until [`SimulatedDisk::crash`]. The operation that meets
    /// the end may have left something: a write is there in part.
    pub fn power_off_after(&self, operations: u64) {
        let mut state = self.state();
        state.power_off_at = Some(state.operations + operations);
    }

    /// Returns the number of changing operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes operations fail.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Sets the disk's size; what is used is the sum of all files' lengths.
    pub fn set_total_bytes(&self, total_bytes: u64) {
        self.state().total_bytes = total_bytes;
    }

    /// Flips a bit of a file, durably, as a rotting device does.
    ///
    /// # Errors
    /// `NotFound` for a file that is missing or too short.
    pub fn flip_bit(&self, path: &Path, position: usize, bit: u8) -> io::Result<()> {
        let mut state = self.state();
        let (file, _) = state.file(path)?;
        file.flip_bit(position, bit).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the present content of a file.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.state().file(path)?.0.current.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a panic ends the test")
    }
}

impl State {
    /// Counts a changing operation; an error when the power is off or a fault is due.
    fn change(&mut self, operation: FaultOperation, path: &Path) -> io::Result<()> {
        if self.power_off_at.is_some_and(|end| self.operations >= end) {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        self.fault(operation, path)
    }

    fn fault(&mut self, operation: FaultOperation, path: &Path) -> io::Result<()> {
        let text = path.to_string_lossy();
        let due = self.faults.iter_mut().find(|fault| {
            fault.operation == operation && fault.times > 0 && text.contains(&fault.path_contains)
        });
        match due {
            None => Ok(()),
            Some(fault) if fault.after > 0 => {
                fault.after -= 1;
                Ok(())
            }
            Some(fault) => {
                fault.times -= 1;
                Err(fault.error.into())
            }
        }
    }

    fn is_off(&self) -> bool {
        self.power_off_at.is_some_and(|end| self.operations >= end)
    }

    fn walk(&self, path: &Path) -> io::Result<usize> {
        let mut node = 0;
        for name in names(path)? {
            let Node::Directory(directory) = &self.nodes[node] else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            node = *directory.current.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// Returns the directory that holds a path, and the path's last name.
    fn parent<'a>(&mut self, path: &'a Path) -> io::Result<(&mut Directory, &'a str)> {
        let name = names(path)?.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let node = self.walk(path.parent().unwrap_or_else(|| Path::new("")))?;
        match &mut self.nodes[node] {
            Node::Directory(directory) => Ok((directory, name)),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, path: &Path) -> io::Result<(&mut FileNode, usize)> {
        let node = self.walk(path)?;
        match &mut self.nodes[node] {
            Node::File(file) => Ok((file, node)),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn create(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        self.change(FaultOperation::Name, path)?;
        let number = self.nodes.len();
        let (directory, name) = self.parent(path)?;
        directory.apply(vec![(name.to_owned(), Some(number))]);
        self.nodes.push(node);
        Ok(number)
    }

    fn used_bytes(&self) -> u64 {
        let length = |node: &Node| match node {
            Node::File(file) if file.is_named => file.current.len(),
            _ => 0,
        };
        let used: usize = self.nodes.iter().map(length).sum();
        u64::try_from(used).unwrap_or(u64::MAX)
    }
}

fn names(path: &Path) -> io::Result<Vec<&str>> {
    let normal = |component| match component {
        Component::Normal(name) => {
            Some(name.to_str().ok_or_else(|| io::ErrorKind::InvalidInput.into()))
        }
        _ => None,
    };
    path.components().filter_map(normal).collect()
}

impl FileSystem for SimulatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        let found = state.file(path).map(|(_, node)| node);
        let creates = matches!(mode, OpenMode::Create | OpenMode::Truncate);
        let node = match found {
            Ok(node) => node,
            Err(error) if error.kind() == io::ErrorKind::NotFound && creates => {
                state.create(path, Node::File(FileNode::default()))?
            }
            Err(error) => return Err(error),
        };
        if mode == OpenMode::Truncate {
            state.change(FaultOperation::SetLen, path)?;
            if let Node::File(file) = &mut state.nodes[node] {
                file.set_len(0);
            }
        }
        let incarnation = state.incarnation;
        Ok(Arc::new(Handle { disk: self.clone(), node, incarnation, path: path.to_owned() }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        match state.walk(path) {
            Ok(node) if matches!(state.nodes[node], Node::Directory(_)) => Ok(()),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => state.create(path, Node::Directory(Directory::default())).map(|_| ()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        let node = state.walk(path)?;
        let Node::Directory(directory) = &state.nodes[node] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let entry = |(name, node): (&String, &usize)| DirEntry {
            name: name.clone(),
            kind: match state.nodes[*node] {
                Node::File(_) => EntryKind::File,
                Node::Directory(_) => EntryKind::Directory,
            },
        };
        Ok(directory.current.iter().map(entry).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.walk(from)?;
        state.change(FaultOperation::Name, from)?;
        if let Ok((replaced, _)) = state.file(to) {
            replaced.is_named = false;
        }
        if from.parent() == to.parent() {
            let new_name = names(to)?.pop().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
            let (directory, old_name) = state.parent(from)?;
            directory.apply(vec![(old_name.to_owned(), None), (new_name, Some(node))]);
        } else {
            let (directory, name) = state.parent(to)?;
            directory.apply(vec![(name.to_owned(), Some(node))]);
            let (directory, name) = state.parent(from)?;
            directory.apply(vec![(name.to_owned(), None)]);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.file(path)?;
        state.change(FaultOperation::Name, path)?;
        state.file(path)?.0.is_named = false;
        let (directory, name) = state.parent(path)?;
        directory.apply(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.walk(path)?;
        state.change(FaultOperation::Name, path)?;
        let (directory, name) = state.parent(path)?;
        directory.apply(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.walk(path)?;
        state.change(FaultOperation::SyncDir, path)?;
        match &mut state.nodes[node] {
            Node::Directory(directory) => directory.sync(),
            Node::File(_) => return Err(io::ErrorKind::NotADirectory.into()),
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state().walk(path).is_ok())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = self.state();
        let total_bytes = state.total_bytes;
        Ok(Space { total_bytes, available_bytes: total_bytes.saturating_sub(state.used_bytes()) })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        drop(self.open(path, OpenMode::Create)?);
        let mut state = self.state();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let incarnation = state.incarnation;
        Ok(Box::new(Lock { disk: self.clone(), path: path.to_owned(), incarnation }))
    }
}

#[derive(Debug)]
struct Lock {
    disk: SimulatedDisk,
    path: PathBuf,
    incarnation: u64,
}

impl FileLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.incarnation == self.incarnation {
            state.locks.remove(&self.path);
        }
    }
}

/// An open file of one incarnation of the disk.
#[derive(Debug)]
struct Handle {
    disk: SimulatedDisk,
    node: usize,
    incarnation: u64,
    path: PathBuf,
}

impl Handle {
    fn with<T>(&self, use_file: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.incarnation != self.incarnation {
            return Err(io::Error::other("the handle was opened before a crash"));
        }
        use_file(&mut state, self.node)
    }
}

impl State {
    fn node(&mut self, node: usize) -> &mut FileNode {
        match &mut self.nodes[node] {
            Node::File(file) => file,
            Node::Directory(_) => panic!("handles are of files only"),
        }
    }

    fn write(&mut self, node: usize, path: &Path, bytes: &[u8], position: usize) -> io::Result<()> {
        let was_on = !self.is_off();
        let fits = u64::try_from(bytes.len()).unwrap_or(u64::MAX)
            <= self.total_bytes.saturating_sub(self.used_bytes());
        let outcome = self
            .change(FaultOperation::Write, path)
            .and_then(|()| if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) });
        match outcome {
            Ok(()) => self.node(node).write(bytes, position),
            // Part of a write that meets the end of the space, or of the power, is there.
            Err(_) if was_on => self.node(node).write(&bytes[..bytes.len() / 2], position),
            Err(_) => {}
        }
        outcome
    }
}

impl File for Handle {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.with(|state, node| {
            if state.is_off() {
                return Err(io::Error::other("the power is off"));
            }
            state.fault(FaultOperation::Read, &self.path)?;
            let position = usize::try_from(position).unwrap_or(usize::MAX);
            let bytes = state.node(node).current.get(position..).unwrap_or_default();
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        })
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let position = usize::try_from(position).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.with(|state, node| state.write(node, &self.path, bytes, position))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.with(|state, node| {
            state.change(FaultOperation::SetLen, &self.path)?;
            state.node(node).set_len(length);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, node| match state.change(FaultOperation::SyncData, &self.path) {
            Ok(()) => {
                state.node(node).sync();
                Ok(())
            }
            Err(error) => {
                // The kernel calls the pages clean: they are in the cache until it is dropped, and never on the device.
                state.node(node).forget_unsynced();
                Err(error)
            }
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state, node| {
            Ok(u64::try_from(state.node(node).current.len()).unwrap_or(u64::MAX))
        })
    }

    fn drop_cached(&self) -> io::Result<()> {
        self.with(|state, node| {
            state.node(node).drop_clean();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
