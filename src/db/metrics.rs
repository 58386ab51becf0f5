//! What a store tells of itself as a Prometheus text, under the feature `metrics`.
//!
//! Names are etcd's where the meaning is, so that its dashboards show these; the others begin with `etclite_`.

use std::fmt::Write;

use crate::db::Db;

/// One figure: its name, whether it only rises, what it is, its value.
type Figure = (&'static str, bool, &'static str, u64);

impl Db {
    /// The store's figures in Prometheus' text format, to be served by the program at whatever address it likes. Costs
    /// no reading of storage. Needs the feature `metrics`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// assert!(db.metrics().contains("\netcd_debugging_mvcc_current_revision 2\n"));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        for (name, rises, help, value) in self.figures() {
            let kind = if rises { "counter" } else { "gauge" };
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n").expect("a string takes all");
        }
        text
    }

    fn figures(&self) -> [Figure; 19] {
        let stats = self.stats();
        [
            ("etcd_server_has_leader", false, "Whether or not a leader exists: a store alone leads itself.", 1),
            ("etcd_server_is_leader", false, "Whether or not this member is a leader.", 1),
            ("etcd_server_leader_changes_seen_total", true, "The number of leader changes seen.", 0),
            (
                "etcd_server_quota_backend_bytes",
                false,
                "The quota in bytes, 0 for none.",
                self.engine().options.quota_bytes,
            ),
            ("etcd_mvcc_db_total_size_in_bytes", false, "Bytes of runs on disk.", stats.run_bytes),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", false, "Bytes of live data and history.", stats.live_bytes),
            ("etcd_mvcc_db_open_read_transactions", false, "The number of snapshots that are held.", stats.snapshots),
            ("etcd_debugging_mvcc_current_revision", false, "The current revision of the store.", stats.revision.get()),
            (
                "etcd_debugging_mvcc_compact_revision",
                false,
                "The revision of the last compaction in the store.",
                stats.compact_revision.get(),
            ),
            ("etcd_debugging_mvcc_watcher_total", false, "The number of watchers.", stats.watches),
            (
                "etclite_synced_revision",
                false,
                "The revision that is known to be on the disk.",
                stats.synced_revision.get(),
            ),
            ("etclite_leases", false, "The number of leases.", stats.leases),
            ("etclite_memtables", false, "The number of memtables.", stats.memtables),
            ("etclite_memtable_bytes", false, "Bytes of memtables.", stats.memtable_bytes),
            ("etclite_runs", false, "The number of runs.", stats.runs),
            ("etclite_run_entries", false, "The number of entries in runs.", stats.run_entries),
            ("etclite_log_segments", false, "The number of segments of the log.", stats.log_segments),
            ("etclite_logged_bytes_total", true, "Bytes of records logged since the open.", stats.logged_bytes),
            ("etclite_pinned_bytes", false, "Bytes that only snapshots keep.", stats.pinned_bytes),
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::db::Db;

    /// Each figure has its help and type before it, once, and a number.
    #[test]
    fn the_text_is_prometheus() {
        let db = Db::in_memory().expect("a store in memory opens");
        db.put("a", "1").expect("put");
        let _watch = db.watch("a").start().expect("it is open");
        let text = db.metrics();
        let lines: Vec<&str> = text.lines().collect();
        let mut names = Vec::new();
        for figure in lines.chunks(3) {
            let [help, kind, value] = figure else { panic!("{figure:?}") };
            let (name, number) = value.split_once(' ').expect("name and number");
            assert!(help.starts_with(&format!("# HELP {name} ")) && number.parse::<u64>().is_ok(), "{figure:?}");
            assert!(matches!(kind.strip_prefix(&format!("# TYPE {name} ")), Some("gauge" | "counter")));
            names.push(name);
        }
        assert!(text.contains("\netcd_debugging_mvcc_watcher_total 1\n") && text.ends_with('\n'));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), lines.len() / 3);
    }
}
