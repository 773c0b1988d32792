//! Replaces a small file as a whole: written aside, synced, renamed, directory synced.
//!
//! Owns the order of these four steps, which is the same for every small file of a data directory. After a crash at any point the name holds
//! the old content or the new one, never a mixture.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::{FileSystem, OpenMode};

/// Suffix of a file that is being written; one that a crash left is overwritten by the next write and ignored by every reader.
pub(crate) const ASIDE_SUFFIX: &str = ".tmp";

/// Replaces the content of `path` durably.
///
/// # Errors
/// The first error of any step. The old content stays then, or the new one stands but is not known to be durable.
pub fn write_aside(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut aside_name = OsString::from(path.as_os_str());
    aside_name.push(ASIDE_SUFFIX);
    let aside = Path::new(&aside_name);
    let file = fs.open(aside, OpenMode::Truncate)?;
    file.write_at(content, 0)?;
    file.sync_data()?;
    fs.rename(aside, path)?;
    match path.parent() {
        Some(parent) => fs.sync_dir(parent),
        None => Ok(()),
    }
}
