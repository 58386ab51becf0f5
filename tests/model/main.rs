//! The suite `model`: random sequences of operations against a store and against the reference model, which must agree
//! in every field of every answer.
//!
//! Reading order: `reference` says what is right, `generate` invents sequences, `harness` compares and shrinks. The
//! model itself is checked row by row of the specification (`rows_*`, named after the rows' ids) and by properties that
//! hold for any sequence (`properties`).

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod db;
mod engine;
mod generate;
mod harness;
mod properties;
mod reference;
mod rows_fence;
mod rows_kv;
mod rows_lease;
mod rows_txn;
mod rows_watch;
mod sabotage;
mod shorthand;
mod translate;
