//! Where a run's files go: the history, the nodes' logs and disks, the report.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::ExperimentError;

/// A directory that this run made.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes the directory that was asked for, or `lab-runs/<kind>-<date>`.
    ///
    /// # Errors
    /// When it exists and is not empty, or cannot be made.
    pub(crate) fn make(wanted: Option<&Path>, kind: &str) -> Result<Self, ExperimentError> {
        let path = match wanted {
            Some(path) => path.to_owned(),
            None => Path::new("lab-runs").join(format!("{kind}-{}", stamp())),
        };
        let failed = |source| ExperimentError::Io { path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(failed)?;
        if std::fs::read_dir(&path).map_err(failed)?.next().is_some() {
            let path = path.display();
            return Err(ExperimentError::Usage(format!(
                "{path} is not empty: give --out a new directory"
            )));
        }
        let path = std::fs::canonicalize(&path).map_err(failed)?;
        if path.to_string_lossy().contains(',') {
            let path = path.display();
            return Err(ExperimentError::Usage(format!(
                "{path} has a comma, where brokers take a data directory to end: give --out another one"
            )));
        }
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, ExperimentError> {
        let path = self.join(name);
        match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(ExperimentError::Io { path, source }),
        }
    }
}

/// Seconds since 1970 by the wall clock, which names runs and draws seeds.
pub(crate) fn wall_clock_seconds() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a name and a seed, no duration")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

/// The date and time, such as `2026-11-24 16:05 UTC`.
pub(crate) fn date() -> String {
    let (year, month, day, hour, minute, _) = civil(wall_clock_seconds());
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

fn stamp() -> String {
    let (year, month, day, hour, minute, second) = civil(wall_clock_seconds());
    format!("{year}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// Year, month, day, hour, minute and second of a time in seconds since 1970, by the proleptic Gregorian calendar.
fn civil(seconds: u64) -> (u64, u64, u64, u64, u64, u64) {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let mut left = days;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1, rest / 3600, rest / 60 % 60, rest % 60)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(civil(951_782_399), (2000, 2, 28, 23, 59, 59));
        assert_eq!(civil(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(civil(1_796_083_199), (2026, 11, 30, 23, 59, 59));
        assert_eq!(civil(4_107_542_400), (2100, 3, 1, 0, 0, 0));
    }

    #[test]
    fn a_directory_with_a_comma_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let refused = RunDirectory::make(Some(&directory.path().join("a,b")), "chaos").unwrap_err();
        assert!(refused.to_string().ends_with("give --out another one"), "{refused}");
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(RunDirectory::make(Some(directory.path()), "chaos").is_ok());
        std::fs::write(directory.path().join("report.json"), "{}").unwrap();
        let refused = RunDirectory::make(Some(directory.path()), "chaos").unwrap_err();
        assert!(refused.to_string().ends_with("give --out a new directory"), "{refused}");
    }
}
