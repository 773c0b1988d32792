//! `steadfast dev`: a cluster on this machine, one child process per broker.
//!
//! Owns the children: starts them, says when the cluster serves, and stops all of them at SIGINT or SIGTERM. A child that dies stays dead
//! (it is started again by hand); one that dies before the cluster serves ends the whole. Never holds any of a broker's state itself.

mod layout;
mod probe;

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

pub(crate) use layout::MAX_BROKERS;

use crate::config::variable_of_key;
use layout::{Layout, LayoutError, Member, OWN_KEYS};

/// Hidden option of `server`: end when the process that started it ends.
pub(crate) const EXIT_WITH_PARENT: &str = "--exit-with-parent";

/// How often a start looks whether the cluster serves.
const READY_POLL: Duration = Duration::from_millis(20);

/// How often a start says what it waits for.
const WAITING_LINE: Duration = Duration::from_secs(5);

/// How long brokers may take to stop before they are killed.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// What `steadfast dev` was asked for; what is `None` follows an existing cluster, else has a default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Number of brokers, 1 to [`MAX_BROKERS`]; 3 by default.
    pub(crate) brokers: Option<u16>,
    /// Directory of the cluster.
    pub(crate) data_dir: PathBuf,
    /// Kafka port of the first broker; 9092 by default.
    pub(crate) kafka_port: Option<u16>,
    /// `--override` of every broker.
    pub(crate) overrides: Vec<String>,
}

/// Runs the cluster until it is told to stop.
///
/// # Errors
/// When the directory disagrees, a port is taken, or a broker ends before the cluster serves.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let layout = Layout::prepare(&options.data_dir, options.brokers, options.kafka_port)?;
    layout.check_ports()?;
    let mut cluster = Cluster::start(&layout, &options.overrides)?;
    let stopped = tokio::select! {
        result = cluster.wait_until_ready() => Err(result),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    let failed = match stopped {
        Ok(()) => None,
        Err(Err(error)) => Some(error),
        Err(Ok(())) => {
            announce(&layout);
            tokio::select! {
                () = cluster.watch() => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            None
        }
    };
    cluster.stop().await;
    failed.map_or(Ok(()), Err)
}

/// Says whether a run failed by its arguments alone.
pub(crate) fn is_wrong_usage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LayoutError::Arguments(_)))
}

#[expect(clippy::print_stdout, reason = "the line that scripts wait for is this command's output")]
fn announce(layout: &Layout) {
    let addresses: Vec<String> =
        layout.members.iter().map(|member| format!("127.0.0.1:{}", member.kafka_port)).collect();
    println!("ready: {}", addresses.join(","));
}

struct Cluster<'a> {
    layout: &'a Layout,
    /// `None` once the child has ended.
    children: Vec<Option<Child>>,
}

impl<'a> Cluster<'a> {
    fn start(layout: &'a Layout, overrides: &[String]) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut children = Vec::with_capacity(layout.members.len());
        for member in &layout.members {
            let mut command = Command::new(&program);
            command.arg("server").arg("--config").arg(&member.config_file).arg(EXIT_WITH_PARENT);
            for text in overrides {
                command.arg("--override").arg(text);
            }
            // What tells the brokers apart comes from their files alone.
            for key in OWN_KEYS {
                command.env_remove(variable_of_key(key));
            }
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let child = command
                .spawn()
                .with_context(|| format!("cannot start broker {}", member.node_id))?;
            children.push(Some(child));
        }
        Ok(Self { layout, children })
    }

    /// Waits until every broker says that it serves and that it sees all others serve.
    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let mut line_at = Instant::now() + WAITING_LINE;
        let count = self.layout.members.len();
        loop {
            if let Some((member, status)) = self.ended()? {
                bail!("broker {} ended before the cluster served: {status}", member.node_id);
            }
            let mut missing = Vec::new();
            for member in &self.layout.members {
                match probe::health(member.http_port).await {
                    Ok(health) if health.ready && health.live_brokers.len() == count => {}
                    Ok(health) => {
                        missing.push(format!("broker {}: {}", member.node_id, health.waiting_for));
                    }
                    Err(error) => missing.push(format!("broker {}: {error}", member.node_id)),
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= line_at {
                tracing::info!("waiting for {}", missing.join("; "));
                line_at += WAITING_LINE;
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Reports children that end, for ever.
    async fn watch(&mut self) {
        let mut child = match signal(SignalKind::child()) {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!("cannot watch the brokers: {error}");
                return std::future::pending().await;
            }
        };
        loop {
            while let Ok(Some((member, status))) = self.ended() {
                tracing::warn!(
                    "broker {} ended: {status}; start it again with: steadfast server --config {}",
                    member.node_id,
                    member.config_file.display()
                );
            }
            child.recv().await;
        }
    }

    /// Returns one child that has ended since the last call.
    fn ended(&mut self) -> std::io::Result<Option<(&'a Member, ExitStatus)>> {
        for (member, slot) in self.layout.members.iter().zip(&mut self.children) {
            if let Some(child) = slot
                && let Some(status) = child.try_wait()?
            {
                *slot = None;
                return Ok(Some((member, status)));
            }
        }
        Ok(None)
    }

    /// Stops all brokers, also those that were started again by hand.
    async fn stop(mut self) {
        for member in &self.layout.members {
            if let Some(pid) = member.running_pid() {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        // A child that has not written its file yet is told, too.
        for child in self.children.iter().flatten() {
            if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let deadline = Instant::now() + STOP_DEADLINE;
        for (member, child) in self.layout.members.iter().zip(&mut self.children) {
            let Some(child) = child else { continue };
            if tokio::time::timeout_at(deadline, child.wait()).await.is_err() {
                tracing::warn!("broker {} does not stop and is killed", member.node_id);
                let _ = child.kill().await;
            }
        }
        for member in &self.layout.members {
            while member.running_pid().is_some() && Instant::now() < deadline {
                tokio::time::sleep(READY_POLL).await;
            }
        }
    }
}
