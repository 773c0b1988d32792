//! The command line.

use std::process::ExitCode;

/// Runs `steadfast-lab` with the arguments of this process.
#[must_use]
pub fn command_line() -> ExitCode {
    ExitCode::FAILURE
}
