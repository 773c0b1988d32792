//! What a log says of offsets, by another way than the machine's: of each partition the entry that stands last counts, and one of a transaction only if its commit marker follows.

use std::collections::{BTreeMap, BTreeSet};

use model::ProducerId;
use model::record_batch::TransactionResult;

use super::transaction_commands::Entry;
use crate::group::ids::{GroupId, TopicName};
use crate::group::record::{GroupRecord, OffsetRecord};

/// A partition of a group.
pub(super) type Key = (GroupId, TopicName, i32);

/// What a log says.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// What is committed.
    pub(super) committed: BTreeMap<Key, OffsetRecord>,
    /// What open transactions are to commit, if nothing comes behind it.
    pub(super) pending: BTreeMap<Key, Vec<OffsetRecord>>,
    /// The groups of which there is anything.
    pub(super) groups: BTreeSet<GroupId>,
}

/// Something that was said of a partition, and at which place of the log.
#[derive(Clone, Debug)]
struct Said {
    position: usize,
    value: Option<OffsetRecord>,
    /// The transaction that must be committed for it.
    producer_id: Option<ProducerId>,
}

impl Truth {
    pub(super) fn of<'a>(log: impl DoubleEndedIterator<Item = &'a Entry>) -> Self {
        let log: Vec<&Entry> = log.collect();
        let mut said: BTreeMap<Key, Vec<Said>> = BTreeMap::new();
        let mut truth = Self::default();
        for (position, entry) in log.iter().enumerate() {
            let (record, producer_id) = match entry {
                Entry::Plain(record) => (record, None),
                Entry::OfTransaction(producer_id, record) => (record, Some(*producer_id)),
                Entry::Marker(..) => continue,
            };
            match record {
                GroupRecord::Group { group_id, value: Some(_) } => {
                    truth.groups.insert(group_id.clone());
                }
                GroupRecord::Group { group_id, value: None } => {
                    truth.groups.remove(group_id);
                }
                GroupRecord::Offset { group_id, topic, partition, value } => {
                    let key = (group_id.clone(), topic.clone(), *partition);
                    let one = Said { position, value: value.clone(), producer_id };
                    said.entry(key).or_default().push(one);
                }
            }
        }
        for (key, said) in said {
            truth.weigh(&log, key, &said);
        }
        truth
    }

    fn weigh(&mut self, log: &[&Entry], key: Key, said: &[Said]) {
        let ends = |one: &Said| match one.producer_id {
            None => Some(TransactionResult::Commit),
            Some(producer_id) => log[one.position..].iter().find_map(|entry| match entry {
                Entry::Marker(of, result) if *of == producer_id => Some(*result),
                _ => None,
            }),
        };
        let mut pending = BTreeMap::new();
        let mut committed = None;
        let mut is_pending = false;
        for one in said {
            match ends(one) {
                Some(TransactionResult::Commit) => {
                    committed.clone_from(&one.value);
                    pending.clear();
                    is_pending &= one.value.is_some();
                }
                Some(TransactionResult::Abort) => {}
                None => {
                    pending.insert(one.producer_id, one.value.clone());
                    is_pending = true;
                }
            }
        }
        if committed.is_some() || is_pending {
            self.groups.insert(key.0.clone());
        }
        if is_pending {
            self.pending.insert(key.clone(), pending.into_values().flatten().collect());
        }
        if let Some(committed) = committed {
            self.committed.insert(key, committed);
        }
    }
}
