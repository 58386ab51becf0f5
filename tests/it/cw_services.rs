//! CW-05 and the configuration centre: what is registered stays so, and who follows misses nothing that lasts.

use etclite::coordination::{Endpoint, EndpointUpdate, EndpointWatch, Registration};
use etclite::testing::renew;
use etclite::{Db, Error, LeaseId, Options, PutOptions, prefix};

use super::gate::LONG;
use super::rig::{Kind, Store, everywhere, ms};

fn up(name: &str, addr: &str) -> EndpointUpdate {
    EndpointUpdate::Up(name.into(), Endpoint::new(addr))
}

fn down(name: &str) -> EndpointUpdate {
    EndpointUpdate::Down(name.into())
}

fn seen(watch: &mut EndpointWatch) -> Vec<EndpointUpdate> {
    std::iter::from_fn(|| watch.try_next().unwrap()).collect()
}

/// Waits until it was registered again for the `count`th time.
fn await_restored(registration: &Registration, watch: &mut EndpointWatch, count: u64) {
    while registration.restored() < count {
        assert!(watch.next_timeout(LONG).unwrap().is_some(), "it does not come back");
    }
}

#[test]
fn cw_05_register_and_resolve() {
    everywhere(|store| {
        let web = store.db.registry("services/web");
        let endpoint = Endpoint::new("10.0.0.1:80").with("zone", "b");
        let registration = web.register("1", endpoint.clone(), ms(5_000)).unwrap();
        let kv = store.db.get("services/web/1").unwrap().unwrap();
        assert_eq!((&kv.key, kv.lease), (registration.key(), registration.lease()));
        assert_eq!(kv.value, r#"{"Op":0,"Addr":"10.0.0.1:80","Metadata":{"zone":"b"}}"#);
        // Not of this service, or no endpoint at all.
        store.put("services/web2/1", r#"{"Op":0,"Addr":"x","Metadata":null}"#);
        store.put("services/web/9", "what is this");
        web.put("2", &Endpoint::new("10.0.0.2:80"), LeaseId::NONE).unwrap();
        store.settle();
        let found = web.resolve().unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("1".into(), endpoint), ("2".into(), Endpoint::new("10.0.0.2:80"))]
        );
        registration.update(Endpoint::new("10.0.0.3:80")).unwrap();
        assert_eq!(web.resolve().unwrap()["1"].addr, "10.0.0.3:80");
        assert_eq!(store.db.get("services/web/1").unwrap().unwrap().version, 2);
        assert!(web.delete("2").unwrap() && !web.delete("2").unwrap());
        registration.deregister().unwrap();
        assert!(web.resolve().unwrap().is_empty() && store.db.leases().unwrap().is_empty());
    });
}

#[test]
fn cw_05_dropping_deregisters() {
    let store = Store::new(Kind::Memory);
    let web = store.db.registry("web");
    drop(web.register("1", Endpoint::new("a"), ms(5_000)).unwrap());
    assert!(web.resolve().unwrap().is_empty() && store.db.leases().unwrap().is_empty());
}

#[test]
fn cw_05_a_lost_registration_comes_back_by_itself() {
    let store = Store::new(Kind::Memory);
    let web = store.db.registry("web");
    let registration = web.register("1", Endpoint::new("a"), ms(5_000)).unwrap();
    let mut watch = web.watch().unwrap();
    assert_eq!(watch.next_timeout(LONG).unwrap(), Some(up("1", "a")));
    assert_eq!(registration.restored(), 0);
    for round in [1, 4, 7] {
        // Somebody deletes the key: it comes back with the lease it had.
        let lease = registration.lease();
        assert!(web.delete("1").unwrap());
        assert_eq!(watch.next_timeout(LONG).unwrap(), Some(down("1")));
        assert_eq!(watch.next_timeout(LONG).unwrap(), Some(up("1", "a")));
        await_restored(&registration, &mut watch, round);
        assert_eq!(registration.lease(), lease);
        // Somebody revokes the lease, or the process stood still for longer than it lasts: it comes with another one.
        store.db.lease(lease).revoke().unwrap();
        assert_eq!(watch.next_timeout(LONG).unwrap(), Some(down("1")));
        assert_eq!(watch.next_timeout(LONG).unwrap(), Some(up("1", "a")));
        await_restored(&registration, &mut watch, round + 1);
        assert_ne!(registration.lease(), lease);
        store.advance_ms(5_000);
        assert_eq!(watch.next_timeout(LONG).unwrap(), Some(down("1")));
        assert_eq!(watch.next_timeout(LONG).unwrap(), Some(up("1", "a")));
        await_restored(&registration, &mut watch, round + 2);
    }
    // And it is kept alive.
    for _ in 0..6 {
        store.clock.advance(ms(2_000));
        renew(&store.db);
    }
    assert_eq!(registration.restored(), 9);
    registration.deregister().unwrap();
    assert_eq!(watch.next_timeout(LONG).unwrap(), Some(down("1")));
}

#[test]
fn cw_05_it_comes_back_as_it_was_updated_last() {
    let store = Store::new(Kind::Memory);
    let web = store.db.registry("web");
    let registration = web.register("1", Endpoint::new("a"), ms(5_000)).unwrap();
    let mut watch = web.watch().unwrap();
    registration.update(Endpoint::new("b")).unwrap();
    assert!(web.delete("1").unwrap());
    await_restored(&registration, &mut watch, 1);
    assert_eq!(web.resolve().unwrap()["1"].addr, "b");
}

#[test]
fn cw_05_closing_the_store_ends_registrations() {
    let db = Db::in_memory().unwrap();
    let web = db.registry("web");
    let registration = web.register("1", Endpoint::new("a"), ms(60_000)).unwrap();
    db.close().unwrap();
    assert!(matches!(registration.update(Endpoint::new("b")), Err(Error::Closed)));
    registration.deregister().unwrap();
    assert!(matches!(web.register("1", Endpoint::new("a"), ms(60_000)), Err(Error::Closed)));
}

#[test]
fn cw_05_watch() {
    everywhere(|store| {
        let web = store.db.registry("web");
        web.put("1", &Endpoint::new("a"), 0).unwrap();
        let mut watch = web.watch().unwrap();
        web.put("2", &Endpoint::new("b"), 0).unwrap();
        web.put("2", &Endpoint::new("b"), 0).unwrap();
        web.put("1", &Endpoint::new("c"), 0).unwrap();
        store.put("web/1", "nonsense");
        web.delete("2").unwrap();
        store.settle();
        let expected = [up("1", "a"), up("2", "b"), up("1", "c"), down("1"), down("2")];
        assert_eq!(seen(&mut watch), expected);
        assert!(watch.known().is_empty());
        // Passed by a compaction, it goes on with what is there.
        web.put("1", &Endpoint::new("a"), 0).unwrap();
        web.put("3", &Endpoint::new("x"), 0).unwrap();
        assert_eq!(seen(&mut watch), [up("1", "a"), up("3", "x")]);
        web.put("3", &Endpoint::new("y"), 0).unwrap();
        web.put("3", &Endpoint::new("z"), 0).unwrap();
        web.delete("1").unwrap();
        store.db.compact(store.db.revision()).unwrap();
        assert_eq!(seen(&mut watch), [down("1"), up("3", "z")]);
        watch.canceller().cancel();
        assert!(matches!(watch.next(), Some(Err(Error::Canceled))));
    });
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Config {
    port: Option<u16>,
    names: Vec<String>,
}

#[test]
fn a_configuration_is_loaded_and_followed() {
    everywhere(|store| {
        store.put("config/port", "80");
        store.put("config", "outside");
        let mut config = store
            .db
            .follow_config("config/", |config| Config {
                port: config.parse("port"),
                names: config.iter().map(|(name, _)| name.escape_ascii().to_string()).collect(),
            })
            .unwrap();
        let is = |port, names: &[&str]| Config { port, names: names.iter().map(|&name| name.to_owned()).collect() };
        assert_eq!(*config.current(), is(Some(80), &["port"]));
        assert!(!config.try_changed().unwrap());
        store.put("other", "");
        store.put("config/log", "info");
        store.put("config/port", "many");
        assert!(config.changed().unwrap());
        while config.try_changed().unwrap() {}
        assert_eq!(*config.current(), is(None, &["log", "port"]));
        assert_eq!(config.revision(), store.db.revision());
        // B-007: deletions too, and what falls between load and watch.
        store.delete(prefix("config/"));
        assert!(config.changed_timeout(LONG).unwrap());
        assert_eq!(*config.current(), is(None, &[]));
        // A compaction that passes it ends nothing.
        store.put("config/port", "1");
        store.put("config/port", "2");
        store.put("other", "");
        store.db.compact(store.db.revision()).unwrap();
        assert!(config.changed().unwrap());
        assert_eq!(*config.current(), is(Some(2), &["port"]));
        assert!(!config.changed_timeout(ms(1)).unwrap());
        store.db.close().unwrap();
        assert!(matches!(config.changed(), Err(Error::Closed)));
        assert!(!config.changed().unwrap());
    });
}

#[test]
fn a_configuration_shows_its_keys() {
    let store = Store::new(Kind::Memory);
    store.db.put_with("c/a", b"\xff", PutOptions::new()).unwrap();
    let shown = store
        .db
        .follow_config("c/", |config| {
            let revision = config.kv("a").unwrap().mod_revision;
            (config.len(), config.is_empty(), config.get("a").cloned(), config.text("a").is_none(), revision)
        })
        .unwrap();
    assert_eq!(*shown.current(), (1, false, Some(bytes::Bytes::from_static(b"\xff")), true, 2.into()));
}

/// There was no watch to be had, so nobody looked after it; once there is, what was lost meanwhile comes back.
#[test]
fn cw_05_a_registration_outlives_an_error() {
    let store = Store::with(Kind::Memory, Options::new().watches_max(1));
    let web = store.db.registry("web");
    let only = store.db.watch("other").start().unwrap();
    let registration = web.register("1", Endpoint::new("a"), ms(5_000)).unwrap();
    let await_true = |what: &dyn Fn() -> bool| {
        let started = std::time::Instant::now();
        while !what() {
            assert!(started.elapsed() < LONG, "it never comes to that");
            std::thread::yield_now();
        }
    };
    await_true(&|| matches!(registration.last_error(), Some(Error::Full { .. })));
    assert!(web.delete("1").unwrap());
    drop(only);
    await_true(&|| registration.restored() == 1 && registration.last_error().is_none());
    assert_eq!(web.resolve().unwrap()["1"].addr, "a");
    registration.deregister().unwrap();
}

/// What cancels was asked for before a compaction passed what follows, which has another watch since.
#[test]
fn cw_05_what_cancels_survives_a_compaction() {
    let store = Store::new(Kind::Memory);
    let mut config = store.db.follow_config("c/", |config| config.len()).unwrap();
    let mut web = store.db.registry("web").watch().unwrap();
    let (first, second) = (config.canceller(), web.canceller());
    for key in ["c/a", "web/1", "c/b", "web/2"] {
        store.put(key, r#"{"Op":0,"Addr":"x","Metadata":null}"#);
    }
    store.put("other", "");
    store.db.compact(store.db.revision()).unwrap();
    assert!(config.try_changed().unwrap() && *config.current() == 2);
    assert_eq!(seen(&mut web).len(), 2);
    first.cancel();
    second.cancel();
    assert!(matches!(config.changed_timeout(LONG), Err(Error::Canceled)));
    assert!(matches!(web.next_timeout(LONG), Err(Error::Canceled)));
}
