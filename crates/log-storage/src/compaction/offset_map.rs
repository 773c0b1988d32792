//! Where the last record of each key is, in bounded memory (Kafka's `SkimpyOffsetMap`).
//!
//! Owns a hash table of fixed size that holds no key but 16 bytes of its hash. The hash is keyed anew for each map, so that nobody can make two keys that collide;
//! that two do by chance is as good as impossible.

use std::hash::{BuildHasher, RandomState};

use model::Offset;

/// The greatest offset of each key so far.
#[derive(Debug)]
pub(super) struct OffsetMap {
    /// Halves of 128 bits that depend on the key, each by its own secret.
    secrets: [RandomState; 2],
    hashes: Vec<u128>,
    /// The offset plus one, so that zero is an empty slot and the table costs nothing before it is used.
    offsets: Vec<u64>,
    count: usize,
    limit: usize,
}

/// Whether a key found its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It did.
    Noted,
    /// There is no room for another key.
    Full,
}

impl OffsetMap {
    /// Makes a map for up to `keys` keys, of at most `limit_bytes`.
    pub(super) fn new(keys: u64, limit_bytes: usize) -> Self {
        let wanted = usize::try_from(keys.saturating_add(keys / 8)).unwrap_or(usize::MAX);
        let slots = wanted.saturating_add(2).min(limit_bytes / SLOT_BYTES).max(2);
        Self {
            secrets: [RandomState::new(), RandomState::new()],
            hashes: vec![0; slots],
            offsets: vec![0; slots],
            count: 0,
            // At least one slot stays empty, where a search ends.
            limit: (slots / 10 * 9 + slots % 10 * 9 / 10).clamp(1, slots - 1),
        }
    }

    /// Notes an offset of a key; a greater one is kept.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> Put {
        let hash = self.hash(key);
        let slot = self.find(hash);
        let value = u64::try_from(offset.0).unwrap_or(0) + 1;
        if self.offsets[slot] == 0 {
            if self.count == self.limit {
                return Put::Full;
            }
            self.count += 1;
            self.hashes[slot] = hash;
        }
        self.offsets[slot] = self.offsets[slot].max(value);
        Put::Noted
    }

    /// Returns the greatest offset of a key; `None` when it was never noted.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let value = self.offsets[self.find(self.hash(key))];
        i64::try_from(value.checked_sub(1)?).ok().map(Offset)
    }

    /// Returns the slot of a hash, or the empty one where it belongs.
    fn find(&self, hash: u128) -> usize {
        let slots = u128::try_from(self.hashes.len()).unwrap_or(1);
        let mut slot = usize::try_from(hash % slots).unwrap_or(0);
        while self.offsets[slot] != 0 && self.hashes[slot] != hash {
            slot += 1;
            if slot == self.hashes.len() {
                slot = 0;
            }
        }
        slot
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let [high, low] = &self.secrets;
        (u128::from(high.hash_one(key)) << 64) | u128::from(low.hash_one(key))
    }
}

/// Bytes of one slot: hash and offset.
const SLOT_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_offset_of_each_key_is_kept() {
        let mut map = OffsetMap::new(1_000, 1 << 20);
        for number in 0..3_000_i64 {
            let key = (number % 1_000).to_be_bytes();
            assert_eq!(map.put(&key, Offset(number)), Put::Noted);
        }
        assert_eq!(map.put(&5_i64.to_be_bytes(), Offset(1)), Put::Noted);
        for key in 0..1_000_i64 {
            assert_eq!(map.get(&key.to_be_bytes()), Some(Offset(2_000 + key)));
        }
        assert_eq!(map.get(b"another"), None);
    }

    #[test]
    fn a_full_map_takes_known_keys_alone_and_never_grows() {
        let mut map = OffsetMap::new(1 << 40, 100 * SLOT_BYTES);
        let taken = (0..200_i64)
            .take_while(|number| map.put(&number.to_be_bytes(), Offset(*number)) == Put::Noted)
            .count();
        assert_eq!(taken, 90);
        assert_eq!(map.put(&0_i64.to_be_bytes(), Offset(500)), Put::Noted);
        assert_eq!(map.get(&0_i64.to_be_bytes()), Some(Offset(500)));
        assert_eq!(map.get(&150_i64.to_be_bytes()), None);
    }

    #[test]
    fn the_smallest_map_holds_a_key() {
        let mut map = OffsetMap::new(0, 0);
        assert_eq!(map.put(b"", Offset(0)), Put::Noted);
        assert_eq!(map.put(b"b", Offset(1)), Put::Full);
        assert_eq!(map.get(b""), Some(Offset::ZERO));
    }
}
