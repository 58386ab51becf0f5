//! What reached the device: flushes and bytes from `/proc/diskstats`.
//!
//! `/proc/self/io` would count whole pages and knows no flushes. The counters are those of the whole machine, so a busy
//! neighbor shows up in them. Only whole disks count flushes, so a partition or a mapping is followed down to its disk.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The device below a directory.
pub struct Disk {
    /// Its name in `/proc/diskstats`.
    pub name: String,
}

/// The counters at one moment, or how far they moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Flush requests that the device completed.
    pub flushes: u64,
    /// Bytes written to the device.
    pub bytes: u64,
}

impl Counters {
    /// How far the counters moved since `earlier`.
    pub fn since(self, earlier: Counters) -> Counters {
        Counters {
            flushes: self.flushes.saturating_sub(earlier.flushes),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

impl Disk {
    /// The disk that holds `dir`; none for a file system without one, such as tmpfs or an overlay.
    pub fn of(dir: &Path) -> Option<Disk> {
        let device = fs::metadata(dir).ok()?.dev();
        let link = format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device));
        let path = whole_disk(fs::canonicalize(link).ok()?);
        Some(Disk { name: path.file_name()?.to_str()?.to_owned() })
    }

    /// The counters now.
    pub fn counters(&self) -> Option<Counters> {
        find(&fs::read_to_string("/proc/diskstats").ok()?, &self.name)
    }
}

/// Follows a mapping over one device and a partition down to the disk that they are on.
fn whole_disk(mut path: PathBuf) -> PathBuf {
    while let Ok(slaves) = fs::read_dir(path.join("slaves")) {
        let below: Vec<PathBuf> = slaves.flatten().filter_map(|entry| fs::canonicalize(entry.path()).ok()).collect();
        match below.as_slice() {
            [one] => path = one.clone(),
            _ => break,
        }
    }
    match path.parent() {
        Some(parent) if path.join("partition").exists() => parent.to_owned(),
        _ => path,
    }
}

/// Fields as the kernel's `Documentation/admin-guide/iostats.rst` numbers them: 7 is sectors of 512 bytes written, 16
/// is flush requests (Linux 5.5 and later). Three columns of numbers and name stand before field 1.
fn find(text: &str, name: &str) -> Option<Counters> {
    let fields: Vec<&str> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|f| f.get(2) == Some(&name))?;
    let number = |field: usize| fields.get(field + 2)?.parse::<u64>().ok();
    Some(Counters { flushes: number(16)?, bytes: number(7)? * 512 })
}

/// Writes back everything dirty in the file system of `dir`, so that one store's leavings are not charged to the next.
pub fn write_back(dir: &Path) -> io::Result<()> {
    let dir = File::open(dir)?;
    // SAFETY: the descriptor is open for as long as `dir` lives, which is past the call.
    match unsafe { libc::syncfs(dir.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_the_documented_ones() {
        let text = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n\
                    254       0 vda 30025 6547 4083106 13925 5973 10297 777000 1969 0 3896 16050 3377 28 144704 142 318 12\n";
        assert_eq!(find(text, "vda"), Some(Counters { flushes: 318, bytes: 777_000 * 512 }));
        assert_eq!(find(text, "loop0"), Some(Counters { flushes: 0, bytes: 0 }));
        assert_eq!(find(text, "vdb"), None);
        assert_eq!(find("8 0 sda 1 2 3 4 5 6 7 8 9 10 11", "sda"), None);
    }
}
