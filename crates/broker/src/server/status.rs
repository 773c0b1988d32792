//! What the HTTP port shows of a broker, from its first moment on.
//!
//! Owns the text of what is waited for, and the line that repeats it every five seconds while the broker does not serve.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use controller::Controller;
use model::BrokerId;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::config::BrokerConfig;
use crate::config::listeners::HostPort;
use crate::http::{self, Health};
use crate::metrics::{Metrics, PREFIX};

/// How often a broker that does not serve says what it waits for.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How long a voter may take to accept a connection before it counts as silent.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The state of a broker as others may ask for it.
#[derive(Debug)]
pub(super) struct ServerStatus {
    own: BrokerId,
    voters: Vec<(BrokerId, HostPort)>,
    metrics: Arc<Metrics>,
    /// Set once the control plane runs.
    controller: OnceLock<Controller>,
    stage: Mutex<Stage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Waiting(String),
    Serving,
    Stopping,
}

impl ServerStatus {
    pub(super) fn new(config: &BrokerConfig, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            own: config.node_id,
            voters: config.voters.clone(),
            metrics,
            controller: OnceLock::new(),
            stage: Mutex::new(Stage::Waiting("its start".to_owned())),
        })
    }

    /// Notes what the start waits for.
    pub(super) fn wait_for(&self, what: impl Into<String>) {
        self.set(Stage::Waiting(what.into()));
    }

    /// Notes that clients are served.
    pub(super) fn serve(&self) {
        self.set(Stage::Serving);
    }

    /// Notes that the broker stops.
    pub(super) fn stop(&self) {
        self.set(Stage::Stopping);
    }

    pub(super) fn set_controller(&self, controller: Controller) {
        self.metrics.register(|registry| {
            controller.register_metrics(registry.sub_registry_with_prefix(PREFIX));
        });
        let _ = self.controller.set(controller);
    }

    /// Says every five seconds what is waited for, until the broker serves or stops.
    pub(super) async fn tell(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LINE_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            match self.stage() {
                Stage::Waiting(what) => {
                    let silent = self.silent_voters().await;
                    if silent.is_empty() {
                        tracing::info!("waiting for {what}");
                    } else {
                        tracing::info!("waiting for {what}; voters {}", silent.join(", "));
                    }
                }
                Stage::Serving | Stage::Stopping => return,
            }
        }
    }

    /// Tries the control ports of the other voters and names those that do not answer, with the reason.
    async fn silent_voters(&self) -> Vec<String> {
        let mut silent = Vec::new();
        for (id, address) in self.voters.iter().filter(|(id, _)| *id != self.own) {
            let connecting = TcpStream::connect((address.host.as_str(), address.port));
            let reason = match tokio::time::timeout(PROBE_TIMEOUT, connecting).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                    "connection refused".to_owned()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            silent.push(format!("{id} ({reason})"));
        }
        silent
    }

    fn set(&self, stage: Stage) {
        if let Ok(mut held) = self.stage.lock() {
            *held = stage;
        }
    }

    fn stage(&self) -> Stage {
        // A panic ends the process, so the lock is never poisoned.
        self.stage.lock().map_or(Stage::Stopping, |stage| stage.clone())
    }

    fn refresh(&self) {
        let Some(controller) = self.controller.get() else { return };
        let image = controller.image();
        let leaderless = image.partitions().filter(|(_, state)| state.leader.is_none()).count();
        let live = image.brokers().filter(|broker| !broker.is_fenced()).count();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.cluster.leaderless.set(number(leaderless));
        self.metrics.cluster.live_brokers.set(number(live));
    }
}

impl http::Status for ServerStatus {
    fn metrics(&self) -> String {
        self.refresh();
        self.metrics.render()
    }

    fn health(&self) -> Health {
        let stage = self.stage();
        let image = self.controller.get().map(Controller::image);
        let live_brokers = image.as_ref().map(|image| {
            let live = image.brokers().filter(|broker| !broker.is_fenced());
            live.map(|broker| broker.broker_id.0).collect()
        });
        let unfenced = image.as_ref().is_some_and(|image| image.is_unfenced(self.own));
        // Whoever replaces brokers one by one waits for this before the next: a wiped broker counts for the quorum only when it votes again.
        let awaits_vote = self.controller.get().is_some_and(Controller::awaits_vote);
        let waiting_for = match &stage {
            Stage::Waiting(what) => what.clone(),
            Stage::Serving if !unfenced => "being unfenced again".to_owned(),
            Stage::Serving if awaits_vote => "its vote in the metadata quorum".to_owned(),
            Stage::Serving => String::new(),
            Stage::Stopping => "its end".to_owned(),
        };
        let active = self.controller.get().and_then(Controller::active_controller);
        Health {
            ready: stage == Stage::Serving && unfenced && !awaits_vote,
            broker_id: self.own.0,
            cluster_id: image.and_then(|image| image.cluster_id().map(|id| id.0.clone())),
            controller_id: active.map(|id| id.0),
            live_brokers: live_brokers.unwrap_or_default(),
            waiting_for,
        }
    }
}
