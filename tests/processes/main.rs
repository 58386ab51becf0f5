//! The suite `processes`: real processes on real files (G14, G20, N3, N6). The binary is its own worker: with
//! `ETCLITE_PROCESSES_WORKER` set it does as its parent tells it, so the package needs no program for its tests.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

#[macro_use]
mod runner;

mod child;
mod disks;
mod expected;
mod idle;
mod kills;
mod load;
mod locks;
mod random;
mod syscalls;
mod system;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::var(child::ROLE).as_deref() {
        Ok("script") => worker::script(),
        Ok("load") => load::run(),
        Ok(other) => panic!("unknown role {other}"),
        Err(_) => runner::run(TESTS),
    }
}

/// The longest first, so that the processors are busy to the end.
const TESTS: &[runner::Test] = &[
    ("sigkill_under_load_loses_nothing_acknowledged", kills::sigkill_under_load_loses_nothing_acknowledged),
    ("sigkill_at_every_system_call_recovers", syscalls::sigkill_at_every_system_call_recovers),
    ("failing_calls_are_typed_errors", syscalls::failing_calls_are_typed_errors),
    ("mixed_load_leaks_nothing", idle::mixed_load_leaks_nothing),
    ("idle_store_neither_writes_nor_wakes", idle::idle_store_neither_writes_nor_wakes),
    ("threads_exist_only_while_there_is_work", idle::threads_exist_only_while_there_is_work),
    ("full_disk_refuses_then_goes_on", disks::full_disk_refuses_then_goes_on),
    ("read_only_file_system_can_be_read", disks::read_only_file_system_can_be_read),
    ("missing_permissions_are_typed_errors", disks::missing_permissions_are_typed_errors),
    ("few_descriptors_and_no_temporary_directory", disks::few_descriptors_and_no_temporary_directory),
    ("clock_that_jumps_by_years_keeps_leases_right", disks::clock_that_jumps_by_years_keeps_leases_right),
    ("second_process_is_told_who_has_the_store", locks::second_process_is_told_who_has_the_store),
    ("waiting_for_the_lock_ends_when_the_holder_leaves", locks::waiting_for_the_lock_ends_when_the_holder_leaves),
    ("forked_child_is_refused_and_harms_nothing", locks::forked_child_is_refused_and_harms_nothing),
    ("a_killed_holders_lock_is_not_kept_by_its_child", locks::a_killed_holders_lock_is_not_kept_by_its_child),
    ("descriptors_are_not_inherited_by_other_programs", locks::descriptors_are_not_inherited_by_other_programs),
];
