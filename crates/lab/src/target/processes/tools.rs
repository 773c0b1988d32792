//! Runs the system's tools: bounded in time, with their own words as the reason of a failure.
//!
//! Owns no state. Nothing here waits without a bound.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where a program is, by the search path; the system's administrators' directories count too.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Runs a command to its end; the reason when it fails is what it said.
pub(super) fn run(command: &mut Command) -> Result<Output, String> {
    run_for(command, PATIENCE)
}

/// As [`run`], for at most so long.
pub(super) fn run_for(command: &mut Command, patience: Duration) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = bounded(command, patience)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    explain(&program, output, patience)
}

/// Runs a command that reads this text.
pub(super) fn feed(command: &mut Command, text: &str) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = bounded(command, PATIENCE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that ends early says why itself.
        let _broken_pipe = input.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    explain(&program, output, PATIENCE)
}

/// Asks until the answer is yes, for at most so long; says whether it came.
pub(super) fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if done() {
            return true;
        }
        if began.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The same command under `timeout`, which ends it even when it hangs in a child.
fn bounded(command: &Command, patience: Duration) -> Command {
    let mut bounded = Command::new("timeout");
    bounded.args(["-k", "1", &format!("{:.1}", patience.as_secs_f64())]);
    bounded.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    bounded
}

fn explain(program: &str, output: Output, patience: Duration) -> Result<Output, String> {
    if output.status.success() {
        return Ok(output);
    }
    if output.status.code() == Some(TIMED_OUT) {
        return Err(format!("{program}: not done within {patience:?}"));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { said };
    let line = said.lines().find(|line| !line.trim().is_empty());
    Err(line.map_or_else(
        || format!("{program}: {}", output.status),
        |line| format!("{program}: {line}"),
    ))
}

/// For tools that take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two questions of [`wait_until`].
const PAUSE: Duration = Duration::from_millis(10);

/// The exit code of `timeout` when it ended the command.
const TIMED_OUT: i32 = 124;
