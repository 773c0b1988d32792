//! A node's disk: an ext4 in a file where the machine can mount one, else a directory.
//!
//! Owns the image, the mount and the ballast that fills it. What a node writes is under [`Disk::data`], a directory *on* the disk: what
//! mkfs puts into the root is none of the node's business.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FallocateFlags;

use super::{power, tools};

/// A disk or a directory in its place.
#[derive(Debug)]
pub(super) struct Disk {
    /// Where it is mounted.
    root: PathBuf,
    /// The file system's file; none for a directory.
    image: Option<PathBuf>,
    is_mounted: bool,
}

impl Disk {
    /// Why this machine cannot mount disks; `None` when it can: one is made, mounted and its power is cut.
    pub(super) fn lacks(scratch: &Path) -> Option<String> {
        let tried = || -> Result<(), String> {
            let directory = tempfile::tempdir_in(scratch).map_err(|error| error.to_string())?;
            let mut disk = Self::make(directory.path(), 8)?;
            disk.mount()?;
            power::cut(&disk.open()?).map_err(|error| format!("FS_IOC_SHUTDOWN: {error}"))?;
            disk.unmount()
        };
        tried().err()
    }

    /// A plain directory under `own`, for a machine without disks.
    pub(super) fn directory(own: &Path) -> Self {
        Self { root: own.join("disk"), image: None, is_mounted: true }
    }

    /// Makes a disk of this size under `own`; not mounted yet.
    pub(super) fn make(own: &Path, mebibytes: u32) -> Result<Self, String> {
        let image = own.join("disk.img");
        File::create(&image)
            .and_then(|file| file.set_len(u64::from(mebibytes) << 20))
            .map_err(|error| format!("{}: {error}", image.display()))?;
        // No blocks for root: full shall be full. Tables at once: a kernel thread that makes them later would disturb measurements.
        let options = "lazy_itable_init=0,lazy_journal_init=0";
        tools::run(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-m", "0", "-b", "4096", "-E", options])
                .arg(&image),
        )?;
        Ok(Self { root: own.join("disk"), image: Some(image), is_mounted: false })
    }

    /// The directory for the node's data.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Mounts it, unless it is; the file system mends itself by its journal.
    pub(super) fn mount(&mut self) -> Result<(), String> {
        std::fs::create_dir_all(&self.root).map_err(|error| self.blame(&error))?;
        if let (Some(image), false) = (&self.image, self.is_mounted) {
            tools::run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.root))?;
            self.is_mounted = true;
        }
        std::fs::create_dir_all(self.data()).map_err(|error| self.blame(&error))
    }

    /// Unmounts it; whoever used it has ended. A directory stays.
    pub(super) fn unmount(&mut self) -> Result<(), String> {
        if self.image.is_some() && self.is_mounted {
            tools::run(Command::new("umount").arg(&self.root))?;
            self.is_mounted = false;
        }
        Ok(())
    }

    /// Opens its root, so that [`power::cut`] needs no search; an error when it is a directory.
    pub(super) fn open(&self) -> Result<File, String> {
        if self.image.is_none() || !self.is_mounted {
            return Err(format!("{} is no mounted disk", self.root.display()));
        }
        File::open(&self.root).map_err(|error| self.blame(&error))
    }

    /// Takes what is free, to the last block.
    pub(super) fn fill(&self) -> Result<(), String> {
        let _mounted = self.open()?;
        let ballast = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .map_err(|error| self.blame(&error))?;
        let mut length = ballast.metadata().map_err(|error| self.blame(&error))?.len();
        let mut piece = LARGEST_PIECE;
        while piece >= SMALLEST_PIECE {
            match rustix::fs::fallocate(&ballast, FallocateFlags::empty(), length, piece) {
                Ok(()) => length += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.blame(&error.into())),
            }
        }
        Ok(())
    }

    /// Gives back what [`Disk::fill`] took; nothing when it took nothing.
    pub(super) fn free(&self) -> Result<(), String> {
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.blame(&error)),
            _ => Ok(()),
        }
    }

    /// Deletes all data. The disk must be mounted.
    pub(super) fn wipe(&self) -> Result<(), String> {
        let data = self.data();
        std::fs::remove_dir_all(&data)
            .and_then(|()| std::fs::create_dir(&data))
            .map_err(|error| self.blame(&error))
    }

    /// Whether a node has written nothing yet.
    pub(super) fn is_empty(&self) -> bool {
        std::fs::read_dir(self.data()).is_ok_and(|mut entries| entries.next().is_none())
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }

    fn blame(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.root.display())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.image.is_some() && self.is_mounted {
            // Lazily: a process that was killed a moment ago may still hold it.
            let _gone_with_the_sandbox =
                tools::run(Command::new("umount").arg("-l").arg(&self.root));
        }
    }
}

/// Pieces in which the disk is filled: halved until not one block fits.
const LARGEST_PIECE: u64 = 64 << 20;
const SMALLEST_PIECE: u64 = 4 << 10;
