//! Where each of a shard's writes ends in the log, for the replies that depend on them.
//!
//! The machine names a write in a reply long after it was committed, so the table must not grow with the shard's life: what is known to be committed is dropped, and
//! of a full table every second entry. A write that was dropped so is taken for the next one that is left, which ends later: a reply may wait longer than it must, never shorter.

use std::collections::VecDeque;

use model::Offset;

use crate::group::WriteId;

/// The ends of the writes that are not known to be committed, ascending.
#[derive(Debug)]
pub(super) struct WriteEnds {
    committed: WriteId,
    ends: VecDeque<(WriteId, Offset)>,
}

impl WriteEnds {
    /// Starts without writes; the machine's first is 1.
    pub(super) fn new() -> Self {
        Self { committed: WriteId(0), ends: VecDeque::new() }
    }

    /// Notes that a write ends before `end_offset`.
    pub(super) fn appended(&mut self, write: WriteId, end_offset: Offset) {
        if self.ends.len() == MAX_ENTRIES {
            let mut index = 0;
            self.ends.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
        self.ends.push_back((write, end_offset));
    }

    /// Returns the offset before which the log must be committed for a write to be; `None` when it is, as far as `committed` tells.
    pub(super) fn end_of(&mut self, write: WriteId, committed: Offset) -> Option<Offset> {
        while let Some((id, end_offset)) = self.ends.front().copied()
            && end_offset <= committed
        {
            self.committed = id;
            self.ends.pop_front();
        }
        if write <= self.committed {
            return None;
        }
        let index = self.ends.partition_point(|(id, _)| *id < write);
        self.ends.get(index).map(|(_, end_offset)| *end_offset)
    }
}

/// Most writes that are kept apart, even if nobody learns that they were committed. Even, so that a full table keeps its newest.
const MAX_ENTRIES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_waited_for_until_it_is_committed() {
        let mut writes = WriteEnds::new();
        writes.appended(WriteId(1), Offset(10));
        writes.appended(WriteId(2), Offset(12));
        assert_eq!(writes.end_of(WriteId(1), Offset(9)), Some(Offset(10)));
        assert_eq!(writes.end_of(WriteId(1), Offset(10)), None);
        assert_eq!(writes.end_of(WriteId(2), Offset(10)), Some(Offset(12)));
        assert_eq!(writes.end_of(WriteId(2), Offset(12)), None);
    }

    #[test]
    fn a_full_table_forgets_only_towards_later_ends() {
        let mut writes = WriteEnds::new();
        for id in 1..=5_000 {
            writes.appended(WriteId(id), Offset(i64::try_from(id).unwrap()));
        }
        assert!(writes.ends.len() <= MAX_ENTRIES);
        for id in 1..=5_000 {
            let end = writes.end_of(WriteId(id), Offset(0)).unwrap();
            assert!(end >= Offset(i64::try_from(id).unwrap()));
        }
        assert_eq!(writes.end_of(WriteId(5_000), Offset(0)), Some(Offset(5_000)));
    }
}
