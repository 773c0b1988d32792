//! The command line of `steadfast-lab`: arguments in, an exit code out. Exit codes: 0 the verdict is valid, 1 an anomaly or a failure, 2 wrong usage.

mod arguments;
mod commands;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs `steadfast-lab` with the arguments of this process.
#[must_use]
pub fn command_line() -> ExitCode {
    match commands::run(arguments::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("steadfast-lab: {error}");
            ExitCode::FAILURE
        }
    }
}
