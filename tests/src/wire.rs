//! Raw bytes to a broker, for what no client would send; blocking, one connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use protocol::ApiRequest;
use protocol::header::{decode_response, encode_request};

/// A connection that says what it is told to say.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
}

/// What came back for a request.
#[derive(Debug)]
pub enum Reply {
    /// A frame, without its length.
    Frame(Bytes),
    /// The broker closed the connection.
    Closed,
}

impl RawConnection {
    /// Connects; reads end after ten seconds.
    ///
    /// # Panics
    /// When the broker does not accept.
    #[must_use]
    pub fn open(address: &str) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
        stream.set_write_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
        Self { stream }
    }

    /// Connects, unless nobody listens: the broker may have been killed.
    #[must_use]
    pub fn try_open(address: &str) -> Option<Self> {
        TcpStream::connect(address).is_ok().then(|| Self::open(address))
    }

    /// Sends bytes as they are. A broker that has closed already is no failure: [`RawConnection::reply`] will tell.
    pub fn send(&mut self, bytes: &[u8]) {
        let _sent = self.stream.write_all(bytes);
    }

    /// Sends bytes as one frame, with a true length in front.
    pub fn send_frame(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("a frame fits its length");
        self.send(&[&length.to_be_bytes(), bytes].concat());
    }

    /// Waits for a frame or the end of the connection.
    ///
    /// # Panics
    /// When neither comes within ten seconds.
    #[must_use]
    pub fn reply(&mut self) -> Reply {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                panic!("the broker neither answered nor closed within ten seconds")
            }
            Err(_) => return Reply::Closed,
        }
        let mut frame =
            vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length is positive")];
        self.stream.read_exact(&mut frame).expect("a frame arrives whole");
        Reply::Frame(frame.into())
    }

    /// Sends a request and decodes its response.
    ///
    /// # Panics
    /// When the connection is closed or the response is not one.
    pub fn ask<R: ApiRequest>(&mut self, request: &R, version: i16) -> R::Response {
        let answer = self.try_ask(request, version);
        answer.expect("the broker closed the connection instead of answering")
    }

    /// The same; `None` when the connection is closed.
    ///
    /// # Panics
    /// When the response is not one.
    pub fn try_ask<R: ApiRequest>(&mut self, request: &R, version: i16) -> Option<R::Response> {
        let frame =
            encode_request(7, Some("test"), version, request).expect("the request can be encoded");
        self.send(&frame.into_bytes());
        match self.reply() {
            Reply::Frame(frame) => {
                Some(decode_response::<R>(version, frame).expect("the response can be decoded").1)
            }
            Reply::Closed => None,
        }
    }
}
