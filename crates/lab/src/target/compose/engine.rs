//! What is asked of the Docker engine: its commands, bounded in time, and what it knows about a container.
//!
//! Owns the name of the project and the way compose is called. Holds no state of the cluster: it is asked anew each time, because
//! addresses, namespaces and even containers change under a run.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::target::{TargetError, bounded};

/// For commands of the engine; compose may have to make networks and volumes.
const PATIENCE: Duration = Duration::from_secs(60);
const PROJECT_VARIABLE: &str = "COMPOSE_PROJECT_NAME";
const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";

/// Compose comes as a plugin or, older, as a program of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Plugin,
    Program,
}

/// One compose project.
#[derive(Debug)]
pub(super) struct Engine {
    file: PathBuf,
    pub(super) project: String,
    generation: Generation,
}

impl Engine {
    /// Finds the commands and an engine that answers.
    pub(super) fn find(file: &Path, project: Option<&str>) -> Result<Self, TargetError> {
        let what = format!("open {}", file.display());
        let file = file.canonicalize().map_err(|error| TargetError::new(&what, error))?;
        if !bounded::exists("docker") {
            return Err(TargetError::new(what, "there is no docker in PATH; install it"));
        }
        bounded::run(&what, Command::new("docker").args(["version"]), PATIENCE)?;
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let generation = if plugin.is_ok_and(|output| output.status.success()) {
            Generation::Plugin
        } else if bounded::exists("docker-compose") {
            Generation::Program
        } else {
            let reason = "there is neither `docker compose` nor docker-compose; install one";
            return Err(TargetError::new(what, reason));
        };
        let given = project.map(str::to_owned).or_else(|| std::env::var(PROJECT_VARIABLE).ok());
        let project = given.filter(|name| !name.is_empty()).or_else(|| default_project(&file));
        let Some(project) = project else {
            return Err(TargetError::new(what, "its folder's name makes no project; give one"));
        };
        Ok(Self { file, project, generation })
    }

    /// Runs a command of compose.
    pub(super) fn compose(&self, what: &str, arguments: &[&str]) -> Result<String, TargetError> {
        let mut command = match self.generation {
            Generation::Plugin => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
            Generation::Program => Command::new("docker-compose"),
        };
        command.arg("-f").arg(&self.file).args(["-p", &self.project]).args(arguments);
        bounded::run(what, &mut command, PATIENCE)
    }

    /// The services, by the number at their names' ends: compose keeps no order of its own in every version.
    pub(super) fn services(&self) -> Result<Vec<String>, TargetError> {
        let listed = self.compose("list the services", &["config", "--services"])?;
        let mut services: Vec<String> = listed.lines().map(str::to_owned).collect();
        services.sort_by_key(|name| in_numbers_order(name));
        Ok(services)
    }

    /// The first image of the file that this machine lacks.
    pub(super) fn missing_image(&self) -> Result<Option<String>, TargetError> {
        let settings = self.compose("read the settings", &["config"])?;
        let images = settings.lines().filter_map(|line| line.trim().strip_prefix("image: "));
        let is_missing = |image: &&str| docker("find", &["image", "inspect", image]).is_err();
        Ok(images.into_iter().find(is_missing).map(str::to_owned))
    }

    /// The container of a service, running or not.
    pub(super) fn container(&self, service: &str) -> Result<Option<String>, TargetError> {
        let project = format!("label={PROJECT_LABEL}={}", self.project);
        let service = format!("label={SERVICE_LABEL}={service}");
        let lasting = "label=com.docker.compose.oneoff=False";
        let filters = ["--filter", &project, "--filter", &service, "--filter", lasting];
        let arguments = [&["ps", "-a", "-q", "--no-trunc"], &filters[..]].concat();
        let listed = docker("list the containers", &arguments)?;
        Ok(listed.lines().next().map(str::to_owned))
    }

    /// Whether the project has volumes: by their label, or by their names alone, which compose would take for its own too.
    pub(super) fn has_volumes(&self) -> Result<bool, TargetError> {
        let filter = format!("label={PROJECT_LABEL}={}", self.project);
        let labelled = docker("list the volumes", &["volume", "ls", "-q", "--filter", &filter])?;
        let all = docker("list the volumes", &["volume", "ls", "-q"])?;
        let prefix = format!("{}_", self.project);
        Ok(!labelled.trim().is_empty() || all.lines().any(|name| name.starts_with(&prefix)))
    }
}

/// Runs a command of the engine.
pub(super) fn docker(what: &str, arguments: &[&str]) -> Result<String, TargetError> {
    docker_for(what, arguments, PATIENCE)
}

/// [`docker`], for a command that may take so long by itself.
pub(super) fn docker_for(
    what: &str,
    arguments: &[&str],
    patience: Duration,
) -> Result<String, TargetError> {
    bounded::run(what, Command::new("docker").args(arguments), patience.max(PATIENCE))
}

/// Asks the engine about a container.
pub(super) fn inspect(what: &str, id: &str) -> Result<Container, TargetError> {
    let text = docker(what, &["container", "inspect", id])?;
    let read: Result<[Container; 1], _> = serde_json::from_str(&text);
    let [container] = read.map_err(|error| {
        TargetError::new(what, format!("docker inspect says what cannot be read: {error}"))
    })?;
    Ok(container)
}

/// What `docker inspect` says about a container, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) state: State,
    #[serde(default)]
    pub(super) mounts: Vec<Mount>,
    host_config: HostConfig,
    network_settings: NetworkSettings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) exit_code: i32,
    health: Option<Health>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Mount {
    /// `volume` or `bind`.
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) name: Option<String>,
    /// Where it is on the engine's machine.
    pub(super) source: PathBuf,
}

type Ports = BTreeMap<String, Option<Vec<Binding>>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    port_bindings: Option<Ports>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_port: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default)]
    sandbox_key: PathBuf,
    #[serde(default)]
    networks: BTreeMap<String, Network>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    #[serde(default, rename = "IPAddress")]
    ipv4: String,
    #[serde(default, rename = "GlobalIPv6Address")]
    ipv6: String,
}

impl Container {
    /// Running, healthy where it has a check, and not paused.
    pub(super) fn serves(&self) -> bool {
        self.state.running && !self.state.paused && matches!(self.health(), "healthy" | "running")
    }

    /// For messages.
    pub(super) fn health(&self) -> &str {
        match &self.state.health {
            _ if !self.state.running => "not running",
            Some(health) => &health.status,
            None => "running",
        }
    }

    /// Its addresses in the networks of the project; none when it does not run.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let networks = self.network_settings.networks.values();
        let texts = networks.flat_map(|network| [&network.ipv4, &network.ipv6]);
        texts.filter_map(|text| text.parse().ok()).collect()
    }

    /// The file of its network namespace. Better than its process' number, which on another machine than the engine's would be some
    /// other process.
    pub(super) fn namespace(&self) -> &Path {
        &self.network_settings.sandbox_key
    }

    /// The port of the host that is its client port: the first with a fixed number.
    pub(super) fn published_port(&self) -> Option<u16> {
        let bindings = self.host_config.port_bindings.iter().flat_map(BTreeMap::values);
        let mut ports =
            bindings.flatten().flatten().filter_map(|bound| bound.host_port.parse().ok());
        ports.find(|port| *port != 0)
    }
}

/// The folder's name in the letters that compose allows.
fn default_project(file: &Path) -> Option<String> {
    let folder = file.parent()?.file_name()?.to_str()?.to_lowercase();
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let name: String = folder.chars().filter(allowed).collect();
    Some(name.trim_start_matches(['-', '_']).to_owned()).filter(|name| !name.is_empty())
}

/// The order in which `broker-2` comes before `broker-10`.
fn in_numbers_order(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.to_owned(), name[stem.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_numbered_by_their_names_ends() {
        let mut names = ["broker-10", "broker-2", "broker-1"];
        names.sort_by_key(|name| in_numbers_order(name));
        assert_eq!(names, ["broker-1", "broker-2", "broker-10"]);
    }

    #[test]
    fn a_project_is_named_after_its_folder_as_compose_does() {
        let project = |file: &str| default_project(Path::new(file));
        assert_eq!(project("/srv/deploy/docker/compose.yaml"), Some("docker".to_owned()));
        assert_eq!(project("/srv/_My Cluster.2/compose.yaml"), Some("mycluster2".to_owned()));
        assert_eq!(project("/compose.yaml"), None);
    }
}
