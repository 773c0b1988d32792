//! Writes primitives into a frame and keeps large records out of it.
//!
//! Invariants: the first mistake is kept and makes [`Writer::finish`] fail, so that no half frame is ever sent; bytes of
//! [`SPLICE_BYTES`] and more are referred to, not copied.

use bytes::{BufMut, Bytes, BytesMut};

use super::error::EncodeError;
use super::{Layout, MAX_STRING_BYTES};
use crate::frame::Frame;

/// A frame that is being written, with the version and the layout of what is written next.
///
/// Writing a field does not fail; what cannot be expressed is remembered and returned by [`Writer::finish`].
#[derive(Debug)]
pub struct Writer {
    /// The frame's length in four bytes, then all that is not spliced.
    buffer: BytesMut,
    /// Bytes that stand in the frame at a position of `buffer`, in order.
    splices: Vec<(usize, Bytes)>,
    /// Tagged fields that are being written, one inside the other: there, sizes are taken from `buffer` alone.
    open_tags: u32,
    failure: Option<EncodeError>,
    version: i16,
    layout: Layout,
}

/// From here on bytes are referred to instead of copied: below, a copy is cheaper than one more piece to send.
pub(crate) const SPLICE_BYTES: usize = 4096;

impl Default for Writer {
    fn default() -> Self {
        Self::new(BytesMut::with_capacity(256))
    }
}

impl Writer {
    /// Starts a frame in `buffer`, which is emptied first; its memory is reused.
    #[must_use]
    pub fn new(mut buffer: BytesMut) -> Self {
        buffer.clear();
        buffer.put_i32(0);
        Self {
            buffer,
            splices: Vec::new(),
            open_tags: 0,
            failure: None,
            version: 0,
            layout: Layout::Classic,
        }
    }

    /// Sets version and layout of what is written next.
    pub fn set_version(&mut self, version: i16, layout: Layout) {
        self.version = version;
        self.layout = layout;
    }

    /// Returns the version of the message that is being written.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Returns the layout of the message that is being written.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Remembers a mistake, unless there is an earlier one.
    #[cold]
    pub(crate) fn fail(&mut self, error: EncodeError) {
        self.failure.get_or_insert(error);
    }

    /// Writes a signed byte.
    pub fn put_i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    /// Writes two bytes, high byte first.
    pub fn put_i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// Writes four bytes, high byte first.
    pub fn put_i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// Writes eight bytes, high byte first.
    pub fn put_i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// Copies bytes as they are, without a length.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Writes an unsigned varint.
    pub fn put_unsigned_varint(&mut self, value: u32) {
        let (bytes, length) = unsigned_varint(value);
        self.buffer.put_slice(&bytes[..length]);
    }

    /// Writes a length or count (`None` is null) in the present layout, four bytes wide in the classic one.
    pub fn put_length(&mut self, length: Option<usize>) {
        match (self.layout, length) {
            (Layout::Flexible, None) => self.put_unsigned_varint(0),
            (Layout::Classic, None) => self.put_i32(-1),
            (layout, Some(length)) => match (layout, i32::try_from(length)) {
                (Layout::Flexible, Ok(length)) => {
                    self.put_unsigned_varint(length.unsigned_abs() + 1);
                }
                (Layout::Classic, Ok(length)) => self.put_i32(length),
                (_, Err(_)) => self.fail(EncodeError::TooLarge(length)),
            },
        }
    }

    /// Writes a string or null.
    pub fn put_string(&mut self, text: Option<&str>) {
        let length = text.map(str::len);
        if let Some(length) = length.filter(|length| *length > MAX_STRING_BYTES) {
            return self.fail(EncodeError::StringTooLong(length));
        }
        match self.layout {
            Layout::Flexible => self.put_length(length),
            Layout::Classic => self.put_i16(length.map_or(-1, |length| {
                i16::try_from(length).expect("MAX_STRING_BYTES fits into two bytes")
            })),
        }
        self.buffer.put_slice(text.unwrap_or_default().as_bytes());
    }

    /// Writes bytes or null; large ones are referred to.
    pub fn put_bytes(&mut self, bytes: Option<&Bytes>) {
        self.put_length(bytes.map(Bytes::len));
        let Some(bytes) = bytes else { return };
        if bytes.len() < SPLICE_BYTES || self.open_tags > 0 {
            self.buffer.put_slice(bytes);
        } else {
            self.splices.push((self.buffer.len(), bytes.clone()));
        }
    }

    /// Writes a tagged field: its tag, its size, and what `content` writes.
    pub fn put_tagged_field(&mut self, tag: u32, content: impl FnOnce(&mut Self)) {
        self.put_unsigned_varint(tag);
        let start = self.buffer.len();
        self.open_tags += 1;
        content(self);
        self.open_tags -= 1;
        // The size stands in front and is known only now. Tagged fields are small, so moving them is cheap.
        let size = self.buffer.len() - start;
        let Ok(size) = u32::try_from(size) else { return self.fail(EncodeError::TooLarge(size)) };
        let (bytes, length) = unsigned_varint(size);
        let end = self.buffer.len();
        self.buffer.put_slice(&bytes[..length]);
        self.buffer.copy_within(start..end, start + length);
        self.buffer[start..start + length].copy_from_slice(&bytes[..length]);
    }

    /// Ends the frame and writes its length into its first four bytes.
    ///
    /// # Errors
    /// The first mistake that was made while writing, or [`EncodeError::TooLarge`].
    pub fn finish(mut self) -> Result<Frame, EncodeError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let spliced: usize = self.splices.iter().map(|(_, bytes)| bytes.len()).sum();
        let length = self.buffer.len() - size_of::<i32>() + spliced;
        let length = i32::try_from(length).map_err(|_| EncodeError::TooLarge(length))?;
        self.buffer[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        Ok(Frame::new(self.buffer.freeze(), self.splices))
    }
}

/// Returns an unsigned varint and how many bytes of the array it takes.
fn unsigned_varint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut length = 0;
    loop {
        let bits = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes[length] = bits;
            return (bytes, length + 1);
        }
        bytes[length] = bits | 0x80;
        length += 1;
    }
}
