//! How a blank node comes to a cluster: it forms one with the other configured voters, or joins the one it meets.
//!
//! Owns the rounds of `Hello`. Invariants: a cluster is formed only when every configured voter has answered that it is blank, and only by the
//! lowest of them; a node that meets a formed cluster never forms one, however many voters are blank.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::{BrokerId, ClusterId};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::broker_id_claim::BrokerIdClaim;
use crate::failure::Failure;
use crate::metadata::{Address, RaftId};
use crate::options::Voter;
use crate::peers::connect::{ConnectError, connect};
use crate::proto::controller as proto;
use crate::proto::controller::controller_client::ControllerClient;
use crate::raft::RaftNode;
use crate::settings::Settings;

/// Pause between two rounds at first, and when nothing came of many.
const ROUND_PAUSE: Duration = Duration::from_millis(25);
const LATE_ROUND_PAUSE: Duration = Duration::from_millis(200);
const EARLY: Duration = Duration::from_secs(5);
/// Pause between two rounds of a node that belongs to a cluster and does not know who leads it.
const SEEK_PAUSE: Duration = Duration::from_millis(250);
const HELLO_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two lines that say for whom this node waits.
const WAITING_LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What a voter answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It belongs to no cluster.
    Blank(RaftId),
    /// It belongs to a cluster, whose id it may not know yet, and may know who leads.
    Formed { cluster_id: Option<ClusterId>, controller: Option<Address> },
    /// It did not answer, for this reason.
    Silent(String),
}

/// What to do after a round.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Make these nodes a cluster.
    Form(BTreeMap<RaftId, BrokerId>),
    /// A cluster was met: say hello to its controller, wherever one is known.
    Join(Vec<Address>),
    /// A cluster was met that this node is not configured for.
    Foreign(ClusterId),
    /// Wait; for these voters, each with the reason.
    Wait(Vec<(BrokerId, String)>),
}

/// Decides from a round's answers, one for each configured voter, this node's own included where it is one.
fn decide(
    own: BrokerId,
    configured_cluster: Option<&ClusterId>,
    answers: &BTreeMap<BrokerId, Answer>,
) -> Verdict {
    let mut controllers = Vec::new();
    let mut is_formed = false;
    let mut blank = BTreeMap::new();
    let mut silent = Vec::new();
    for (broker_id, answer) in answers {
        match answer {
            Answer::Blank(raft_id) => {
                blank.insert(*raft_id, *broker_id);
            }
            Answer::Formed { cluster_id, controller } => {
                is_formed = true;
                if let (Some(found), Some(expected)) = (cluster_id, configured_cluster)
                    && found != expected
                {
                    return Verdict::Foreign(found.clone());
                }
                controllers.extend(controller.clone());
            }
            Answer::Silent(reason) => silent.push((*broker_id, reason.clone())),
        }
    }
    let lowest = answers.keys().next().copied();
    if is_formed {
        Verdict::Join(controllers)
    } else if blank.len() == answers.len() && lowest == Some(own) {
        Verdict::Form(blank)
    } else {
        Verdict::Wait(silent)
    }
}

/// Says hello to the configured voters. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Greeter {
    pub(crate) settings: Arc<Settings>,
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) claim: BrokerIdClaim,
    pub(crate) failure: Failure,
    pub(crate) cancel: CancellationToken,
}

impl Greeter {
    /// Says hello in rounds until this node is no longer blank.
    pub(crate) async fn form_or_join(self) {
        let begun = Instant::now();
        let mut next_line = begun + WAITING_LINE_INTERVAL;
        while self.raft.is_blank() && !self.cancel.is_cancelled() {
            let answers = self.round().await;
            if !self.raft.is_blank() {
                return;
            }
            let configured = self.settings.cluster_id.as_ref();
            match decide(self.settings.broker_id(), configured, &answers) {
                Verdict::Form(voters) => match self.raft.initialize(&voters).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(%error, "the cluster could not be formed and is tried again")
                    }
                },
                Verdict::Join(controllers) => {
                    for address in controllers {
                        // What it answers is heard in `hello`; one that is silent is asked again in the next round.
                        let _ = self.hello(&address).await;
                    }
                }
                Verdict::Foreign(found) => {
                    self.failure.set(foreign_line(&found, configured));
                    return;
                }
                Verdict::Wait(silent) => {
                    if !silent.is_empty() && Instant::now() >= next_line {
                        next_line = Instant::now() + WAITING_LINE_INTERVAL;
                        tracing::info!("{}", waiting_line(&silent));
                    }
                }
            }
            let pause = if begun.elapsed() < EARLY { ROUND_PAUSE } else { LATE_ROUND_PAUSE };
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Says hello whenever nobody is known to lead: whoever does learns where this node is, and its operator for whom it waits.
    pub(crate) async fn seek_controller(self) {
        let mut watch = self.raft.watch();
        let mut next_line = Instant::now() + WAITING_LINE_INTERVAL;
        loop {
            let is_lost = watch.status().leader.is_none();
            if !is_lost {
                tokio::select! {
                    () = self.cancel.cancelled() => return,
                    alive = watch.changed() => if !alive { return },
                }
                next_line = Instant::now() + WAITING_LINE_INTERVAL;
                continue;
            }
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = sleep(SEEK_PAUSE) => {}
            }
            if watch.status().leader.is_some() || self.raft.is_blank() {
                continue;
            }
            let answers = self.round().await;
            if Instant::now() >= next_line && watch.status().leader.is_none() {
                next_line = Instant::now() + WAITING_LINE_INTERVAL;
                let silent: Vec<_> = answers
                    .into_iter()
                    .filter_map(|(broker_id, answer)| match answer {
                        Answer::Silent(reason) => Some((broker_id, reason)),
                        Answer::Blank(_) | Answer::Formed { .. } => None,
                    })
                    .collect();
                if !silent.is_empty() {
                    tracing::info!("{}", waiting_line(&silent));
                }
            }
        }
    }

    async fn round(&self) -> BTreeMap<BrokerId, Answer> {
        let own = self.settings.broker_id();
        let ask = async |voter: &Voter| {
            let answer = if voter.broker_id == own {
                Answer::Blank(self.settings.raft_id())
            } else {
                match self.hello(&voter.address).await {
                    Ok(response) => judge(voter.broker_id, &response),
                    Err(reason) => Answer::Silent(reason),
                }
            };
            (voter.broker_id, answer)
        };
        join_all(self.settings.voters.iter().map(ask)).await.into_iter().collect()
    }

    async fn hello(&self, address: &Address) -> Result<proto::HelloResponse, String> {
        let channel = connect(address).await.map_err(|error: ConnectError| error.to_string())?;
        let settings = &self.settings;
        let configured = settings.cluster_id.as_ref().map(|id| id.0.clone());
        let own = &settings.advertised_address;
        let request = proto::HelloRequest {
            broker_id: self.settings.broker_id().0,
            raft_id: settings.raft_id().0,
            cluster_id: configured.unwrap_or_default(),
            control_host: own.host.clone(),
            control_port: u32::from(own.port),
        };
        let answer =
            timeout(HELLO_TIMEOUT, async { ControllerClient::new(channel).hello(request).await });
        match answer.await {
            Ok(Ok(response)) => {
                let response = response.into_inner();
                if response.broker_id_in_use {
                    self.claim.is_in_use();
                }
                Ok(response)
            }
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err("no answer".to_owned()),
        }
    }
}

fn foreign_line(found: &ClusterId, configured: Option<&ClusterId>) -> String {
    let expected = configured.map(|id| id.0.as_str()).unwrap_or_default();
    format!(
        "found cluster {found}, but cluster.id is {expected}: correct controller.quorum.voters or cluster.id"
    )
}

fn judge(expected: BrokerId, response: &proto::HelloResponse) -> Answer {
    if response.broker_id != expected.0 {
        return Answer::Silent(format!("broker {} answers there", response.broker_id));
    }
    if response.blank {
        return Answer::Blank(RaftId(response.raft_id));
    }
    let cluster_id =
        (!response.cluster_id.is_empty()).then(|| ClusterId(response.cluster_id.clone()));
    let controller = response.active_controller.as_ref().and_then(|active| {
        let port = u16::try_from(active.control_port).ok()?;
        Some(Address { host: active.control_host.clone(), port })
    });
    Answer::Formed { cluster_id, controller }
}

fn waiting_line(silent: &[(BrokerId, String)]) -> String {
    let voters: Vec<String> =
        silent.iter().map(|(broker_id, reason)| format!("{broker_id} ({reason})")).collect();
    format!("waiting for voters {}", voters.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(answers: &[(i32, Answer)]) -> BTreeMap<BrokerId, Answer> {
        answers.iter().map(|(id, answer)| (BrokerId(*id), answer.clone())).collect()
    }

    fn formed(cluster: &str) -> Answer {
        let controller = Address { host: "c".to_owned(), port: 1 };
        Answer::Formed {
            cluster_id: Some(ClusterId(cluster.to_owned())),
            controller: Some(controller),
        }
    }

    fn silent() -> Answer {
        Answer::Silent("connection refused".to_owned())
    }

    #[test]
    fn only_the_lowest_of_voters_that_are_all_blank_forms_a_cluster() {
        let all = answers(&[
            (1, Answer::Blank(RaftId(11))),
            (2, Answer::Blank(RaftId(12))),
            (3, Answer::Blank(RaftId(13))),
        ]);
        let Verdict::Form(voters) = decide(BrokerId(1), None, &all) else {
            panic!("the lowest voter forms the cluster");
        };
        assert_eq!(voters.len(), 3);
        assert_eq!(decide(BrokerId(2), None, &all), Verdict::Wait(Vec::new()));
        assert_eq!(decide(BrokerId(9), None, &all), Verdict::Wait(Vec::new()));
    }

    #[test]
    fn a_silent_voter_holds_back_the_formation() {
        let some = answers(&[(1, Answer::Blank(RaftId(11))), (2, silent()), (3, silent())]);
        let Verdict::Wait(silent) = decide(BrokerId(1), None, &some) else {
            panic!("a missing voter may belong to a cluster");
        };
        assert_eq!(
            waiting_line(&silent),
            "waiting for voters 2 (connection refused), 3 (connection refused)"
        );
    }

    #[test]
    fn a_wiped_lowest_voter_joins_the_cluster_that_the_others_have() {
        let met = answers(&[(1, Answer::Blank(RaftId(99))), (2, formed("abc")), (3, silent())]);
        assert!(matches!(decide(BrokerId(1), None, &met), Verdict::Join(to) if to.len() == 1));
    }

    #[test]
    fn a_node_configured_for_another_cluster_does_not_join() {
        let met = answers(&[(1, Answer::Blank(RaftId(99))), (2, formed("abc"))]);
        let other = ClusterId("xyz".to_owned());
        assert_eq!(
            decide(BrokerId(1), Some(&other), &met),
            Verdict::Foreign(ClusterId("abc".to_owned()))
        );
        let same = ClusterId("abc".to_owned());
        assert!(matches!(decide(BrokerId(1), Some(&same), &met), Verdict::Join(_)));
    }
}
