//! The default build stays small, and synchronous.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of the crates that a build of the library is made of, itself included.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--locked", "--edges=normal", "--prefix=none", "--package=etclite"]);
    let found = cargo.args(features).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let lines = String::from_utf8(found.stdout).unwrap();
    lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_default_build_has_at_most_25_crates() {
    let crates = crates(&[]);
    assert!(crates.contains("etclite"), "{crates:?}");
    assert!(crates.len() <= 25, "{}: {crates:?}", crates.len());
}

#[test]
fn the_default_build_has_no_async_runtime_tls_or_protobuf() {
    let crates = crates(&[]);
    for unwanted in ["tokio", "async-std", "smol", "mio", "futures-executor", "rustls", "openssl", "prost", "tonic"] {
        assert!(!crates.contains(unwanted), "{unwanted}");
    }
}
