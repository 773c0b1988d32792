//! The replicated partition of `__transaction_state`, as far as a coordinator sees it: a committed prefix, and what each broker that believes to lead has appended behind it.
//!
//! A real leader's tail is committed bit by bit; at an election the new leader keeps the committed prefix and as much of the old leader's tail as had reached it. What a
//! broker appends after it was replaced stays on that broker and is never committed.

use std::collections::BTreeMap;

use coordinator::transaction::record::TransactionRecord;
use model::BrokerId;

/// One append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The leader epoch it was first appended in.
    pub(super) epoch: i32,
    /// What was written.
    pub(super) records: Vec<TransactionRecord>,
}

/// What a broker appended since it was elected, and what it took over then.
#[derive(Clone, Debug)]
struct Tail {
    epoch: i32,
    /// Length of the committed prefix at the election.
    base: usize,
    entries: Vec<Entry>,
}

/// The partition. Positions count entries; a position is never used for two committed entries.
#[derive(Debug)]
pub(super) struct ReplicatedLog {
    pub(super) leader: BrokerId,
    pub(super) epoch: i32,
    committed: Vec<Entry>,
    tails: BTreeMap<BrokerId, Tail>,
}

impl ReplicatedLog {
    pub(super) fn new(leader: BrokerId) -> Self {
        let mut log = Self { leader, epoch: 0, committed: Vec::new(), tails: BTreeMap::new() };
        log.elect(leader, 0);
        log
    }

    /// Exclusive end of what is committed.
    pub(super) fn high_watermark(&self) -> usize {
        self.committed.len()
    }

    /// Makes a broker the leader of a new epoch; `inherited` entries of the old leader's uncommitted tail have reached it, or fewer if there are fewer.
    pub(super) fn elect(&mut self, leader: BrokerId, inherited: usize) {
        let mut entries = self.uncommitted();
        entries.truncate(inherited);
        self.epoch += 1;
        self.leader = leader;
        let tail = Tail { epoch: self.epoch, base: self.committed.len(), entries };
        self.tails.insert(leader, tail);
    }

    /// What the real leader has appended or taken over and is not committed.
    fn uncommitted(&self) -> Vec<Entry> {
        let Some(tail) = self.tails.get(&self.leader).filter(|tail| tail.epoch == self.epoch)
        else {
            return Vec::new();
        };
        tail.entries[(self.committed.len() - tail.base).min(tail.entries.len())..].to_vec()
    }

    /// A process that ends takes the page cache's tail with it only when its disk does; what it appended in an epoch that is over is cut in any case.
    pub(super) fn forget(&mut self, broker: BrokerId) {
        if broker != self.leader {
            self.tails.remove(&broker);
        }
    }

    /// Appends as a broker that believes to lead an epoch. `None` when that broker has never led it, or knows better.
    pub(super) fn append(
        &mut self,
        broker: BrokerId,
        epoch: i32,
        records: Vec<TransactionRecord>,
    ) -> Option<usize> {
        let tail = self.tails.get_mut(&broker).filter(|tail| tail.epoch == epoch)?;
        tail.entries.push(Entry { epoch, records });
        Some(tail.base + tail.entries.len())
    }

    /// End of a broker's log in an epoch that it was elected for.
    pub(super) fn end(&self, broker: BrokerId, epoch: i32) -> Option<usize> {
        let tail = self.tails.get(&broker).filter(|tail| tail.epoch == epoch)?;
        Some(tail.base + tail.entries.len())
    }

    /// The high watermark as that broker can know it: a replaced leader hears of no further commit.
    pub(super) fn known_high_watermark(&self, broker: BrokerId, epoch: i32) -> usize {
        if (broker, epoch) == (self.leader, self.epoch) {
            return self.committed.len();
        }
        // Whoever was replaced knows at least what was committed when it was elected; the rest it may have missed.
        self.tails.get(&broker).filter(|tail| tail.epoch == epoch).map_or(0, |tail| tail.base)
    }

    /// Commits up to `count` more of the real leader's entries, and returns them with their positions.
    pub(super) fn commit(&mut self, count: usize) -> Vec<(usize, Entry)> {
        let mut newly = Vec::new();
        for entry in self.uncommitted().into_iter().take(count) {
            newly.push((self.committed.len(), entry.clone()));
            self.committed.push(entry);
        }
        newly
    }

    /// What is committed, by position.
    pub(super) fn committed(&self) -> &[Entry] {
        &self.committed
    }
}
