//! SIGKILL at random moments loses nothing that was answered.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::driver::Driver;

/// How often the driver is killed.
const ROUNDS: u64 = 50;

#[test]
fn sigkill_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut random = u64::from(seed) | 1;
    // What each key must hold at least: values of a key only rise.
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    let mut value = 0;
    for round in 0..ROUNDS {
        let mut driver = Driver::on(&store);
        for (key, least) in &answered {
            let found = driver.call(json!({"cmd": "get", "key": key}))["kv"]["value"].clone();
            let found: u64 = found.as_str().expect("a key that was answered").parse().unwrap();
            assert!(found >= *least, "round {round}: {key} holds {found} after {least} was answered");
        }
        assert_eq!(driver.call(json!({"cmd": "check"}))["clean"], true, "round {round}");
        let mut sent = BTreeMap::new();
        for client in 0..4 {
            for _ in 0..50 {
                value += 1;
                let key = format!("k{client}");
                let request = json!({"cmd": "put", "client": client, "key": key, "value": value.to_string()});
                sent.insert(driver.send(request), (key, value));
            }
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_micros(random % 20_000));
        driver.kill();
        for answer in driver.ended().0 {
            note(&answer, &sent, &mut answered);
        }
    }
    assert!(!answered.is_empty(), "never was anything answered");
}

fn note(answer: &Value, sent: &BTreeMap<u64, (String, u64)>, answered: &mut BTreeMap<String, u64>) {
    assert_eq!(answer["ok"], true, "{answer}");
    let (key, value) = &sent[&answer["id"].as_u64().unwrap()];
    let least = answered.entry(key.clone()).or_default();
    *least = (*least).max(*value);
}
