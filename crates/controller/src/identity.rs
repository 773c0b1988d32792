//! Who this node is, by its disk: `meta.properties`.
//!
//! Owns formatting: the directory id and the Raft id are drawn once, when the file is first written, and never again, since a node that lost its
//! disk must not vote under the id it had. Invariant: the file is durable before anything else is written.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use log_storage::FileSystem;
use log_storage::file_system::{read_file, write_aside};
use model::{BrokerId, ClusterId, DirectoryId, IncarnationId};
use uuid::Uuid;

use crate::error::StartError;
use crate::metadata::RaftId;

/// Name of the file in the data directory (Kafka's).
pub(crate) const META_FILE: &str = "meta.properties";
const VERSION: &str = "1";
const MAX_BYTES: u64 = 64 * 1024;

/// A formatted directory's identity, and this run's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) broker_id: BrokerId,
    pub(crate) directory_id: DirectoryId,
    pub(crate) raft_id: RaftId,
    /// The cluster this directory belongs to; `None` until it has joined one.
    pub(crate) cluster_id: Option<ClusterId>,
    /// Drawn anew at each start, and not on disk.
    pub(crate) incarnation_id: IncarnationId,
}

impl Identity {
    /// Reads the identity, or draws and writes it where the directory has none.
    ///
    /// # Errors
    /// [`StartError::WrongBroker`], [`StartError::WrongCluster`], or what the file system said.
    pub(crate) fn load_or_format(
        fs: &dyn FileSystem,
        data_dir: &Path,
        broker_id: BrokerId,
        configured: Option<&ClusterId>,
    ) -> Result<Self, StartError> {
        let path = data_dir.join(META_FILE);
        let failed = |what: &str| {
            let what = format!("{what} {}", path.display());
            move |source: io::Error| StartError::Io { what, source }
        };
        match read_file(fs, &path, MAX_BYTES) {
            Ok(bytes) => {
                let identity = Self::parse(&bytes).ok_or_else(|| {
                    let message = "it is damaged or of another version".to_owned();
                    failed("read")(io::Error::new(io::ErrorKind::InvalidData, message))
                })?;
                identity.check(broker_id, configured)?;
                Ok(identity)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Self::draw(broker_id);
                identity.save(fs, data_dir).map_err(failed("write"))?;
                Ok(identity)
            }
            Err(error) => Err(failed("read")(error)),
        }
    }

    fn draw(broker_id: BrokerId) -> Self {
        Self {
            broker_id,
            directory_id: DirectoryId(Uuid::new_v4()),
            // Zero would read as "none" in a protobuf message.
            raft_id: RaftId(Uuid::new_v4().as_u64_pair().1.max(1)),
            cluster_id: None,
            incarnation_id: IncarnationId(Uuid::new_v4()),
        }
    }

    fn check(&self, broker_id: BrokerId, configured: Option<&ClusterId>) -> Result<(), StartError> {
        if self.broker_id != broker_id {
            return Err(StartError::WrongBroker { found: self.broker_id, configured: broker_id });
        }
        match (&self.cluster_id, configured) {
            (Some(found), Some(configured)) if found != configured => {
                Err(StartError::WrongCluster {
                    found: found.clone(),
                    configured: configured.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Writes the identity durably.
    pub(crate) fn save(&self, fs: &dyn FileSystem, data_dir: &Path) -> io::Result<()> {
        let mut text = format!("version={VERSION}\n");
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{key}={value}").expect("writing to a string does not fail");
        };
        if let Some(cluster_id) = &self.cluster_id {
            line("cluster.id", cluster_id);
        }
        line("node.id", &self.broker_id);
        line("directory.id", &self.directory_id);
        line("raft.id", &self.raft_id);
        write_aside(fs, &data_dir.join(META_FILE), text.as_bytes())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let values: BTreeMap<&str, &str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .map(|line| line.split_once('='))
            .map(|pair| pair.map(|(key, value)| (key.trim(), value.trim())))
            .collect::<Option<_>>()?;
        if values.get("version") != Some(&VERSION) {
            return None;
        }
        Some(Self {
            broker_id: BrokerId(values.get("node.id")?.parse().ok()?),
            directory_id: values.get("directory.id")?.parse().ok()?,
            raft_id: RaftId(values.get("raft.id")?.parse().ok()?),
            cluster_id: values.get("cluster.id").map(|id| ClusterId((*id).to_owned())),
            incarnation_id: IncarnationId(Uuid::new_v4()),
        })
    }
}

#[cfg(test)]
mod tests {
    use log_storage::OsFileSystem;

    use super::*;

    #[test]
    fn ids_are_drawn_once_and_the_run_anew() {
        let directory = tempfile::tempdir().unwrap();
        let load = || {
            Identity::load_or_format(&OsFileSystem, directory.path(), BrokerId(3), None).unwrap()
        };
        let mut first = load();
        let second = load();
        assert_eq!((first.directory_id, first.raft_id), (second.directory_id, second.raft_id));
        assert_ne!(first.incarnation_id, second.incarnation_id);
        first.cluster_id = Some(ClusterId("abc".to_owned()));
        first.save(&OsFileSystem, directory.path()).unwrap();
        assert_eq!(load().cluster_id, first.cluster_id);
    }

    #[test]
    fn another_brokers_or_clusters_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let load = |broker: i32, cluster: Option<&str>| {
            let cluster = cluster.map(|id| ClusterId(id.to_owned()));
            Identity::load_or_format(
                &OsFileSystem,
                directory.path(),
                BrokerId(broker),
                cluster.as_ref(),
            )
        };
        let mut identity = load(3, None).unwrap();
        identity.cluster_id = Some(ClusterId("abc".to_owned()));
        identity.save(&OsFileSystem, directory.path()).unwrap();
        assert!(matches!(load(4, None), Err(StartError::WrongBroker { .. })));
        assert!(matches!(load(3, Some("xyz")), Err(StartError::WrongCluster { .. })));
        assert!(load(3, Some("abc")).is_ok());
    }
}
