//! The form in which messages are declared: fields, types, versions, nulls, tags and defaults, in the order of the wire.
//!
//! A field reads `name: Type [versions] = default`. Versions are Kafka's notation: `3+`, `0-12`. After them may stand
//! `null 1+` (an `Option` that is null only from that version on; without it, in each of its versions) and `tag 0` (a
//! tagged field, ascending within its structure). In a version that lacks a field, reading gives its default and writing
//! leaves it out, whatever it holds. Tagged fields that hold their default are never written: librdkafka before 2.2 skips
//! tagged fields by the wrong size.

/// Declares structures, each with [`Default`] and [`Wire`](crate::codec::Wire).
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty [
                    $from:literal $(- $to:literal)? $(+)?
                    $(, null $null_from:literal +)?
                    $(, tag $tag:literal)?
                ] $(= $default:expr)?
            ),* $(,)?
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: message!(@default $type, $($default)?),)* }
            }
        }

        impl $crate::codec::Wire for $name {
            fn read(
                reader: &mut $crate::codec::Reader,
            ) -> Result<Self, $crate::codec::DecodeError> {
                let version = reader.version();
                $(
                    let $field: $type = message!(
                        @read [$($tag)?] (message!(@in version, $from $(, $to)?))
                        reader, version, $name.$field, [$($null_from)?], $type, $($default)?
                    );
                )*
                let mut message = Self { $($field),* };
                reader.read_tagged_fields(|reader, tag| message.read_tagged_field(reader, tag))?;
                Ok(message)
            }

            fn write(&self, writer: &mut $crate::codec::Writer) {
                let version = writer.version();
                $(
                    message!(
                        @write [$($tag)?] (message!(@in version, $from $(, $to)?))
                        writer, version, self, $name.$field, [$($null_from)?]
                    );
                )*
                if writer.layout() == $crate::codec::Layout::Flexible {
                    // Bit n is set when the field with tag n holds something to say.
                    let tags: u32 = 0 $(| message!(
                        @tag_bit [$($tag)?] (message!(@in version, $from $(, $to)?))
                        self.$field, $type, $($default)?
                    ))*;
                    writer.put_unsigned_varint(tags.count_ones());
                    $(message!(@write_tagged [$($tag)?] writer, tags, self.$field);)*
                }
            }

            fn least_size(version: i16, layout: $crate::codec::Layout) -> usize {
                let tagged_fields = usize::from(layout == $crate::codec::Layout::Flexible);
                tagged_fields $(+ message!(
                    @size [$($tag)?] (message!(@in version, $from $(, $to)?)) version, layout, $type
                ))*
            }
        }

        impl $name {
            fn read_tagged_field(
                &mut self,
                reader: &mut $crate::codec::Reader,
                tag: u32,
            ) -> Result<(), $crate::codec::DecodeError> {
                $(
                    message!(
                        @read_tagged [$($tag)?] (message!(@in reader.version(), $from $(, $to)?))
                        reader, tag, self, $name.$field
                    );
                )*
                let _unknown = tag;
                reader.skip_rest();
                Ok(())
            }
        }

        #[cfg(test)]
        impl $crate::tests::sample::Sample for $name {
            fn sample(source: &mut $crate::tests::sample::Source, version: i16) -> Self {
                Self {
                    $($field: if message!(@in version, $from $(, $to)?) {
                        message!(@sample [$($null_from)?] source, version, $type)
                    } else {
                        message!(@default $type, $($default)?)
                    },)*
                }
            }
        }
    )+};

    (@in $version:expr, $from:literal) => { $version >= $from };
    (@in $version:expr, $from:literal, $to:literal) => { ($from..=$to).contains(&$version) };

    (@default $type:ty,) => { <$type>::default() };
    (@default $type:ty, $default:expr) => { $default };

    (@read [$tag:literal] ($present:expr)
        $reader:ident, $version:ident, $name:ident.$field:ident, [], $type:ty, $($default:expr)?
    ) => {
        message!(@default $type, $($default)?)
    };
    (@read [] ($present:expr)
        $reader:ident, $version:ident, $name:ident.$field:ident, [$($null_from:literal)?], $type:ty,
        $($default:expr)?
    ) => {
        if $present {
            let value = <$type as $crate::codec::Wire>::read($reader)
                .map_err(|error| error.within(stringify!($name), stringify!($field)))?;
            $(
                if $version < $null_from && value.is_none() {
                    return Err($reader
                        .error($crate::codec::Problem::Null)
                        .within(stringify!($name), stringify!($field)));
                }
            )?
            value
        } else {
            message!(@default $type, $($default)?)
        }
    };

    (@write [$tag:literal] ($present:expr)
        $writer:ident, $version:ident, $message:ident, $name:ident.$field:ident, []
    ) => {};
    (@write [] ($present:expr)
        $writer:ident, $version:ident, $message:ident, $name:ident.$field:ident,
        [$($null_from:literal)?]
    ) => {
        if $present {
            $(
                if $version < $null_from && $message.$field.is_none() {
                    $writer.fail($crate::codec::EncodeError::Null {
                        structure: stringify!($name),
                        field: stringify!($field),
                        version: $version,
                    });
                }
            )?
            $crate::codec::Wire::write(&$message.$field, $writer);
        }
    };

    (@tag_bit [] ($present:expr) $message:ident.$field:ident, $type:ty, $($default:expr)?) => { 0 };
    (@tag_bit [$tag:literal] ($present:expr)
        $message:ident.$field:ident, $type:ty, $($default:expr)?
    ) => {
        u32::from($present && $message.$field != message!(@default $type, $($default)?)) << $tag
    };

    (@write_tagged [] $writer:ident, $tags:ident, $message:ident.$field:ident) => {};
    (@write_tagged [$tag:literal] $writer:ident, $tags:ident, $message:ident.$field:ident) => {
        if $tags & (1 << $tag) != 0 {
            $writer.put_tagged_field($tag, |writer| {
                $crate::codec::Wire::write(&$message.$field, writer);
            });
        }
    };

    (@read_tagged [] ($present:expr)
        $reader:ident, $tag_read:ident, $message:ident, $name:ident.$field:ident
    ) => {};
    (@read_tagged [$tag:literal] ($present:expr)
        $reader:ident, $tag_read:ident, $message:ident, $name:ident.$field:ident
    ) => {
        if $tag_read == $tag && $present {
            $message.$field = $crate::codec::Wire::read($reader)
                .map_err(|error| error.within(stringify!($name), stringify!($field)))?;
            return Ok(());
        }
    };

    (@size [$tag:literal] ($present:expr) $version:ident, $layout:ident, $type:ty) => { 0 };
    (@size [] ($present:expr) $version:ident, $layout:ident, $type:ty) => {
        if $present { <$type as $crate::codec::Wire>::least_size($version, $layout) } else { 0 }
    };

    (@sample [] $source:ident, $version:ident, $type:ty) => {
        <$type as $crate::tests::sample::Sample>::sample($source, $version)
    };
    (@sample [$null_from:literal] $source:ident, $version:ident, $type:ty) => {
        $source.nullable_from($version >= $null_from, $version)
    };
}

/// Lets structures be null: a byte in front says −1 for null and 1 for present.
macro_rules! nullable_structure {
    ($($name:ident),*) => {$(
        impl $crate::codec::Wire for Option<$name> {
            fn read(
                reader: &mut $crate::codec::Reader,
            ) -> Result<Self, $crate::codec::DecodeError> {
                match reader.read_i8()? {
                    -1 => Ok(None),
                    1 => <$name as $crate::codec::Wire>::read(reader).map(Some),
                    other => Err(reader.error($crate::codec::Problem::InvalidPresence(other))),
                }
            }

            fn write(&self, writer: &mut $crate::codec::Writer) {
                match self {
                    None => writer.put_i8(-1),
                    Some(present) => {
                        writer.put_i8(1);
                        $crate::codec::Wire::write(present, writer);
                    }
                }
            }

            fn least_size(_: i16, _: $crate::codec::Layout) -> usize {
                1
            }
        }
    )*};
}
