//! The binary `steadfast-lab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::command_line()
}
