//! What the figures were measured on, as far as the system tells.

use std::fs;
use std::path::Path;
use std::thread;

/// Processor, cores and memory.
pub(super) fn processor() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    let memory = memory.map_or_else(|| "memory unknown".into(), |kb| format!("{} MiB of memory", kb >> 10));
    format!("{cores} cores, {model}, {memory}")
}

pub(super) fn kernel() -> String {
    let read =
        |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned();
    match (read("ostype"), read("osrelease")) {
        (kind, _) if kind.is_empty() => std::env::consts::OS.to_owned(),
        (kind, release) => format!("{kind} {release}"),
    }
}

/// Kind and options of the file system that a directory is on.
pub(super) fn file_system(dir: &Path) -> String {
    let found = fs::canonicalize(dir).ok().zip(fs::read_to_string("/proc/self/mountinfo").ok());
    found.and_then(|(dir, mounts)| mount_of(&mounts, &dir)).unwrap_or_else(|| "unknown".to_owned())
}

/// Of the mounts that hold `dir` the deepest counts, of two on one point the later one. A line is `id parent
/// major:minor root point options [tags] - kind source super-options`.
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

/// The value of the first `name: value` line of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = |line: &str| {
        line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts() {
        let mounts = "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
                      22 21 0:5 / /srv rw - tmpfs tmpfs rw\n\
                      23 21 8:2 / /srv rw,noatime shared:1 - xfs /dev/sdb rw\n";
        let found = |dir: &str| mount_of(mounts, Path::new(dir));
        assert_eq!(found("/srv/me").as_deref(), Some("xfs (rw,noatime)"));
        assert_eq!(found("/srvices").as_deref(), Some("ext4 (rw,relatime)"));
        assert_eq!(mount_of("nonsense", Path::new("/")), None);
    }
}
