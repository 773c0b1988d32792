//! The file with this process's number, by which whoever started a cluster on one machine finds its brokers.

use std::path::{Path, PathBuf};

use crate::config::BrokerConfig;

/// Its name.
pub(crate) const PID_FILE: &str = "steadfast.pid";

/// The file, beside the configuration of a cluster that `dev` made; nothing where the configuration lies elsewhere.
pub(super) struct PidFile(Option<PathBuf>);

impl PidFile {
    pub(super) fn write(config: &BrokerConfig, config_file: Option<&Path>) -> Self {
        let own = config_file.and_then(Path::parent);
        let of_data = config.data_dir.parent();
        let same = own.is_some_and(|own| {
            let own = own.canonicalize().ok();
            own.is_some() && own == of_data.and_then(|dir| dir.canonicalize().ok())
        });
        let Some(path) = own.filter(|_| same).map(|own| own.join(PID_FILE)) else {
            return Self(None);
        };
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Self(Some(path)),
            Err(error) => {
                tracing::warn!("cannot write {}: {error}", path.display());
                Self(None)
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Left behind it does no harm: its reader looks whether the process is this broker.
            let _ = std::fs::remove_file(path);
        }
    }
}
