//! Assignment strategies, as members name them (Kafka's protocols): copies to keep, and how many members know each.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::group::request::JoinProtocol;

/// How many members know each strategy, and how much they say of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct ProtocolCounts {
    members: BTreeMap<String, usize>,
    bytes: usize,
}

impl ProtocolCounts {
    pub(in crate::group) fn add(&mut self, protocols: &[JoinProtocol]) {
        for protocol in protocols {
            self.bytes += bytes_of(protocol);
            *self.members.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    pub(in crate::group) fn subtract(&mut self, protocols: &[JoinProtocol]) {
        for protocol in protocols {
            self.bytes -= bytes_of(protocol);
            if let Some(count) = self.members.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.members.remove(&protocol.name);
                }
            }
        }
    }

    /// Returns how many bytes the strategies of all members take, with what is said of them.
    pub(in crate::group) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says whether exactly so many members know a strategy.
    pub(in crate::group) fn is(&self, name: &str, count: usize) -> bool {
        self.members.get(name).copied().unwrap_or(0) == count
    }
}

/// Returns how many bytes these strategies take, with what is said of them.
pub(in crate::group) fn bytes(protocols: &[JoinProtocol]) -> usize {
    protocols.iter().map(bytes_of).sum()
}

fn bytes_of(protocol: &JoinProtocol) -> usize {
    protocol.name.len() + protocol.metadata.len()
}

/// Copies what a member says of its strategies: it outlives the request, whose frame must not be kept for it.
pub(in crate::group) fn keep(protocols: &[JoinProtocol]) -> Vec<JoinProtocol> {
    let kept = distinct(protocols).map(|protocol| JoinProtocol {
        name: protocol.name.clone(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    kept.collect()
}

/// Says whether a member says of its strategies what it said when they were [kept](keep).
pub(in crate::group) fn are_unchanged(kept: &[JoinProtocol], protocols: &[JoinProtocol]) -> bool {
    kept.iter().eq(distinct(protocols))
}

/// Of two strategies with one name the first counts.
fn distinct(protocols: &[JoinProtocol]) -> impl Iterator<Item = &JoinProtocol> {
    let mut names = BTreeSet::new();
    protocols.iter().filter(move |protocol| names.insert(protocol.name.as_str()))
}

/// The most strategies that a member may name. Clients name one to three.
pub(in crate::group) const MAX_COUNT: usize = 100;
