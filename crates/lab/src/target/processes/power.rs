//! Cuts the power of a mounted disk: the one request of the kernel that has no safe wrapper.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Stops a file system at once: what is not on the disk never gets there, the journal in memory included. `root` is its open mount point.
#[expect(unsafe_code, reason = "no crate of ours wraps this request")]
pub(super) fn cut(root: &File) -> io::Result<()> {
    let flags: u32 = NO_LOG_FLUSH;
    // SAFETY: the request reads one u32 through the pointer, which outlives the call.
    let result = unsafe { libc::ioctl(root.as_raw_fd(), FS_IOC_SHUTDOWN, &raw const flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `_IOR('X', 125, __u32)` of linux/fs.h.
const FS_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;

/// Do not write the journal first: as a power failure does not.
const NO_LOG_FLUSH: u32 = 2;
