//! The faults by name: what each does in a sentence, which means it needs, and beside what it may run.

use std::fmt;
use std::str::FromStr;

use crate::target::Means;

/// A fault. Its name on the command line and in a history is the variant's in kebab-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    KillLeader,
    KillController,
    KillCoordinator,
    KillBoth,
    KillRandom,
    KillAll,
    Terminate,
    RollingRestart,
    PauseLeader,
    PauseRandom,
    PauseController,
    LaggingHeir,
    RestartedHeir,
    WipedHeir,
    IsolateLeader,
    IsolateController,
    IsolateCoordinator,
    OneWay,
    Ring,
    Halves,
    Loss,
    SlowLink,
    SlowDisk,
    DiskFull,
    FsyncError,
    BitFlip,
    Wipe,
    ClockJump,
    Membership,
    PowerLeader,
    PowerTwo,
    PowerAll,
    ConnectionStorm,
    Nats7567,
}

/// What may run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// All nodes go on, slower or stranger: runs beside anything but [`Weight::Alone`].
    Gentle,
    /// Takes a minority of the nodes out: one of these at a time.
    Outage,
    /// Takes more, harms a disk, or goes in steps that wait for the cluster: nothing beside it.
    Alone,
}

struct Entry {
    fault: Fault,
    name: &'static str,
    needs: &'static [Means],
    weight: Weight,
    describe: &'static str,
}

const fn entry(
    fault: Fault,
    name: &'static str,
    needs: &'static [Means],
    weight: Weight,
    describe: &'static str,
) -> Entry {
    Entry { fault, name, needs, weight, describe }
}

use Weight::{Alone, Gentle, Outage};

/// In the order of the enum.
#[rustfmt::skip]
static TABLE: [Entry; 34] = {
    use Fault::*;
    use Means::{Clock, Connections, DiskErrors, Files, FullDisk, Links, Pause, Power, Processes, SlowLinks};
    [
        entry(KillLeader, "kill-leader", &[Processes], Outage, "SIGKILL to the leader of a drawn partition; started again at the end"),
        entry(KillController, "kill-controller", &[Processes], Outage, "SIGKILL to the node that leads the metadata quorum; started again at the end"),
        entry(KillCoordinator, "kill-coordinator", &[Processes], Outage, "SIGKILL to the coordinator of a group that is in use; started again at the end"),
        entry(KillBoth, "kill-both", &[Processes], Outage, "SIGKILL to the controller and, at the same moment, to the leader of a partition: to one node that is both, where there is one; started again at the end"),
        entry(KillRandom, "kill-random", &[Processes], Outage, "SIGKILL to a drawn node; started again at the end"),
        entry(KillAll, "kill-all", &[Processes], Alone, "SIGKILL to all nodes at once; started again at the end"),
        entry(Terminate, "terminate", &[Processes], Outage, "SIGTERM to a drawn node, which may hand over its leaderships; started again at the end"),
        entry(RollingRestart, "rolling-restart", &[Processes], Alone, "SIGTERM and start of one node after the other, each once the one before is in sync"),
        entry(PauseLeader, "pause-leader", &[Pause], Outage, "SIGSTOP to the leader of a drawn partition, which wakes up later and knows nothing of it"),
        entry(PauseRandom, "pause-random", &[Pause], Outage, "SIGSTOP to a drawn node; it goes on at the end"),
        entry(PauseController, "pause-controller", &[Pause], Outage, "SIGSTOP to the node that leads the metadata quorum; it goes on at the end"),
        entry(LaggingHeir, "lagging-heir", &[Links, Processes], Alone, "cuts a drawn node off from the leader of a drawn partition until an ISR is not full; then SIGKILL to that leader"),
        entry(RestartedHeir, "restarted-heir", &[Links, Processes], Alone, "of three replicas of a drawn partition one is killed; the next is killed and started while it cannot hear the last; then SIGKILL to that one, and all come back"),
        entry(WipedHeir, "wiped-heir", &[Links, Files, Processes], Alone, "the same, but the one that is killed and started lost its disk"),
        entry(IsolateLeader, "isolate-leader", &[Links], Outage, "cuts the leader of a drawn partition off from all other nodes, while clients still reach it where the target can do so"),
        entry(IsolateController, "isolate-controller", &[Links], Outage, "cuts the node that leads the metadata quorum off from all other nodes"),
        entry(IsolateCoordinator, "isolate-coordinator", &[Links], Outage, "cuts the coordinator of a group that is in use off from all other nodes, while clients still reach it where the target can do so"),
        entry(OneWay, "one-way", &[Links], Outage, "a drawn node hears no other node but is heard, or is heard by none but hears all"),
        entry(Ring, "ring", &[Links], Outage, "each node sees a majority, but no two see the same one; with three nodes one pair does not see each other"),
        entry(Halves, "halves", &[Links], Outage, "parts the nodes into two halves; with an even number neither has a majority"),
        entry(Loss, "loss", &[Links], Gentle, "a drawn share of the packets between the nodes is lost"),
        entry(SlowLink, "slow-link", &[SlowLinks], Gentle, "bounds the bandwidth of a drawn node"),
        entry(SlowDisk, "slow-disk", &[DiskErrors], Gentle, "delays each fsync of a drawn node"),
        entry(DiskFull, "disk-full", &[FullDisk, Processes], Outage, "fills the disk of a drawn node to the last byte; freed at the end, and the node started again if it ended"),
        entry(FsyncError, "fsync-error", &[DiskErrors, Processes], Alone, "each fsync of a drawn node fails with EIO until it ends; then it is started again"),
        entry(BitFlip, "bit-flip", &[Files, Processes], Alone, "flips one bit in a segment of the topic on one node, always the same node of a run, and restarts it at the end"),
        entry(Wipe, "wipe", &[Files, Processes], Alone, "kills a node, deletes all its data and starts it; waits until it is in sync again"),
        entry(ClockJump, "clock-jump", &[Clock], Gentle, "shifts the wall clock of a drawn node forth or back; put right at the end"),
        entry(Membership, "membership", &[Means::Membership], Alone, "adds a node, and removes it at the end"),
        entry(PowerLeader, "power-leader", &[Power, Processes], Outage, "power loss of the leader of a drawn partition: what it had not synced is gone"),
        entry(PowerTwo, "power-two", &[Power, Processes], Alone, "power loss of the leader of a drawn partition and of another node at the same moment"),
        entry(PowerAll, "power-all", &[Power, Processes], Alone, "power loss of all nodes at the same moment"),
        entry(ConnectionStorm, "connection-storm", &[Connections], Gentle, "opens many connections to a drawn node, which send nothing or garbage"),
        entry(Nats7567, "nats-7567", &[Power, Pause, Processes], Alone, "a minority sleeps, one of the majority loses power; then the sleepers and it are awake while the others sleep (NATS issue 7567)"),
    ]
};

impl Fault {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|entry| entry.fault)
    }

    fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    pub(crate) fn name(self) -> &'static str {
        self.entry().name
    }

    /// The means without which it cannot be done.
    pub(crate) fn needs(self) -> &'static [Means] {
        self.entry().needs
    }

    /// What it does: a sentence without a full stop.
    pub(crate) fn describe(self) -> &'static str {
        self.entry().describe
    }

    pub(super) fn weight(self) -> Weight {
        self.entry().weight
    }

    /// Fewest nodes with which it is what its name says, and with which the cluster is meant to survive it.
    pub(crate) fn min_nodes(self) -> usize {
        match self {
            Self::OneWay | Self::Ring | Self::Halves | Self::PowerTwo | Self::Nats7567 => 3,
            Self::BitFlip | Self::Wipe | Self::LaggingHeir => 3,
            Self::RestartedHeir | Self::WipedHeir => 3,
            Self::IsolateLeader | Self::IsolateController | Self::IsolateCoordinator => 2,
            Self::Loss => 2,
            _ => 1,
        }
    }

    /// Whether it needs a group that is in use.
    pub(crate) fn needs_group(self) -> bool {
        matches!(self, Self::KillCoordinator | Self::IsolateCoordinator)
    }

    /// Whether it breaks other links than all of one node.
    pub(super) fn breaks_single_links(self) -> bool {
        use Fault::{Halves, LaggingHeir, Loss, OneWay, RestartedHeir, Ring, WipedHeir};
        matches!(self, OneWay | Ring | Halves | Loss | LaggingHeir | RestartedHeir | WipedHeir)
    }

    /// Whether a node that ends during it does what it should.
    pub(super) fn may_end_nodes(self) -> bool {
        matches!(self, Self::DiskFull | Self::FsyncError | Self::BitFlip)
    }

    /// Whether it may take a majority out.
    pub(super) fn may_take_majority(self) -> bool {
        use Fault::{KillAll, Nats7567, PowerAll, PowerTwo, RestartedHeir, WipedHeir};
        matches!(self, KillAll | PowerAll | PowerTwo | Nats7567 | RestartedHeir | WipedHeir)
    }

    /// Whether both may be on at the same time.
    pub(super) fn goes_with(self, other: Self) -> bool {
        let weights = [self.weight(), other.weight()];
        let shares = self.needs().iter().any(|means| other.needs().contains(means));
        !weights.contains(&Alone) && weights != [Outage, Outage] && !shares
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} {name:?}; did you mean {nearest:?}?")]
pub(crate) struct UnknownName {
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// The name that exists and differs least.
    pub(crate) nearest: &'static str,
}

impl UnknownName {
    pub(super) fn new(
        kind: &'static str,
        name: &str,
        known: impl Iterator<Item = &'static str>,
    ) -> Self {
        let nearest = known.min_by_key(|known| distance(name, known)).unwrap_or_default();
        Self { kind, name: name.to_owned(), nearest }
    }
}

impl FromStr for Fault {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::all()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| UnknownName::new("fault", name, Self::all().map(Self::name)))
    }
}

/// Levenshtein's distance: letters to insert, delete or replace.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
