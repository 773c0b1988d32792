//! The replicated partition of `__consumer_offsets`, as far as a coordinator sees it: a committed prefix, and what each broker that believes to lead has appended behind it.
//!
//! A real leader's tail is committed bit by bit; at an election the new leader keeps the committed prefix and as much of the old leader's tail as had reached it. What a
//! broker appends after it was replaced stays on that broker and is never committed.

use std::collections::BTreeMap;

use coordinator::group::Shard;
use coordinator::group::record::{GroupRecord, TransactionBatch};
use coordinator::group::request::CompleteTransaction;
use model::record_batch::TransactionResult;
use model::{BrokerId, ErrorCode, Offset, ProducerEpoch, ProducerId};

/// One append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The leader epoch it was first appended in.
    pub(super) epoch: i32,
    /// What was written.
    pub(super) batch: Batch,
}

/// What one append wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    Plain(Vec<GroupRecord>),
    OfTransaction(TransactionBatch),
}

impl Entry {
    /// The records that count from where they stand.
    pub(super) fn plain(&self) -> &[GroupRecord] {
        match &self.batch {
            Batch::Plain(records) => records,
            Batch::OfTransaction(_) => &[],
        }
    }

    /// The records that wait for a producer's marker.
    pub(super) fn pending(&self) -> Option<(ProducerId, &[GroupRecord])> {
        match &self.batch {
            Batch::OfTransaction(TransactionBatch::Offsets { producer_id, records, .. }) => {
                Some((*producer_id, records))
            }
            Batch::OfTransaction(TransactionBatch::Marker(_)) | Batch::Plain(_) => None,
        }
    }

    /// The marker that ends a producer's transaction.
    pub(super) fn marker(&self) -> Option<(ProducerId, TransactionResult)> {
        match &self.batch {
            Batch::OfTransaction(TransactionBatch::Marker(marker)) => {
                Some((marker.producer_id, marker.marker.result))
            }
            Batch::OfTransaction(TransactionBatch::Offsets { .. }) | Batch::Plain(_) => None,
        }
    }

    /// Replays the entry that stands at a position.
    pub(super) fn replay_into(&self, position: usize, shard: &mut Shard) {
        for record in self.plain() {
            shard.replay(record.clone());
        }
        let offset = Offset(i64::try_from(position).expect("logs are short"));
        if let Some((producer_id, records)) = self.pending() {
            for record in records {
                shard.replay_pending(producer_id, offset, record.clone());
            }
        }
        if let Some((producer_id, result)) = self.marker() {
            shard.replay_marker(producer_id, result);
        }
    }

    /// The producer's epoch, if it is a batch of its transaction.
    fn epoch_of(&self, producer: ProducerId) -> Option<ProducerEpoch> {
        match &self.batch {
            Batch::OfTransaction(TransactionBatch::Offsets {
                producer_id, producer_epoch, ..
            })
            | Batch::OfTransaction(TransactionBatch::Marker(CompleteTransaction {
                producer_id,
                producer_epoch,
                ..
            })) if *producer_id == producer => Some(*producer_epoch),
            Batch::OfTransaction(_) | Batch::Plain(_) => None,
        }
    }
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
    /// What lies before was trimmed after a rewrite. Kept here for the checks, but never loaded.
    pub(super) start: usize,
    committed: Vec<Entry>,
    tails: BTreeMap<BrokerId, Tail>,
}

impl ReplicatedLog {
    pub(super) fn new(leader: BrokerId) -> Self {
        let mut log =
            Self { leader, epoch: 0, start: 0, committed: Vec::new(), tails: BTreeMap::new() };
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
    pub(super) fn append(&mut self, broker: BrokerId, epoch: i32, batch: Batch) -> Option<usize> {
        let tail = self.tails.get_mut(&broker).filter(|tail| tail.epoch == epoch)?;
        tail.entries.push(Entry { epoch, batch });
        Some(tail.base + tail.entries.len())
    }

    /// Appends a batch of a transaction, if the producer's last one allows it: each transaction has an epoch of its own, and its marker the next one's (KIP-890). A marker may come again, but
    /// not when its producer's next transaction has begun.
    pub(super) fn append_of_transaction(
        &mut self,
        broker: BrokerId,
        epoch: i32,
        batch: TransactionBatch,
    ) -> Option<Result<usize, ErrorCode>> {
        let (producer_id, producer_epoch, is_marker) = match &batch {
            TransactionBatch::Offsets { producer_id, producer_epoch, .. } => {
                (*producer_id, *producer_epoch, false)
            }
            TransactionBatch::Marker(marker) => (marker.producer_id, marker.producer_epoch, true),
        };
        self.end(broker, epoch)?;
        let view = self.view(broker, epoch);
        let last = view
            .iter()
            .rev()
            .find_map(|entry| Some((entry.epoch_of(producer_id)?, entry.pending().is_some())));
        let is_stale = last.is_some_and(|(known, is_open)| {
            producer_epoch < known || (is_marker && is_open && producer_epoch == known)
        });
        if is_stale {
            return Some(Err(ErrorCode::InvalidProducerEpoch));
        }
        self.append(broker, epoch, Batch::OfTransaction(batch)).map(Ok)
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

    /// All entries that a broker sees in an epoch, the trimmed ones included, by position.
    pub(super) fn view(&self, broker: BrokerId, epoch: i32) -> Vec<&Entry> {
        match self.tails.get(&broker).filter(|tail| tail.epoch == epoch) {
            Some(tail) => self.committed[..tail.base].iter().chain(&tail.entries).collect(),
            None => self.committed.iter().collect(),
        }
    }

    /// What is committed, by position, the trimmed entries included.
    pub(super) fn committed(&self) -> &[Entry] {
        &self.committed
    }
}
