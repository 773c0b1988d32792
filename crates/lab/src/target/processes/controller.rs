//! Finds who leads the metadata quorum, by the target file's rule.
//!
//! Owns the two ways of asking; `None` is the answer when none or several claim it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use crate::target::NodeId;

/// The leader and the epoch of a state file; `None` while it names none.
pub(super) fn leader_in(path: &Path, leader: &str, epoch: &str) -> Option<(i64, NodeId)> {
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let leader = state.pointer(leader)?.as_i64()?;
    Some((state.pointer(epoch)?.as_i64()?, NodeId::try_from(leader).ok()?))
}

/// Whether the page at this address has this line.
pub(super) fn page_has(url: &str, line: &str) -> bool {
    page(url).is_some_and(|page| page.lines().any(|found| found.trim_end() == line))
}

fn page(url: &str) -> Option<String> {
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let address: SocketAddr = host.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = Vec::new();
    stream.take(LARGEST_PAGE).read_to_end(&mut page).ok()?;
    Some(String::from_utf8_lossy(&page).into_owned())
}

/// A node that does not answer by then leads nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// A page of metrics is far smaller.
const LARGEST_PAGE: u64 = 8 << 20;
