//! Small disks of their own for brokers: an ext4 in a file, which can be full, or lose its power.
//!
//! Needs root, mkfs.ext4 and loop devices; [`LoopDisk::missing`] says what is not there. The one place of these tests with unsafe code:
//! the ioctl that stops a file system as a power failure would.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system in a file.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl LoopDisk {
    /// What this machine lacks for such disks; `None` when they can be made.
    #[must_use]
    pub fn missing() -> Option<String> {
        let directory = tempfile::tempdir().ok()?;
        let mut disk = match Self::try_make(&directory.path().join("image"), 8) {
            Ok(disk) => disk,
            Err(reason) => return Some(reason),
        };
        disk.mounted_at = directory.path().join("mounted");
        let missing = disk.try_mount().err();
        drop(disk);
        missing
    }

    /// Makes a disk and mounts it at a directory, which is made too.
    ///
    /// # Panics
    /// When that cannot be done; see [`LoopDisk::missing`].
    #[must_use]
    pub fn mount_at(directory: &Path, image: &Path, mebibytes: u32) -> Self {
        let mut disk = Self::try_make(image, mebibytes).unwrap_or_else(|reason| panic!("{reason}"));
        directory.clone_into(&mut disk.mounted_at);
        disk.mount();
        // mkfs makes it; a broker's directory holds its own alone.
        std::fs::remove_dir(directory.join("lost+found")).expect("it is empty");
        disk
    }

    fn try_make(image: &Path, mebibytes: u32) -> Result<Self, String> {
        let file = File::create(image).map_err(|error| format!("{}: {error}", image.display()))?;
        file.set_len(u64::from(mebibytes) << 20).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image))?;
        Ok(Self { image: image.to_owned(), mounted_at: PathBuf::new() })
    }

    fn try_mount(&self) -> Result<(), String> {
        std::fs::create_dir_all(&self.mounted_at).map_err(|error| error.to_string())?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mounted_at))
    }

    /// Mounts it again after [`LoopDisk::unmount`]; the file system repairs itself by its journal.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount(&self) {
        self.try_mount().unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Unmounts it; whoever used it must have ended.
    ///
    /// # Panics
    /// When it cannot be unmounted.
    pub fn unmount(&self) {
        run(Command::new("umount").arg(&self.mounted_at))
            .unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Opens the disk so that its power can be cut without a delay.
    ///
    /// # Panics
    /// When its directory cannot be opened.
    #[must_use]
    pub fn power_switch(&self) -> PowerSwitch {
        PowerSwitch(File::open(&self.mounted_at).expect("a mounted disk can be opened"))
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _unmounted =
            Command::new("umount").arg("-l").arg(&self.mounted_at).stderr(Stdio::null()).status();
    }
}

/// Cuts a disk's power.
#[derive(Debug)]
pub struct PowerSwitch(File);

impl PowerSwitch {
    /// Stops the file system at once: what is not on the disk never gets there, the journal in memory included.
    ///
    /// # Panics
    /// When the file system does not know the request.
    #[expect(unsafe_code, reason = "there is no safe wrapper of this request of the kernel")]
    pub fn cut(self) {
        let flags: u32 = NO_LOG_FLUSH;
        // SAFETY: the request reads one u32 through the pointer, which outlives the call.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), FS_IOC_SHUTDOWN, &raw const flags) };
        assert_eq!(result, 0, "FS_IOC_SHUTDOWN: {}", std::io::Error::last_os_error());
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.lines().next().unwrap_or("failed")))
}

/// `_IOR('X', 125, __u32)` of linux/fs.h.
const FS_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;

/// Do not write the journal first: as a power failure does not.
const NO_LOG_FLUSH: u32 = 2;
