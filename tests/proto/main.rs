//! The suite `proto`: etcd's messages in and out, and what is checked in of them.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod generated;
