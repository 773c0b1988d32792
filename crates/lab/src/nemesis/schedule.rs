//! What happens when: drawn from a seed, written as text, read back.
//!
//! Invariant: the same seed, duration, faults and pace make the same schedule, and every fault ends before the quiet tail.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::fault::Fault;

/// One fault of a schedule. Times count from the begin of the nemesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) lasting: Duration,
    pub(crate) fault: Fault,
    /// Decides all that the fault draws: nodes, amounts, places.
    pub(crate) draw: u64,
}

/// Faults in the order in which they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Of the whole nemesis, with the quiet tail.
    pub(crate) duration: Duration,
    /// At the end no fault is on, so that the cluster can recover.
    pub(crate) tail: Duration,
    pub(crate) steps: Vec<Step>,
}

/// How densely faults follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Quiet at the begin, to see what is normal.
    pub(crate) lead: Duration,
    /// How long a fault lasts.
    pub(crate) lasting: Range<Duration>,
    /// From the end of a fault to the begin of the next.
    pub(crate) gap: Range<Duration>,
    /// Phases in which nothing happens, of 100.
    pub(crate) quiet_percent: u32,
    /// Phases with two faults that overlap, of 100.
    pub(crate) overlap_percent: u32,
    /// Quiet at the end.
    pub(crate) tail: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lead: Duration::from_secs(5),
            lasting: Duration::from_secs(3)..Duration::from_secs(15),
            gap: Duration::from_secs(2)..Duration::from_secs(8),
            quiet_percent: 25,
            overlap_percent: 20,
            tail: Duration::from_secs(15),
        }
    }
}

impl Schedule {
    /// Draws a schedule. All faults come once before one comes again.
    pub(crate) fn random(seed: u64, duration: Duration, faults: &[Fault], pace: &Pace) -> Self {
        let mut drawn = Drawn { rng: StdRng::seed_from_u64(seed), faults, bag: Vec::new() };
        let mut steps = Vec::new();
        let end = duration.saturating_sub(pace.tail);
        let mut at = pace.lead;
        while !faults.is_empty() && at + pace.lasting.start <= end {
            let lasting = drawn.duration(&pace.lasting).min(end.saturating_sub(at));
            let mut over = at + lasting;
            if !drawn.chance(pace.quiet_percent) {
                let first = Step { at, lasting, fault: drawn.next(|_| true), draw: drawn.any() };
                steps.push(first);
                if drawn.chance(pace.overlap_percent)
                    && let Some(second) = drawn.partner(&first, end, pace)
                {
                    over = over.max(second.at + second.lasting);
                    steps.push(second);
                }
            }
            at = over + drawn.duration(&pace.gap);
        }
        Self { duration, tail: pace.tail, steps }
    }
}

/// Whatever comes from the seed.
struct Drawn<'a> {
    rng: StdRng,
    faults: &'a [Fault],
    /// Faults whose turn has not come yet.
    bag: Vec<Fault>,
}

impl Drawn<'_> {
    fn any(&mut self) -> u64 {
        self.rng.random()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// In whole tenths of a second, so that the text shows all of it.
    fn duration(&mut self, range: &Range<Duration>) -> Duration {
        let tenths = |duration: Duration| u64::try_from(duration.as_millis() / 100);
        let (Ok(from), Ok(to)) = (tenths(range.start), tenths(range.end)) else {
            return range.start;
        };
        Duration::from_millis(100 * self.rng.random_range(from..=to.max(from)))
    }

    fn next(&mut self, fits: impl Fn(Fault) -> bool) -> Fault {
        if self.bag.is_empty() {
            self.bag = self.faults.to_vec();
            self.bag.shuffle(&mut self.rng);
        }
        let last = self.bag.len() - 1;
        let place = self.bag.iter().rposition(|fault| fits(*fault)).unwrap_or(last);
        self.bag.remove(place)
    }

    /// A second fault that begins while the first is on, when one goes with it.
    fn partner(&mut self, first: &Step, end: Duration, pace: &Pace) -> Option<Step> {
        let fits = |other: &Fault| *other != first.fault && other.goes_with(first.fault);
        let matching: Vec<Fault> = self.faults.iter().copied().filter(fits).collect();
        let fault = *matching.get(self.rng.random_range(0..matching.len().max(1)))?;
        let at = first.at + self.duration(&(Duration::ZERO..first.lasting / 2));
        let lasting = self.duration(&pace.lasting).min(end.saturating_sub(at));
        self.bag.retain(|waiting| *waiting != fault);
        Some(Step { at, lasting, fault, draw: self.any() })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, lasting, fault, draw } = self;
        let (at, lasting) = (at.as_secs_f64(), lasting.as_secs_f64());
        write!(f, "at {at:.1} for {lasting:.1} {fault} draw {draw}")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (duration, tail) = (self.duration.as_secs_f64(), self.tail.as_secs_f64());
        writeln!(f, "schedule of {duration:.1} tail {tail:.1}")?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default();
        let ["schedule", "of", duration, "tail", tail] = words(first)[..] else {
            return Err(format!("{first:?} begins no schedule; write: schedule of 60.0 tail 15.0"));
        };
        let steps = lines.map(str::parse).collect::<Result<Vec<Step>, String>>()?;
        if !steps.is_sorted_by_key(|step| step.at) {
            return Err("the steps of a schedule stand in the order of their begin".to_owned());
        }
        Ok(Self { duration: seconds(duration)?, tail: seconds(tail)?, steps })
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let ["at", at, "for", lasting, fault, "draw", draw] = words(line)[..] else {
            return Err(format!("{line:?} is no step; write: at 5.0 for 8.0 kill-leader draw 7"));
        };
        Ok(Self {
            at: seconds(at)?,
            lasting: seconds(lasting)?,
            fault: fault.parse().map_err(|error| format!("{error}"))?,
            draw: draw.parse().map_err(|_| format!("{draw:?} is no number"))?,
        })
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("{text:?} is no number of seconds"))
}
