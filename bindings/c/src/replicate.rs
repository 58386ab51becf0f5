//! Groups of replicated stores. This release has none: the functions check their arguments, and answer `UNSUPPORTED`.
//!
//! They are here so that a program can be written, compiled and linked against what is to come.

use crate::argument::{
    Plain, SizedStruct, bytes, check_flags, check_reserved, options, out, out_pointer, path, timeout,
};
use crate::buf::{etclite_buf, out_buf};
use crate::database::{database, etclite_db, etclite_open_options};
use crate::error::{Failure, etclite_error};
use crate::guard::enter;

/// The member reads and is told everything, but has no vote until it is promoted.
pub const ETCLITE_CLUSTER_LEARNER: u32 = 1;
/// Reads of the leader rely on its lease, and so on clocks that run at about the same rate.
pub const ETCLITE_CLUSTER_LEASE_READS: u32 = 2;

/// How to open a store as a member of a group: founded by a list of `peers`, or joined with an invitation, or by itself
/// as the first. Zero is the default of each field; a text of length 0 is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_cluster_options {
    /// `sizeof(etclite_cluster_options)`.
    pub struct_size: usize,
    /// The directory of the store.
    pub path: *const u8,
    /// Its length in bytes.
    pub path_len: usize,
    /// This member's name, unique in the group.
    pub name: *const u8,
    /// Its length in bytes.
    pub name_len: usize,
    /// The address to listen at, such as "10.0.0.1:2380".
    pub listen: *const u8,
    /// Its length in bytes.
    pub listen_len: usize,
    /// The address that others are told, if it is another one.
    pub advertise: *const u8,
    /// Its length in bytes.
    pub advertise_len: usize,
    /// The invitation that `etclite_member_add` gave.
    pub invite: *const u8,
    /// Its length in bytes.
    pub invite_len: usize,
    /// All founding members, this one included, as "name=address,name=address".
    pub peers: *const u8,
    /// Its length in bytes.
    pub peers_len: usize,
    /// The secret that founding members share.
    pub token: *const u8,
    /// Its length in bytes.
    pub token_len: usize,
    /// As for `etclite_open`; null is all defaults.
    pub open: *const etclite_open_options,
    /// `ETCLITE_CLUSTER_..`, added up.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: integers, and addresses that are not followed before they are checked.
unsafe impl Plain for etclite_cluster_options {}
// SAFETY: `repr(C)`, the size first, no padding, and zero is the default: null pointers.
unsafe impl SizedStruct for etclite_cluster_options {
    const SIZE_MIN: usize = 136;
}

/// Opens a store as a member of a group. Not in this release.
///
/// Errors: `INVALID_ARGUMENT` for options that cannot be; `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_cluster_open(
    options: *const etclite_cluster_options,
    db: *mut *mut etclite_db,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the options and the out parameter.
    unsafe {
        enter(err, || {
            out_pointer(db)?;
            check_cluster(options)?;
            unsupported()
        })
    }
}

/// The members of the group, as a JSON array of objects: `id`, `name`, `address`, `learner`, `leader`. The buffer must be
/// freed by `etclite_buf_free`. Not in this release.
///
/// Errors: `CLOSED`; `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_member_list(
    db: *const etclite_db,
    members: *mut etclite_buf,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            out_buf(members)?;
            check_open(db)?;
            unsupported()
        })
    }
}

/// Invites a member of this name: `invite` gets a text that is good once and for a while, and that the new member opens
/// its store with. The buffer must be freed by `etclite_buf_free`. `flags` are 0 or `ETCLITE_CLUSTER_LEARNER`: a member that
/// stays a learner until it is promoted. Not in this release.
///
/// Errors: `INVALID_ARGUMENT` for an empty name; `CLOSED`; `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_member_add(
    db: *const etclite_db,
    name: *const u8,
    name_len: usize,
    flags: u32,
    invite: *mut etclite_buf,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the name and the out parameter.
    unsafe {
        enter(err, || {
            out_buf(invite)?;
            check_flags(flags, ETCLITE_CLUSTER_LEARNER)?;
            if bytes(name, name_len)?.is_empty() {
                return Err(Failure::invalid("a member without a name"));
            }
            check_open(db)?;
            unsupported()
        })
    }
}

/// Removes a member from the group, for good. Not in this release.
///
/// Errors: `INVALID_ARGUMENT` for the id 0; `CLOSED`; `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_member_remove(db: *const etclite_db, member_id: u64, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe { enter(err, || on_member(db, member_id)) }
}

/// Gives a learner a vote. Not in this release.
///
/// Errors: `INVALID_ARGUMENT` for the id 0; `CLOSED`; `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_member_promote(db: *const etclite_db, member_id: u64, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe { enter(err, || on_member(db, member_id)) }
}

/// Hands the lead of the group to a member. Not in this release.
///
/// Errors: `INVALID_ARGUMENT` for the id 0; `CLOSED`; `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_move_leader(db: *const etclite_db, member_id: u64, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe { enter(err, || on_member(db, member_id)) }
}

/// Waits until the group has a leader, for at most `timeout_ms`: -1 for ever, 0 not at all. `leader_id` gets its id.
/// Returns `ETCLITE_TIMEOUT` if there was none in time. Not in this release.
///
/// Errors: `CLOSED`; `UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_await_leader(
    db: *const etclite_db,
    timeout_ms: i64,
    leader_id: *mut u64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            out(leader_id)?;
            timeout(timeout_ms)?;
            check_open(db)?;
            unsupported()
        })
    }
}

fn unsupported() -> Result<i32, Failure> {
    Err(Failure::unsupported("this release has no groups of replicated stores"))
}

fn check_open(db: *const etclite_db) -> Result<(), Failure> {
    Ok(etclite::host::check_open(&database(db)?.db)?)
}

fn on_member(db: *const etclite_db, member_id: u64) -> Result<i32, Failure> {
    if member_id == 0 {
        return Err(Failure::invalid("no member has the id 0"));
    }
    check_open(db)?;
    unsupported()
}

/// # Safety
/// As [`options`], of what it points to as well.
unsafe fn check_cluster(place: *const etclite_cluster_options) -> Result<(), Failure> {
    // SAFETY: as the caller promises.
    let given = unsafe { options(place) }?;
    check_flags(given.flags, ETCLITE_CLUSTER_LEARNER | ETCLITE_CLUSTER_LEASE_READS)?;
    check_reserved(given.reserved)?;
    // SAFETY: as the caller promises.
    unsafe {
        path(given.path, given.path_len)?;
        options(given.open)?;
    }
    let texts = [
        (given.name, given.name_len),
        (given.listen, given.listen_len),
        (given.advertise, given.advertise_len),
        (given.invite, given.invite_len),
        (given.peers, given.peers_len),
        (given.token, given.token_len),
    ];
    for (at, (text, len)) in texts.into_iter().enumerate() {
        // SAFETY: as the caller promises.
        let text = unsafe { bytes(text, len) }?;
        if std::str::from_utf8(text).is_err() || (at < 2 && text.is_empty()) {
            return Err(Failure::invalid("a name and an address to listen at are needed, and texts are UTF-8"));
        }
    }
    if given.invite_len > 0 && given.peers_len > 0 {
        return Err(Failure::invalid("an invitation together with founding members"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::code::*;
    use crate::database::{ETCLITE_OPEN_IN_MEMORY, etclite_close, etclite_open};

    fn cluster(change: impl FnOnce(&mut etclite_cluster_options)) -> i32 {
        // SAFETY: zero is the default of each field.
        let mut options: etclite_cluster_options = unsafe { std::mem::zeroed() };
        options.struct_size = size_of::<etclite_cluster_options>();
        (options.path, options.path_len) = (b"store".as_ptr(), 5);
        (options.name, options.name_len) = (b"a".as_ptr(), 1);
        (options.listen, options.listen_len) = (b"[::1]:2380".as_ptr(), 10);
        change(&mut options);
        let mut db = ptr::dangling_mut();
        // SAFETY: options and out parameters live until it returns.
        let status = unsafe { etclite_cluster_open(&raw const options, &raw mut db, ptr::null_mut()) };
        assert!(db.is_null());
        status
    }

    #[test]
    fn opening_a_cluster_checks_its_options_and_is_unsupported() {
        assert_eq!(cluster(|_| {}), ETCLITE_E_UNSUPPORTED);
        assert_eq!(cluster(|options| options.flags = 3), ETCLITE_E_UNSUPPORTED);
        assert_eq!(cluster(|options| options.flags = 4), ETCLITE_E_INVALID_ARGUMENT);
        assert_eq!(cluster(|options| options.reserved = 1), ETCLITE_E_INVALID_ARGUMENT);
        assert_eq!(cluster(|options| options.name_len = 0), ETCLITE_E_INVALID_ARGUMENT);
        assert_eq!(cluster(|options| options.path_len = 0), ETCLITE_E_INVALID_ARGUMENT);
        assert_eq!(cluster(|options| options.token_len = 5), ETCLITE_E_MISUSE);
        assert_eq!(cluster(|options| options.struct_size = 8), ETCLITE_E_INVALID_ARGUMENT);
        assert_eq!(cluster(|options| options.listen = b"\xff[::1]:238".as_ptr()), ETCLITE_E_INVALID_ARGUMENT);
        let both = |options: &mut etclite_cluster_options| {
            (options.invite, options.invite_len) = (b"i".as_ptr(), 1);
            (options.peers, options.peers_len) = (b"a=b".as_ptr(), 3);
        };
        assert_eq!(cluster(both), ETCLITE_E_INVALID_ARGUMENT);
        let mut db = ptr::null_mut();
        // SAFETY: options may be null, and then have no path.
        let opened = unsafe { etclite_cluster_open(ptr::null(), &raw mut db, ptr::null_mut()) };
        assert_eq!(opened, ETCLITE_E_INVALID_ARGUMENT);
    }

    #[test]
    fn members_are_unsupported_once_the_arguments_are_right() {
        // SAFETY: zero is the default of each field.
        let mut options: etclite_open_options = unsafe { std::mem::zeroed() };
        (options.struct_size, options.flags) = (size_of::<etclite_open_options>(), ETCLITE_OPEN_IN_MEMORY);
        let (mut db, mut leader, none) = (ptr::null_mut(), 7, ptr::null_mut());
        let place = &raw mut leader;
        let mut buf = etclite_buf { data: ptr::null(), len: 0, token: 0 };
        // SAFETY: all that is passed in lives in this frame.
        unsafe {
            assert_eq!(etclite_open(ptr::null(), 0, &raw const options, &raw mut db, none), ETCLITE_OK);
            let mut calls = |db: *const etclite_db| {
                [
                    etclite_member_list(db, &raw mut buf, none),
                    etclite_member_add(db, b"b".as_ptr(), 1, ETCLITE_CLUSTER_LEARNER, &raw mut buf, none),
                    etclite_member_remove(db, 1, none),
                    etclite_member_promote(db, 1, none),
                    etclite_move_leader(db, 1, none),
                    etclite_await_leader(db, -1, place, none),
                ]
            };
            assert_eq!(calls(db), [ETCLITE_E_UNSUPPORTED; 6]);
            database(db).expect("open").db.close().expect("closed");
            assert_eq!(calls(db), [ETCLITE_E_CLOSED; 6]);
            let mut wrong = etclite_buf { data: ptr::null(), len: 0, token: 0 };
            let answers = [
                etclite_member_add(db, ptr::null(), 0, 0, &raw mut wrong, none),
                etclite_member_add(db, b"b".as_ptr(), 1, 2, &raw mut wrong, none),
                etclite_member_remove(db, 0, none),
                etclite_member_promote(db, 0, none),
                etclite_move_leader(db, 0, none),
                etclite_await_leader(db, -2, place, none),
            ];
            assert_eq!(answers, [ETCLITE_E_INVALID_ARGUMENT; 6]);
            assert_eq!(etclite_close(db, none), ETCLITE_OK);
            assert_eq!(calls(db), [ETCLITE_E_MISUSE; 6]);
        }
        assert_eq!(leader, 7, "written only when all has gone well");
    }
}
