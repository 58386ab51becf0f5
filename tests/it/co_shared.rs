//! CO-05: one session, several threads. They stand in line with one key, and which of them gives up is not what the others
//! lose their place by.

use std::time::Duration;

use etclite::coordination::{Cancel, WaitOptions};
use etclite::{Error, PutOptions};

use super::co_mutex::{await_waiters, is_waiting, line, locker, session};
use super::rig::{Kind, Store, ms};

/// Of two threads that waited with one session the one gave up that had come first, and took the key along: the other was
/// told that its session had expired.
#[test]
fn co_05_a_thread_that_gives_up_leaves_the_place_to_the_others() {
    let store = Store::new(Kind::Memory);
    let held = session(&store.db).mutex("n").lock().unwrap();
    let (shared, behind, cancel) = (session(&store.db), session(&store.db), Cancel::new());
    std::thread::scope(|scope| {
        let (_, canceled) = locker(scope, &shared, &WaitOptions::new().cancel(&cancel));
        await_waiters(&store.db, 1);
        let (_, locked) = locker(scope, &shared, &WaitOptions::new());
        await_waiters(&store.db, 2);
        let place = store.db.get(format!("n/{}", shared.lease())).unwrap().unwrap().create_revision;
        let (_, later) = locker(scope, &behind, &WaitOptions::new());
        await_waiters(&store.db, 3);
        cancel.cancel();
        assert!(matches!(canceled.recv().unwrap(), Err(Error::WaitCanceled)));
        assert!(is_waiting(&locked) && line(&store.db).len() == 3);
        // So does one that does not wait at all.
        assert!(shared.mutex("n").lock_timeout(Duration::ZERO).unwrap().is_none());
        assert!(shared.mutex("n").try_lock().unwrap().is_none());
        held.unlock().unwrap();
        let guard = locked.recv().unwrap().unwrap().unwrap();
        assert_eq!(guard.revision(), place, "it had its place from the beginning");
        assert!(guard.is_held().unwrap() && is_waiting(&later));
        guard.unlock().unwrap();
        later.recv().unwrap().unwrap().unwrap();
    });
    assert!(line(&store.db).is_empty());
}

#[test]
fn co_05_the_last_thread_that_gives_up_takes_the_key() {
    let store = Store::new(Kind::Memory);
    let held = session(&store.db).mutex("n").lock().unwrap();
    let shared = session(&store.db);
    for first in [0, 1] {
        let cancels = [Cancel::new(), Cancel::new()];
        std::thread::scope(|scope| {
            let mut waiting = Vec::new();
            for (cancel, count) in cancels.iter().zip(1..) {
                waiting.push(locker(scope, &shared, &WaitOptions::new().cancel(cancel)).1);
                await_waiters(&store.db, count);
            }
            for (at, left) in [(first, 2), (1 - first, 1)] {
                cancels[at].cancel();
                assert!(matches!(waiting[at].recv().unwrap(), Err(Error::WaitCanceled)));
                assert_eq!(line(&store.db).len(), left);
            }
        });
    }
    // A guard that was released stands for nobody.
    held.unlock().unwrap();
    let released = shared.mutex("n").lock().unwrap();
    released.unlock().unwrap();
    let held = session(&store.db).mutex("n").lock().unwrap();
    assert!(shared.mutex("n").lock_timeout(ms(1)).unwrap().is_none());
    assert_eq!(line(&store.db), [std::str::from_utf8(held.key()).unwrap()]);
    // What was there before anybody stood with it is nobody's to remove.
    let key = format!("n/{}", shared.lease());
    store.db.put_with(&key, "", PutOptions::new().lease(shared.lease())).unwrap();
    assert!(shared.mutex("n").lock_timeout(ms(1)).unwrap().is_none());
    assert_eq!(line(&store.db).len(), 2);
}
