//! The suite `crash`: what a power cut, a failing disk or a damaged file may do to a store, and that nothing acknowledged
//! is ever lost for it.
//!
//! Reading order: `workload` runs a random sequence of operations on a simulated disk and remembers, for each place of
//! its record, in which states a store may be found there; `verify` opens an image and compares all that can be read
//! with the model; `enumerate` visits the images of every crash (G1, G3), `nested` those of crashes during recovery
//! (G2); `faults` fails every I/O call of every operation in every way (G4); `corrupt` damages files (G5). `sabotage`
//! shows that the suite can fail.
//!
//! Budgets and seeds are taken from the environment (`budget`), with the bars of CI as defaults.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod budget;
mod corrupt;
mod enumerate;
mod faults;
mod found;
mod nested;
mod sabotage;
mod verify;
mod workload;

// The reference model and its tools, shared with the suite `model`.
#[path = "../model/db.rs"]
mod db;
#[path = "../model/generate.rs"]
mod generate;
#[path = "../model/harness.rs"]
mod harness;
#[path = "../model/reference.rs"]
mod reference;
#[path = "../model/translate.rs"]
mod translate;
