//! Commands of the system, each bounded in time.
//!
//! Owns no state. A command that takes too long is killed together with its children; none outlives its call.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::TargetError;

const POLL: Duration = Duration::from_millis(10);
/// What is read of an output; the rest is dropped.
const MAX_OUTPUT_BYTES: u64 = 1 << 20;

/// Runs a command and returns what it wrote.
///
/// # Errors
/// When it cannot be started, fails or takes too long: with the first line that it wrote to standard error.
pub(super) fn run(
    what: &str,
    command: &mut Command,
    patience: Duration,
) -> Result<String, TargetError> {
    run_with_input(what, command, "", patience)
}

/// [`run`] with something to read for the command.
pub(super) fn run_with_input(
    what: &str,
    command: &mut Command,
    input: &str,
    patience: Duration,
) -> Result<String, TargetError> {
    let failed =
        |error: io::Error| TargetError::new(what, format!("{}: {error}", command_name(command)));
    // Files and no pipes: a command that writes much is never stopped by a full pipe.
    let prepare = || -> io::Result<[File; 3]> {
        let mut files = [tempfile::tempfile()?, tempfile::tempfile()?, tempfile::tempfile()?];
        files[0].write_all(input.as_bytes())?;
        files[0].rewind()?;
        Ok(files)
    };
    let [stdin, stdout, stderr] = prepare().map_err(failed)?;
    let handles = || Ok((stdout.try_clone()?, stderr.try_clone()?));
    let (to_stdout, to_stderr) = handles().map_err(failed)?;
    command.stdin(stdin).stdout(to_stdout).stderr(to_stderr).process_group(0);
    let spawned = command.spawn();
    let failed =
        |error: io::Error| TargetError::new(what, format!("{}: {error}", command_name(command)));
    let status = wait(spawned.map_err(failed)?, patience).map_err(failed)?;
    let said = first_line(&text(stderr).map_err(failed)?);
    match status {
        Some(status) if status.success() => text(stdout).map_err(failed),
        Some(status) => Err(TargetError::new(what, format!("{said} ({status})"))),
        None => {
            let seconds = patience.as_secs();
            Err(TargetError::new(what, format!("not done within {seconds} s, so given up: {said}")))
        }
    }
}

/// Whether a program is found in PATH.
pub(super) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn command_name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn wait(mut child: Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            // The whole group: the shell of a user's command has children that do the work.
            let group = format!("-{}", child.id());
            let mut kill = Command::new("kill");
            kill.args(["-KILL", "--", &group]).stderr(Stdio::null()).status()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

fn text(mut file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Duration) -> Result<String, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run_with_input("try it", &mut command, "input", patience).map_err(|error| error.to_string())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_gets_its_input_and_its_output_is_returned() {
        assert_eq!(shell("cat; echo more", LONG), Ok("inputmore\n".to_owned()));
    }

    #[test]
    fn a_failure_tells_the_first_line_of_standard_error() {
        let error = shell("echo; echo no such node >&2; echo more >&2; exit 3", LONG).unwrap_err();
        assert_eq!(error, "try it: no such node (exit status: 3)");
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let begun = Instant::now();
        let error = shell("sleep 50 & sleep 50", Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("given up"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(40));
    }
}
