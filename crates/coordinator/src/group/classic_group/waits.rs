//! Whom a group waits for, and until when: sessions, ids that were given out, members that have not asked for their assignment.
//!
//! Invariant: the group's timers stand where its state says. Whoever moves a deadline or takes a member away goes through here.

use model::{ErrorCode, Timestamp};

use super::{Group, Member, Phase};
use crate::group::Now;
use crate::group::ids::MemberId;
use crate::group::mutation::{self, Mutation};
use crate::group::response::{JoinAnswer, Response, SyncAnswer};
use crate::group::turn::{Timer, Turn};

impl Group {
    /// Notes a member's sign of life.
    pub(in crate::group) fn touch(&mut self, member_id: &MemberId, now: Now) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.touch(now.monotonic);
        }
    }

    /// Starts a member's session anew, now that nothing of it is parked: it has its whole session timeout from here.
    pub(in crate::group) fn restart_session(&mut self, member_id: &MemberId, turn: &mut Turn<'_>) {
        if let Some(member) = self.members.get(member_id) {
            let deadline = turn.now.monotonic + member.session_timeout;
            self.set_deadline(member_id, deadline, turn);
        }
    }

    /// Moves a member's deadline, back perhaps, and sees that its timer stands at or before it.
    pub(in crate::group) fn set_deadline(
        &mut self,
        member_id: &MemberId,
        deadline: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.deadline = deadline;
        if member.armed_at.is_none_or(|at| at > deadline) {
            let before = member.armed_at.replace(deadline);
            if let Some(before) = before {
                turn.disarm(&self.id, Timer::Session(member_id.clone()), before);
            }
            turn.arm(&self.id, Timer::Session(member_id.clone()), deadline);
        }
    }

    /// Removes a member. What it had parked is answered with `error`: UNKNOWN_MEMBER_ID has the client join anew if it is still there.
    pub(in crate::group) fn remove_member(
        &mut self,
        member_id: &MemberId,
        error: ErrorCode,
        turn: &mut Turn<'_>,
    ) -> Option<Member> {
        if mutation::is_active(Mutation::LeaverStays) {
            return None;
        }
        let member = self.members.remove(member_id)?;
        self.dismiss(member_id, &member, error, turn);
        if self.is_leader(member_id) {
            self.leader = self.members.first().cloned();
        }
        self.forget_missing_sync(member_id, turn);
        Some(member)
    }

    /// Answers what a member that is none any more had parked, and takes its timer away.
    pub(in crate::group) fn dismiss(
        &self,
        member_id: &MemberId,
        member: &Member,
        error: ErrorCode,
        turn: &mut Turn<'_>,
    ) {
        if let Some(id) = member.parked_join {
            let told =
                if error == ErrorCode::UnknownMemberId { "".into() } else { member_id.clone() };
            turn.reply(id, Response::Join(JoinAnswer::error(error, told)));
        }
        if let Some(id) = member.parked_sync {
            turn.reply(id, Response::Sync(SyncAnswer::error(error)));
        }
        if let Some(at) = member.armed_at {
            turn.disarm(&self.id, Timer::Session(member_id.clone()), at);
        }
    }

    /// Gives an id out. When too many are out already, the one that would be forgotten first is forgotten now: its client, if it still comes, is given another.
    pub(in crate::group) fn add_pending(
        &mut self,
        member_id: MemberId,
        until: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        if self.pending.len() >= MAX_PENDING_COUNT {
            let first = self.pending.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(member_id, _)| member_id.clone()) {
                self.remove_pending(&first, turn);
            }
        }
        turn.arm(&self.id, Timer::Session(member_id.clone()), until);
        turn.pending().insert(until, &self.id, &member_id);
        self.pending.insert(member_id, until);
    }

    /// Forgets an id that was given out; says whether it was.
    pub(in crate::group) fn remove_pending(
        &mut self,
        member_id: &MemberId,
        turn: &mut Turn<'_>,
    ) -> bool {
        let until = self.pending.remove(member_id);
        if let Some(at) = until {
            turn.pending().remove(at, &self.id, member_id);
            turn.disarm(&self.id, Timer::Session(member_id.clone()), at);
        }
        until.is_some()
    }

    /// Notes that a member's SyncGroup need not be waited for.
    pub(in crate::group) fn forget_missing_sync(
        &mut self,
        member_id: &MemberId,
        turn: &mut Turn<'_>,
    ) {
        let Some(missing) = &mut self.missing_sync else { return };
        missing.members.remove(member_id);
        if missing.members.is_empty() {
            turn.disarm(&self.id, Timer::Sync, missing.until);
            self.missing_sync = None;
        }
    }

    /// Stops waiting for members to sync.
    pub(in crate::group) fn clear_missing_sync(&mut self, turn: &mut Turn<'_>) {
        if let Some(missing) = self.missing_sync.take() {
            turn.disarm(&self.id, Timer::Sync, missing.until);
        }
    }

    /// Takes all timers of the group away: it is removed.
    pub(super) fn disarm_all(&mut self, turn: &mut Turn<'_>) {
        self.clear_missing_sync(turn);
        if let Phase::Preparing(wait) = self.phase {
            turn.disarm(&self.id, Timer::Join, wait.until);
        }
        for (member_id, at) in std::mem::take(&mut self.pending) {
            turn.pending().remove(at, &self.id, &member_id);
            turn.disarm(&self.id, Timer::Session(member_id), at);
        }
        for (member_id, member) in self.members.iter_mut() {
            if let Some(at) = member.armed_at.take() {
                turn.disarm(&self.id, Timer::Session(member_id.clone()), at);
            }
        }
    }
}

/// The most ids of one group that are given out and have not joined. A client comes back with its id at once, so a group with more of them is flooded.
pub(in crate::group) const MAX_PENDING_COUNT: usize = 1_000;
