//! Sends the answers of a connection: everything that is due, in one vectored write per turn.
//!
//! Owns the pieces that the socket did not take yet. Pieces are sent as they are; record bytes are never copied here.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;

/// Pieces per system call; Linux takes 1,024.
const MAX_PIECES: usize = 64;

/// Answers on their way to the client.
#[derive(Debug, Default)]
pub(super) struct ResponseWriter {
    pieces: VecDeque<Bytes>,
    unsent_bytes: usize,
}

impl ResponseWriter {
    pub(super) fn push(&mut self, pieces: Vec<Bytes>) {
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.unsent_bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes until all is sent or the socket is full, and says whether any byte went out.
    pub(super) fn flush(&mut self, stream: &TcpStream) -> std::io::Result<bool> {
        let mut progress = false;
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_PIECES];
            let count = self.pieces.len().min(MAX_PIECES);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
            }
            match stream.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.consume(sent);
                    progress = true;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(progress)
    }

    fn consume(&mut self, mut sent: usize) {
        self.unsent_bytes -= sent;
        while let Some(first) = self.pieces.front_mut() {
            if sent < first.len() {
                first.advance(sent);
                return;
            }
            sent -= first.len();
            self.pieces.pop_front();
        }
    }
}
