//! A simulated disk that forgets, and a clock that obeys: what the crash, fault and corruption suites run on.
//!
//! [`SimDisk`] keeps every change in one ordered [`Record`]. From it the [`Image`]s are built that a power cut at any
//! place could leave: what was synced is there; of what was not, any subset, in part or whole. The rules:
//!
//! - A write or a change of length is pending until its file is synced; a sync covers that file's data and length and
//!   nothing else, least of all the file's name.
//! - A name made, changed or removed is pending until its directory is synced (a rename between two directories: both).
//!   Each is atomic, but not ordered against anything else.
//! - A chosen write may be torn at sectors of 512 bytes or 4 KiB. Writes within one sector are atomic.
//! - Where a file's length reached the disk and its data did not, there are zeros or garbage.
//!
//! Read on in `disk.rs` (the live disk), `record.rs` (what is pending at a place), `crash.rs` (which subsets survive),
//! `image.rs` and `content.rs` (how images share their bytes), `faults.rs`, `clock.rs`.

mod clock;
mod content;
mod crash;
mod disk;
mod faults;
mod image;
mod record;
mod seed;
#[cfg(test)]
mod tests;

pub use clock::SimClock;
pub use content::Content;
pub use crash::Limits;
pub use disk::SimDisk;
pub use faults::{Fault, FaultKind};
pub use image::Image;
pub use record::{Change, Node, Op, OpKind, Record};
pub use seed::SplitMix64;
