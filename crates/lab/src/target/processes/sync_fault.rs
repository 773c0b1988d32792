//! Disturbs a process' fsync and fdatasync through strace.
//!
//! Owns one strace per disturbed process, which leaves it when dropped. Every system call of the process is slower meanwhile; a sync by
//! way of io_uring is not seen at all.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::tools;
use crate::target::SyncFault;

/// A strace that is attached to a process.
#[derive(Debug)]
pub(super) struct Disturbance(Child);

impl Disturbance {
    /// Attaches to every thread of a process; returns when it has.
    pub(super) fn begin(pid: i32, fault: SyncFault) -> Result<Self, String> {
        let effect = match fault {
            SyncFault::Slow(delay) => format!("delay_enter={}", delay.as_micros()),
            SyncFault::Fail => "error=EIO".to_owned(),
        };
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"])
            .args(["-e", &format!("inject=fsync,fdatasync:{effect}"), "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let mut disturbance = Self(child);
        let tracer = disturbance.0.id();
        let mut ended = None;
        let is_attached = tools::wait_until(ATTACH_PATIENCE, || {
            ended = disturbance.0.try_wait().ok().flatten();
            ended.is_some() || is_traced(pid, tracer)
        });
        match ended {
            Some(status) => Err(format!("strace cannot attach to the node ({status})")),
            None if is_attached => Ok(disturbance),
            None => Err(format!("strace did not attach within {ATTACH_PATIENCE:?}")),
        }
    }
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        // On SIGINT it detaches in order, or it has ended with the node.
        let _ended = rustix::process::kill_process(Pid::from_child(&self.0), Signal::INT);
        if !tools::wait_until(DETACH_PATIENCE, || !matches!(self.0.try_wait(), Ok(None))) {
            let _ended = self.0.kill().and_then(|()| self.0.wait());
        }
    }
}

fn is_traced(pid: i32, tracer: u32) -> bool {
    let line = format!("TracerPid:\t{tracer}\n");
    let Ok(threads) = PathBuf::from(format!("/proc/{pid}/task")).read_dir() else { return false };
    threads.flatten().all(|thread| {
        // A thread that has ended meanwhile needs no tracer.
        std::fs::read_to_string(thread.path().join("status"))
            .map_or(true, |status| status.contains(&line))
    })
}

/// A JVM has hundreds of threads.
const ATTACH_PATIENCE: Duration = Duration::from_secs(10);

/// A thread in a delayed call is left only after it.
const DETACH_PATIENCE: Duration = Duration::from_secs(10);
