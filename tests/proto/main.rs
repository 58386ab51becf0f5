//! The suite `proto`: etcd's messages in and out, and what is checked in of them.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod allocations;
mod batch;
mod call;
mod codes;
mod dynamic;
mod fuzz;
mod generated;
mod golden;
mod ours;
mod recorded;
mod rules;
