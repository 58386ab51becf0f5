//! What a store answers, in the words of `make.py`.

use etclite::{Db, Error, EventKind, KeyRange, KeyValue, Revision};
use sha2::{Digest, Sha256};

/// The lines that `make.py` would write of an etcd that answers like this store.
pub(crate) fn answers(db: &Db, in_full: bool) -> Vec<String> {
    let (head, first) = (db.revision().get(), db.compact_revision().get());
    let mut lines = vec![format!("revision {head}"), format!("compact {first}")];
    for revision in first.max(1)..=head {
        let kvs: Vec<String> = kvs(db, revision).unwrap().iter().map(|kv| format!("kv {}", fields(kv))).collect();
        let mut hasher = Sha256::new();
        kvs.iter().for_each(|line| hasher.update(format!("{line}\n")));
        lines.push(format!("range {revision} {} {}", kvs.len(), hex(&hasher.finalize())));
        lines.extend(kvs.into_iter().filter(|_| in_full));
    }
    lines.extend(leases(db));
    lines.extend(events(db, first.max(1)));
    // Zero would be the latest.
    for revision in [first.saturating_sub(1), head + 1].into_iter().filter(|revision| *revision > 0) {
        lines.push(format!("error {revision} {}", refusal(&kvs(db, revision).unwrap_err())));
    }
    lines
}

/// Everything at a revision, in key order.
pub(crate) fn kvs(db: &Db, revision: u64) -> etclite::Result<Vec<KeyValue>> {
    db.range(etclite::Range::new(KeyRange::all()).at(Revision::new(revision)))?.collect()
}

fn leases(db: &Db) -> Vec<String> {
    let mut leases = db.leases().unwrap();
    leases.sort_by_key(|lease| lease.id);
    let line = |lease: etclite::LeaseStatus| {
        let keys = db.lease(lease.id).time_to_live().unwrap().unwrap().keys;
        let keys: String = keys.iter().map(|key| format!(" {}", hex(key))).collect();
        format!("lease {} {}{keys}", lease.id.get(), lease.granted.as_secs())
    };
    leases.into_iter().map(line).collect()
}

/// What a watch of everything gives from `first` on, with previous values.
pub(crate) fn events(db: &Db, first: u64) -> Vec<String> {
    let mut watch = db.watch(KeyRange::all()).from(first).with_prev().start().unwrap();
    let mut lines = Vec::new();
    while let Some(batch) = watch.try_next().unwrap() {
        for event in batch.events() {
            let prev = event.prev.as_ref().map_or("none".to_owned(), fields);
            let revision = event.kv.mod_revision;
            lines.push(match event.kind {
                EventKind::Put => format!("put {revision} {} prev {prev}", fields(&event.kv)),
                EventKind::Delete => format!("delete {revision} {} prev {prev}", hex(&event.kv.key)),
            });
        }
    }
    lines
}

fn refusal(error: &Error) -> &'static str {
    match error {
        Error::Compacted { .. } => "etcdserver: mvcc: required revision has been compacted",
        Error::FutureRevision { .. } => "etcdserver: mvcc: required revision is a future revision",
        _ => "something else",
    }
}

fn fields(kv: &KeyValue) -> String {
    let value = if kv.value.len() <= 64 { hex(&kv.value) } else { format!("={}", hex(&Sha256::digest(&kv.value))) };
    let (create, modified, version) = (kv.create_revision, kv.mod_revision, kv.version);
    format!("{} {value} {create} {modified} {version} {}", hex(&kv.key), kv.lease.get())
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
}
