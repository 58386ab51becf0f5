//! Mutated requests: never a panic, and exactly one answer a line.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::driver::{Driver, ETCLITE};

/// Lines in all, and to one process. A line may become an endless wait, behind which at most 1,024 lines queue; it ends
/// with the input.
const LINES: usize = 20_000;
const LINES_OF_A_PROCESS: usize = 500;

const SEEDS: &[&str] = &[
    r#"{"id":1,"cmd":"put","key":"a","value":"1"}"#,
    r#"{"id":"x","client":3,"cmd":"put","key_b64":"/w==","value_b64":"AAE=","lease":"ab","prev_kv":true}"#,
    r#"{"cmd":"put","key":"a","ignore_value":true,"ignore_lease":false,"lease":null}"#,
    r#"{"id":-4,"cmd":"get","key":"a","rev":2,"keys_only":true}"#,
    r#"{"cmd":"range","key":"","prefix":true,"limit":2,"sort":"mod","order":"descend","min_mod":1,"max_create":9}"#,
    r#"{"cmd":"range","key":"a","end":"\u0000","count_only":true}"#,
    r#"{"cmd":"del","key":"b","from_key":true,"prev_kv":true}"#,
    r#"{"cmd":"txn","when":[{"key":"a","target":"version","is":"=","number":1}],"then":[{"cmd":"put","key":"a","value":"2"},{"cmd":"get","key":"a"}],"else":[{"cmd":"txn","then":[{"cmd":"del","key":"c"}]}]}"#,
    r#"{"cmd":"txn","when":[{"key":"a","end":"c","target":"value","is":"<","value":"é"},{"held":{"key":"a","revision":2,"lease":"1"}}]}"#,
    r#"{"cmd":"compact","rev":3,"physical":true}"#,
    r#"{"cmd":"lease_grant","ttl_ms":60000,"lease":"ab","op_id":"00112233445566778899aabbccddeeff","since":1}"#,
    r#"{"cmd":"lease_ttl","lease":"ab","keys":true}"#,
    r#"{"cmd":"lease_keepalive","lease":"ab"}"#,
    r#"{"cmd":"lease_revoke","lease":"ab"}"#,
    r#"{"cmd":"lease_list"}"#,
    r#"{"cmd":"watch","key":"","prefix":true,"rev":1,"prev_kv":true,"no_put":false}"#,
    r#"{"client":9,"cmd":"watch_next","watch":1,"timeout_ms":0}"#,
    r#"{"client":9,"cmd":"watch_cancel","watch":2}"#,
    r#"{"cmd":"lock","client":8,"name":"n","timeout_ms":0}"#,
    r#"{"cmd":"elect","client":8,"name":"n","value":"v","timeout_ms":0}"#,
    r#"{"cmd":"cursor_advance","name":"c","from":1,"to":2}"#,
    r#"{"cmd":"retain","name":"r","prefix":"p","keep_revisions":9}"#,
    r#"{"cmd":"hash","rev":0}"#,
    r#"{"cmd":"status"}"#,
    r#"{"cmd":"check","deep":true}"#,
    r#"{"cmd":"sleep","ms":1}"#,
];

/// What is put in somewhere.
const PIECES: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "9223372036854775807",
    "9223372036854775808",
    "1e999",
    "\"\"",
    "{}",
    "[]",
    "[[[[[[[[",
    "}",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\"cmd\":\"get\",",
    "\"id\":7,",
    "\"key\":\"a\",",
    "\"x\":1,",
    "\"client\":255,",
    "\u{feff}",
    "é",
    "\u{0}",
    " ",
    "\t",
    "\"lease\":\"ffffffffffffffff\",",
    "\"timeout_ms\":0,",
    "{\"cmd\":\"put\"}",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// A request with a few wounds, on one line.
    fn line(&mut self) -> Vec<u8> {
        let mut line = self.of(SEEDS).as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let (at, to) = (self.below(line.len() + 1), self.below(line.len() + 1));
            match self.below(6) {
                0 => drop(line.splice(at..at, self.of(PIECES).bytes())),
                1 => drop(line.drain(at.min(to)..at.max(to).min(at.min(to) + 9))),
                2 => line.truncate(at),
                3 if at < line.len() => line[at] ^= 1 << self.below(8),
                4 => drop(line.splice(at..at, self.of(SEEDS).bytes())),
                _ => line.insert(at, b"0123456789abcdef\"{}[],:\xff"[self.below(24)]),
            }
        }
        line.retain(|&byte| byte != b'\n');
        line
    }
}

/// Whether a line could keep the test waiting: no mutation is to sleep for an hour.
fn waits_long(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let after = |name: &str| {
        let times = text.match_indices(name).map(|(at, _)| &text[at + name.len()..]);
        times.map(|rest| rest.chars().take_while(|c| c.is_ascii_digit()).count()).max().unwrap_or(0)
    };
    ["\"ms\":", "\"timeout_ms\":", "\"ms\": ", "\"timeout_ms\": "].iter().any(|name| after(name) > 2)
}

#[test]
fn each_mutated_line_is_answered_once() {
    let seed = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()) | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    for round in 0..LINES / LINES_OF_A_PROCESS {
        let lines: Vec<_> = std::iter::repeat_with(|| random.line())
            .filter(|line| !waits_long(line))
            .take(LINES_OF_A_PROCESS)
            .collect();
        let mut command = std::process::Command::new(ETCLITE);
        command.args(["exec", "--json", "--in-memory"]).env_remove("ETCLITE_DB");
        let mut driver = Driver::of(command);
        lines.iter().for_each(|line| driver.raw(line));
        let expected = lines.iter().filter(|line| !line.trim_ascii().is_empty()).count();
        let (answers, status) = driver.end();
        if answers.len() != expected || status.code() != Some(0) || answers.iter().any(|answer| !is_sound(answer)) {
            let kept = std::env::temp_dir().join(format!("etclite-fuzz-{seed}-{round}"));
            std::fs::File::create(&kept).unwrap().write_all(&lines.join(&b'\n')).unwrap();
            let odd = answers.iter().find(|answer| !is_sound(answer));
            panic!("{} answers to {expected} lines, {status}, {odd:?}; kept in {}", answers.len(), kept.display());
        }
    }
}

fn is_sound(answer: &Value) -> bool {
    match answer["ok"].as_bool() {
        Some(true) => true,
        Some(false) => answer["code"].is_string() && answer["code"] != "PANIC" && answer["number"].as_i64() < Some(0),
        None => false,
    }
}
