//! A cluster of real broker processes on loopback, as a user starts it: `steadfast dev`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::deadline::wait_until;
use crate::ports::free_base_port;

/// How long a start may take before a test calls it failed; far above what it takes, for a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running cluster; its processes are killed and its directory removed when the value is dropped.
#[derive(Debug)]
pub struct Cluster {
    steadfast: PathBuf,
    directory: TempDir,
    base_port: u16,
    brokers: u16,
    dev: Option<Child>,
    restarted: Vec<Child>,
}

/// Which signal ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL: a crash.
    Kill,
    /// SIGTERM: an ordered stop.
    Terminate,
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
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
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
        Self::start_with(&steadfast_binary(), brokers)
    }

    /// The same with a given binary.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_with(steadfast: &Path, brokers: u16) -> Self {
        let mut cluster = Self {
            steadfast: steadfast.to_owned(),
            directory: TempDir::with_prefix("steadfast-")
                .expect("a temporary directory can be made"),
            base_port: free_base_port(brokers),
            brokers,
            dev: None,
            restarted: Vec::new(),
        };
        cluster.launch();
        cluster
    }

    /// Starts the cluster again as `steadfast dev` after [`Cluster::stop_all`] or [`Cluster::kill_all`], on its old directory.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn launch(&mut self) {
        assert!(self.dev.is_none(), "the cluster runs already");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("the log can be opened");
        let mut dev = Command::new(&self.steadfast)
            .arg("dev")
            .args(["--brokers", &self.brokers.to_string()])
            .args(["--kafka-port", &self.base_port.to_string()])
            .arg("--data-dir")
            .arg(self.data_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.steadfast.display()));
        let output = dev.stdout.take().expect("stdout is piped");
        self.dev = Some(dev);
        let mut lines = BufReader::new(output).lines();
        let ready = lines.next().and_then(Result::ok);
        assert!(
            ready.as_deref().is_some_and(|line| line.starts_with("ready: ")),
            "the cluster did not become ready ({ready:?}):\n{}",
            self.log_tail()
        );
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

    /// The process id that the broker wrote down.
    ///
    /// # Panics
    /// When the file is missing or holds no number.
    #[must_use]
    pub fn pid(&self, broker: u16) -> u32 {
        let path = self.broker_dir(broker).join("steadfast.pid");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("{} holds no process id: {text:?}", path.display()))
    }

    /// Sends a signal to a broker.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, broker: u16, signal: Signal) {
        let pid = self.pid(broker).to_string();
        let status = Command::new("kill")
            .args(["-s", signal.name(), &pid])
            .status()
            .expect("kill can be run");
        assert!(status.success(), "cannot send {signal:?} to broker {broker}, process {pid}");
    }

    /// Kills a broker and waits until the process is gone.
    pub fn kill(&mut self, broker: u16) {
        self.signal(broker, Signal::Kill);
        self.wait_gone(broker);
    }

    /// Ends a broker in order and waits until the process is gone.
    pub fn terminate(&mut self, broker: u16) {
        self.signal(broker, Signal::Terminate);
        self.wait_gone(broker);
    }

    fn wait_gone(&mut self, broker: u16) {
        let pid = self.pid(broker);
        let restarted = &mut self.restarted;
        wait_until(&format!("the end of broker {broker}, process {pid}"), START_LIMIT, || {
            for child in restarted.iter_mut() {
                // Reaps it, so that its entry in /proc goes away.
                let _ended = child.try_wait();
            }
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty()
                || state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
        });
    }

    /// Starts a broker that was killed or ended, by hand as a user does, without waiting for it.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start_broker(&mut self, broker: u16) {
        let log = fs::OpenOptions::new()
            .append(true)
            .open(self.log_path())
            .expect("the log can be opened");
        let child = Command::new(&self.steadfast)
            .arg("server")
            .arg("--config")
            .arg(self.broker_dir(broker).join("server.properties"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the broker can be started");
        self.restarted.push(child);
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

    /// Kills all brokers at once.
    pub fn kill_all(&mut self) {
        for broker in 1..=self.brokers {
            self.signal(broker, Signal::Kill);
        }
        for broker in 1..=self.brokers {
            self.wait_gone(broker);
        }
        self.end_dev();
    }

    /// Ends the cluster in order, as Ctrl-C does.
    pub fn stop_all(&mut self) {
        self.end_dev();
    }

    fn end_dev(&mut self) {
        if let Some(mut dev) = self.dev.take() {
            let _sent = Command::new("kill").args(["-s", "TERM", &dev.id().to_string()]).status();
            let _ended = dev.wait();
        }
        for mut child in self.restarted.drain(..) {
            let _sent = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
            let _ended = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut stderr = std::io::stderr();
            let _written = writeln!(stderr, "the end of the brokers' log:\n{}", self.log_tail());
        }
        for broker in 1..=self.brokers {
            if self.broker_dir(broker).join("steadfast.pid").exists() {
                let pid = self.pid(broker).to_string();
                let _sent =
                    Command::new("kill").args(["-s", "KILL", &pid]).stderr(Stdio::null()).status();
            }
        }
        self.end_dev();
    }
}
