//! What holds for a group after every turn.
//!
//! Checked in every build with debug assertions, so in all tests and in the simulator. A release pays nothing.

use std::collections::BTreeSet;

use super::{Group, Phase};
use crate::group::ids::GenerationId;
use crate::group::turn::{Fate, Timer, Timers};

impl Group {
    /// Checks invariants 1 to 8. `generation` is the group's before the turn.
    ///
    /// # Panics
    /// When one does not hold: a bug of this module.
    pub(in crate::group) fn check_invariants(
        &self,
        timers: &Timers,
        generation: GenerationId,
        fate: Fate,
    ) {
        assert!(
            self.generation >= generation || generation.0 == i32::MAX,
            "1: the generation went from {generation} back to {}",
            self.generation
        );
        if fate == Fate::Removed {
            return;
        }
        self.check_membership();
        self.check_protocols();
        self.check_parked();
        self.check_timers(timers);
        self.check_log();
        self.pending_offsets.check_invariants();
    }

    fn check_membership(&self) {
        let mut names = BTreeSet::new();
        for (member_id, member) in self.members.iter() {
            if let Some(name) = &member.group_instance_id {
                assert!(names.insert(name), "2: two members are called {name}");
                assert_eq!(self.members.id_of(name), Some(member_id), "2: {name} is found");
            }
            assert!(!self.pending.contains_key(member_id), "2: {member_id} has joined already");
        }
        assert_eq!(
            self.phase == Phase::Empty,
            self.members.is_empty() && !matches!(self.phase, Phase::Preparing(_)),
            "3: a group is empty exactly when it has no members and prepares nothing"
        );
        let leads = self.leader.as_ref().map(|leader| self.members.contains(leader));
        assert_ne!(leads, Some(false), "3: the leader is a member");
        assert_eq!(
            leads.is_some(),
            !self.members.is_empty(),
            "3: a group with members has a leader"
        );
    }

    fn check_protocols(&self) {
        assert!(
            self.members.is_empty() || self.protocol_type.is_some(),
            "4: a group with members has a protocol type"
        );
        if matches!(self.phase, Phase::Completing | Phase::Stable) {
            let name = self.protocol_name.as_deref().expect("4: a generation has a strategy");
            assert!(
                self.members.protocols().is(name, self.members.len()),
                "4: every member knows {name}"
            );
        }
    }

    fn check_parked(&self) {
        let joining = self.members.iter().filter(|(_, member)| member.parked_join.is_some());
        assert_eq!(joining.count(), self.members.parked_join_count(), "5: who waits is counted");
        for (member_id, member) in self.members.iter() {
            assert!(
                member.parked_join.is_none() || matches!(self.phase, Phase::Preparing(_)),
                "5: {member_id} waits for a rebalance that nobody prepares"
            );
            assert!(
                member.parked_sync.is_none() || self.phase == Phase::Completing,
                "5: {member_id} waits for an assignment that will not come"
            );
        }
        if let Some(missing) = &self.missing_sync {
            assert!(
                matches!(self.phase, Phase::Completing | Phase::Stable),
                "5: a generation is waited for"
            );
            assert!(!missing.members.is_empty(), "5: somebody is waited for");
            let are_members = missing.members.iter().all(|id| self.members.contains(id));
            assert!(are_members, "5: members are waited for");
        }
    }

    fn check_timers(&self, timers: &Timers) {
        let has = |at, timer| timers.contains(at, &self.id, timer);
        if let Phase::Preparing(wait) = self.phase {
            assert!(has(wait.until, Timer::Join), "6: the wait for members to join ends");
        }
        if let Some(missing) = &self.missing_sync {
            assert!(has(missing.until, Timer::Sync), "6: the wait for members to sync ends");
        }
        for (member_id, until) in &self.pending {
            let timer = Timer::Session(member_id.clone());
            assert!(has(*until, timer), "6: {member_id} is forgotten one day");
        }
        for (member_id, member) in self.members.iter() {
            assert!(
                member.is_waiting() || member.armed_at.is_some_and(|at| at <= member.deadline),
                "6: {member_id} expires"
            );
            if let Some(at) = member.armed_at {
                let timer = Timer::Session(member_id.clone());
                assert!(has(at, timer), "6: {member_id} has its timer at {at}");
            }
        }
    }

    fn check_log(&self) {
        let Some(logged) = self.logged.as_deref() else {
            assert_ne!(self.phase, Phase::Stable, "7: a stable group is in the log");
            return;
        };
        let wraps = logged.generation_id.0 == i32::MAX;
        assert!(wraps || logged.generation_id <= self.generation, "7: the log is not ahead");
        if self.phase == Phase::Stable {
            let ids: BTreeSet<_> = logged.members.iter().map(|member| &member.member_id).collect();
            let are_known = self.members.iter().all(|(member_id, _)| ids.contains(member_id));
            assert!(are_known, "7: the log knows a stable group's members");
        }
    }
}
