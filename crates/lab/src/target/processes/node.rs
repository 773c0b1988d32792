//! One node: its directory, its disk and its process.
//!
//! Owns the child process and who disturbs it; a signal goes to a child that is not yet reaped, so never to a stranger with its number.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::disk::Disk;
use super::sandbox;
use super::sync_fault::Disturbance;
use super::tools;
use crate::target::{NodeId, SyncFault};

/// All that starts a node, with every placeholder filled in.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    /// Name and content of each configuration file.
    pub(super) files: Vec<(String, String)>,
    pub(super) format: Vec<String>,
    pub(super) start: Vec<String>,
    pub(super) ready: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// Put before every command: enters the node's network.
    pub(super) prefix: Vec<String>,
}

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    /// Its configuration, its output and its disk.
    pub(super) directory: PathBuf,
    pub(super) disk: Disk,
    pub(super) commands: Commands,
    pub(super) is_bounded: bool,
    child: Option<Child>,
    is_paused: bool,
    disturbance: Option<Disturbance>,
}

impl Node {
    pub(super) fn new(id: NodeId, directory: PathBuf, disk: Disk, commands: Commands) -> Self {
        Self {
            id,
            directory,
            disk,
            commands,
            is_bounded: false,
            child: None,
            is_paused: false,
            disturbance: None,
        }
    }

    /// Starts it unless it runs: mounts, writes its files, formats an empty data directory, and spawns.
    pub(super) fn start(&mut self) -> Result<(), String> {
        if self.is_running() {
            return Ok(());
        }
        self.disk.mount()?;
        for (name, text) in &self.commands.files {
            let path = self.directory.join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if !self.commands.format.is_empty() && self.disk.is_empty() {
            let command = &mut self.command(&self.commands.format);
            tools::run_for(command, FORMAT_PATIENCE)
                .map_err(|reason| format!("format: {reason}"))?;
            // A node was formatted long before it loses power; what its format did not sync (Kafka's does not) is on the disk by then.
            tools::run(Command::new("sync").arg("--file-system").arg(self.disk.data()))?;
        }
        let path = self.output();
        let blame = |error: std::io::Error| format!("{}: {error}", path.display());
        let output = File::options().create(true).append(true).open(&path).map_err(blame)?;
        let child = self
            .command(&self.commands.start)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(blame)?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.commands.start[0]))?;
        self.child = Some(child);
        self.is_paused = false;
        Ok(())
    }

    /// Where its output goes.
    pub(super) fn output(&self) -> PathBuf {
        self.directory.join("out.log")
    }

    /// The last line of its output, for an error.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(self.output()).unwrap_or_default();
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
        let line = tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").to_owned();
        format!("it said `{line}`; see {}", self.output().display())
    }

    /// Whether its process exists; buries it when it has ended.
    pub(super) fn is_running(&mut self) -> bool {
        let is_running =
            self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        if !is_running {
            self.child = None;
            self.disturbance = None;
            self.is_paused = false;
        }
        is_running
    }

    /// Whether it can answer: it runs and is not paused.
    pub(super) fn is_awake(&mut self) -> bool {
        self.is_running() && !self.is_paused
    }

    /// Kills it and buries it.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        if let Some(child) = &mut self.child {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
        }
        let _cleared = self.is_running();
        Ok(())
    }

    /// Asks it to stop; kills it after so long and says so.
    pub(super) fn terminate(&mut self, patience: Duration) -> Result<(), String> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        if self.is_paused {
            // It hears nothing while it is stopped.
            self.resume()?;
        }
        if tools::wait_until(patience, || !self.is_running()) {
            return Ok(());
        }
        self.kill()?;
        Err(format!("it did not stop within {patience:?} and was killed"))
    }

    pub(super) fn pause(&mut self) -> Result<(), String> {
        self.signal(Signal::STOP)?;
        self.is_paused = true;
        Ok(())
    }

    pub(super) fn resume(&mut self) -> Result<(), String> {
        self.signal(Signal::CONT)?;
        self.is_paused = false;
        Ok(())
    }

    /// Disturbs its syncs, in this way alone.
    pub(super) fn disturb(&mut self, fault: Option<SyncFault>) -> Result<(), String> {
        self.disturbance = None;
        let Some(fault) = fault else { return Ok(()) };
        let pid = self.pid()?;
        self.disturbance = Some(Disturbance::begin(pid.as_raw_nonzero().get(), fault)?);
        Ok(())
    }

    /// Mends what the lab broke in it, and starts it when it does not run.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.disturbance = None;
        if self.is_running() && self.is_paused {
            self.resume()?;
        }
        self.disk.mount()?;
        self.disk.free()?;
        self.start()
    }

    /// Whether the node itself says that it serves; yes without a command for it.
    pub(super) fn says_ready(&self, patience: Duration) -> bool {
        let ready = &self.commands.ready;
        ready.is_empty() || tools::run_for(&mut plain(ready), patience).is_ok()
    }

    fn signal(&mut self, signal: Signal) -> Result<(), String> {
        rustix::process::kill_process(self.pid()?, signal).map_err(|error| error.to_string())
    }

    pub(super) fn pid(&mut self) -> Result<Pid, String> {
        if !self.is_running() {
            return Err("it does not run; start it first".to_owned());
        }
        self.child.as_ref().map(Pid::from_child).ok_or_else(|| "it does not run".to_owned())
    }

    fn command(&self, words: &[String]) -> Command {
        let words: Vec<String> = self.commands.prefix.iter().chain(words).cloned().collect();
        let mut command = plain(&words);
        command.env_remove(sandbox::MARK);
        command.envs(self.commands.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Before the disk is unmounted.
        let _ended = self.kill();
    }
}

fn plain(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// The directory of a node in a run's directory.
pub(super) fn directory(run: &Path, id: NodeId) -> PathBuf {
    run.join(format!("node-{id}"))
}

/// A JVM on a busy machine takes seconds to format.
const FORMAT_PATIENCE: Duration = Duration::from_secs(60);
