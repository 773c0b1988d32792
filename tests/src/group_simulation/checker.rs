//! What must hold, judged with knowledge of everything: the log, what was answered, and when it was asked.
//!
//! Positions are those of the log. A *floor* is how far the history of a key had been told to somebody: whoever asks a coordinator of that epoch or a later one afterwards
//! must see at least that far. (A replaced coordinator that has not heard of it may answer from what was committed then, as in Kafka.)

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use coordinator::group::ids::{GenerationId, GroupId, GroupInstanceId, MemberId};
use coordinator::group::record::GroupRecord;
use coordinator::group::request::{Request, Stability, SyncGroup};
use coordinator::group::response::Response;
use model::ErrorCode;

use super::log::Entry;
use super::member::{assigned, committed_by};
use super::transactions::partitions_of_all;
use super::truth::{Shown, found_at};

/// What somebody was told of a key, at which epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Floor {
    epoch: i32,
    /// Exclusive end of the entries whose effect was told.
    end: usize,
}

/// What held when a request was sent: what it may be judged by.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    floors: BTreeMap<(GroupId, i32), Floor>,
    /// The sender's id had been replaced or had left, in this epoch.
    ended_in: Option<i32>,
}

/// An answer that is let go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// The coordinator's epoch.
    pub(super) epoch: i32,
    /// Exclusive end of what the answer depends on; 0 when that was committed before.
    pub(super) end: usize,
    pub(super) asked: &'a Asked,
    pub(super) request: &'a Request,
    pub(super) response: &'a Response,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub(super) struct Checker {
    floors: BTreeMap<(GroupId, i32), Floor>,
    /// Owners by group, its life (it may be removed and begin anew) and generation. A static member keeps its place under another id.
    owners: BTreeMap<(GroupId, usize, GenerationId), BTreeMap<i32, String>>,
    /// Present holder of each static name, as told by a JoinGroup.
    holders: BTreeMap<(GroupId, GroupInstanceId), MemberId>,
    /// Ids that have left or were replaced, with the epoch that said so.
    ended: BTreeMap<(GroupId, MemberId), i32>,
    /// Highest generation written and committed, by group.
    generations: BTreeMap<GroupId, GenerationId>,
}

impl Checker {
    /// Notes what a request may be judged by, when it is sent.
    pub(super) fn asked(&self, request: &Request) -> Asked {
        let group = match request {
            Request::FetchOffsets(fetch) => &fetch.group_id,
            _ => {
                let sender = sender(request);
                let ended_in = sender.and_then(|sender| self.ended.get(&sender).copied());
                return Asked { floors: BTreeMap::new(), ended_in };
            }
        };
        let of_group = self.floors.iter().filter(|((owner, _), _)| owner == group);
        let floors = of_group.map(|(key, floor)| (key.clone(), *floor)).collect();
        Asked { floors, ended_in: None }
    }

    /// Judges an answer at the moment it is let go by a coordinator whose log is `view`.
    pub(super) fn released(&mut self, view: &[&Entry], told: &Told<'_>) {
        let Told { epoch, end, asked, request, response } = *told;
        // Neither leaving nor taking a static name is written at once: a coordinator that is elected next may not know of it, as in Kafka.
        if is_success(response) {
            assert_ne!(
                asked.ended_in,
                Some(epoch),
                "{:?} had left or was replaced, and still was served: {response:?}",
                sender(request)
            );
        }
        match (request, response) {
            (Request::CommitOffsets(_), Response::CommitOffsets(codes)) => {
                let committed = committed_by(request).into_keys().zip(codes);
                for (key, _) in committed.filter(|(_, code)| !code.is_error()) {
                    self.raise(key, Floor { epoch, end });
                }
            }
            (Request::FetchOffsets(fetch), Response::FetchOffsets(answer)) => {
                for fetched in &answer.offsets {
                    let key = (fetch.group_id.clone(), fetched.partition);
                    let floor = asked.floors.get(&key).copied().unwrap_or_default();
                    if floor.epoch > epoch {
                        continue;
                    }
                    let told = fetched.committed.as_ref().map(|committed| committed.offset.0);
                    let shown = Shown {
                        committed: told,
                        // Who does not ask for stability is not told of it.
                        is_unstable: (fetch.stability == Stability::Stable)
                            .then_some(fetched.error == ErrorCode::UnstableOffsetCommit),
                    };
                    let at = found_at(view, &key, shown, floor.end).unwrap_or_else(|| {
                        panic!("{key:?}: told {shown:?}, which nobody committed after {floor:?}")
                    });
                    self.raise(key, Floor { epoch, end: at });
                }
            }
            (Request::CompleteTransaction(_), Response::CompleteTransaction(ErrorCode::None)) => {
                assert_ne!(end, 0, "a marker that is told of is in the log");
                let ended = view[..end].last().and_then(|entry| entry.marker());
                assert!(ended.is_some(), "a marker that is told of is where it is said to be");
                for key in partitions_of_all() {
                    self.raise(key, Floor { epoch, end });
                }
            }
            (Request::Join(join), Response::Join(answer)) if answer.error == ErrorCode::None => {
                if let Some(instance) = &join.group_instance_id {
                    let name = (join.group_id.clone(), instance.clone());
                    let before = self.holders.insert(name, answer.member_id.clone());
                    if let Some(before) = before.filter(|before| *before != answer.member_id) {
                        self.ended.insert((join.group_id.clone(), before), epoch);
                    }
                }
            }
            (Request::Sync(sync), Response::Sync(answer)) if answer.error == ErrorCode::None => {
                let written = if end == 0 { view } else { &view[..end.min(view.len())] };
                self.own(sync, lives(written, &sync.member.group_id), &answer.assignment);
            }
            (Request::Leave(leave), Response::Leave(answer)) => {
                for (member, code) in leave.members.iter().zip(&answer.members) {
                    if *code == ErrorCode::None {
                        let id = (leave.group_id.clone(), member.member_id.clone());
                        self.ended.insert(id, epoch);
                    }
                }
            }
            _ => {}
        }
    }

    fn raise(&mut self, key: (GroupId, i32), floor: Floor) {
        let known = self.floors.entry(key).or_default();
        known.epoch = known.epoch.max(floor.epoch);
        known.end = known.end.max(floor.end);
    }

    /// No partition has two owners in one generation.
    fn own(&mut self, sync: &SyncGroup, life: usize, assignment: &Bytes) {
        let member = &sync.member;
        let generation = member.generation_id.expect("a member that syncs has a generation");
        let name = match &member.group_instance_id {
            Some(instance) => instance.to_string(),
            None => member.member_id.to_string(),
        };
        let owners = self.owners.entry((member.group_id.clone(), life, generation)).or_default();
        for partition in assigned(assignment) {
            let owner = owners.entry(partition).or_insert_with(|| name.clone());
            assert_eq!(
                *owner, name,
                "partition {partition} of {} has two owners in generation {generation}",
                member.group_id
            );
        }
    }

    /// Judges an entry when it is committed: `cause` is the request that it was written for.
    pub(super) fn committed(&mut self, entry: &Entry, cause: Option<&Request>) {
        let pending = entry.pending().map_or(&[][..], |(_, records)| records);
        for record in entry.plain().iter().chain(pending) {
            match record {
                GroupRecord::Group { group_id, value: Some(value) } => {
                    let before = self.generations.insert(group_id.clone(), value.generation_id);
                    assert!(
                        before.is_none_or(|before| before <= value.generation_id),
                        "the generation of {group_id} went back from {before:?} to {}",
                        value.generation_id
                    );
                    let ids: BTreeSet<_> = value.members.iter().map(|one| &one.member_id).collect();
                    assert_eq!(ids.len(), value.members.len(), "{group_id} has a member twice");
                }
                GroupRecord::Group { group_id, value: None } => {
                    // A group that is gone begins anew, and counts from one again.
                    self.generations.remove(group_id);
                }
                GroupRecord::Offset { group_id, .. } => {
                    let claimed = match cause {
                        Some(Request::CommitOffsets(commit)) => commit.member.generation_id,
                        Some(Request::CommitTransactionalOffsets(commit)) => {
                            commit.member.generation_id
                        }
                        _ => continue,
                    };
                    let known = self.generations.get(group_id);
                    if let (Some(claimed), Some(known)) = (claimed, known) {
                        assert!(
                            claimed >= *known,
                            "{group_id}: generation {claimed} committed after {known} had begun"
                        );
                    }
                }
            }
        }
    }
}

/// How often a group had been removed.
fn lives(view: &[&Entry], group: &GroupId) -> usize {
    let is_end = |record: &&GroupRecord| matches!(record, GroupRecord::Group { group_id, value: None } if group_id == group);
    view.iter().flat_map(|entry| entry.plain()).filter(is_end).count()
}

/// Who sends a request as a member.
fn sender(request: &Request) -> Option<(GroupId, MemberId)> {
    let member = match request {
        Request::Sync(sync) => &sync.member,
        Request::Heartbeat(heartbeat) => &heartbeat.member,
        Request::CommitOffsets(commit) => &commit.member,
        Request::CommitTransactionalOffsets(commit) => &commit.member,
        _ => return None,
    };
    Some((member.group_id.clone(), member.member_id.clone()))
}

fn is_success(response: &Response) -> bool {
    match response {
        Response::Sync(answer) => answer.error == ErrorCode::None,
        Response::Heartbeat(error) => *error == ErrorCode::None,
        Response::CommitOffsets(codes) | Response::CommitTransactionalOffsets(codes) => {
            codes.iter().all(|code| *code == ErrorCode::None)
        }
        _ => false,
    }
}
