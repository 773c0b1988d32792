//! From what the command line says of faults to a schedule, and what of it cannot be done here.

use super::ExperimentError;
use super::chaos::ChaosOptions;
use super::clients::groups;
use crate::nemesis::{Fault, Pace, Scenario, Schedule, UnknownName, available};
use crate::target::Target;

/// Draws the schedule; what is wanted and cannot be done is added to `not_done`, each with the reason.
///
/// # Errors
/// For names that do not exist, and when nothing of what is wanted can be done.
pub(super) fn schedule(
    options: &ChaosOptions,
    seed: u64,
    target: &dyn Target,
    not_done: &mut Vec<String>,
) -> Result<Schedule, ExperimentError> {
    let (mut can, mut cannot) = available(target);
    if groups(options).is_empty() {
        let reason = || "no client of a group among --clients".to_owned();
        cannot.extend(can.iter().filter(|fault| fault.needs_group()).map(|f| (*f, reason())));
        can.retain(|fault| !fault.needs_group());
    }
    let scenario: Option<Scenario> = match &options.scenario {
        None => None,
        Some(name) => Some(
            name.parse().map_err(|error: UnknownName| ExperimentError::Usage(error.to_string()))?,
        ),
    };
    let mut wanted: Vec<Fault> = options
        .faults
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, UnknownName>>()
        .map_err(|error| ExperimentError::Usage(error.to_string()))?;
    if let Some(scenario) = scenario {
        wanted = scenario.faults();
    }
    let is_wanted = |fault: &Fault| wanted.is_empty() || wanted.contains(fault);
    not_done.extend(
        cannot
            .into_iter()
            .filter(|(fault, _)| is_wanted(fault))
            .map(|(fault, reason)| format!("{fault}: {reason}")),
    );
    let can: Vec<Fault> = can.into_iter().filter(is_wanted).collect();
    if can.is_empty() && !wanted.is_empty() {
        return Err(ExperimentError::Usage("this target can do none of these faults".to_owned()));
    }
    Ok(match scenario {
        Some(scenario) => scenario.schedule(seed, options.duration, &can, &options.pace),
        None if wanted.is_empty() => Schedule::random(seed, options.duration, &can, &options.pace),
        // Who chooses faults wants to see them.
        None => {
            let pace = Pace { quiet_percent: 0, ..options.pace.clone() };
            Schedule::random(seed, options.duration, &can, &pace)
        }
    })
}
