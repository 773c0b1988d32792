//! Flips one bit in a topic's segments, as a disk that rots does.
//!
//! Owns the choice of the place, which depends on the draw and the files alone.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Flips a bit in a `.log` file under a directory `TOPIC-N` in `data`; returns the place.
pub(super) fn flip(data: &Path, topic: &str, draw: u64) -> Result<String, String> {
    let mut closed = Vec::new();
    let mut open = Vec::new();
    for partition in partitions(data, topic) {
        let mut segments = segments(&partition);
        open.extend(segments.pop());
        closed.append(&mut segments);
    }
    let mut random = StdRng::seed_from_u64(draw);
    // What is closed is not written again, and surely synced; of an open one the older half is taken.
    let (candidates, share) = if closed.is_empty() { (open, 2) } else { (closed, 1) };
    if candidates.is_empty() {
        return Err(format!("no segment of {topic} with data in {}", data.display()));
    }
    let (path, length) = &candidates[random.random_range(0..candidates.len())];
    let byte = random.random_range(0..(length / share).max(1));
    let bit = random.random_range(0..8_u8);
    let flipped = || -> std::io::Result<()> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut content = [0];
        file.read_exact_at(&mut content, byte)?;
        content[0] ^= 1 << bit;
        file.write_all_at(&content, byte)?;
        file.sync_data()
    };
    flipped().map_err(|error| format!("{}: {error}", path.display()))?;
    let shown = path.strip_prefix(data).unwrap_or(path);
    Ok(format!("{}, byte {byte}, bit {bit}", shown.display()))
}

/// The directories of a topic's partitions.
pub(super) fn partitions(data: &Path, topic: &str) -> Vec<PathBuf> {
    let is_of_topic = |name: &str| {
        name.strip_prefix(topic).and_then(|rest| rest.strip_prefix('-')).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    let mut found: Vec<PathBuf> = std::fs::read_dir(data)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_of_topic))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// The segments with data, the oldest first.
pub(super) fn segments(partition: &Path) -> Vec<(PathBuf, u64)> {
    let mut found: Vec<(PathBuf, u64)> = std::fs::read_dir(partition)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len())))
        .filter(|(_, length)| *length > 0)
        .collect();
    found.sort();
    found
}
