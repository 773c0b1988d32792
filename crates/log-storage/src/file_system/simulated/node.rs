//! Files and directories of the simulated disk, each with what is durable, what is not yet, and what a crash makes of it.

use std::collections::BTreeMap;

use super::CrashMode;

/// Bytes that a device writes as one: a write is torn at their bounds.
const SECTOR_BYTES: usize = 512;

pub(super) enum Node {
    File(FileNode),
    Directory(Directory),
}

impl Node {
    pub(super) fn crash(&mut self, mode: CrashMode, random: &mut Random) {
        match self {
            Self::File(file) => file.crash(mode, random),
            Self::Directory(directory) => directory.crash(mode, random),
        }
    }
}

pub(super) struct FileNode {
    pub(super) current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Whether a name leads to it; one without takes no space.
    pub(super) is_named: bool,
}

impl Default for FileNode {
    fn default() -> Self {
        Self { current: Vec::new(), durable: Vec::new(), unsynced: Vec::new(), is_named: true }
    }
}

enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes } => write(content, bytes, *position),
            Self::SetLen(length) => content.resize(*length, 0),
        }
    }
}

fn write(content: &mut Vec<u8>, bytes: &[u8], position: usize) {
    if content.len() < position + bytes.len() {
        content.resize(position + bytes.len(), 0);
    }
    content[position..position + bytes.len()].copy_from_slice(bytes);
}

impl FileNode {
    pub(super) fn write(&mut self, bytes: &[u8], position: usize) {
        let change = Change::Write { position, bytes: bytes.to_vec() };
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }

    pub(super) fn set_len(&mut self, length: usize) {
        self.current.resize(length, 0);
        self.unsynced.push(Change::SetLen(length));
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A failed sync: what was not durable never will be, and a reader sees it until the cache is dropped.
    pub(super) fn forget_unsynced(&mut self) {
        self.unsynced.clear();
    }

    /// Clean pages leave the cache: what a failed sync lost is gone for readers too.
    pub(super) fn drop_clean(&mut self) {
        if self.unsynced.is_empty() {
            self.current.clone_from(&self.durable);
        }
    }

    pub(super) fn flip_bit(&mut self, position: usize, bit: u8) -> Option<()> {
        self.sync();
        *self.current.get_mut(position)? ^= 1 << (bit % 8);
        *self.durable.get_mut(position)? ^= 1 << (bit % 8);
        Some(())
    }

    fn crash(&mut self, mode: CrashMode, random: &mut Random) {
        if mode == CrashMode::KeepAll {
            return;
        }
        for change in std::mem::take(&mut self.unsynced) {
            match mode {
                CrashMode::LoseAll | CrashMode::KeepAll => {}
                CrashMode::Random => match (random.below(3), &change) {
                    (0, _) => {}
                    (1, Change::Write { position, bytes }) => {
                        self.tear(*position, bytes, random);
                    }
                    _ => change.apply(&mut self.durable),
                },
            }
        }
        self.current.clone_from(&self.durable);
    }

    /// Keeps some sectors of a write. The length that the file got by it may be kept all the same, with zeros in it.
    fn tear(&mut self, position: usize, bytes: &[u8], random: &mut Random) {
        let mut start = 0;
        while start < bytes.len() {
            let to_sector_end = SECTOR_BYTES - (position + start) % SECTOR_BYTES;
            let end = bytes.len().min(start + to_sector_end);
            if random.below(2) == 0 {
                write(&mut self.durable, &bytes[start..end], position + start);
            }
            start = end;
        }
    }
}

#[derive(Default)]
pub(super) struct Directory {
    pub(super) current: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Each change sets or removes some names at once.
    unsynced: Vec<Vec<(String, Option<usize>)>>,
}

impl Directory {
    pub(super) fn apply(&mut self, change: Vec<(String, Option<usize>)>) {
        set(&mut self.current, &change);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.durable.clone_from(&self.current);
    }

    fn crash(&mut self, mode: CrashMode, random: &mut Random) {
        let kept = match mode {
            CrashMode::LoseAll => 0,
            CrashMode::KeepAll => return,
            CrashMode::Random => random.below(self.unsynced.len() + 1),
        };
        for change in self.unsynced.drain(..).take(kept) {
            set(&mut self.durable, &change);
        }
        self.unsynced.clear();
        self.current.clone_from(&self.durable);
    }
}

fn set(names: &mut BTreeMap<String, usize>, change: &[(String, Option<usize>)]) {
    for (name, node) in change {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

/// SplitMix64: small, and the same everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number from 0 to below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from((mixed ^ (mixed >> 31)) % bound).expect("it is below a usize")
    }
}
