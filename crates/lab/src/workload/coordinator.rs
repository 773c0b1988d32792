//! Asks a cluster which node coordinates a group: FindCoordinator, version 0, by hand, since librdkafka keeps the answer to itself.
//!
//! Any broker answers. Whatever is not a whole answer without an error counts as none.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const FIND_COORDINATOR: i16 = 10;
const VERSION: i16 = 0;
const CORRELATION_ID: i32 = 1;
const CLIENT: &str = "lab-nemesis";
/// For each broker and each step.
const PATIENCE: Duration = Duration::from_secs(1);
/// An answer has a host name and four numbers.
const LARGEST_ANSWER: usize = 4096;

/// The broker id of a group's coordinator, by the first of these brokers that knows it.
pub(crate) fn coordinator_of(bootstrap: &str, group: &str) -> Option<u32> {
    bootstrap.split(',').find_map(|broker| {
        let answer = ask(broker.trim(), &request(group)?).ok()?;
        coordinator(&answer)
    })
}

/// Size, header (version 1) and body.
fn request(group: &str) -> Option<Vec<u8>> {
    let mut request = vec![0; 4];
    request.extend(FIND_COORDINATOR.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(CORRELATION_ID.to_be_bytes());
    for text in [CLIENT, group] {
        request.extend(i16::try_from(text.len()).ok()?.to_be_bytes());
        request.extend(text.as_bytes());
    }
    let size = i32::try_from(request.len() - 4).ok()?;
    request[..4].copy_from_slice(&size.to_be_bytes());
    Some(request)
}

fn ask(broker: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let address = broker.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(i32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if size > LARGEST_ANSWER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Correlation id, error code, node id; host and port follow and are not needed.
fn coordinator(answer: &[u8]) -> Option<u32> {
    let (correlation_id, rest) = answer.split_first_chunk::<4>()?;
    let (error, rest) = rest.split_first_chunk::<2>()?;
    let (node, _) = rest.split_first_chunk::<4>()?;
    let is_answer = i32::from_be_bytes(*correlation_id) == CORRELATION_ID;
    if !is_answer || i16::from_be_bytes(*error) != 0 {
        return None;
    }
    u32::try_from(i32::from_be_bytes(*node)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of Kafka's: node 2 at `a`:9092.
    const ANSWER: [u8; 17] = [0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 1, b'a', 0, 0, 0x23, 0x84];

    #[test]
    fn only_a_whole_answer_without_an_error_names_a_coordinator() {
        assert_eq!(coordinator(&ANSWER), Some(2));
        let mut refused = ANSWER;
        refused[5] = 15;
        assert_eq!(coordinator(&refused), None);
        let mut foreign = ANSWER;
        foreign[3] = 2;
        assert_eq!(coordinator(&foreign), None);
        assert_eq!(coordinator(&ANSWER[..9]), None);
    }

    #[test]
    fn the_first_broker_that_knows_is_believed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let knows = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = vec![0; request("g").unwrap().len()];
                stream.read_exact(&mut asked).unwrap();
                assert_eq!(asked, request("g").unwrap());
                stream.write_all(&17_i32.to_be_bytes()).unwrap();
                stream.write_all(&ANSWER).unwrap();
            });
            // Port 0 refuses.
            assert_eq!(coordinator_of(&format!("127.0.0.1:0, {knows}"), "g"), Some(2));
        });
    }
}
