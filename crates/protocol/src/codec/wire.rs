//! What can stand in a message: numbers, ids, strings, bytes, arrays, and null of the latter three.

use bytes::Bytes;
use model::{DirectoryId, ErrorCode, TopicId};

use super::error::{DecodeError, Problem};
use super::string::KafkaString;
use super::{Layout, Reader, Writer};

/// A value that can be read from and written into a frame, in the version and layout that reader and writer say.
pub trait Wire: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// When the bytes are not such a value; see [`Problem`].
    fn read(reader: &mut Reader) -> Result<Self, DecodeError>;

    /// Writes the value. What cannot be expressed makes [`Writer::finish`] fail.
    fn write(&self, writer: &mut Writer);

    /// Returns the fewest bytes that a value takes, which bounds the count of an array before it is allocated.
    fn least_size(version: i16, layout: Layout) -> usize;
}

macro_rules! number {
    ($($type:ty: $read:ident, $put:ident;)*) => {$(
        impl Wire for $type {
            fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
                reader.$read()
            }

            fn write(&self, writer: &mut Writer) {
                writer.$put(*self);
            }

            fn least_size(_: i16, _: Layout) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}
number! {
    i8: read_i8, put_i8;
    i16: read_i16, put_i16;
    i32: read_i32, put_i32;
    i64: read_i64, put_i64;
}

impl Wire for bool {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.read_bool()
    }

    fn write(&self, writer: &mut Writer) {
        writer.put_i8(i8::from(*self));
    }

    fn least_size(_: i16, _: Layout) -> usize {
        1
    }
}

/// Two bytes; a code that is not known reads as [`ErrorCode::UnknownServerError`].
impl Wire for ErrorCode {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.read_i16().map(Self::from_wire)
    }

    fn write(&self, writer: &mut Writer) {
        writer.put_i16(self.to_wire());
    }

    fn least_size(_: i16, _: Layout) -> usize {
        size_of::<i16>()
    }
}

macro_rules! uuid {
    ($($type:ty),*) => {$(
        /// Sixteen bytes; zero says "none".
        impl Wire for $type {
            fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
                reader.read_uuid().map(Self::from_bytes)
            }

            fn write(&self, writer: &mut Writer) {
                writer.put_slice(&self.to_bytes());
            }

            fn least_size(_: i16, _: Layout) -> usize {
                16
            }
        }
    )*};
}
uuid!(TopicId, DirectoryId);

/// Reads a value that has no null out of one that has.
fn present<T>(
    reader: &mut Reader,
    read: impl FnOnce(&mut Reader) -> Result<Option<T>, DecodeError>,
) -> Result<T, DecodeError> {
    read(reader)?.ok_or_else(|| reader.error(Problem::Null))
}

impl Wire for KafkaString {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        present(reader, Reader::read_nullable_string)
    }

    fn write(&self, writer: &mut Writer) {
        writer.put_string(Some(self));
    }

    fn least_size(_: i16, layout: Layout) -> usize {
        length_size(layout, size_of::<i16>())
    }
}

impl Wire for Option<KafkaString> {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.read_nullable_string()
    }

    fn write(&self, writer: &mut Writer) {
        writer.put_string(self.as_deref());
    }

    fn least_size(version: i16, layout: Layout) -> usize {
        KafkaString::least_size(version, layout)
    }
}

impl Wire for Bytes {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        present(reader, Reader::read_nullable_bytes)
    }

    fn write(&self, writer: &mut Writer) {
        writer.put_bytes(Some(self));
    }

    fn least_size(_: i16, layout: Layout) -> usize {
        length_size(layout, size_of::<i32>())
    }
}

impl Wire for Option<Bytes> {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.read_nullable_bytes()
    }

    fn write(&self, writer: &mut Writer) {
        writer.put_bytes(self.as_ref());
    }

    fn least_size(version: i16, layout: Layout) -> usize {
        Bytes::least_size(version, layout)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        present(reader, read_elements)
    }

    fn write(&self, writer: &mut Writer) {
        writer.put_length(Some(self.len()));
        for element in self {
            element.write(writer);
        }
    }

    fn least_size(_: i16, layout: Layout) -> usize {
        length_size(layout, size_of::<i32>())
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        read_elements(reader)
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Some(elements) => elements.write(writer),
            None => writer.put_length(None),
        }
    }

    fn least_size(version: i16, layout: Layout) -> usize {
        Vec::<T>::least_size(version, layout)
    }
}

fn read_elements<T: Wire>(reader: &mut Reader) -> Result<Option<Vec<T>>, DecodeError> {
    let least_size = T::least_size(reader.version(), reader.layout());
    let Some(count) = reader.read_count(least_size, size_of::<T>())? else { return Ok(None) };
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(T::read(reader)?);
    }
    Ok(Some(elements))
}

fn length_size(layout: Layout, classic: usize) -> usize {
    match layout {
        Layout::Classic => classic,
        Layout::Flexible => 1,
    }
}
