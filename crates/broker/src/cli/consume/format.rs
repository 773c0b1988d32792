//! How a record is printed: a template of text and fields.

use client::consumer::ConsumedRecord;

use super::Arguments;
use crate::cli::failure::Failure;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    Headers,
}

impl Template {
    /// Takes the template of the arguments: the value and a line end, unless they say more.
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Failure> {
        if let Some(format) = &arguments.format {
            return Self::parse(format).map_err(Failure::Usage);
        }
        let mut parts = vec![Part::Value, Part::Text(b"\n".to_vec())];
        if arguments.print_key {
            let separator = arguments.key_separator.clone().into_bytes();
            parts.splice(0..0, [Part::Key, Part::Text(separator)]);
        }
        Ok(Self { parts })
    }

    fn parse(format: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = Vec::new();
        let mut chars = format.chars();
        while let Some(char) = chars.next() {
            let field = match (char, if matches!(char, '%' | '\\') { chars.next() } else { None }) {
                ('%', Some('%')) => Err('%'),
                ('%', Some('t')) => Ok(Part::Topic),
                ('%', Some('p')) => Ok(Part::Partition),
                ('%', Some('o')) => Ok(Part::Offset),
                ('%', Some('T')) => Ok(Part::Timestamp),
                ('%', Some('k')) => Ok(Part::Key),
                ('%', Some('v' | 's')) => Ok(Part::Value),
                ('%', Some('h')) => Ok(Part::Headers),
                ('%', other) => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!("--format knows no '%{other}'"));
                }
                ('\\', Some('n')) => Err('\n'),
                ('\\', Some('t')) => Err('\t'),
                ('\\', Some('r')) => Err('\r'),
                ('\\', Some('0')) => Err('\0'),
                ('\\', Some(other)) => Err(other),
                (other, _) => Err(other),
            };
            match field {
                Ok(field) => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(field);
                }
                Err(char) => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        parts.push(Part::Text(text));
        parts.retain(|part| *part != Part::Text(Vec::new()));
        Ok(Self { parts })
    }

    /// Returns what is printed for a record. A null prints as nothing.
    pub(super) fn render(&self, record: &ConsumedRecord) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => bytes.extend_from_slice(text),
                Part::Topic => bytes.extend_from_slice(record.partition.topic.as_bytes()),
                Part::Partition => {
                    bytes.extend_from_slice(record.partition.partition.to_string().as_bytes());
                }
                Part::Offset => bytes.extend_from_slice(record.offset.to_string().as_bytes()),
                Part::Timestamp => {
                    bytes.extend_from_slice(record.timestamp.0.to_string().as_bytes());
                }
                Part::Key => bytes.extend_from_slice(record.key.as_deref().unwrap_or_default()),
                Part::Value => bytes.extend_from_slice(record.value.as_deref().unwrap_or_default()),
                Part::Headers => {
                    for (index, (key, value)) in record.headers.iter().enumerate() {
                        let comma: &[u8] = if index > 0 { b"," } else { b"" };
                        bytes.extend_from_slice(comma);
                        bytes.extend_from_slice(key);
                        bytes.push(b'=');
                        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
                    }
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use model::record_batch::TimestampType;
    use model::{Offset, TopicPartition, UnixMillis};

    use super::*;

    #[test]
    fn a_template_prints_fields_among_text() {
        let record = ConsumedRecord {
            partition: Arc::new(TopicPartition { topic: "t".to_owned(), partition: 3 }),
            offset: Offset(7),
            timestamp: UnixMillis(9),
            timestamp_type: TimestampType::CreateTime,
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: vec![
                (Bytes::from_static(b"a"), Some(Bytes::from_static(b"1"))),
                (Bytes::from_static(b"b"), None),
            ],
        };
        let table = [
            ("%t-%p@%o %T", "t-3@7 9"),
            ("%k=%v|%h\\n", "k=|a=1,b=\n"),
            ("100%% \\t\\\\ü", "100% \t\\ü"),
            ("", ""),
        ];
        for (format, expected) in table {
            let printed = Template::parse(format).unwrap().render(&record);
            assert_eq!(String::from_utf8_lossy(&printed), expected, "{format}");
        }
        assert!(Template::parse("%x").is_err() && Template::parse("%").is_err());
    }
}
