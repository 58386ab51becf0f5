//! Tells the linker of the shared library what rustc does not: the name under which programs remember it, and that it
//! stays in memory for good, since threads of ours may run when a host says `dlclose`. The header is not made here but
//! by a test, so that building needs no generator.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it for every build script");
    let os = std::env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it for every build script");
    if os == "macos" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libetclite.{major}.dylib");
    } else {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libetclite.so.{major}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
