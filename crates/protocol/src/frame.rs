//! Frames: a length of four bytes, then a header and a message.
//!
//! Owns the limit of what is received and the form in which a frame is sent. Invariant: no length of a peer above the
//! limit is ever waited for or allocated.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of the length in front of a frame.
pub const LENGTH_BYTES: usize = size_of::<i32>();

/// A length that no frame may have. There is no way to go on in the stream: the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length below zero.
    #[error("a frame of {0} bytes")]
    Negative(i32),
    /// A length above the limit.
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes that were announced.
        length: usize,
        /// Most bytes that are allowed.
        limit: usize,
    },
}

/// Reads the length in front of a frame: how many bytes follow it, at most `limit`.
///
/// # Errors
/// [`FrameError`] when it is negative or above the limit.
pub fn frame_length(prefix: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, FrameError> {
    let announced = i32::from_be_bytes(prefix);
    let length = usize::try_from(announced).map_err(|_| FrameError::Negative(announced))?;
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    Ok(length)
}

/// Takes the first frame out of what was received, without its length and without a copy; `None` while it is not whole.
///
/// # Errors
/// [`FrameError`] when its length is negative or above the limit.
pub fn take_frame(received: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = received.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = frame_length(*prefix, limit)?;
    if received.len() - LENGTH_BYTES < length {
        return Ok(None);
    }
    received.advance(LENGTH_BYTES);
    Ok(Some(received.split_to(length).freeze()))
}

/// A frame to be sent, with its length in front: pieces that a vectored write sends without joining them.
///
/// As a [`Buf`] it counts down what is sent; `chunks_vectored` gives all pieces at once.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pieces: Vec<Bytes>,
    /// Pieces before this one are sent.
    first: usize,
    /// Bytes that are not sent.
    remaining: usize,
}

impl Frame {
    /// Joins `buffer` with the bytes that stand in it at the given positions, in order.
    pub(crate) fn new(mut buffer: Bytes, splices: Vec<(usize, Bytes)>) -> Self {
        let mut pieces = Vec::with_capacity(2 * splices.len() + 1);
        let mut taken = 0;
        for (position, bytes) in splices {
            if position > taken {
                pieces.push(buffer.split_to(position - taken));
                taken = position;
            }
            pieces.push(bytes);
        }
        if !buffer.is_empty() {
            pieces.push(buffer);
        }
        let remaining = pieces.iter().map(Bytes::len).sum();
        Self { pieces, first: 0, remaining }
    }

    /// Returns the pieces that are not sent, none of them empty.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces[self.first..]
    }

    /// Joins what is not sent; copies unless it is one piece.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        self.copy_to_bytes(self.remaining)
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.get(self.first).map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(self.pieces()) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "no more is sent than there is");
        self.remaining -= count;
        while count > 0 {
            let piece = &mut self.pieces[self.first];
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            // Lets go of records that are sent, which may be much memory.
            *piece = Bytes::new();
            self.first += 1;
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        assert!(count <= self.remaining, "no more is taken than there is");
        if let Some(piece) = self.pieces.get(self.first).filter(|piece| piece.len() >= count) {
            let bytes = piece.slice(..count);
            self.advance(count);
            return bytes;
        }
        let mut joined = BytesMut::with_capacity(count);
        while joined.len() < count {
            let chunk = self.chunk();
            let length = chunk.len().min(count - joined.len());
            joined.extend_from_slice(&chunk[..length]);
            self.advance(length);
        }
        joined.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_below_zero_or_above_the_limit_is_refused() {
        assert_eq!(frame_length((-1i32).to_be_bytes(), 10), Err(FrameError::Negative(-1)));
        assert_eq!(
            frame_length(i32::MAX.to_be_bytes(), 10),
            Err(FrameError::TooLarge { length: 0x7fff_ffff, limit: 10 })
        );
        assert_eq!(frame_length(10i32.to_be_bytes(), 10), Ok(10));
        assert_eq!(frame_length(0i32.to_be_bytes(), 10), Ok(0));
    }

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole() {
        let mut received = BytesMut::from(&[0, 0, 0, 2, 7][..]);
        assert_eq!(take_frame(&mut received, 10), Ok(None));
        received.extend_from_slice(&[8, 0, 0]);
        assert_eq!(take_frame(&mut received, 10), Ok(Some(Bytes::from_static(&[7, 8]))));
        assert_eq!(take_frame(&mut received, 10), Ok(None));
        assert_eq!(received.len(), 2);
    }

    #[test]
    fn a_frame_in_pieces_is_sent_by_any_steps() {
        let splices = vec![
            (2, Bytes::from_static(b"RECORDS")),
            (2, Bytes::from_static(b"MORE")),
            (5, Bytes::from_static(b"LAST")),
        ];
        let whole = b"01RECORDSMORE234LAST";
        for step in 1..=whole.len() {
            let mut frame = Frame::new(Bytes::from_static(b"01234"), splices.clone());
            assert_eq!(frame.clone().into_bytes(), &whole[..]);
            let mut sent = Vec::new();
            while frame.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 8];
                let filled = frame.chunks_vectored(&mut slices);
                let turn: Vec<u8> =
                    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                assert_eq!(turn.len(), frame.remaining());
                let length = step.min(turn.len());
                sent.extend_from_slice(&turn[..length]);
                frame.advance(length);
            }
            assert_eq!(sent, whole, "in steps of {step}");
            assert!(frame.chunk().is_empty());
        }
    }
}
