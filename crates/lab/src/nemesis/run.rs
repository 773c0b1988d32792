//! Follows a schedule: begins faults, ends them, records both, and heals everything at the end.
//!
//! Invariant: when [`Nemesis::run`] returns, whatever it broke was mended, or the report says what was not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::deed::{Active, Doer, Stop, Undo};
use super::pacer::{Pacer, Waited};
use super::plan::{Plan, View, plan};
use super::{Cluster, Fault, Schedule, Step};
use crate::history::{Action, Kind, Recorder};
use crate::target::{Means, NodeId, Target};

/// A fault as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) fault: Fault,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) detail: String,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// What of it could not be done or undone.
    pub(crate) error: Option<String>,
}

/// When a fault begins whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Then.
    OnTime,
    /// Once all ISRs are full: what one fault did is over before the next, however long a cluster takes for it.
    InSync,
}

/// What a nemesis did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NemesisReport {
    /// From the begin to the end of the last fault or of the quiet tail.
    pub(crate) lasted: Duration,
    /// In the order in which they ended.
    pub(crate) faults: Vec<Injected>,
    /// Steps for which no time was left.
    pub(crate) left_out: Vec<Step>,
    /// Errors, and nodes that ended without being made to: a sentence each.
    pub(crate) problems: Vec<String>,
    /// Why the cluster could not be healed at the end; then no final read can be believed to be complete.
    pub(crate) not_healed: Option<String>,
}

/// The names of the faults that are on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<Vec<String>>>);

impl Running {
    /// The names, in the order in which the faults began.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, active: &[Active]) {
        let name = |active: &Active| active.step.fault.to_string();
        let names = active.iter().map(name).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

/// The one who breaks things. A thread's body: see [`Nemesis::run`].
pub(crate) struct Nemesis<'a> {
    begin: Begin,
    doer: Doer<'a>,
    recorder: &'a Recorder,
    /// Its name in the history.
    process: Arc<str>,
    active: Vec<Active>,
    report: NemesisReport,
    running: Running,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(
        target: &'a dyn Target,
        cluster: &'a dyn Cluster,
        recorder: &'a Recorder,
        pacer: &'a dyn Pacer,
        begin: Begin,
    ) -> Self {
        Self {
            begin,
            doer: Doer { target, cluster, pacer, damage: None },
            recorder,
            process: "nemesis".into(),
            active: Vec::new(),
            report: NemesisReport::default(),
            running: Running::default(),
        }
    }

    /// Tells which faults are on, from any thread.
    pub(crate) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Follows a schedule to its end, or until the pacer is cancelled; then ends all faults and heals the target.
    pub(crate) fn run(mut self, schedule: &Schedule) -> NemesisReport {
        if self.follow(schedule) == Waited::Elapsed {
            // The quiet tail: the cluster recovers while clients still work.
            self.doer.pacer.wait_until(schedule.duration);
        }
        self.report.lasted = self.doer.pacer.now();
        self.heal();
        self.report
    }

    fn follow(&mut self, schedule: &Schedule) -> Waited {
        let pacer = self.doer.pacer;
        let last = schedule.duration.saturating_sub(schedule.tail);
        // Faults that wait for the cluster take longer than they should: all that follows is later by so much.
        let mut late = Duration::ZERO;
        for step in &schedule.steps {
            // What was to end before ends before, however late it is.
            while let Some(end) = self.next_end().filter(|_| self.precedes(step)) {
                if pacer.wait_until(end) == Waited::Cancelled {
                    return Waited::Cancelled;
                }
                late = late.max(self.end_next());
            }
            if step.at + late >= last {
                self.report.left_out.push(*step);
                continue;
            }
            if pacer.wait_until(step.at + late) == Waited::Cancelled {
                return Waited::Cancelled;
            }
            match self.await_begin() {
                Ok(()) => self.begin(*step),
                Err(Stop::Cancelled) => return Waited::Cancelled,
                Err(Stop::Failed(reason)) => {
                    self.report.problems.push(format!("{}: not begun, {reason}", step.fault));
                }
            }
        }
        while let Some(end) = self.next_end() {
            if pacer.wait_until(end) == Waited::Cancelled {
                return Waited::Cancelled;
            }
            self.end_next();
        }
        Waited::Elapsed
    }

    /// With a fault on, ISRs need not become full.
    fn await_begin(&mut self) -> Result<(), Stop> {
        if self.begin == Begin::OnTime || !self.active.is_empty() {
            return Ok(());
        }
        self.revive();
        self.doer.await_in_sync(Duration::ZERO)
    }

    /// Whether a fault is on that the schedule ends before this step.
    fn precedes(&self, next: &Step) -> bool {
        self.active.iter().any(|active| active.step.at + active.step.lasting <= next.at)
    }

    fn next_end(&self) -> Option<Duration> {
        self.active.iter().map(|active| active.until).min()
    }

    /// Ends the fault whose time is over first; returns how much later than in the schedule.
    fn end_next(&mut self) -> Duration {
        let places = 0..self.active.len();
        let Some(place) = places.min_by_key(|place| self.active[*place].until) else {
            return Duration::ZERO;
        };
        let active = self.active.remove(place);
        self.running.set(&self.active);
        let planned = active.step.at + active.step.lasting;
        self.end(active);
        self.doer.pacer.now().saturating_sub(planned)
    }

    fn begin(&mut self, step: Step) {
        self.revive();
        let view = View {
            target: self.doer.target,
            cluster: self.doer.cluster,
            up: self.up(),
            damaged: self.doer.damage.map(|damage| damage.node),
        };
        let began = self.doer.pacer.now();
        let (mut plan, refusal) = match plan(&step, &view) {
            Ok(plan) => (plan, None),
            Err(reason) => (Plan::default(), Some(reason)),
        };
        let action = record(step.fault, &plan.detail, &plan.nodes);
        let op = self.recorder.invoke(&self.process, action);
        let deeds = std::mem::take(&mut plan.deeds);
        let mut active = Active {
            step,
            op,
            nodes: plan.nodes,
            detail: plan.detail,
            began,
            until: began + step.lasting,
            errors: Vec::new(),
            undos: Default::default(),
            storm: None,
        };
        if let Some(reason) = refusal {
            active.errors.push(reason);
            return self.finish(active, Kind::Fail);
        }
        for deed in deeds {
            match self.doer.perform(deed, &mut active) {
                Ok(()) => {}
                Err(Stop::Cancelled) => break,
                Err(Stop::Failed(error)) => {
                    active.errors.push(error);
                    active.until = self.doer.pacer.now();
                    break;
                }
            }
        }
        self.active.push(active);
        self.running.set(&self.active);
    }

    fn end(&mut self, mut active: Active) {
        if let Some(storm) = active.storm.take() {
            active.detail = format!("{}: {}", active.detail, storm.end());
        }
        for undo in std::mem::take(&mut active.undos) {
            if let Err(error) = self.doer.undo(undo) {
                active.errors.push(error.to_string());
            }
        }
        let fault = active.step.fault;
        for node in active.nodes.clone() {
            if self.is_missing(node) && !self.is_kept_down(node) {
                if !fault.may_end_nodes() {
                    let problem = format!("node {node} ended by itself during {fault}");
                    self.report.problems.push(problem);
                }
                if let Err(error) = self.doer.target.start(node) {
                    active.errors.push(error.to_string());
                }
            }
        }
        // What was half done or not undone is neither done nor over.
        let kind = if active.errors.is_empty() { Kind::Ok } else { Kind::Info };
        self.finish(active, kind);
    }

    fn finish(&mut self, active: Active, kind: Kind) {
        let Active { step, op, nodes, detail, began, errors, .. } = active;
        let error = Some(errors.join("; ")).filter(|error| !error.is_empty());
        let action = record(step.fault, &detail, &nodes);
        self.recorder.complete(op, &self.process, (kind, error.clone()), action);
        if let Some(error) = &error {
            self.report.problems.push(format!("{}: {error}", step.fault));
        }
        let (fault, from, to) = (step.fault, began, self.doer.pacer.now());
        self.report.faults.push(Injected { fault, nodes, detail, from, to, error });
    }

    fn heal(&mut self) {
        while !self.active.is_empty() {
            self.end_next();
        }
        if let Err(error) = self.doer.target.heal() {
            let error = error.to_string();
            let action = Action::Fault {
                name: "heal".to_owned(),
                detail: "the target could not be healed".to_owned(),
                nodes: Vec::new(),
            };
            let op = self.recorder.invoke(&self.process, action.clone());
            self.recorder.complete(op, &self.process, (Kind::Info, Some(error.clone())), action);
            self.report.not_healed = Some(error);
        }
    }

    /// Starts nodes that ended while nothing kept them down.
    fn revive(&mut self) {
        for node in self.doer.target.nodes() {
            if self.is_missing(node) && !self.is_kept_down(node) {
                self.report.problems.push(format!("node {node} ended by itself between faults"));
                if let Err(error) = self.doer.target.start(node) {
                    self.report.problems.push(error.to_string());
                }
            }
        }
    }

    fn up(&self) -> Vec<NodeId> {
        let nodes = self.doer.target.nodes().into_iter();
        nodes.filter(|node| !self.is_missing(*node) && !self.is_kept_down(*node)).collect()
    }

    /// Whether a node of the cluster does not run, as far as the target can tell.
    fn is_missing(&self, node: NodeId) -> bool {
        let target = self.doer.target;
        target.lacks(Means::Processes).is_none()
            && target.nodes().contains(&node)
            && !target.is_running(node)
    }

    fn is_kept_down(&self, node: NodeId) -> bool {
        let keeps = [Undo::Start(node), Undo::Resume(node), Undo::Restart(node)];
        self.active.iter().any(|active| keeps.iter().any(|undo| active.undos.contains(undo)))
    }
}

fn record(fault: Fault, detail: &str, nodes: &[NodeId]) -> Action {
    Action::Fault { name: fault.to_string(), detail: detail.to_owned(), nodes: nodes.to_vec() }
}
