//! Names that a request gives more than once.
//!
//! In one pass: a client sizes the list, and comparing each name with all others would keep a thread of every client busy for minutes.

use std::collections::BTreeSet;

/// Returns each of the names that comes more than once.
pub(super) fn named_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut named = BTreeSet::new();
    names.filter(|name| !named.insert(*name)).collect()
}
