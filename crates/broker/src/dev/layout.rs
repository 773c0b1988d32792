//! The directory of a cluster on one machine: `DIR/broker-N/` with `server.properties`, `steadfast.pid` and `data/`.
//!
//! Owns these files' places and contents. A directory that holds a cluster is never rewritten: it is started as it is, or refused.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::config::listeners::parse_listeners;
use crate::config::{Settings, SettingsError};
use crate::server::PID_FILE;

/// Distance of the replication port from the Kafka port.
const REPLICATION_PORT_OFFSET: u16 = 100;
/// Distance of the HTTP port from the Kafka port.
const HTTP_PORT_OFFSET: u16 = 200;
/// Distance of the control port from the Kafka port.
const CONTROL_PORT_OFFSET: u16 = 300;

/// Most brokers of one cluster on one machine: beyond, the ports of one kind would run into those of the next.
pub(crate) const MAX_BROKERS: u16 = 100;

const DEFAULT_BROKERS: u16 = 3;
const DEFAULT_KAFKA_PORT: u16 = 9092;

/// A cluster on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Its brokers, by id from 1.
    pub(crate) members: Vec<Member>,
}

/// One broker of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// `node.id`.
    pub(crate) node_id: i32,
    /// Kafka port.
    pub(crate) kafka_port: u16,
    /// Replication port.
    pub(crate) replication_port: u16,
    /// HTTP port.
    pub(crate) http_port: u16,
    /// Control port.
    pub(crate) control_port: u16,
    /// Its `server.properties`.
    pub(crate) config_file: PathBuf,
    /// File with the number of its process.
    pub(crate) pid_file: PathBuf,
}

/// Why a cluster cannot be started here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    /// The arguments make no cluster.
    #[error("{0}")]
    Arguments(String),
    /// The directory holds another cluster.
    #[error("{} holds {held}, but {asked} was asked for; use another --data-dir or leave the option out", dir.display())]
    Disagrees {
        /// The directory.
        dir: PathBuf,
        /// What it holds.
        held: String,
        /// What was asked for.
        asked: String,
    },
    /// A broker's file in the directory cannot be used.
    #[error("{}: {reason}", path.display())]
    Member {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A broker's file cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file or directory cannot be written.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A port is in use.
    #[error(
        "port {port} ({purpose} of broker {node_id}) is taken: {reason}; choose another --kafka-port"
    )]
    Port {
        /// The port.
        port: u16,
        /// What it is for.
        purpose: &'static str,
        /// Whose it is.
        node_id: i32,
        /// What the system says; not a source, since the message holds it already.
        reason: std::io::Error,
    },
}

impl Layout {
    /// Reads the cluster that the directory holds, or writes the files of a new one.
    ///
    /// # Errors
    /// All of [`LayoutError`] but `Port`.
    pub(crate) fn prepare(
        dir: &Path,
        brokers: Option<u16>,
        kafka_port: Option<u16>,
    ) -> Result<Self, LayoutError> {
        let io = |source| LayoutError::Io { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let dir = dir.canonicalize().map_err(io)?;
        let held = Self::read(&dir)?;
        if held.members.is_empty() {
            let brokers = brokers.unwrap_or(DEFAULT_BROKERS);
            return Self::write(&dir, brokers, kafka_port.unwrap_or(DEFAULT_KAFKA_PORT));
        }
        let disagrees = |held, asked| LayoutError::Disagrees { dir: dir.clone(), held, asked };
        if let Some(asked) = brokers.filter(|count| usize::from(*count) != held.members.len()) {
            let held = format!("{} brokers", held.members.len());
            return Err(disagrees(held, format!("--brokers {asked}")));
        }
        let first = held.members[0].kafka_port;
        if let Some(asked) = kafka_port.filter(|port| *port != first) {
            let held = format!("a cluster on Kafka port {first}");
            return Err(disagrees(held, format!("--kafka-port {asked}")));
        }
        Ok(held)
    }

    /// Checks that every port of every broker is free.
    ///
    /// # Errors
    /// [`LayoutError::Port`] names the first that is not.
    pub(crate) fn check_ports(&self) -> Result<(), LayoutError> {
        for member in &self.members {
            for (port, purpose) in [
                (member.kafka_port, "Kafka"),
                (member.replication_port, "replication"),
                (member.http_port, "HTTP"),
                (member.control_port, "control"),
            ] {
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|reason| {
                    LayoutError::Port { port, purpose, node_id: member.node_id, reason }
                })?;
            }
        }
        Ok(())
    }

    fn read(dir: &Path) -> Result<Self, LayoutError> {
        let mut members = Vec::new();
        for node_id in 1.. {
            let member = Member::at(dir, node_id, 0);
            if !member.config_file.exists() {
                break;
            }
            members.push(member.read()?);
        }
        Ok(Self { members })
    }

    fn write(dir: &Path, brokers: u16, kafka_port: u16) -> Result<Self, LayoutError> {
        if u16::MAX - kafka_port < CONTROL_PORT_OFFSET + brokers {
            let text = format!("--kafka-port {kafka_port}: the ports above it are too few");
            return Err(LayoutError::Arguments(text));
        }
        let members: Vec<Member> = (0..brokers)
            .map(|index| Member::at(dir, i32::from(index) + 1, kafka_port + index))
            .collect();
        for member in &members {
            member.write(&members)?;
        }
        Ok(Self { members })
    }
}

impl Member {
    fn at(dir: &Path, node_id: i32, kafka_port: u16) -> Self {
        let own = dir.join(format!("broker-{node_id}"));
        Self {
            node_id,
            kafka_port,
            replication_port: kafka_port.saturating_add(REPLICATION_PORT_OFFSET),
            http_port: kafka_port.saturating_add(HTTP_PORT_OFFSET),
            control_port: kafka_port.saturating_add(CONTROL_PORT_OFFSET),
            config_file: own.join("server.properties"),
            pid_file: own.join(PID_FILE),
        }
    }

    fn read(self) -> Result<Self, LayoutError> {
        let settings = Settings::load(Some(&self.config_file), [], &[])?;
        let wrong = |reason: String| LayoutError::Member { path: self.config_file.clone(), reason };
        if settings.integer("node.id") != Some(i64::from(self.node_id)) {
            return Err(wrong(format!("node.id is not {}", self.node_id)));
        }
        let text = |key: &str| settings.get(key).unwrap_or_default();
        let listeners = parse_listeners(
            text("listeners"),
            None,
            text("listener.security.protocol.map"),
            "localhost",
        )
        .map_err(|error| wrong(error.to_string()))?;
        let kafka_port = listeners[0].bind.port;
        // The file may have been edited since it was written.
        let port_of = |key: &str| -> Result<u16, LayoutError> {
            let listener = text(key);
            let port = listener.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            port.ok_or_else(|| wrong(format!("{key}={listener} names no port")))
        };
        let (replication_port, http_port, control_port) = (
            port_of("replication.listener")?,
            port_of("http.listener")?,
            port_of("control.listener")?,
        );
        Ok(Self { kafka_port, replication_port, http_port, control_port, ..self })
    }

    fn write(&self, members: &[Self]) -> Result<(), LayoutError> {
        let own = self.config_file.parent().unwrap_or_else(|| Path::new("."));
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| LayoutError::Io { path, source }
        };
        std::fs::create_dir_all(own).map_err(io(own))?;
        std::fs::write(&self.config_file, self.properties(own, members))
            .map_err(io(&self.config_file))
    }

    /// The first broker alone votes in a cluster of one or two (two voters would survive no failure), else the first three.
    fn properties(&self, own: &Path, members: &[Self]) -> String {
        let voters = if members.len() < 3 { 1 } else { 3 };
        let voters: Vec<String> = members[..voters]
            .iter()
            .map(|voter| format!("{}@127.0.0.1:{}", voter.node_id, voter.control_port))
            .collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / members.len()).max(1);
        let (kafka, replication) = (self.kafka_port, self.replication_port);
        let (http, control) = (self.http_port, self.control_port);
        let mut text = format!(
            "# Written by steadfast dev, once. Start this broker by hand with:\n#   steadfast server --config {}\n",
            self.config_file.display()
        );
        for (key, value) in [
            ("node.id", self.node_id.to_string()),
            ("log.dirs", own.join("data").display().to_string()),
            ("listeners", format!("PLAINTEXT://127.0.0.1:{kafka}")),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{kafka}")),
            ("replication.listener", format!("127.0.0.1:{replication}")),
            ("http.listener", format!("127.0.0.1:{http}")),
            ("control.listener", format!("127.0.0.1:{control}")),
            ("internal.advertised.host", "127.0.0.1".to_owned()),
            ("controller.quorum.voters", voters.join(",")),
            ("num.network.threads", threads.to_string()),
        ] {
            let _ = writeln!(text, "{key}={value}");
        }
        text
    }

    /// Returns the process of this broker, when one runs: the file may be left over, and its number may be another program's by now.
    #[must_use]
    pub(crate) fn running_pid(&self) -> Option<Pid> {
        let pid: i32 = std::fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?;
        let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command_line = String::from_utf8_lossy(&command_line);
        let own =
            command_line.contains("server\0--config") && command_line.contains("server.properties");
        if own { Pid::from_raw(pid) } else { None }
    }
}

/// Keys that differ from broker to broker: those of the file, and their other spellings.
pub(super) const OWN_KEYS: &[&str] = &[
    "node.id",
    "broker.id",
    "log.dirs",
    "log.dir",
    "listeners",
    "advertised.listeners",
    "replication.listener",
    "http.listener",
    "control.listener",
    "internal.advertised.host",
    "controller.quorum.voters",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_holds_a_cluster_is_started_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let made = Layout::prepare(dir.path(), Some(3), Some(19_092)).unwrap();
        let before = std::fs::read_to_string(&made.members[2].config_file).unwrap();
        assert!(before.contains("controller.quorum.voters=1@127.0.0.1:19392,2@127.0.0.1:19393,3@"));
        let again = Layout::prepare(dir.path(), None, None).unwrap();
        assert_eq!(again.members, made.members);
        let other = Layout::prepare(dir.path(), Some(2), None).unwrap_err().to_string();
        assert!(other.contains("holds 3 brokers"), "{other}");
        let other = Layout::prepare(dir.path(), None, Some(9_092)).unwrap_err().to_string();
        assert!(other.contains("Kafka port 19092"), "{other}");
    }

    #[test]
    fn a_port_that_was_changed_in_a_brokers_file_is_the_one_that_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let made = Layout::prepare(dir.path(), Some(1), Some(19_092)).unwrap();
        let file = &made.members[0].config_file;
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, text.replace(":19292", ":18080")).unwrap();
        let again = Layout::prepare(dir.path(), None, None).unwrap();
        assert_eq!(again.members[0].http_port, 18_080);
        assert_eq!(again.members[0].control_port, 19_392);
    }

    #[test]
    fn two_brokers_have_one_voter() {
        let dir = tempfile::tempdir().unwrap();
        let made = Layout::prepare(dir.path(), Some(2), Some(19_092)).unwrap();
        let text = std::fs::read_to_string(&made.members[1].config_file).unwrap();
        assert!(text.contains("voters=1@127.0.0.1:19392\n"), "{text}");
    }

    #[test]
    fn a_taken_port_is_named_with_its_purpose() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let layout = Layout { members: vec![Member::at(dir.path(), 1, port)] };
        let error = layout.check_ports().unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} (Kafka of broker 1) is taken")), "{error}");
    }

    #[test]
    fn a_cluster_whose_ports_would_end_beyond_the_last_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Layout::prepare(dir.path(), Some(3), Some(65_500));
        assert!(matches!(refused, Err(LayoutError::Arguments(_))), "{refused:?}");
    }
}
