//! What is generated from `src/proto/definitions` is what is checked in. `ETCLITE_BLESS=1` writes it.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto")
}

/// The generated files by name.
fn compile(out: &Path) {
    let definitions = root().join("definitions");
    let files = protox::compile(["etclitepb.proto"], [&definitions]).expect("the definitions compile");
    prost_build::Config::new()
        // Keys and values are not copied when they are taken over.
        .bytes(["."])
        .out_dir(out)
        .compile_fds(files)
        .expect("code is generated");
}

#[test]
fn checked_in_code_is_what_the_definitions_generate() {
    let out = tempfile::tempdir().unwrap();
    compile(out.path());
    let checked_in = root().join("generated");
    let bless = std::env::var_os("ETCLITE_BLESS").is_some();
    for package in ["mvccpb", "etcdserverpb", "etclitepb"] {
        let name = format!("{package}.rs");
        let generated = std::fs::read_to_string(out.path().join(&name)).unwrap();
        let path = checked_in.join(&name);
        if bless {
            std::fs::write(&path, &generated).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == generated, "{} is stale: run this test with ETCLITE_BLESS=1", path.display());
    }
}
