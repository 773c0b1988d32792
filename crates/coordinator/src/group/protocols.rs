//! Assignment strategies: which ones all members know, and the vote among them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::members::Members;
use super::request::JoinProtocol;

/// How many members know each strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProtocolCounts(BTreeMap<String, usize>);

impl ProtocolCounts {
    pub(super) fn add(&mut self, protocols: &[JoinProtocol]) {
        for protocol in protocols {
            *self.0.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    pub(super) fn subtract(&mut self, protocols: &[JoinProtocol]) {
        for protocol in protocols {
            if let Some(count) = self.0.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&protocol.name);
                }
            }
        }
    }

    /// Says whether exactly so many members know a strategy.
    pub(super) fn is(&self, name: &str, count: usize) -> bool {
        self.0.get(name).copied().unwrap_or(0) == count
    }
}

/// Copies what a member says of its strategies: it outlives the request, whose frame must not be kept for it. Of two with one name the first counts.
pub(super) fn keep(protocols: &[JoinProtocol]) -> Vec<JoinProtocol> {
    let mut kept: Vec<JoinProtocol> = Vec::with_capacity(protocols.len());
    for protocol in protocols {
        if kept.iter().all(|known| known.name != protocol.name) {
            kept.push(JoinProtocol {
                name: protocol.name.clone(),
                metadata: Bytes::copy_from_slice(&protocol.metadata),
            });
        }
    }
    kept
}

/// Says whether one who knows these strategies shares one with all members.
pub(super) fn are_shared(members: &Members, protocols: &[JoinProtocol]) -> bool {
    protocols.iter().any(|protocol| members.protocols().is(&protocol.name, members.len()))
}

/// Holds the vote: each member for the first of its strategies that all know; most votes win, and the first by name among equals. `None` without members.
pub(super) fn choose(members: &Members) -> Option<String> {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, member) in members.iter() {
        let known_to_all =
            |protocol: &&JoinProtocol| members.protocols().is(&protocol.name, members.len());
        if let Some(vote) = member.protocols.iter().find(known_to_all) {
            *votes.entry(&vote.name).or_default() += 1;
        }
    }
    let most = votes.values().copied().max()?;
    votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
}
