//! Reads primitives from a frame and never trusts a length.
//!
//! Invariants: no byte outside of the frame is read; a length is compared with what is left before anything is allocated;
//! all arrays of one frame together take at most the reader's memory budget.

use bytes::Bytes;

use super::error::{DecodeError, Problem};
use super::string::KafkaString;
use super::{Layout, MAX_STRING_BYTES};

/// A position in a received frame, with the version and the layout of what is read next.
///
/// Strings and records come out as slices of the frame.
#[derive(Clone, Debug)]
pub struct Reader {
    frame: Bytes,
    position: usize,
    /// End of what may be read: of the frame, or of the tagged field that is being read.
    end: usize,
    /// Bytes of memory that arrays may still take.
    budget: usize,
    version: i16,
    layout: Layout,
}

/// Memory that the arrays of any frame may take, however small it is.
const FREE_BUDGET_BYTES: usize = 64 * 1024;
/// Memory that arrays may take per byte of the frame. A list of topic names of four letters takes six times its bytes.
const BUDGET_PER_FRAME_BYTE: usize = 16;
/// Most memory that arrays of one frame may take: a million partitions of a metadata response.
const MAX_BUDGET_BYTES: usize = 128 * 1024 * 1024;

/// What the length of an array, of bytes or of a string says.
type Length = Option<usize>;

impl Reader {
    /// Starts at the first byte of a frame (without the length in front of it), at version 0 and in the classic layout.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        let end = frame.len();
        let budget = end
            .saturating_mul(BUDGET_PER_FRAME_BYTE)
            .saturating_add(FREE_BUDGET_BYTES)
            .min(MAX_BUDGET_BYTES);
        Self { frame, position: 0, end, budget, version: 0, layout: Layout::Classic }
    }

    /// Sets version and layout of what is read next.
    pub fn set_version(&mut self, version: i16, layout: Layout) {
        self.version = version;
        self.layout = layout;
    }

    /// Returns the version of the message that is being read.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Returns the layout of the message that is being read.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns how many bytes are left in the frame, or in the tagged field that is being read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Makes an error about the byte that would be read next.
    #[cold]
    pub(crate) fn error(&self, problem: Problem) -> DecodeError {
        DecodeError::new(problem, self.position)
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        self.error(Problem::Truncated { needed, left: self.remaining() })
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(bytes) = self.frame[self.position..self.end].first_chunk::<N>() else {
            return Err(self.truncated(N));
        };
        let bytes = *bytes;
        self.position += N;
        Ok(bytes)
    }

    /// Reads an unsigned byte.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_u8(&mut self) -> Result<u8, DecodeError> {
        self.read_array().map(u8::from_be_bytes)
    }

    /// Reads a signed byte.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_i8(&mut self) -> Result<i8, DecodeError> {
        self.read_array().map(i8::from_be_bytes)
    }

    /// Reads two bytes, high byte first, signed.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_i16(&mut self) -> Result<i16, DecodeError> {
        self.read_array().map(i16::from_be_bytes)
    }

    /// Reads four bytes, high byte first, signed.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_i32(&mut self) -> Result<i32, DecodeError> {
        self.read_array().map(i32::from_be_bytes)
    }

    /// Reads eight bytes, high byte first, signed.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_i64(&mut self) -> Result<i64, DecodeError> {
        self.read_array().map(i64::from_be_bytes)
    }

    /// Reads the sixteen bytes of a UUID.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_uuid(&mut self) -> Result<[u8; 16], DecodeError> {
        self.read_array()
    }

    /// Reads a boolean: any byte but 0 is true, as in Kafka.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_bool(&mut self) -> Result<bool, DecodeError> {
        self.read_u8().map(|byte| byte != 0)
    }

    /// Reads an unsigned varint of at most 5 bytes.
    ///
    /// # Errors
    /// [`Problem::Truncated`], or [`Problem::VarintTooLong`] when it goes on after 5 bytes or exceeds 32 bits.
    pub fn read_unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let start = self.position;
        let mut value = 0u32;
        for index in 0..5 {
            let byte = self.read_u8()?;
            let bits = u32::from(byte & 0x7f);
            // The fifth byte has room for four bits.
            if index == 4 && bits > 0x0f {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::new(Problem::VarintTooLong, start))
    }

    /// Reads a length or count in the present layout, four bytes wide in the classic one. `None` is null.
    fn read_length(&mut self) -> Result<Length, DecodeError> {
        match self.layout {
            Layout::Flexible => self.read_compact_length(),
            Layout::Classic => {
                let start = self.position;
                let length = self.read_i32()?;
                classic_length(i64::from(length), start)
            }
        }
    }

    /// Reads the length of a string in the present layout, two bytes wide in the classic one. `None` is null.
    fn read_string_length(&mut self) -> Result<Length, DecodeError> {
        match self.layout {
            Layout::Flexible => self.read_compact_length(),
            Layout::Classic => {
                let start = self.position;
                let length = self.read_i16()?;
                classic_length(i64::from(length), start)
            }
        }
    }

    fn read_compact_length(&mut self) -> Result<Length, DecodeError> {
        let start = self.position;
        let length = self.read_unsigned_varint()?;
        let length =
            usize::try_from(length).map_err(|_| DecodeError::new(Problem::VarintTooLong, start))?;
        Ok(length.checked_sub(1))
    }

    /// Takes `length` bytes out of the frame without a copy.
    ///
    /// # Errors
    /// [`Problem::Truncated`].
    pub fn read_slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.remaining() {
            return Err(self.truncated(length));
        }
        let slice = self.frame.slice(self.position..self.position + length);
        self.position += length;
        Ok(slice)
    }

    /// Reads a string or null.
    ///
    /// # Errors
    /// [`Problem::Truncated`], [`Problem::NegativeLength`], [`Problem::VarintTooLong`], [`Problem::StringTooLong`],
    /// [`Problem::NotUtf8`].
    pub fn read_nullable_string(&mut self) -> Result<Option<KafkaString>, DecodeError> {
        let Some(length) = self.read_string_length()? else { return Ok(None) };
        if length > MAX_STRING_BYTES {
            return Err(self.error(Problem::StringTooLong(length)));
        }
        let start = self.position;
        let bytes = self.read_slice(length)?;
        let text =
            KafkaString::try_from(bytes).map_err(|_| DecodeError::new(Problem::NotUtf8, start))?;
        Ok(Some(text))
    }

    /// Reads bytes or null.
    ///
    /// # Errors
    /// [`Problem::Truncated`], [`Problem::NegativeLength`], [`Problem::VarintTooLong`].
    pub fn read_nullable_bytes(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.read_length()? else { return Ok(None) };
        self.read_slice(length).map(Some)
    }

    /// Reads the count of an array whose elements take at least `least_size` bytes each in the frame and `memory_size`
    /// bytes each in memory, and takes those from the budget. `None` is a null array.
    ///
    /// # Errors
    /// [`Problem::Truncated`], [`Problem::NegativeLength`], [`Problem::VarintTooLong`], [`Problem::ImpossibleCount`],
    /// [`Problem::MemoryLimit`].
    pub fn read_count(
        &mut self,
        least_size: usize,
        memory_size: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let start = self.position;
        let Some(count) = self.read_length()? else { return Ok(None) };
        let left = self.remaining();
        if count > left / least_size.max(1) {
            return Err(DecodeError::new(Problem::ImpossibleCount { count, left }, start));
        }
        let bytes = count.saturating_mul(memory_size);
        let Some(budget) = self.budget.checked_sub(bytes) else {
            return Err(DecodeError::new(Problem::MemoryLimit { bytes }, start));
        };
        self.budget = budget;
        Ok(Some(count))
    }

    /// Reads the tagged fields at the end of a structure and hands each to `field`, which reads as much of it as it knows.
    /// Does nothing in the classic layout.
    ///
    /// # Errors
    /// [`Problem::Truncated`], [`Problem::VarintTooLong`], and what `field` returns.
    pub fn read_tagged_fields(
        &mut self,
        mut field: impl FnMut(&mut Self, u32) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.layout == Layout::Classic {
            return Ok(());
        }
        let count = self.read_unsigned_varint()?;
        for _ in 0..count {
            let tag = self.read_unsigned_varint()?;
            let size = self.read_unsigned_varint()?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > self.remaining() {
                return Err(self.truncated(size));
            }
            let outer_end = self.end;
            self.end = self.position + size;
            field(self, tag)?;
            self.position = self.end;
            self.end = outer_end;
        }
        Ok(())
    }

    /// Skips what is left of the frame, or of the tagged field that is being read.
    pub fn skip_rest(&mut self) {
        self.position = self.end;
    }
}

fn classic_length(length: i64, position: usize) -> Result<Length, DecodeError> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(DecodeError::new(Problem::NegativeLength(length), position)),
    }
}
