//! A table of small fixed-size entries that is larger than the memory it takes.
//!
//! Owns one unlinked temporary file, cut into pages, and a fixed number of pages in memory; a page that is not in use goes to the file and
//! comes back when it is asked for (second chance). Entries live in *regions*, each numbered from 0; an entry that was never written reads as
//! zeros and takes no room.
//!
//! Bound: `capacity` pages of [`PAGE_BYTES`] in memory, and 8 bytes of directory per page that was ever written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Size of a page: 1,024 entries of eight words.
pub(super) const PAGE_BYTES: usize = 64 << 10;
const WORD_BYTES: usize = 8;
const PAGE_WORDS: usize = PAGE_BYTES / WORD_BYTES;
/// In a directory: no such page; in `resident`: not in memory.
const NONE: u32 = u32::MAX;

/// Names a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RegionId(usize);

/// The table.
#[derive(Debug)]
pub(super) struct PagedTable {
    file: File,
    /// Of each region, the pages by their place in it.
    regions: Vec<Vec<u32>>,
    /// Of each page, the slot that holds it.
    resident: Vec<u32>,
    slots: Vec<Slot>,
    capacity: usize,
    /// Where the search for a slot to empty goes on.
    hand: usize,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Slot {
    page: u32,
    words: Box<[u64]>,
    dirty: bool,
    used: bool,
}

impl PagedTable {
    /// Makes an empty table that keeps up to `capacity` pages in memory and the others in a nameless file in `scratch`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(super) fn new(scratch: &Path, capacity: usize) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile_in(scratch)?,
            regions: Vec::new(),
            resident: Vec::new(),
            slots: Vec::new(),
            capacity: capacity.max(1),
            hand: 0,
            buffer: vec![0; PAGE_BYTES],
        })
    }

    /// Adds an empty region.
    pub(super) fn add_region(&mut self) -> RegionId {
        self.regions.push(Vec::new());
        RegionId(self.regions.len() - 1)
    }

    /// Reads an entry of `N` words; zeros where none was written. All entries of a region have the same `N`, a power of two.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(super) fn get<const N: usize>(
        &mut self,
        region: RegionId,
        index: u64,
    ) -> io::Result<[u64; N]> {
        let (place, word) = locate::<N>(index)?;
        let page = self.regions[region.0].get(place).copied().unwrap_or(NONE);
        if page == NONE {
            return Ok([0; N]);
        }
        let slot = self.load(page)?;
        let mut entry = [0; N];
        entry.copy_from_slice(&self.slots[slot].words[word..word + N]);
        Ok(entry)
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(super) fn put<const N: usize>(
        &mut self,
        region: RegionId,
        index: u64,
        entry: [u64; N],
    ) -> io::Result<()> {
        let (place, word) = locate::<N>(index)?;
        let directory = &mut self.regions[region.0];
        if directory.len() <= place {
            directory.resize(place + 1, NONE);
        }
        let slot = match directory[place] {
            NONE => {
                let page = small(self.resident.len())?;
                directory[place] = page;
                self.resident.push(NONE);
                let slot = self.free_slot(page)?;
                self.slots[slot].words.fill(0);
                slot
            }
            page => self.load(page)?,
        };
        let slot = &mut self.slots[slot];
        slot.words[word..word + N].copy_from_slice(&entry);
        slot.dirty = true;
        Ok(())
    }

    /// Pages in memory.
    #[cfg(test)]
    pub(super) fn resident_pages(&self) -> usize {
        self.slots.len()
    }

    /// Pages ever written.
    #[cfg(test)]
    pub(super) fn pages(&self) -> usize {
        self.resident.len()
    }

    fn load(&mut self, page: u32) -> io::Result<usize> {
        let resident = self.resident[wide(page)];
        if resident != NONE {
            let slot = wide(resident);
            self.slots[slot].used = true;
            return Ok(slot);
        }
        let slot = self.free_slot(page)?;
        self.file.read_exact_at(&mut self.buffer, position(page))?;
        let words = self.slots[slot].words.iter_mut();
        for (word, bytes) in words.zip(self.buffer.as_chunks::<WORD_BYTES>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(slot)
    }

    /// Gives `page` a slot, whose words are whatever was there before.
    fn free_slot(&mut self, page: u32) -> io::Result<usize> {
        let slot = if self.slots.len() < self.capacity {
            let words = vec![0; PAGE_WORDS].into_boxed_slice();
            self.slots.push(Slot { page, words, dirty: false, used: true });
            self.slots.len() - 1
        } else {
            self.evict()?
        };
        self.slots[slot].page = page;
        self.slots[slot].dirty = false;
        self.slots[slot].used = true;
        self.resident[wide(page)] = small(slot)?;
        Ok(slot)
    }

    /// Empties the first slot, from the hand on, that was not used since the hand last passed it.
    fn evict(&mut self) -> io::Result<usize> {
        while std::mem::take(&mut self.slots[self.hand].used) {
            self.hand = (self.hand + 1) % self.slots.len();
        }
        let index = self.hand;
        self.hand = (self.hand + 1) % self.slots.len();
        let slot = &self.slots[index];
        if slot.dirty {
            let chunks = self.buffer.as_chunks_mut::<WORD_BYTES>().0.iter_mut();
            for (bytes, word) in chunks.zip(&slot.words) {
                *bytes = word.to_le_bytes();
            }
            self.file.write_all_at(&self.buffer, position(slot.page))?;
        }
        self.resident[wide(slot.page)] = NONE;
        Ok(index)
    }
}

/// The page's place in its region, and the entry's first word in the page.
fn locate<const N: usize>(index: u64) -> io::Result<(usize, usize)> {
    const { assert!(N.is_power_of_two() && N <= PAGE_WORDS, "entries do not straddle pages") };
    let index = usize::try_from(index).map_err(io::Error::other)?;
    let entries = PAGE_WORDS / N;
    Ok((index / entries, index % entries * N))
}

fn position(page: u32) -> u64 {
    u64::from(page) * PAGE_BYTES as u64
}

fn small(index: usize) -> io::Result<u32> {
    u32::try_from(index).map_err(|_| io::Error::other("more pages than a table can number"))
}

fn wide(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
