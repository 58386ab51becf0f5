//! Options from a file, for programs whose operators set them: the configuration of etcd's clients from a file, as far as
//! one process has anything to configure.
//!
//! ```text
//! # what an operator may want
//! durability    = written
//! write_timeout = 5s
//! quota_bytes   = 2GiB
//! ```
//!
//! One setting a line, in any order, each at most once; a line that begins with `#` is a remark. The names are those of the
//! methods of [`Options`]. What is not there keeps its default, and a name or value that is none is an error, so that a
//! mistake never passes for a default. etcd's format for this is YAML, of which this is no part: it would take a parser for
//! what one line at a time says as well.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Invalid, Result};
use crate::io::fs::read_text;
use crate::options::{Durability, Options};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What a word says, or why it says nothing.
type Parsed<T> = std::result::Result<T, &'static str>;

impl Options {
    /// The options that a text file of at most 64 KiB sets: a `name = value` a line, under the names of the methods here,
    /// and remarks behind `#`. The others have their defaults.
    ///
    /// A length of time has a unit (`1500ms`, `5s`, `2m`, `1h`), a number of bytes may have one (`64KiB`, `32MiB`, `2GiB`),
    /// what is so or not is `true` or `false`, and a [`Durability`] is `synced`, `written` or `buffered`. What the program
    /// sets afterwards counts. A [`log_hook`](Options::log_hook) is code, and in no file.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().expect("a place for the example");
    /// # let path = dir.path().join("app.conf");
    /// # std::fs::write(&path, "# for this host\ndurability = written\nquota_bytes = 2GiB\n").expect("a disk with room");
    /// let options = etclite::Options::from_file(&path)?;
    /// let db = options.create(true).open(dir.path().join("app.etcl"))?;
    /// # db.close()?;
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with [`Invalid::Setting`], which has the line, for one that cannot be understood or is
    /// there twice; [`Error::TooLarge`]; [`Error::Io`]. Bounds are checked when the store is opened.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Options> {
        parse(&read_text(path.as_ref(), FILE_BYTES_MAX)?)
    }

    fn set(self, name: &str, value: &str) -> Parsed<Options> {
        Ok(match name {
            "create" => self.create(switch(value)?),
            "read_only" => self.read_only(switch(value)?),
            "allow_other_owner" => self.allow_other_owner(switch(value)?),
            "keys_only_lease" => self.keys_only_lease(switch(value)?),
            "durability" => self.durability(durability(value)?),
            "lock_wait" => self.lock_wait(duration(value)?),
            "write_timeout" => self.write_timeout(duration(value)?),
            "min_ttl" => self.min_ttl(duration(value)?),
            "max_snapshot_age" => self.max_snapshot_age(duration(value)?),
            "operation_ids_age" => self.operation_ids_age(duration(value)?),
            "request_bytes_max" => self.request_bytes_max(size(value)?),
            "operation_result_bytes_max" => self.operation_result_bytes_max(size(value)?),
            "memtable_bytes" => self.memtable_bytes(size(value)?),
            "quota_bytes" => self.quota_bytes(bytes(value)?),
            "cursor_hold_bytes" => self.cursor_hold_bytes(bytes(value)?),
            "txn_ops_max" => self.txn_ops_max(count(value)?),
            "txn_depth_max" => self.txn_depth_max(count(value)?),
            "command_changes_max" => self.command_changes_max(count(value)?),
            "watches_max" => self.watches_max(count(value)?),
            "operation_ids_max" => self.operation_ids_max(count(value)?),
            "cursors_max" => self.cursors_max(count(value)?),
            _ => return Err("no option of that name"),
        })
    }
}

fn parse(text: &str) -> Result<Options> {
    let mut options = Options::new();
    let mut seen = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = |what| Error::InvalidArgument(Invalid::Setting { line: number, what });
        let (name, value) = line.split_once('=').ok_or_else(|| refused("not of the form name = value"))?;
        let name = name.trim();
        if !seen.insert(name) {
            return Err(refused("set before"));
        }
        options = options.set(name, value.trim()).map_err(refused)?;
    }
    Ok(options)
}

/// A length of time, as the command line takes them too: `1500ms`, `5s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    let (number, unit) = number_and_unit(text);
    let number: u64 = number.parse().map_err(|_| "no duration such as 5s or 1500ms")?;
    let in_millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("no unit of time: ms, s, m, h"),
    };
    number.checked_mul(in_millis).map(Duration::from_millis).ok_or("too long")
}

/// The digits that a text begins with, and what follows them.
fn number_and_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn switch(value: &str) -> Parsed<bool> {
    value.parse().map_err(|_| "neither true nor false")
}

fn durability(value: &str) -> Parsed<Durability> {
    match value {
        "synced" => Ok(Durability::Synced),
        "written" => Ok(Durability::Written),
        "buffered" => Ok(Durability::Buffered),
        _ => Err("none of synced, written and buffered"),
    }
}

fn count(value: &str) -> Parsed<usize> {
    value.parse().map_err(|_| "no number")
}

fn size(value: &str) -> Parsed<usize> {
    usize::try_from(bytes(value)?).map_err(|_| "too many bytes")
}

fn bytes(value: &str) -> Parsed<u64> {
    let (number, unit) = number_and_unit(value);
    let number: u64 = number.parse().map_err(|_| "no number of bytes such as 4096 or 64KiB")?;
    let shift = match unit.trim_start() {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err("no unit of size: KiB, MiB, GiB"),
    };
    number.checked_mul(1 << shift).ok_or("too many bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each knob there is, under its own name: a new one must be settable too.
    #[test]
    fn every_option_can_be_set() {
        let text = "create = false\nread_only = true\nallow_other_owner = true\nkeys_only_lease = false\n\
            durability = buffered\nlock_wait = 1ms\nwrite_timeout = 2ms\nmin_ttl = 3ms\nmax_snapshot_age = 4ms\n\
            operation_ids_age = 5ms\nrequest_bytes_max = 6\noperation_result_bytes_max = 7\nmemtable_bytes = 8MiB\n\
            quota_bytes = 9\ncursor_hold_bytes = 10\ntxn_ops_max = 11\ntxn_depth_max = 12\ncommand_changes_max = 13\n\
            watches_max = 14\noperation_ids_max = 15\ncursors_max = 16\n";
        let Options {
            create: false,
            read_only: true,
            allow_other_owner: true,
            durability: Durability::Buffered,
            lock_wait,
            write_timeout,
            request_bytes_max: 6,
            txn_ops_max: 11,
            txn_depth_max: 12,
            command_changes_max: 13,
            watches_max: 14,
            quota_bytes: 9,
            min_ttl,
            max_snapshot_age: Some(max_snapshot_age),
            keys_only_lease: false,
            operation_ids_max: 15,
            operation_ids_age,
            operation_result_bytes_max: 7,
            cursors_max: 16,
            cursor_hold_bytes: 10,
            log_hook: None,
            tuning,
        } = parse(text).expect("valid")
        else {
            panic!("an option was not set")
        };
        let times = [lock_wait, write_timeout, min_ttl, max_snapshot_age, operation_ids_age];
        assert_eq!(times, [1, 2, 3, 4, 5].map(Duration::from_millis));
        assert_eq!(tuning.memtable_bytes, 8 << 20);
    }

    #[test]
    fn units() {
        assert_eq!([bytes("5"), bytes("1KiB"), bytes("3 MiB"), bytes("2GiB")], [5, 1 << 10, 3 << 20, 2 << 30].map(Ok));
        let seconds = [duration("1s"), duration("2m"), duration("1h")];
        assert_eq!(seconds, [1, 120, 3_600].map(|seconds| Ok(Duration::from_secs(seconds))));
    }
}
