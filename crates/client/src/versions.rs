//! Which versions of an API this client speaks: those of the protocol's table, less those that carry what it does not know.
//!
//! The one place that knows it: whoever makes a request does not name a version.

use protocol::{ApiKey, VersionRange};

/// Returns the versions of an API that this client speaks.
pub(crate) fn spoken(api: ApiKey) -> VersionRange {
    let (min, max) = match api {
        // Older ones carry message sets of formats 0 and 1, newer ones name topics by their ids.
        ApiKey::Produce => (3, 12),
        ApiKey::Fetch => (4, 12),
        // Newer ones name topics by their ids.
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => (0, 9),
        // Newer ones are for brokers.
        ApiKey::AddPartitionsToTxn => (0, 3),
        _ => (0, i16::MAX),
    };
    let table = api.versions();
    VersionRange { min: table.min.max(min), max: table.max.min(max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoken_is_part_of_the_table() {
        use ApiKey::{Fetch, Metadata, OffsetCommit, OffsetFetch, Produce};
        for api in [Produce, Fetch, OffsetCommit, OffsetFetch, Metadata] {
            let (spoken, table) = (spoken(api), api.versions());
            assert_eq!(spoken.newest_common(table), Some(spoken.max), "{api}");
            assert!(spoken.min >= table.min, "{api}");
        }
    }
}
