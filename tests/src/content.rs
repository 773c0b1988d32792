//! What records hold: made from their number, so that the judge can make it again and compare.

use std::path::Path;
use std::sync::Arc;

use client::partitioner::partition_for_key;

/// The header that bears a record's number, eight bytes, most significant first.
pub const NUMBER_HEADER: &[u8] = b"number";

/// Where keys and values come from.
#[derive(Clone, Debug)]
pub enum Content {
    /// The number as text, filled up with dots to this many bytes; no key, partitions in turn.
    Numbers {
        /// Bytes of a value.
        value_bytes: usize,
    },
    /// The lines of a table, again and again; the key is one of its columns and chooses the partition.
    Lines(Arc<Vec<Line>>),
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The value of the key's column.
    pub key: Vec<u8>,
    /// The whole line.
    pub value: Vec<u8>,
}

/// Key and value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue<'a> {
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: std::borrow::Cow<'a, [u8]>,
}

impl Content {
    /// Reads the lines of a table in CSV without quotes; the first line names the columns and is left out.
    ///
    /// # Errors
    /// One line that says what is wrong with the file.
    pub fn of_table(path: &Path, key_column: &str) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        let column = head
            .split(',')
            .position(|name| name == key_column)
            .ok_or_else(|| format!("{shown} has no column {key_column}"))?;
        let lines: Vec<Line> = lines
            .map(|line| Line {
                key: line.split(',').nth(column).unwrap_or_default().into(),
                value: line.into(),
            })
            .collect();
        if lines.is_empty() {
            return Err(format!("{shown} has no lines"));
        }
        Ok(Self::Lines(Arc::new(lines)))
    }

    /// Returns key and value of a record.
    #[must_use]
    pub fn record(&self, number: u64) -> KeyValue<'_> {
        match self {
            Self::Numbers { value_bytes } => {
                let text = format!("{number:.<value_bytes$}");
                KeyValue { key: None, value: text.into_bytes().into() }
            }
            Self::Lines(lines) => {
                let line = &lines[remainder(number, lines.len())];
                KeyValue { key: Some(&line.key), value: (&line.value[..]).into() }
            }
        }
    }

    /// Returns the partition of a record.
    #[must_use]
    pub fn partition(&self, number: u64, partition_count: i32) -> i32 {
        match self {
            Self::Numbers { .. } => {
                let count = usize::try_from(partition_count).expect("a topic has partitions");
                i32::try_from(remainder(number, count)).expect("below a count of 32 bits")
            }
            Self::Lines(lines) => {
                partition_for_key(&lines[remainder(number, lines.len())].key, partition_count)
            }
        }
    }
}

fn remainder(number: u64, count: usize) -> usize {
    let count = u64::try_from(count).expect("a count fits 64 bits");
    usize::try_from(number % count).expect("below a count")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_filled_up_and_go_round_the_partitions() {
        let content = Content::Numbers { value_bytes: 8 };
        assert_eq!(&*content.record(42).value, b"42......");
        let partitions: Vec<i32> = (0..4).map(|number| content.partition(number, 3)).collect();
        assert_eq!(partitions, [0, 1, 2, 0]);
    }

    #[test]
    fn lines_of_a_table_go_round_and_their_key_chooses_the_partition() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.csv");
        std::fs::write(&path, "a,b\n1,x\n2,y\n").unwrap();
        let content = Content::of_table(&path, "b").unwrap();
        let third = content.record(2);
        assert_eq!((third.key, &*third.value), (Some(&b"x"[..]), &b"1,x"[..]));
        assert_eq!(content.partition(0, 7), content.partition(2, 7));
        assert!(Content::of_table(&path, "c").is_err());
    }
}
