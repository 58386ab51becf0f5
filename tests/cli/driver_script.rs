//! What stands in the documentation runs as it stands there: the transcript, and the driver in Python.

use std::process::Command;

use crate::driver::{Driver, ETCLITE};

/// `>` goes in, `<` must come out.
const TRANSCRIPT: &str = r#"
> {"id":1,"cmd":"put","key":"a","value":"1"}
< {"id":1,"ok":true,"revision":2}
> {"id":2,"cmd":"txn","when":[{"key":"a","target":"version","is":"=","number":1}],"then":[{"cmd":"put","key":"a","value":"2"},{"cmd":"get","key":"a"}]}
< {"id":2,"ok":true,"revision":3,"succeeded":true,"responses":[{"cmd":"put"},{"cmd":"get","found":true,"kv":{"key":"a","value":"2","create_revision":2,"mod_revision":3,"version":2}}]}
> {"id":5,"cmd":"get","key":"a","rev":99}
< {"id":5,"ok":false,"code":"FUTURE_REVISION","number":-21,"applied":"no","message":"revision 99 is in the future, current is 3","detail":{"revision":3}}
"#;

#[test]
fn the_transcript_runs_as_printed() {
    let mut driver = Driver::in_memory();
    for line in TRANSCRIPT.lines() {
        match line.split_at_checked(2) {
            Some(("> ", request)) => driver.raw(request),
            Some((_, answer)) => assert_eq!(driver.line(), answer),
            None => {}
        }
    }
    assert_eq!(driver.end().1.code(), Some(0));
}

#[test]
fn the_driver_in_python_runs() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/driver.py");
    let output = match Command::new("python3").args([script, ETCLITE]).output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("ETCLITE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "python3: {error}");
            println!("skipped: python3 is not there");
            return;
        }
    };
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "put q1mi dsb\nTrue\nFUTURE_REVISION 3\n");
}
