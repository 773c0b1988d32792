//! A cluster of real broker processes on loopback, as a user starts it: `steadfast dev`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::deadline::wait_until;
use crate::ports::free_base_port;
use crate::turn::Turn;

/// How long a start may take before a test calls it failed; far above what it takes, for a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long an ordered stop may take before the processes are killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running cluster; its processes are killed and its directory removed when the value is dropped. One runs at a time ([`Turn`]).
#[derive(Debug)]
pub struct Cluster {
    steadfast: PathBuf,
    directory: TempDir,
    base_port: u16,
    brokers: u16,
    overrides: Vec<String>,
    dev: Option<Child>,
    /// Brokers that were started by hand, by id.
    restarted: BTreeMap<u16, Child>,
    ready_after: Duration,
    _turn: Turn,
}

/// Which signal ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL: a crash.
    Kill,
    /// SIGTERM: an ordered stop.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGSTOP: a process that hangs.
    Stop,
    /// SIGCONT: it goes on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }

    /// Sends it to a process; false when that is not there.
    #[must_use]
    pub fn send(self, pid: u32) -> bool {
        Command::new("kill")
            .args(["-s", self.name(), &pid.to_string()])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// A command of a program that takes no configuration from this program's environment.
pub(crate) fn plain_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STEADFAST_") {
            command.env_remove(name);
        }
    }
    command
}

/// The binary under test: `STEADFAST_BIN`, or the one that cargo built beside this program.
///
/// # Panics
/// When there is none; the message says how to build it.
#[must_use]
pub fn steadfast_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("STEADFAST_BIN") {
        return PathBuf::from(path);
    }
    let program = std::env::current_exe().expect("a program knows its path");
    let found = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("steadfast"))
        .find(|path| path.exists());
    found.expect("no steadfast binary: run `cargo build -p broker` first, or set STEADFAST_BIN")
}

impl Cluster {
    /// Starts `brokers` brokers in a new directory and waits until they serve.
    ///
    /// # Panics
    /// When they do not become ready; the message holds the end of their log.
    #[must_use]
    pub fn start(brokers: u16) -> Self {
        Self::start_with(brokers, &[])
    }

    /// The same with configuration keys of every broker, `key=value`.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_with(brokers: u16, overrides: &[&str]) -> Self {
        let mut cluster = Self::prepare(brokers, overrides);
        cluster.launch();
        cluster
    }

    /// Makes everything but the processes, so that a test can put its own disks under the brokers' directories before [`Cluster::launch`].
    ///
    /// # Panics
    /// When there is no binary, directory or range of ports.
    #[must_use]
    pub fn prepare(brokers: u16, overrides: &[&str]) -> Self {
        let turn = Turn::take();
        Self {
            steadfast: steadfast_binary(),
            directory: TempDir::with_prefix("steadfast-")
                .expect("a temporary directory can be made"),
            base_port: free_base_port(brokers),
            brokers,
            overrides: overrides.iter().map(|text| (*text).to_owned()).collect(),
            dev: None,
            restarted: BTreeMap::new(),
            ready_after: Duration::ZERO,
            _turn: turn,
        }
    }

    /// Starts the cluster as `steadfast dev`, also again on its old directory after [`Cluster::stop_all`] or [`Cluster::kill_all`].
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn launch(&mut self) {
        let started = Instant::now();
        let ready = self.launch_without_waiting();
        self.wait_for_launch(&ready);
        self.ready_after = started.elapsed();
    }

    /// Starts the cluster and returns at once; its line comes through the receiver.
    ///
    /// # Panics
    /// When it runs already or the program cannot be started.
    pub fn launch_without_waiting(&mut self) -> mpsc::Receiver<String> {
        assert!(self.dev.is_none(), "the cluster runs already");
        let mut dev = plain_command(&self.steadfast)
            .arg("dev")
            .args(["--brokers", &self.brokers.to_string()])
            .args(["--kafka-port", &self.base_port.to_string()])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(self.override_arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.open_log())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.steadfast.display()));
        let output = dev.stdout.take().expect("stdout is piped");
        self.dev = Some(dev);
        let (sender, ready) = mpsc::channel();
        // Ends with the process, whose end closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _heard = sender.send(line);
            }
        });
        ready
    }

    /// Waits for the line that says that the cluster serves.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn wait_for_launch(&self, ready: &mpsc::Receiver<String>) {
        let line = ready.recv_timeout(START_LIMIT);
        assert!(
            line.as_deref().is_ok_and(|line| line.starts_with("ready: ")),
            "the cluster did not become ready ({line:?}):\n{}",
            self.log_tail()
        );
    }

    /// How long the last [`Cluster::launch`] took until the cluster said that it serves.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The binary that runs.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.steadfast
    }

    fn override_arguments(&self) -> impl Iterator<Item = &str> {
        self.overrides.iter().flat_map(|text| ["--override", text])
    }

    fn open_log(&self) -> fs::File {
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the log can be opened")
    }

    /// The bootstrap list: all brokers' Kafka addresses.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        (1..=self.brokers).map(|broker| self.address(broker)).collect::<Vec<_>>().join(",")
    }

    /// One broker's Kafka address; brokers count from 1.
    #[must_use]
    pub fn address(&self, broker: u16) -> String {
        format!("127.0.0.1:{}", self.base_port + broker - 1)
    }

    /// Number of brokers.
    #[must_use]
    pub fn broker_count(&self) -> u16 {
        self.brokers
    }

    /// The directory that `dev` was given.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// One broker's directory.
    #[must_use]
    pub fn broker_dir(&self, broker: u16) -> PathBuf {
        self.data_dir().join(format!("broker-{broker}"))
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// What all brokers logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The broker's process id: of the process that was started by hand last, else what the broker wrote down.
    ///
    /// # Panics
    /// When the file is missing or holds no number.
    #[must_use]
    pub fn pid(&self, broker: u16) -> u32 {
        self.known_pid(broker).unwrap_or_else(|| panic!("broker {broker} wrote down no process id"))
    }

    /// A broker that ends takes its file away.
    fn known_pid(&self, broker: u16) -> Option<u32> {
        if let Some(child) = self.restarted.get(&broker) {
            return Some(child.id());
        }
        let path = self.broker_dir(broker).join("steadfast.pid");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// The process id of a broker whose process is there, and is one of this cluster.
    fn running_pid(&self, broker: u16) -> Option<u32> {
        let pid = self.known_pid(broker)?;
        // The file may be left over, and its number another program's by now.
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let own = self.broker_dir(broker);
        String::from_utf8_lossy(&command_line).contains(&*own.to_string_lossy()).then_some(pid)
    }

    /// Memory of a broker's process that is in RAM, in KiB.
    ///
    /// # Panics
    /// When the process is not there.
    #[must_use]
    pub fn resident_kib(&self, broker: u16) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid(broker)))
            .expect("the broker lives");
        let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = size.and_then(|size| size.split_whitespace().next()?.parse().ok());
        kib.expect("a process has a resident size in KiB")
    }

    /// Sends a signal to a broker.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, broker: u16, signal: Signal) {
        let pid = self.pid(broker);
        assert!(signal.send(pid), "cannot send {signal:?} to broker {broker}, process {pid}");
    }

    /// Kills a broker and waits until the process is gone.
    pub fn kill(&mut self, broker: u16) {
        let pid = self.pid(broker);
        self.signal(broker, Signal::Kill);
        self.wait_gone(pid);
    }

    /// Kills those of the brokers that run, at once, and waits until their processes are gone.
    pub fn kill_together(&mut self, brokers: &[u16]) {
        let pids: Vec<u32> =
            brokers.iter().filter_map(|broker| self.running_pid(*broker)).collect();
        for pid in &pids {
            // One that ended by itself meanwhile is as dead as it should be.
            let _sent = Signal::Kill.send(*pid);
        }
        for pid in pids {
            self.wait_gone(pid);
        }
    }

    /// Ends a broker in order and waits until the process is gone.
    pub fn terminate(&mut self, broker: u16) {
        let pid = self.pid(broker);
        self.signal(broker, Signal::Terminate);
        self.wait_gone(pid);
    }

    /// Whether the broker's process is there, and is one of this cluster.
    #[must_use]
    pub fn is_running(&self, broker: u16) -> bool {
        self.running_pid(broker).is_some()
    }

    fn wait_gone(&mut self, pid: u32) {
        wait_until(&format!("the end of process {pid}"), START_LIMIT, || {
            // Whoever started it reaps it, we or `dev`, when its last thread has ended; only then are its ports and locks free.
            for child in self.restarted.values_mut() {
                let _ended = child.try_wait();
            }
            !Path::new(&format!("/proc/{pid}")).exists()
        });
    }

    /// Starts a broker that was killed or ended, by hand as a user does, without waiting for it.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start_broker(&mut self, broker: u16) {
        let child = plain_command(&self.steadfast)
            .arg("server")
            .arg("--config")
            .arg(self.broker_dir(broker).join("server.properties"))
            .args(self.override_arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.open_log())
            .spawn()
            .expect("the broker can be started");
        self.restarted.insert(broker, child);
    }

    /// Starts a broker and waits until its health says ready.
    pub fn restart_broker(&mut self, broker: u16) {
        self.start_broker(broker);
        self.wait_ready(broker);
    }

    /// Waits until a broker's HTTP port says that it is ready.
    pub fn wait_ready(&self, broker: u16) {
        wait_until(&format!("broker {broker} to be ready"), START_LIMIT, || self.is_ready(broker));
    }

    fn is_ready(&self, broker: u16) -> bool {
        self.http(broker, "/health/ready")
            .is_some_and(|response| response.starts_with("HTTP/1.1 200"))
    }

    /// Asks a broker's HTTP port; `None` while it does not answer.
    #[must_use]
    pub fn http(&self, broker: u16, path: &str) -> Option<String> {
        let port = self.base_port + 200 + broker - 1;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        Some(response)
    }

    /// Reads a metric of a broker: the sum over all label sets of that name; `None` while the broker does not answer.
    #[must_use]
    pub fn metric(&self, broker: u16, name: &str) -> Option<f64> {
        let response = self.http(broker, "/metrics")?;
        let values = response.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok()).flatten()
        });
        Some(values.sum())
    }

    /// The broker that says that it is the active controller, if one does.
    #[must_use]
    pub fn controller(&self) -> Option<u16> {
        (1..=self.brokers).find(|broker| {
            self.metric(*broker, "steadfast_controller_active").is_some_and(|value| value > 0.0)
        })
    }

    /// Waits for an active controller and returns it.
    ///
    /// # Panics
    /// When there is none within the limit of a start.
    #[must_use]
    pub fn wait_for_controller(&self) -> u16 {
        let mut found = None;
        wait_until("an active controller", START_LIMIT, || {
            found = self.controller();
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Kills all brokers that run, at once.
    pub fn kill_all(&mut self) {
        let all: Vec<u16> = (1..=self.brokers).collect();
        self.kill_together(&all);
        self.end_dev();
    }

    /// Ends the cluster in order, as Ctrl-C does.
    pub fn stop_all(&mut self) {
        self.end_dev();
    }

    fn end_dev(&mut self) {
        let mut children: Vec<Child> = self
            .dev
            .take()
            .into_iter()
            .chain(std::mem::take(&mut self.restarted).into_values())
            .collect();
        for child in &mut children {
            if matches!(child.try_wait(), Ok(None)) {
                let _sent = Signal::Terminate.send(child.id());
            }
        }
        let deadline = Instant::now() + STOP_LIMIT;
        for mut child in children {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Fails where the process has ended, which is what is wanted.
            let _killed = child.kill();
            let _ended = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let name = format!("steadfast-brokers-{}.log", self.base_port);
        if let Some(folder) = std::env::var_os("STEADFAST_TEST_LOGS") {
            let _copied = fs::copy(self.log_path(), Path::new(&folder).join(&name));
        }
        if std::thread::panicking() {
            let kept = std::env::temp_dir().join(&name);
            let _copied = fs::copy(self.log_path(), &kept);
            crate::report::line(&format!(
                "the end of the brokers' log, kept as {}:\n{}",
                kept.display(),
                self.log_tail()
            ));
        }
        for broker in 1..=self.brokers {
            if let Some(pid) = self.running_pid(broker) {
                let _sent = Signal::Kill.send(pid);
            }
        }
        self.end_dev();
    }
}
