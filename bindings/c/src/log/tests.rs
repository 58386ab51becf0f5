//! The sink. There is one for the process, so one test has it at a time, and looks at its own stores alone.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests, which are the outside")]

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};

use super::*;
use crate::code::*;
use crate::database::{database, etclite_close, etclite_db, etclite_open, etclite_revision};
use crate::kv::etclite_put;

/// Level and text.
type Line = (u32, String);

/// What a sink is given.
struct Context {
    lines: Mutex<Sender<Line>>,
    /// What the library answered from inside.
    inside: Mutex<Sender<i32>>,
}

unsafe extern "C" fn note(context: *mut c_void, level: u32, message: *const u8, len: usize) {
    // SAFETY: what `set` was given, which outlives the sink.
    let context = unsafe { &*context.cast::<Context>() };
    // SAFETY: bytes that live until this returns.
    let text = unsafe { crate::argument::bytes(message, len) }.unwrap();
    let (mut revision, mut compacted) = (0, 0);
    // SAFETY: out parameters that live until they return.
    let answers = unsafe {
        [
            etclite_revision(ptr::null(), &raw mut revision, &raw mut compacted, ptr::null_mut()),
            etclite_set_log(ETCLITE_LOG_OFF, None, ptr::null_mut(), ptr::null_mut()),
        ]
    };
    answers.iter().for_each(|answer| context.inside.lock().unwrap().send(*answer).unwrap());
    context.lines.lock().unwrap().send((level, String::from_utf8(text.to_vec()).unwrap())).unwrap();
}

/// The sink, while this lives.
struct Set {
    context: Box<Context>,
    lines: Receiver<Line>,
    inside: Receiver<i32>,
    _alone: MutexGuard<'static, ()>,
}

impl Set {
    fn new() -> Set {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let ((to_lines, lines), (to_inside, inside)) = (channel(), channel());
        let context = Box::new(Context { lines: Mutex::new(to_lines), inside: Mutex::new(to_inside) });
        Set { context, lines, inside, _alone: alone }
    }

    fn level(&self, level: u32) {
        let context = ptr::from_ref(&*self.context).cast_mut().cast();
        // SAFETY: the context outlives the sink.
        assert_eq!(unsafe { etclite_set_log(level, Some(note), context, ptr::null_mut()) }, ETCLITE_OK);
    }

    /// The next line of the store at this path.
    fn line(&self, store: &Path) -> Line {
        loop {
            let (level, line) = self.lines.recv_timeout(Duration::from_secs(60)).unwrap();
            if let Some(text) = line.strip_prefix(&format!("{}: ", store.display())) {
                return (level, text.to_owned());
            }
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: no sink.
        unsafe { etclite_set_log(ETCLITE_LOG_OFF, None, ptr::null_mut(), ptr::null_mut()) };
    }
}

fn open(path: &Path) -> *mut etclite_db {
    let mut db = ptr::null_mut();
    let path = path.as_os_str().as_encoded_bytes();
    // SAFETY: the path and the out parameters live until it returns.
    let opened = unsafe { etclite_open(path.as_ptr(), path.len(), ptr::null(), &raw mut db, ptr::null_mut()) };
    assert_eq!(opened, ETCLITE_OK);
    db
}

fn close(db: *mut etclite_db) {
    // SAFETY: it takes any pointer.
    unsafe { etclite_close(db, ptr::null_mut()) };
}

/// A store as a crash leaves it in the middle of a write.
fn torn(path: &Path) {
    let whole = path.with_extension("whole");
    let db = open(&whole);
    let none = (ptr::null(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: key and value live until it returns.
    assert_eq!(unsafe { etclite_put(db, b"a".as_ptr(), 1, b"1".as_ptr(), 1, none.0, none.1, none.2) }, ETCLITE_OK);
    copy(&whole, path);
    close(db);
    for segment in std::fs::read_dir(path.join("log")).unwrap() {
        let segment = segment.unwrap().path();
        let mut bytes = std::fs::read(&segment).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes[end + 8..end + 56].fill(0xff);
        std::fs::write(&segment, bytes).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn the_sink_is_told_and_may_not_call_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    torn(&first);
    torn(&second);
    let set = Set::new();
    // Open already when the sink comes.
    let db = open(&first);
    set.level(ETCLITE_LOG_INFO);
    etclite::host::poison(&database(db).unwrap().db);
    let (level, text) = set.line(&first);
    assert_eq!(level, ETCLITE_LOG_ERROR);
    assert!(text.starts_with("takes no more writes until it is reopened: "), "{text}");
    let other = open(&second);
    let (level, text) = set.line(&second);
    assert_eq!(level, ETCLITE_LOG_INFO);
    assert!(text.starts_with("log/") && text.contains("unfinished write"), "{text}");
    let inside: Vec<i32> = set.inside.try_iter().collect();
    assert!(inside.len() >= 4 && inside.iter().all(|answer| *answer == ETCLITE_E_MISUSE), "{inside:?}");
    close(db);
    close(other);
}

#[test]
fn nothing_is_told_above_the_level() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    torn(&path);
    let set = Set::new();
    set.level(ETCLITE_LOG_WARN);
    let db = open(&path);
    etclite::host::poison(&database(db).unwrap().db);
    // What recovery found would have come before.
    assert_eq!(set.line(&path).0, ETCLITE_LOG_ERROR);
    close(db);
}

#[test]
fn who_replaces_a_sink_waits_until_nobody_is_inside() {
    static INSIDE: Barrier = Barrier::new(2);
    static LEFT: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn slow(_: *mut c_void, _: u32, _: *const u8, _: usize) {
        INSIDE.wait();
        // The other thread is about to replace the sink, or is waiting already.
        std::thread::yield_now();
        LEFT.store(1, Ordering::SeqCst);
    }
    let set = Set::new();
    // SAFETY: it looks at no context.
    assert_eq!(unsafe { etclite_set_log(ETCLITE_LOG_INFO, Some(slow), ptr::null_mut(), ptr::null_mut()) }, ETCLITE_OK);
    std::thread::scope(|scope| {
        scope.spawn(|| tell("nobody's", &LogEvent::TornTail { file: "log".to_owned(), offset: 1 }));
        INSIDE.wait();
        set.level(ETCLITE_LOG_ERROR);
        assert_eq!(LEFT.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn arguments_of_the_sink_are_checked() {
    let _alone = Set::new();
    let set = |level, sink| {
        // SAFETY: no sink, or one that is not called.
        unsafe { etclite_set_log(level, sink, ptr::null_mut(), ptr::null_mut()) }
    };
    assert_eq!(set(4, Some(note as Call)), ETCLITE_E_INVALID_ARGUMENT);
    assert_eq!(set(ETCLITE_LOG_ERROR, None), ETCLITE_E_MISUSE);
    assert_eq!(set(ETCLITE_LOG_OFF, Some(note as Call)), ETCLITE_OK);
}
