//! What a member does about what wakes it: the steps of a rebalance, in their order, and the commits between.
//!
//! Eager: commit, tell that everything is revoked, give it up, join. Cooperative: join and read on; then commit and give up what goes elsewhere, and
//! join again, so that its next owner gets it (KIP-429).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Offset, TopicPartition};
use tokio::time::{Instant, sleep};

use super::heartbeat::Heartbeat;
use super::join::{Joined, PartitionCounts, join, partition_counts};
use super::membership::Identity;
use super::positions::{self, Offsets};
use super::signal::Signal;
use super::{COMMIT_TIME, GroupConsumer, GroupEvent, Phase, Placed, Step, Task, Woken};
use crate::client::Client;
use crate::error::Error;

impl GroupConsumer {
    /// Runs steps until one has something to tell, or none is left. Cancel-safe: a step that waits stays where it is.
    pub(super) async fn run_steps(&mut self) -> Option<GroupEvent> {
        while let Some(step) = self.steps.front() {
            match step {
                Step::Commit | Step::AwaitCommit if self.committing.is_some() => {
                    let result = Task::end(self.committing.as_mut()).await;
                    self.committing = None;
                    self.note_commit(result);
                    continue;
                }
                Step::Commit if self.membership.config.auto_commit_interval.is_some() => {
                    self.start_commit();
                    // What the commit does not bring about now, it will not by another try: others wait.
                    self.steps[0] = Step::AwaitCommit;
                    continue;
                }
                _ => {}
            }
            match self.steps.pop_front()? {
                Step::Commit | Step::AwaitCommit => {}
                Step::Tell(event) => return Some(event),
                Step::GiveUp(partitions) => self.forget(&partitions),
                Step::Join => self.start_to_join(),
            }
        }
        None
    }

    /// Acts on what woke a poll.
    pub(super) fn take(&mut self, woken: Woken) -> Result<Option<GroupEvent>, Error> {
        match woken {
            Woken::Joined(Ok(joined)) => self.enter(joined),
            Woken::Joined(Err(failure)) | Woken::Signal(Signal::Final(failure)) => {
                // A poll after a failure that was final begins anew.
                self.lose();
                self.steps.retain(|step| !matches!(step, Step::Tell(_)));
                return Err(failure);
            }
            Woken::Signal(Signal::Fine) => {}
            Woken::Signal(Signal::Rejoin) | Woken::TopicsChanged => self.prepare_to_rejoin(),
            Woken::Signal(Signal::Lost) => self.lose(),
            Woken::Placed(placed) => self.place(placed)?,
            Woken::Committed(result) => {
                self.committing = None;
                self.note_commit(result);
            }
            Woken::CommitDue => self.start_commit(),
            Woken::Records(records) => {
                let records = records?;
                for partition in self.owned.keys() {
                    if let Some(position) = self.consumer.position(partition) {
                        self.read.insert(partition.clone(), position);
                    }
                }
                return Ok(Some(GroupEvent::Records(records)));
            }
        }
        Ok(None)
    }

    /// Begins a rebalance that the group or a change of its topics asks for.
    fn prepare_to_rejoin(&mut self) {
        if self.membership.config.is_cooperative() || self.owned.is_empty() {
            self.steps.push_back(Step::Join);
            return;
        }
        let revoked = self.stop_reading_all();
        self.steps.extend([
            Step::Commit,
            Step::Tell(GroupEvent::Revoked(revoked.clone())),
            Step::GiveUp(revoked),
            Step::Join,
        ]);
    }

    /// The group has forgotten this member, or the member is at an end.
    fn lose(&mut self) {
        self.phase = Phase::Out;
        self.watching = None;
        let identity = self.membership.identity();
        self.membership.set_identity(Identity { generation: None, ..identity });
        let lost = self.stop_reading_all();
        self.forget(&lost);
        if !lost.is_empty() {
            self.steps.push_back(Step::Tell(GroupEvent::Lost(lost)));
        }
        self.steps.push_back(Step::Join);
    }

    fn start_to_join(&mut self) {
        self.watching = None;
        let owned = if self.membership.config.is_cooperative() {
            self.owned.keys().cloned().collect()
        } else {
            BTreeSet::new()
        };
        self.phase = Phase::Joining(Task(Box::pin(join(self.membership.clone(), owned))));
    }

    /// Takes in an assignment.
    fn enter(&mut self, joined: Joined) {
        self.phase = Phase::Member(Heartbeat::start(&self.membership));
        self.watching = joined.assigned_by.map(|counts| {
            let changed = topics_changed(self.membership.client.clone(), counts);
            Task(Box::pin(changed) as _)
        });
        if joined.has_lost {
            let lost = self.stop_reading_all();
            self.forget(&lost);
            if !lost.is_empty() {
                self.steps.push_back(Step::Tell(GroupEvent::Lost(lost)));
            }
        }
        let revoked: Vec<_> = self
            .owned
            .keys()
            .filter(|partition| !joined.assignment.contains(partition))
            .cloned()
            .collect();
        for partition in &revoked {
            self.owned.remove(partition);
            self.consumer.unassign(partition);
        }
        let added: Vec<_> = joined
            .assignment
            .into_iter()
            .filter(|partition| !self.owned.contains_key(partition))
            .collect();
        self.find_positions(&added);
        let has_revoked = !revoked.is_empty();
        if has_revoked {
            self.steps.extend([
                Step::Commit,
                Step::Tell(GroupEvent::Revoked(revoked.clone())),
                Step::GiveUp(revoked),
            ]);
        }
        let generation = joined.generation;
        self.steps.push_back(Step::Tell(GroupEvent::Assigned { generation, partitions: added }));
        if has_revoked {
            self.steps.push_back(Step::Join);
        }
    }

    fn find_positions(&mut self, partitions: &[TopicPartition]) {
        self.assignment_number += 1;
        let assignment_number = self.assignment_number;
        self.owned.extend(partitions.iter().map(|at| (at.clone(), assignment_number)));
        if partitions.is_empty() {
            return;
        }
        let finding = positions::find(self.membership.clone(), partitions.to_vec());
        self.placing
            .push(Box::pin(async move { Placed { assignment_number, result: finding.await } }));
    }

    /// Begins to read where the group stopped, except of partitions that have left since, also of those that came back: they are asked for anew.
    fn place(&mut self, placed: Placed) -> Result<(), Error> {
        let number = placed.assignment_number;
        if !self.owned.values().any(|owned| *owned == number) {
            return Ok(());
        }
        let positions = placed.result?;
        for (partition, offset) in positions.committed.iter().chain(&positions.reset) {
            if self.owned.get(partition) == Some(&number) {
                self.consumer.assign_at(partition.clone(), *offset);
                self.read.insert(partition.clone(), *offset);
            }
        }
        for (partition, offset) in positions.committed {
            if self.owned.get(&partition) == Some(&number) {
                self.committed.insert(partition, offset);
            }
        }
        Ok(())
    }

    /// Stops to read all partitions and returns them; what was read of them stays known, so that it can be committed.
    fn stop_reading_all(&mut self) -> Vec<TopicPartition> {
        let owned = std::mem::take(&mut self.owned);
        for partition in owned.keys() {
            self.consumer.unassign(partition);
        }
        owned.into_keys().collect()
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.read.remove(partition);
            self.committed.remove(partition);
        }
    }

    /// Returns where each partition goes on behind what polls have returned, as far as that is not committed; also of partitions where a reset chose the
    /// place and nothing came yet.
    #[must_use]
    pub fn uncommitted(&self) -> BTreeMap<TopicPartition, Offset> {
        let is_new = |(partition, offset): &(&TopicPartition, &Offset)| {
            self.committed.get(partition) != Some(offset)
        };
        self.read
            .iter()
            .filter(is_new)
            .map(|(partition, offset)| (partition.clone(), *offset))
            .collect()
    }

    fn start_commit(&mut self) {
        if let Some(interval) = self.membership.config.auto_commit_interval {
            self.next_commit = Instant::now() + interval;
        }
        let uncommitted = self.uncommitted();
        if !uncommitted.is_empty() {
            self.committing = Some(self.commit_of(uncommitted, COMMIT_TIME));
        }
    }

    pub(super) fn commit_of(
        &self,
        offsets: Offsets,
        time: Duration,
    ) -> Task<Result<Offsets, Error>> {
        Task(Box::pin(positions::commit(self.membership.clone(), offsets, time)))
    }

    /// Takes in the end of a commit that nobody waits for.
    fn note_commit(&mut self, result: Result<Offsets, Error>) {
        if let Err(error) = self.take_commit(result) {
            // A rebalance ends many commits, and what they did not commit is read again.
            tracing::debug!(group = self.membership.config.group_id, %error, "commit refused");
        }
    }

    pub(super) fn take_commit(&mut self, result: Result<Offsets, Error>) -> Result<(), Error> {
        let failure = match result {
            Ok(offsets) => {
                let held: BTreeMap<_, _> = offsets
                    .into_iter()
                    .filter(|(partition, _)| self.read.contains_key(partition))
                    .collect();
                self.committed.extend(held);
                return Ok(());
            }
            Err(failure) => failure,
        };
        // In a rebalance the next join finds out by itself.
        let is_settled = self.steps.is_empty() && matches!(self.phase, Phase::Member(_));
        if is_settled && matches!(Signal::of(failure.clone()), Signal::Lost) {
            self.lose();
        }
        Err(failure)
    }
}

/// Returns when the topics that a leader assigned by have other numbers of partitions.
async fn topics_changed(client: Client, assigned_by: PartitionCounts) {
    let topics: Vec<_> = assigned_by.keys().cloned().collect();
    let is_one_missing = assigned_by.values().any(Option::is_none);
    let max_age = client.config().metadata_max_age;
    let wait = if is_one_missing { max_age.min(MISSING_TOPIC_WAIT) } else { max_age };
    loop {
        sleep(wait).await;
        if partition_counts(&client, &topics).await.is_ok_and(|counts| counts != assigned_by) {
            return;
        }
    }
}

/// How often a topic that does not exist is looked for.
const MISSING_TOPIC_WAIT: Duration = Duration::from_secs(5);
