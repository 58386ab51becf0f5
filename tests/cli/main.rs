//! The suite `cli`: the command line as a program, from outside. `cargo test --features cli --test cli`.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod bench;
mod data;
mod health;
mod store;
