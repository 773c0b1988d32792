//! The sandbox: namespaces of this process' own, which take every process, mount, loop device and address with them, however a run ends.
//!
//! Owns the way in and the knowledge of what the machine lacks; makes nothing itself.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::tools;

/// Where nodes are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// In namespaces for network, mounts and processes that are ours alone.
    Full,
    /// Beside everything else, on loopback; why not in namespaces.
    Plain(Vec<String>),
}

/// Why there is no sandbox although the machine seemed to offer one.
#[derive(Debug, thiserror::Error)]
#[error("cannot enter a sandbox: {0}; run without root to do without")]
pub(crate) struct SandboxError(String);

/// Goes into a sandbox, where the machine offers one: replaces this process by the same command inside, whose exit code becomes ours.
///
/// Call it before anything else: what was done until then is done twice.
pub(crate) fn enter() -> Result<Sandbox, SandboxError> {
    if std::env::var_os(MARK).is_some() {
        return Ok(Sandbox::Full);
    }
    let reasons = missing();
    if !reasons.is_empty() {
        return Ok(Sandbox::Plain(reasons));
    }
    let program = std::env::current_exe().map_err(|error| SandboxError(error.to_string()))?;
    let error = command(program).args(std::env::args_os().skip(1)).exec();
    Err(SandboxError(format!("sh: {error}")))
}

/// What keeps us from a full sandbox; empty when nothing does.
pub(super) fn missing() -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return vec!["not run by root".to_owned()];
    }
    let reasons: Vec<String> = ["sh", "env", "setpriv", "unshare", "nsenter", "mount", "ip"]
        .into_iter()
        .filter(|tool| tools::find(tool).is_none())
        .map(|tool| format!("{tool} is not installed"))
        .collect();
    if !reasons.is_empty() {
        return reasons;
    }
    // What is installed may still be forbidden, as in a container without privileges.
    tools::run(&mut command(PathBuf::from("true"))).err().into_iter().collect()
}

/// A program in a sandbox of its own, its arguments yet to be added.
pub(super) fn command(program: PathBuf) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", OUTSIDE, "steadfast-lab", INSIDE]).arg(program).env(MARK, "1");
    command
}

/// Set inside, so that the way in is gone once.
pub(super) const MARK: &str = "STEADFAST_LAB_SANDBOX";

/// `unshare` holds back SIGTERM and SIGINT, and a shell's background lacks standard input and Ctrl-C: this gives them back.
/// Ctrl-C reaches the inside, which may finish in order; SIGTERM, or the death of this shell, ends all at once.
const OUTSIDE: &str = r#"
exec 3<&0
inside=$1
shift
trap : INT
env --default-signal=INT setpriv --pdeathsig KILL \
  unshare --net --mount --pid --fork --kill-child --mount-proc sh -c "$inside" steadfast-lab "$@" <&3 3<&- &
child=$!
trap 'kill -KILL $child' TERM HUP
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
exit $code
"#;

/// Runs as the first process of the namespace: a shell buries orphans, and ignores Ctrl-C, which the lab gets too.
/// A file system of our own hides the machine's named network namespaces.
const INSIDE: &str = r#"
mkdir -p /run/netns && mount -t tmpfs steadfast-lab /run/netns && ip link set lo up || exit 1
"$@"
exit $?
"#;
