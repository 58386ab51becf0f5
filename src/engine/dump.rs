//! Dump: the store as JSON lines.
//!
//! ```text
//! {"etclite_dump":1,"revision":7,"compact_revision":0,"history":false}
//! {"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1}
//! {"lease":"5f1c","granted_ms":5000,"remaining_ms":4990}
//! {"end":true,"kvs":1,"leases":1,"hash":"89abcdef"}
//! ```
//! Bytes that are not UTF-8 stand as base64 in a field with the suffix `_b64`. With history, each retained change is a
//! line `{"type":"put","rev":2,"sub":0,"kv":{..}}` instead, in order of (rev, sub). A dump without its last line was cut
//! off.

use std::io::Write;

use crate::engine::Engine;
use crate::engine::inspect::{hash_retained, visit_retained};
use crate::error::{Error, Result};
use crate::kv::{KeyRange, KeyValue, LeaseId, Revision};
use crate::op::Range;
use crate::store::entry::Entry;

/// What [`Db::dump`](crate::Db::dump) writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpOptions {
    /// As of which revision; zero is the latest.
    pub revision: Revision,
    /// Only keys with this prefix; empty is every key.
    pub prefix: Vec<u8>,
    /// Every retained change instead of the live keys.
    pub history: bool,
}

impl Engine {
    pub(crate) fn dump(&self, out: &mut dyn Write, options: &DumpOptions) -> Result<()> {
        let view = self.view_at(options.revision)?;
        let (revision, compacted) = (view.revision, view.compacted);
        let history = options.history;
        let mut lines = Lines { out, kvs: 0 };
        lines.line(&format!(
            "{{\"etclite_dump\":1,\"revision\":{revision},\"compact_revision\":{compacted},\"history\":{history}}}"
        ))?;
        let range = KeyRange::prefix(&options.prefix);
        if history {
            // The order wanted is that of revisions, the one that is stored that of keys: collected, then sorted.
            let mut changes: Vec<Entry> = Vec::new();
            visit_retained(&view.version, revision, compacted, &mut |entry| {
                if range.contains(&entry.key[1..]) {
                    changes.push(entry.to_entry());
                }
                Ok(())
            })?;
            changes.sort_unstable_by_key(|entry| (entry.mod_revision, entry.sub));
            changes.iter().try_for_each(|entry| lines.change(entry))?;
        } else {
            let mut scan = view.scan(&Range::new(range))?;
            while let Some(entry) = scan.next()? {
                lines.kv(&entry.to_kv())?;
            }
        }
        let mut by_id = self.listed_leases();
        by_id.sort_unstable_by_key(|(id, _)| *id);
        for (id, time) in &by_id {
            let (granted, remaining) = (time.terms.ttl.as_millis(), time.remaining.as_millis());
            lines.line(&format!(
                "{{\"lease\":\"{}\",\"granted_ms\":{granted},\"remaining_ms\":{remaining}}}",
                hex(*id)
            ))?;
        }
        let hash = hash_retained(&view.version, revision, compacted)?;
        let (kvs, leases) = (lines.kvs, by_id.len());
        lines.line(&format!("{{\"end\":true,\"kvs\":{kvs},\"leases\":{leases},\"hash\":\"{hash:08x}\"}}"))
    }
}

struct Lines<'o> {
    out: &'o mut dyn Write,
    kvs: u64,
}

impl Lines<'_> {
    fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.out, "{line}").map_err(|error| Error::io("write the dump", "", error))
    }

    fn kv(&mut self, kv: &KeyValue) -> Result<()> {
        self.kvs += 1;
        self.line(&json_kv(kv, false))
    }

    fn change(&mut self, entry: &Entry) -> Result<()> {
        self.kvs += 1;
        let kind = if entry.tombstone { "delete" } else { "put" };
        let kv = json_kv(&entry.to_kv(), entry.tombstone);
        let (rev, sub) = (entry.mod_revision, entry.sub);
        self.line(&format!("{{\"type\":\"{kind}\",\"rev\":{rev},\"sub\":{sub},\"kv\":{kv}}}"))
    }
}

fn json_kv(kv: &KeyValue, deleted: bool) -> String {
    let mut json = String::from("{");
    push_bytes(&mut json, "key", &kv.key);
    if deleted {
        json.push_str(&format!(",\"mod_revision\":{}}}", kv.mod_revision));
        return json;
    }
    json.push(',');
    push_bytes(&mut json, "value", &kv.value);
    let (create, modified, version) = (kv.create_revision, kv.mod_revision, kv.version);
    json.push_str(&format!(",\"create_revision\":{create},\"mod_revision\":{modified},\"version\":{version}"));
    if !kv.lease.is_none() {
        json.push_str(&format!(",\"lease\":\"{}\"", hex(kv.lease)));
    }
    json.push('}');
    json
}

/// A lease id as its 64-bit pattern in lowercase hexadecimal.
fn hex(id: LeaseId) -> String {
    format!("{:x}", id.get().cast_unsigned())
}

/// A field that holds text, or base64 under the name with the suffix `_b64`.
fn push_bytes(json: &mut String, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            json.push_str(&format!("\"{name}\":\""));
            push_text(json, text);
        }
        Err(_) => {
            json.push_str(&format!("\"{name}_b64\":\""));
            push_base64(json, bytes);
        }
    }
    json.push('"');
}

fn push_text(json: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
}

fn push_base64(json: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0u32, |group, (i, byte)| group | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let digit = if i <= chunk.len() { char::from(DIGITS[(group >> (18 - 6 * i) & 63) as usize]) } else { '=' };
            json.push(digit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_base64() {
        let field = |bytes: &[u8]| {
            let mut json = String::new();
            push_bytes(&mut json, "key", bytes);
            json
        };
        assert_eq!(field(b"a\"b\n\x01"), r#""key":"a\"b\n\u0001""#);
        assert_eq!(field(b"\xff"), r#""key_b64":"/w==""#);
        assert_eq!(field(b"\xff\xfe"), r#""key_b64":"//4=""#);
        assert_eq!(field(b"\xff\xfe\xfd"), r#""key_b64":"//79""#);
    }
}
