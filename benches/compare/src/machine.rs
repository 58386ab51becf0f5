//! What a figure was measured on: processor, kernel, file system, device, versions. A figure without it means nothing.

use std::fs;
use std::path::Path;
use std::thread;

use crate::disk::Disk;

/// The lines about the machine at the head of the output, as name and text.
pub fn describe(dir: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("machine", format!("{} cores, {}, {}", cores(), processor(), memory())),
        ("kernel", kernel()),
        ("file system", file_system(dir)),
        ("scheduling", scheduling().to_owned()),
        ("versions", versions()),
    ]
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn processor() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> String {
    let kilobytes =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.map_or_else(|| "memory unknown".to_owned(), |kb| format!("{:.0} GiB memory", kb / f64::from(1 << 20)))
}

fn kernel() -> String {
    let read = |name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned();
    format!("{} {}", read("ostype"), read("osrelease"))
}

/// The value of the first `name: value` line of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn file_system(dir: &Path) -> String {
    let mount = fs::canonicalize(dir).ok().zip(fs::read_to_string("/proc/self/mountinfo").ok());
    let kind = mount.and_then(|(dir, mounts)| mount_of(&mounts, &dir)).unwrap_or_else(|| "unknown".to_owned());
    match Disk::of(dir) {
        Some(disk) => format!("{kind}, flushes and bytes from disk {}", disk.name),
        None => format!("{kind}, no disk behind it: flushes are not known"),
    }
}

/// Type and options of the deepest mount that holds `dir`. A line is `id parent major:minor root point options [tags] -
/// type source super-options`; of two mounts on one point the later one counts.
fn mount_of(mounts: &str, dir: &Path) -> Option<String> {
    let lines = mounts.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let (point, options) = (mount.next()?, mount.next()?);
        let kind = system.split(' ').next()?;
        dir.starts_with(point).then(|| (point.len(), format!("{kind} ({options})")))
    });
    lines.max_by_key(|(depth, _)| *depth).map(|(_, text)| text)
}

/// Under the usual policy a parked thread can be woken late, which reads as 4 ms syncs; `chrt -r` avoids it.
fn scheduling() -> &'static str {
    // SAFETY: the call takes a process id, 0 for this one, and touches no memory.
    match unsafe { libc::sched_getscheduler(0) } {
        libc::SCHED_OTHER => "SCHED_OTHER",
        libc::SCHED_FIFO => "SCHED_FIFO",
        libc::SCHED_RR => "SCHED_RR",
        _ => "another policy",
    }
}

fn versions() -> String {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    let fdatasync = option_env!("LIBSQLITE3_FLAGS").is_some_and(|flags| flags.contains("HAVE_FDATASYNC"));
    format!(
        "etclite {}, SQLite {} ({}), LMDB {}, redb {}, fjall {}",
        if cfg!(feature = "etclite") { locked(LOCK, "etclite") } else { "not compiled in" },
        rusqlite::version(),
        if fdatasync { "fdatasync" } else { "fsync, slower: build from the top of the source" },
        heed::lmdb_version().string.trim_start_matches("LMDB ").split(':').next().unwrap_or_default(),
        locked(LOCK, "redb"),
        locked(LOCK, "fjall"),
    )
}

/// The version of a package in `Cargo.lock`.
fn locked<'a>(lock: &'a str, package: &str) -> &'a str {
    let after = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).map(|(_, after)| after);
    after.and_then(|after| after.split('"').next()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deepest_mount_wins_and_the_later_of_two() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      30 22 0:25 / /data rw - tmpfs none rw\n\
                      31 22 0:26 / /data ro - xfs /dev/vdb rw\n";
        assert_eq!(mount_of(mounts, Path::new("/data/a")).as_deref(), Some("xfs (ro)"));
        assert_eq!(mount_of(mounts, Path::new("/database")).as_deref(), Some("ext4 (rw,relatime)"));
    }

    #[test]
    fn lock_file_tells_versions() {
        assert_eq!(locked("[[package]]\nname = \"redb\"\nversion = \"4.6.0\"\n", "redb"), "4.6.0");
        assert_eq!(locked("", "redb"), "unknown");
    }
}
