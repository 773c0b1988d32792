//! What the metadata holds of a broker.
//!
//! Owns the record of a registration; who may change it is decided in `registration` and `fencing`.

use std::fmt;

use model::{BrokerEpoch, BrokerId, DirectoryId, IncarnationId};

/// Identity of one formatted Raft storage: a number drawn when it is formatted, so that a wiped voter never votes again under its old id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RaftId(pub u64);

impl fmt::Debug for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Address {
    /// Name or address of the host, resolved anew at each connect.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A listener as clients see it (Kafka's `advertised.listeners`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The listener's name, unique within the broker.
    pub listener: String,
    /// Where it is reached.
    pub address: Address,
    /// What is spoken there.
    pub security_protocol: SecurityProtocol,
}

/// Kafka's security protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecurityProtocol {
    /// No encryption, no authentication.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Returns Kafka's number.
    #[must_use]
    pub fn to_wire(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }

    /// Reads Kafka's number.
    #[must_use]
    pub fn from_wire(value: i16) -> Option<Self> {
        match value {
            0 => Some(Self::Plaintext),
            1 => Some(Self::Ssl),
            2 => Some(Self::SaslPlaintext),
            3 => Some(Self::SaslSsl),
            _ => None,
        }
    }
}

/// What a registration proved of its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirectoryProof {
    /// The directory of the last registration, and not older than when it was last unfenced.
    Intact,
    /// A known directory, not older than when it was last unfenced, but another one than that of the last registration: a volume that was mounted again.
    /// What it holds counts only where loss emptied the ISR and it was the last member.
    Returned,
    /// An unknown directory, or one that is older than when it was last unfenced: it counts as wiped.
    Wiped,
}

/// What a registered broker may do.
///
/// ```text
///   registered --> Fenced --unfence--> Unfenced --controlled shutdown--> ShuttingDown
///                    ^                    |                                   |
///                    +-------fence--------+----------------fence--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrokerState {
    /// Neither leads nor joins ISRs.
    Fenced,
    /// Leads and joins ISRs.
    Unfenced,
    /// Still serves, and counts as unfenced; gets no leadership and joins no ISR.
    ShuttingDown,
}

/// A broker's registration: one per broker id, replaced by the next incarnation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The configured `node.id`.
    pub broker_id: BrokerId,
    /// The metadata log's index of this registration.
    pub broker_epoch: BrokerEpoch,
    /// The registered run of the process.
    pub incarnation_id: IncarnationId,
    /// The log directory of this registration.
    pub directory_id: DirectoryId,
    /// What the registration proved of that directory.
    pub directory_proof: DirectoryProof,
    /// The Raft id of its storage.
    pub raft_id: RaftId,
    /// Where clients reach it.
    pub endpoints: Vec<Endpoint>,
    /// Where replicas reach it.
    pub replication_address: Address,
    /// Where the control plane reaches it.
    pub control_address: Address,
    /// Kafka's `broker.rack`.
    pub rack: Option<String>,
    /// What it may do.
    pub state: BrokerState,
    /// How often this incarnation was fenced after its registration, which itself begins fenced: starts at 0, grows by one with every fence.
    pub fence_count: u64,
    /// Directories of this broker id that were unfenced, each with the last epoch under which it was; oldest first, at most 16.
    /// A directory that is not here, or that shows an older epoch, counts as wiped.
    pub known_directories: Vec<(DirectoryId, BrokerEpoch)>,
    /// Incarnations that were superseded, oldest first, at most 16: a late copy of their registration must not end their successor.
    pub superseded: Vec<IncarnationId>,
}

impl BrokerRegistration {
    /// Says whether the broker is fenced; one that shuts down is not.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.state == BrokerState::Fenced
    }

    /// Says whether the broker may be given leaderships and may join ISRs: unfenced and not shutting down.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == BrokerState::Unfenced
    }

    /// Returns the endpoint of a listener.
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }

    /// Returns the last epoch under which a directory of this broker was unfenced; `None` for one that never was.
    #[must_use]
    pub fn last_unfenced_epoch(&self, directory_id: DirectoryId) -> Option<BrokerEpoch> {
        self.known_directories.iter().find(|known| known.0 == directory_id).map(|known| known.1)
    }
}

/// How many directories of one broker id are remembered; a forgotten one counts as wiped, which is safe.
pub(in crate::metadata) const MAX_REMEMBERED_DIRECTORIES: usize = 16;

/// How many superseded incarnations of one broker id are remembered.
pub(in crate::metadata) const MAX_REMEMBERED_INCARNATIONS: usize = 16;
