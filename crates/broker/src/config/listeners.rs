//! Listeners: where clients connect, and what they are told to connect to.
//!
//! Owns the syntax of `listeners`, `advertised.listeners`, `listener.security.protocol.map`, `controller.quorum.voters` and of plain
//! `host:port`. Each listener has its own advertised address: a client is answered with the addresses of the listener it came in by.

use std::fmt;

use model::BrokerId;

/// A host and a port. An empty host means every interface where it is bound, and is never advertised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Name or address, without the brackets of IPv6.
    pub host: String,
    /// The port; 0 asks the system for a free one (tests).
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where one listener is bound and what it tells its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Kafka's listener name, upper case.
    pub name: String,
    /// The address that is bound.
    pub bind: HostPort,
    /// The address that clients of this listener are told; its host is never empty.
    pub advertised: HostPort,
}

/// A text that does not have the form its key wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenerError {
    /// Not `host:port`.
    #[error("{0:?} is not host:port")]
    HostPort(String),
    /// Not `NAME://host:port`.
    #[error("{0:?} is not NAME://host:port")]
    Endpoint(String),
    /// Two listeners of one name or on one port.
    #[error("listener {0} is named twice")]
    Duplicate(String),
    /// `advertised.listeners` names a listener that `listeners` does not have.
    #[error("advertised.listeners names {0}, which listeners does not")]
    NotListening(String),
    /// A protocol other than PLAINTEXT.
    #[error("listener {listener} asks for {protocol}: only PLAINTEXT is served")]
    Protocol {
        /// The listener.
        listener: String,
        /// What its map entry says.
        protocol: String,
    },
    /// Not `NAME:PROTOCOL`, or a listener that the map does not name.
    #[error("listener.security.protocol.map has no protocol for {0}")]
    Unmapped(String),
    /// Not `id@host:port`.
    #[error("{0:?} is not id@host:port")]
    Voter(String),
    /// No listener at all.
    #[error("at least one listener is needed")]
    None,
}

/// Reads `host:port` or `[v6]:port`; the host may be empty.
///
/// # Errors
/// [`ListenerError::HostPort`] for any other form.
pub fn parse_host_port(text: &str) -> Result<HostPort, ListenerError> {
    let wrong = || ListenerError::HostPort(text.to_owned());
    let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    let port = port.parse().map_err(|_| wrong())?;
    // Kafka's files write 0.0.0.0 and :: for "every interface".
    Ok(HostPort { host: host.to_owned(), port })
}

/// Joins the three keys of listeners.
///
/// # Errors
/// [`ListenerError`] names the entry that is wrong.
pub fn parse_listeners(
    listeners: &str,
    advertised: Option<&str>,
    protocol_map: &str,
    own_host: &str,
) -> Result<Vec<Listener>, ListenerError> {
    let advertised = advertised.map(parse_endpoints).transpose()?.unwrap_or_default();
    let bound = parse_endpoints(listeners)?;
    if let Some((name, _)) =
        advertised.iter().find(|(name, _)| !bound.iter().any(|(other, _)| other == name))
    {
        return Err(ListenerError::NotListening(name.clone()));
    }
    let mut result = Vec::with_capacity(bound.len());
    for (name, bind) in bound {
        check_protocol(&name, protocol_map)?;
        let told = advertised.iter().find(|(other, _)| *other == name);
        let mut told = told.map_or_else(|| bind.clone(), |(_, address)| address.clone());
        if is_every_interface(&told.host) {
            told.host = own_host.to_owned();
        }
        result.push(Listener { name, bind, advertised: told });
    }
    if result.is_empty() { Err(ListenerError::None) } else { Ok(result) }
}

/// Reads `id@host:port,...`.
///
/// # Errors
/// [`ListenerError::Voter`] names an entry of another form, [`ListenerError::Duplicate`] an id that comes twice.
pub fn parse_voters(text: &str) -> Result<Vec<(BrokerId, HostPort)>, ListenerError> {
    let mut voters: Vec<(BrokerId, HostPort)> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let wrong = || ListenerError::Voter(entry.to_owned());
        let (id, address) = entry.split_once('@').ok_or_else(wrong)?;
        let id = id.parse::<i32>().ok().filter(|id| *id >= 0).ok_or_else(wrong)?;
        let address = parse_host_port(address).map_err(|_| wrong())?;
        if address.host.is_empty() || address.port == 0 {
            return Err(wrong());
        }
        if voters.iter().any(|(other, _)| other.0 == id) {
            return Err(ListenerError::Duplicate(id.to_string()));
        }
        voters.push((BrokerId(id), address));
    }
    Ok(voters)
}

/// Says whether a host names no interface in particular.
#[must_use]
pub fn is_every_interface(host: &str) -> bool {
    matches!(host, "" | "0.0.0.0" | "::")
}

fn parse_endpoints(text: &str) -> Result<Vec<(String, HostPort)>, ListenerError> {
    let mut endpoints: Vec<(String, HostPort)> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let wrong = || ListenerError::Endpoint(entry.to_owned());
        let (name, address) = entry.split_once("://").ok_or_else(wrong)?;
        let address = parse_host_port(address).map_err(|_| wrong())?;
        let name = name.to_ascii_uppercase();
        if name.is_empty() {
            return Err(wrong());
        }
        let same_port = |other: &HostPort| {
            other.port != 0 && other.port == address.port && other.host == address.host
        };
        if endpoints.iter().any(|(other, at)| *other == name || same_port(at)) {
            return Err(ListenerError::Duplicate(name));
        }
        endpoints.push((name, address));
    }
    Ok(endpoints)
}

fn check_protocol(listener: &str, map: &str) -> Result<(), ListenerError> {
    let mapped = map
        .split(',')
        .filter_map(|entry| entry.trim().split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(listener))
        .map(|(_, protocol)| protocol.trim().to_ascii_uppercase());
    let protocol = match mapped {
        Some(protocol) => protocol,
        None if matches!(listener, "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL") => {
            listener.to_owned()
        }
        None => return Err(ListenerError::Unmapped(listener.to_owned())),
    };
    if protocol == "PLAINTEXT" {
        return Ok(());
    }
    Err(ListenerError::Protocol { listener: listener.to_owned(), protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_has_its_own_advertised_address() {
        let listeners = parse_listeners(
            "INTERNAL://:19092, EXTERNAL://0.0.0.0:9092",
            Some("INTERNAL://broker-1:19092,EXTERNAL://localhost:9092"),
            "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
            "me",
        )
        .unwrap();
        let told: Vec<String> = listeners.iter().map(|one| one.advertised.to_string()).collect();
        assert_eq!(told, ["broker-1:19092", "localhost:9092"]);
    }

    #[test]
    fn an_address_of_every_interface_is_advertised_as_this_machine() {
        let listeners =
            parse_listeners("PLAINTEXT://0.0.0.0:9092", None, "PLAINTEXT:PLAINTEXT", "me").unwrap();
        assert_eq!(listeners[0].advertised.to_string(), "me:9092");
    }

    #[test]
    fn wrong_listeners_are_refused_by_name() {
        let map = "PLAINTEXT:PLAINTEXT,SECURE:SSL,A:PLAINTEXT,B:PLAINTEXT";
        for (listeners, advertised, part) in [
            ("PLAINTEXT:9092", None, "NAME://host:port"),
            ("PLAINTEXT://:x", None, "NAME://host:port"),
            ("OTHER://:9092", None, "no protocol for OTHER"),
            ("SECURE://:9092", None, "only PLAINTEXT"),
            ("SSL://:9092", None, "only PLAINTEXT"),
            ("A://:9092,A://:9093", None, "twice"),
            ("A://:9092,B://:9092", None, "twice"),
            ("A://:9092", Some("B://x:1"), "which listeners does not"),
            ("", None, "at least one"),
        ] {
            let error = parse_listeners(listeners, advertised, map, "me").unwrap_err().to_string();
            assert!(error.contains(part), "{listeners}: {error}");
        }
    }

    #[test]
    fn voters_are_ids_and_addresses() {
        let voters = parse_voters("1@a:9392,2@[::1]:9393").unwrap();
        assert_eq!(voters[1].0, BrokerId(2));
        assert_eq!(voters[1].1.to_string(), "[::1]:9393");
        for text in ["a:9392", "x@a:9392", "-1@a:1", "1@:9392", "1@a:0", "1@a:1,1@b:2"] {
            assert!(parse_voters(text).is_err(), "{text}");
        }
    }
}
