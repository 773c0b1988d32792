//! Shifts a node's wall clock through libfaketime.
//!
//! Owns where the library is and the file that tells it the shift; the monotonic clock stays true. A program without a dynamic linker
//! never loads the library, so its clock cannot be shifted.

use std::path::{Path, PathBuf};

use super::tools;

/// Finds the library; the reason when this program's clock cannot be shifted.
pub(super) fn library_for(program: &str) -> Result<PathBuf, String> {
    let library =
        library().ok_or("libfaketime is not installed (Debian: apt install libfaketime)")?;
    let path = tools::find(program).ok_or_else(|| format!("{program} is not there"))?;
    if is_dynamic(&path) {
        Ok(library)
    } else {
        Err(format!("{} is linked statically and loads no libfaketime", path.display()))
    }
}

/// The environment of a node whose clock this file shifts.
pub(super) fn environment(library: &Path, file: &Path) -> Vec<(String, String)> {
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        // Read anew every second: by default it is every tenth.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Sets the shift: seen within a second by who runs, and at once by who starts.
pub(super) fn shift(file: &Path, seconds: i64) -> Result<(), String> {
    // In place at once: a half-written file would be another time.
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{seconds:+}\n"))
        .and_then(|()| std::fs::rename(&next, file))
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn library() -> Option<PathBuf> {
    let name = "faketime/libfaketimeMT.so.1";
    let by_architecture = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [by_architecture.as_str(), "/usr/lib", "/usr/lib64", "/usr/local/lib"]
        .into_iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file())
}

/// Whether a program names an interpreter: it is looked for in the program headers of a 64-bit little-endian ELF file.
fn is_dynamic(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    if read.is_err() || !head.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let number = |at: usize, bytes: usize| {
        let slice = head.get(at..at + bytes)?;
        let value = slice.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2))
    else {
        return false;
    };
    (0..count).any(|entry| {
        let at = entry.checked_mul(size).and_then(|offset| offset.checked_add(table));
        at.filter(|at| *at < head.len()).and_then(|at| number(at, 4)) == Some(PT_INTERP)
    })
}

/// Program headers follow the header of the file.
const HEAD: u64 = 16 << 10;

/// The program header that names the dynamic linker.
const PT_INTERP: usize = 3;
