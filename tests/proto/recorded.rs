//! What etcd 3.4.23 answered, message by message: each recorded request is encoded, executed, and its reply compared whole.
//!
//! The recordings are those of the suite `it` (`tests/it/etcd_rows.rs`), which plays them through the verbs of Rust. Here
//! more of them must agree: what a message can say and Rust cannot (KV-06's accident) is copied.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use etclite::{Db, Options, Watch, proto};
use serde_json::{Value, json};

use crate::dynamic::{Style, decode, encode};

#[test]
fn every_recorded_answer_is_given_byte_by_byte() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/etcd/rows");
    let (mut requests, mut differences) = (0, Vec::new());
    for file in fs::read_dir(directory).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut replay = Replay::new();
        for line in text.lines() {
            let step: Value = serde_json::from_str(line).expect("a JSON object");
            if step.get("row").is_some() {
                replay = Replay::new();
                replay.row = step["row"].as_str().unwrap().to_owned();
                continue;
            }
            requests += 1;
            differences.extend(replay.check(&step));
        }
    }
    assert!(requests > 1000, "only {requests} requests");
    differences.sort();
    // Each is asserted, with what is answered instead, by the suite `it`.
    assert_eq!(differences, ["CP-02", "PD-08", "TX-11"]);
}

/// One run of a scenario.
struct Replay {
    row: String,
    db: Db,
    watches: HashMap<String, Result<Watch, Value>>,
}

impl Replay {
    fn new() -> Self {
        // The least ttl and the budget of a txn are etcd's (LE-02, TX-08).
        let options = Options::new().min_ttl(Duration::from_secs(2)).txn_ops_max(128);
        Replay { row: String::new(), db: options.in_memory().unwrap(), watches: HashMap::new() }
    }

    /// Compares; the row of a difference that the recordings know.
    fn check(&mut self, step: &Value) -> Option<String> {
        let known = ["answer", "differs"];
        let mut fields = step.as_object().expect("a step is an object").iter();
        let (call, request) = fields.find(|(name, _)| !known.contains(&name.as_str())).expect("a step has a request");
        let ours = self.answer(call, request);
        let recorded = comparable(call, step["answer"].clone());
        match step.get("differs").and_then(Value::as_str) {
            Some(row) if row != "KV-06" => {
                assert_ne!(ours, recorded, "{row} is a difference no more");
                Some(row.to_owned())
            }
            _ => {
                assert_eq!(ours, recorded, "{}: ours is left, etcd's right: {call} {request}", self.row);
                None
            }
        }
    }

    fn answer(&mut self, call: &str, request: &Value) -> Value {
        let (operation, name) = match call {
            "watch" => return self.watch(request),
            "read" => return self.read(request),
            "put" => (proto::PUT, "Put"),
            "range" => (proto::RANGE, "Range"),
            "delete" => (proto::DELETE_RANGE, "DeleteRange"),
            "txn" => (proto::TXN, "Txn"),
            "compact" => (proto::COMPACT, "Compaction"),
            "grant" => (proto::LEASE_GRANT, "LeaseGrant"),
            "revoke" => (proto::LEASE_REVOKE, "LeaseRevoke"),
            "keepalive" => (proto::LEASE_KEEPALIVE, "LeaseKeepAlive"),
            "timetolive" => (proto::LEASE_TIME_TO_LIVE, "LeaseTimeToLive"),
            "leases" => (proto::LEASE_LEASES, "LeaseLeases"),
            other => panic!("{other}"),
        };
        let message = encode(&format!("etcdserverpb.{name}Request"), request, Style::Recorded);
        match proto::execute(&self.db, operation, &message) {
            Ok(reply) => {
                let answer = decode(&format!("etcdserverpb.{name}Response"), &reply.to_vec(), Style::Recorded);
                chosen(call, request, answer)
            }
            Err(error) => json!({ "error": proto::message(&error) }),
        }
    }

    fn watch(&mut self, request: &Value) -> Value {
        let mut create = request.clone();
        let name = create.as_object_mut().unwrap().remove("name").expect("a watch has a name");
        let message = encode("etcdserverpb.WatchCreateRequest", &create, Style::Recorded);
        let revision = self.db.revision().get();
        let begun = proto::watch_builder(&self.db, &message).and_then(etclite::WatchBuilder::start);
        let (watch, answer) = match begun {
            Ok(watch) => (Ok(watch), json!({"revision": revision, "created": true})),
            // etcd creates it first, and then tells that it is cancelled.
            Err(etclite::Error::Compacted { compacted }) => (
                Err(json!({"canceled": true, "compact_revision": compacted.get()})),
                json!({"revision": revision, "created": true}),
            ),
            Err(error) => {
                let reason = proto::message(&error);
                let answer = json!({"revision": revision, "created": true, "canceled": true, "cancel_reason": reason});
                (Err(Value::Null), answer)
            }
        };
        self.watches.insert(name.as_str().unwrap().to_owned(), watch);
        answer
    }

    /// What came on a watch, all responses in one.
    fn read(&mut self, request: &Value) -> Value {
        let identity = proto::Identity::of(&self.db);
        let watch = match self.watches.get_mut(request["name"].as_str().unwrap()).expect("it was started") {
            Ok(watch) => watch,
            Err(end) => return end.take(),
        };
        let mut events = Vec::new();
        while let Some(batch) = watch.try_next().expect("nothing ends it") {
            let response = prost::Message::encode_to_vec(&proto::watch_response(identity, 0, batch));
            let response = decode("etcdserverpb.WatchResponse", &response, Style::Recorded);
            events.extend(response["events"].as_array().expect("no progress was asked for").iter().cloned());
        }
        if events.is_empty() { json!({}) } else { json!({ "events": events }) }
    }
}

/// An answer without what is its giver's to choose: an id that was drawn, and how fast the test runs.
fn chosen(call: &str, request: &Value, mut answer: Value) -> Value {
    match call {
        "grant" if request["ID"] == 0 || request.get("ID").is_none() => {
            assert!(answer["ID"].as_i64().unwrap() > 0);
            answer["ID"] = true.into();
        }
        "timetolive" if answer["TTL"] != -1 => answer["TTL"] = true.into(),
        _ => {}
    }
    answer
}

/// A recorded answer without what is etcd's to choose: the order of a lease's keys (CH-14), the headers and the number of
/// the responses of a watch (WA-13).
fn comparable(call: &str, mut answer: Value) -> Value {
    if call == "read" {
        let responses = answer["responses"].as_array().expect("a list");
        let events: Vec<_> =
            responses.iter().flat_map(|r| r.get("events").and_then(Value::as_array)).flatten().cloned().collect();
        let mut object = serde_json::Map::new();
        if !events.is_empty() {
            object.insert("events".into(), events.into());
        }
        for field in ["canceled", "compact_revision"] {
            object.extend(
                responses.last().and_then(|last| last.get(field)).map(|value| (field.to_owned(), value.clone())),
            );
        }
        return object.into();
    }
    if let Some(keys) = answer.get_mut("keys").and_then(Value::as_array_mut) {
        keys.sort_by_key(|key| key.as_str().expect("a string").to_owned());
    }
    answer
}
