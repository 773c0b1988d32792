//! Named scenarios: sets of faults that belong together.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::fault::{Fault, UnknownName};
use super::schedule::{Pace, Schedule};

/// Faults that belong together, under a name. `everything` is random chaos.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it shows, a sentence.
    pub(crate) describe: &'static str,
    /// None: all that there are. One that stands here twice comes twice as often.
    faults: &'static [Fault],
}

#[rustfmt::skip]
static SCENARIOS: [Scenario; 14] = {
    use Fault::*;
    const fn of(name: &'static str, describe: &'static str, faults: &'static [Fault]) -> Scenario {
        Scenario { name, describe, faults }
    }
    [
        of("leader-loss", "Leaders of partitions are killed, paused, cut off and lose power, also while another has just come back: nothing acknowledged is lost, and another leads soon.", &[KillLeader, PauseLeader, IsolateLeader, PowerLeader, LaggingHeir, RestartedHeir]),
        of("controller-loss", "The leader of the metadata quorum is killed, paused and cut off: the cluster goes on and elects another.", &[KillController, PauseController, IsolateController]),
        of("failover", "Leaders, controllers and nodes that are both are killed, and now and then all nodes are restarted in turn: how long is the gap?", &[KillLeader, KillController, KillBoth, KillLeader, KillController, KillBoth, KillLeader, KillController, KillBoth, RollingRestart]),
        of("coordinator-loss", "The coordinator of a group is killed and cut off: what the group committed stays committed.", &[KillCoordinator, IsolateCoordinator]),
        of("kills", "Processes are killed one by one and all at once.", &[KillLeader, KillController, KillCoordinator, KillBoth, KillRandom, KillAll, Terminate]),
        of("rolling-restart", "All nodes are restarted one after the other, as for an upgrade.", &[RollingRestart]),
        of("pauses", "Nodes sleep and wake up with old beliefs.", &[PauseLeader, PauseRandom, PauseController]),
        of("power-loss", "One, two and all nodes lose power, and with it what they had not synced.", &[PowerLeader, PowerTwo, PowerAll]),
        of("disk-trouble", "Disks are slow, full, fail, rot and are lost, on one node at a time.", &[SlowDisk, DiskFull, FsyncError, BitFlip, Wipe, WipedHeir]),
        of("network", "Nodes cannot hear each other, or badly.", &[IsolateLeader, IsolateController, IsolateCoordinator, OneWay, Ring, Halves, Loss, SlowLink]),
        of("one-way", "A node hears nobody, or nobody hears it.", &[OneWay]),
        of("odd-hours", "Clocks jump, strangers connect, nodes come and go.", &[ClockJump, ConnectionStorm, Membership]),
        of("nats-7567", "Sleepers and a node that lost power form a majority that must not forget what was acknowledged.", &[Nats7567]),
        of("everything", "All faults that the target can do, in drawn order, sometimes two at a time, with quiet phases.", &[]),
    ]
};

impl Scenario {
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        SCENARIOS.iter()
    }

    /// Its faults, whether or not a target can do them.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        if self.faults.is_empty() { Fault::all().collect() } else { self.faults.to_vec() }
    }

    /// Draws a schedule of those of its faults that are available; without steps when none is.
    pub(crate) fn schedule(
        &self,
        seed: u64,
        duration: Duration,
        available: &[Fault],
        pace: &Pace,
    ) -> Schedule {
        let mut faults = self.faults();
        faults.retain(|fault| available.contains(fault));
        // A small set shows each fault by itself; only the large one mixes and rests.
        let narrow = Pace { quiet_percent: 0, overlap_percent: 0, ..pace.clone() };
        let pace = if self.faults.is_empty() { pace } else { &narrow };
        Schedule::random(seed, duration, &faults, pace)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for Scenario {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::all().find(|scenario| scenario.name == name);
        found.copied().ok_or_else(|| {
            UnknownName::new("scenario", name, Self::all().map(|scenario| scenario.name))
        })
    }
}
