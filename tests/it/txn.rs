//! TX: txns.

use etclite::{
    Compare, CompareOn, Db, Delete, Error, Invalid, KeyRange, Op, OpResponse, Options, Put, PutOptions, Range, Txn,
    from_key, prefix,
};

use super::support::{
    all_keys, events, get, grant, is_invalid, kv, on_each_setup, put_all, range_of, refused, revision_of, run, txn_of,
    value, with_lease,
};

fn holds(db: &Db, compares: impl IntoIterator<Item = Compare>) -> bool {
    db.txn().when(compares).commit().unwrap().succeeded
}

/// Equal, not equal, greater, less.
fn relations(db: &Db, on: CompareOn<i64>, operand: i64) -> [bool; 4] {
    let compares = [on.clone().eq(operand), on.clone().ne(operand), on.clone().gt(operand), on.lt(operand)];
    compares.map(|compare| holds(db, [compare]))
}

fn value_relations(db: &Db, range: impl Into<KeyRange>, operand: &str) -> [bool; 4] {
    let on = Compare::value(range);
    let compares = [on.clone().eq(operand), on.clone().ne(operand), on.clone().gt(operand), on.lt(operand)];
    compares.map(|compare| holds(db, [compare]))
}

fn put(key: &str, value: &str) -> Op {
    Put::new(key, value).into()
}

fn delete(range: impl Into<KeyRange>) -> Op {
    Delete::new(range).into()
}

fn nested<const N: usize>(ops: [Op; N]) -> Op {
    Txn::new().then(ops).into()
}

#[test]
fn tx_01_shape() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        db.settle();
        let branch = |value: &str| {
            let is = Compare::value("a").eq(value);
            db.txn().when([is]).then([put("then", value)]).or_else([put("else", value)]).commit().unwrap()
        };
        assert!(branch("1").succeeded);
        assert!(!branch("2").succeeded);
        db.settle();
        assert_eq!((value(db, "then").as_deref(), value(db, "else").as_deref()), (Some("1"), Some("2")));
        assert!(holds(db, []));
        assert!(!holds(db, [Compare::version("a").eq(1), Compare::version("a").eq(2)]));
        let only_else = db.txn().when([Compare::version("a").eq(9)]).or_else([put("b", "1")]).commit().unwrap();
        assert_eq!((only_else.succeeded, only_else.responses.len()), (false, 1));
        let empty = db.txn().when([Compare::version("a").eq(1)]).or_else([put("b", "2")]).commit().unwrap();
        assert_eq!((empty.succeeded, empty.responses.len()), (true, 0));
    });
}

#[test]
fn tx_02_compares() {
    on_each_setup(|db| {
        grant(db, 7);
        db.put("before", "").unwrap();
        db.put("a", "l").unwrap();
        db.put_with("a", "m", with_lease(7)).unwrap();
        db.settle();
        // a: created at 3, changed at 4, version 2, lease 7, value m.
        assert_eq!(relations(db, Compare::version("a"), 2), [true, false, false, false]);
        assert_eq!(relations(db, Compare::version("a"), 1), [false, true, true, false]);
        assert_eq!(relations(db, Compare::create_revision("a"), 4), [false, true, false, true]);
        assert_eq!(relations(db, Compare::mod_revision("a"), 4), [true, false, false, false]);
        assert_eq!(relations(db, Compare::lease("a"), 7), [true, false, false, false]);
        assert_eq!(relations(db, Compare::lease("a"), -1), [false, true, true, false]);
        assert_eq!(value_relations(db, "a", "m"), [true, false, false, false]);
        assert_eq!(value_relations(db, "a", "n"), [false, true, false, true]);
        assert_eq!(value_relations(db, "a", ""), [false, true, true, false]);
        // Bytewise: a prefix is less than what it begins.
        assert_eq!(value_relations(db, "a", "m\0"), [false, true, false, true]);
    });
}

#[test]
fn tx_03_missing_key() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("gone", "1")]);
        db.delete("gone").unwrap();
        db.settle();
        for missing in ["x", "gone"] {
            assert_eq!(value_relations(db, missing, "v"), [false; 4]);
            assert_eq!(value_relations(db, missing, ""), [false; 4]);
            let zeros = [Compare::version(missing), Compare::create_revision(missing), Compare::mod_revision(missing)];
            for on in zeros.into_iter().chain([Compare::lease(missing)]) {
                assert_eq!(relations(db, on.clone(), 0), [true, false, false, false]);
                assert_eq!(relations(db, on, -1), [false, true, true, false]);
            }
        }
        assert!(!holds(db, [Compare::create_revision("a").eq(0)]));
        assert!(holds(db, [Compare::lease("a").eq(0)]));
    });
}

#[test]
fn tx_04_range_compare() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "2"), ("b", "2"), ("z", "")]);
        db.delete("z").unwrap();
        db.settle();
        let all = || KeyRange::all();
        assert!(holds(db, [Compare::version(all()).gt(0)]));
        assert!(!holds(db, [Compare::version(all()).eq(1)]));
        assert!(holds(db, [Compare::value(prefix("")).gt("0")]));
        assert!(!holds(db, [Compare::value(prefix("")).ne("2")]));
        assert!(holds(db, [Compare::create_revision("a".."b").eq(2)]));
        // No key in the range, a deleted one included: as a missing key.
        for empty in [KeyRange::between("c", "d"), KeyRange::between("b", "a"), from_key("c")] {
            assert!(holds(db, [Compare::version(empty.clone()).eq(0)]));
            assert!(!holds(db, [Compare::value(empty).ne("")]));
        }
    });
}

#[test]
fn tx_05_when() {
    on_each_setup(|db| {
        put_all(db, &[("b", "1")]);
        db.settle();
        let ask = |key: &str| -> Op {
            let absent = Compare::version(key).eq(0);
            Txn::new()
                .when([absent])
                .then([put(&format!("{key}-then"), "")])
                .or_else([put(&format!("{key}-else"), "")])
                .into()
        };
        let deep = nested([ask("a")]);
        let answers = run(db, [put("a", "1"), delete("b"), deep, ask("b")]).unwrap().responses;
        assert!(txn_of(&txn_of(&answers[2]).responses[0]).succeeded, "a was absent before the txn");
        assert!(!txn_of(&answers[3]).succeeded, "b was there before the txn");
        assert_eq!(all_keys(db), ["a", "a-then", "b-else"]);
    });
}

#[test]
fn tx_06_visibility() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("c", "1")]);
        db.settle();
        let read = || Op::from(Range::new(prefix("")));
        let ops =
            [read(), put("b", "2"), read(), delete("a"), Range::new(prefix("")).reverse().into(), read_at("a", 2)];
        let answers = run(db, ops).unwrap().responses;
        let seen = |at: usize| {
            let range = range_of(&answers[at]);
            (range.revision.get(), super::support::keys(range))
        };
        assert_eq!(seen(0), (3, vec!["a".into(), "c".into()]));
        assert_eq!(seen(2), (4, vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(seen(4), (4, vec!["c".into(), "b".into()]));
        assert_eq!(range_of(&answers[5]).kvs, [kv("a", "1", [2, 2, 1])]);
        assert_eq!(range_of(&answers[2]).kvs[1], kv("b", "2", [4, 4, 1]));
    });
}

fn read_at(key: &str, revision: u64) -> Op {
    Range::new(key).at(revision).into()
}

/// Reads inside a txn see its deletes; a store answered them from a buffer (etcd#17158).
#[test]
fn b_031_reads_after_a_delete_inside_a_txn() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1"), ("c", "1")]);
        db.settle();
        let count = || Op::from(Range::new(prefix("")).count_only());
        let limited = Range::new(prefix("")).limit(1).with_count();
        let ops =
            [count(), delete("a"), Range::new("a").into(), count(), limited.into(), nested([delete("b"), count()])];
        let answers = run(db, ops).unwrap().responses;
        let counts = |response: &OpResponse| range_of(response).count;
        assert_eq!(counts(&answers[0]), Some(3));
        assert_eq!((range_of(&answers[2]).kvs.len(), counts(&answers[3])), (0, Some(2)));
        let limited = range_of(&answers[4]);
        assert_eq!((super::support::keys(limited), limited.more, limited.count), (vec!["b".into()], true, Some(2)));
        assert_eq!(counts(&txn_of(&answers[5]).responses[1]), Some(1));
    });
}

#[test]
fn tx_07_nesting() {
    on_each_setup(|db| {
        let ops = [nested([put("b", "")]), put("a", ""), nested([nested([put("c", "")]), put("d", "")])];
        let answer = run(db, ops).unwrap();
        assert_eq!((answer.revision.get(), txn_of(&answer.responses[0]).revision.get()), (2, 0));
        assert_eq!(txn_of(&txn_of(&answer.responses[2]).responses[0]).revision, 0);
        db.settle();
        assert_eq!(events(db, 2), ["+b=@2", "+a=@2", "+c=@2", "+d=@2"]);
    });
}

#[test]
fn tx_09_duplicate_keys() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1")]);
        let duplicates: Vec<Vec<Op>> = vec![
            vec![put("a", "1"), put("a", "2")],
            vec![put("a", "1"), nested([put("a", "2")])],
            vec![nested([put("a", "1")]), nested([put("a", "2")])],
            vec![put("a", "1"), delete("a")],
            vec![delete("a".."c"), put("b", "1")],
            vec![put("b", "1"), delete(prefix("b"))],
            vec![nested([delete("a")]), put("a", "1")],
            vec![nested([put("a", "1")]), delete("a")],
            vec![nested([nested([put("a", "1")])]), nested([put("a", "2")])],
        ];
        for ops in duplicates {
            let taken = refused(db, |db| db.txn().then(ops.clone()).commit());
            assert!(matches!(taken, Error::DuplicateKey), "{taken}");
            let untaken = db.txn().when([Compare::version("a").gt(0)]);
            assert!(matches!(refused(db, |_| untaken.or_else(ops.clone()).commit()), Error::DuplicateKey));
        }
    });
}

#[test]
fn tx_09_what_is_fine() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1")]);
        let exclusive = || Txn::new().when([Compare::version("a").gt(0)]);
        run(db, [exclusive().then([put("a", "2")]).or_else([put("a", "3")]).into()]).unwrap();
        run(db, [exclusive().then([put("a", "4")]).or_else([delete("a")]).into()]).unwrap();
        run(db, [delete("a".."c"), put("c", "1")]).unwrap();
        run(db, [delete(KeyRange::between("c", "a")), put("b", "5")]).unwrap();
        let answers = run(db, [delete("b".."d"), delete("b"), delete(from_key("a"))]).unwrap().responses;
        let deleted: Vec<u64> = answers
            .iter()
            .map(|answer| if let OpResponse::Delete(delete) = answer { delete.deleted } else { panic!("not a delete") })
            .collect();
        assert_eq!(deleted, [2, 0, 0]);
        assert_eq!(all_keys(db), [""; 0]);
    });
}

#[test]
fn tx_10_from_key_delete_then_put() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1")]);
        let answers = run(db, [delete(from_key("a")), put("a", "2")]).unwrap();
        assert_eq!(answers.revision, 4);
        db.settle();
        assert_eq!(get(db, "a"), kv("a", "2", [4, 4, 1]));
        assert_eq!(events(db, 4), ["-a@4 was 1", "-b@4 was 1", "+a=2@4"]);
        assert_eq!(db.get_at("a", 3).unwrap(), Some(kv("a", "1", [2, 2, 1])));
    });
}

#[test]
fn tx_10_put_then_from_key_delete() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        run(db, [put("a", "2"), put("b", "1"), delete(KeyRange::all())]).unwrap();
        db.settle();
        assert_eq!((db.revision().get(), all_keys(db).len()), (3, 0));
        assert_eq!(events(db, 3), ["+a=2@3 was 1", "+b=1@3", "-a@3 was 1", "-b@3"]);
    });
}

#[test]
fn tx_10_put_in_an_earlier_sibling_of_a_delete() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        let reversed = [nested([delete("a")]), nested([put("a", "2")])];
        assert!(matches!(refused(db, |db| run(db, reversed)), Error::DuplicateKey));
        let revision = db.revision() + 1;
        run(db, [nested([put("a", "2")]), nested([delete("a")])]).unwrap();
        db.settle();
        assert_eq!(db.get("a").unwrap(), None);
        assert_eq!(events(db, revision.get()), [format!("+a=2@{revision} was 1"), format!("-a@{revision} was 1")]);
    });
}

#[test]
fn tx_11_checks_before_writing() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2")]);
        db.compact(3).unwrap();
        db.settle();
        let no_lease = || Op::from(Put::new("x", "").lease(404));
        // On the branch taken only.
        assert!(db.txn().then([put("b", "1")]).or_else([read_at("a", 99), no_lease()]).commit().unwrap().succeeded);
        // The first failing operation in order decides.
        let error = refused(db, |db| run(db, [put("c", ""), read_at("a", 2), no_lease()]));
        assert!(matches!(error, Error::Compacted { compacted } if compacted == 3));
        let error = refused(db, |db| run(db, [no_lease(), read_at("a", 2)]));
        assert!(matches!(error, Error::LeaseNotFound));
        // The revision being made is future, also after a write; a nested read counts.
        let next = db.revision().get() + 1;
        let error = refused(db, |db| run(db, [put("c", ""), nested([read_at("a", next)])]));
        assert!(matches!(error, Error::FutureRevision { current } if current == next - 1));
        // Against the state before the txn: the put before it does not make the key exist.
        let keep = || Op::from(Put::with("new", "", PutOptions::new().ignore_value()));
        let error = refused(db, |db| run(db, [put("other", "1"), keep()]));
        assert!(is_invalid(&error, Invalid::KeyNotFound));
        assert_eq!(all_keys(db), ["a", "b"]);
    });
}

#[test]
fn tx_11_shape_errors_on_either_branch() {
    on_each_setup(|db| {
        let cases: [(Op, Invalid); 6] = [
            (put("", ""), Invalid::EmptyKey),
            (delete(""), Invalid::EmptyKey),
            (Range::new("").into(), Invalid::EmptyKey),
            (Put::with("a", "v", PutOptions::new().ignore_value()).into(), Invalid::ValueProvided),
            (Put::with("a", "v", PutOptions::new().ignore_lease().lease(1)).into(), Invalid::LeaseProvided),
            (Txn::new().when([Compare::version("").eq(0)]).into(), Invalid::EmptyKey),
        ];
        for (op, reason) in cases {
            let taken = refused(db, |db| run(db, [put("b", ""), op.clone()]));
            let untaken = refused(db, |db| db.txn().then([put("b", "")]).or_else([op.clone()]).commit());
            let deep = refused(db, |db| run(db, [nested([nested([op])])]));
            assert!([taken, untaken, deep].iter().all(|error| is_invalid(error, reason)), "{reason:?}");
        }
        let error = refused(db, |db| db.txn().when([Compare::value("").eq("")]).commit());
        assert!(is_invalid(&error, Invalid::EmptyKey));
        // Shape before duplicates, duplicates before the store.
        let late = [read_at("a", 99), put("a", "1"), put("a", "2")];
        assert!(matches!(refused(db, |db| run(db, late)), Error::DuplicateKey));
        let shape = [put("a", "1"), put("a", "2"), put("", "")];
        assert!(is_invalid(&refused(db, |db| run(db, shape)), Invalid::EmptyKey));
    });
}

/// etcd passes the checks, then meets the missing key while it writes, and panics. Here the whole txn fails.
#[test]
fn tx_12_ignore_value_after_from_key_delete() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1")]);
        db.settle();
        for options in [PutOptions::new().ignore_value(), PutOptions::new().ignore_lease()] {
            let keep = Op::from(Put::with("a", "", options));
            let ops = [put("\0", "1"), delete(from_key("a")), keep];
            assert!(is_invalid(&refused(db, |db| run(db, ops)), Invalid::KeyNotFound));
        }
        db.settle();
        assert_eq!(all_keys(db), ["a", "b"]);
        assert_eq!(get(db, "a"), kv("a", "1", [2, 2, 1]));
    });
}

#[test]
fn tx_13_response() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1")]);
        db.settle();
        let ops = [delete("x"), read_at("a", 0), put("b", "1"), delete("x"), Delete::new("a").prev_kv().into()];
        let answer = run(db, ops).unwrap();
        let inner: Vec<u64> = answer.responses.iter().map(revision_of).collect();
        assert_eq!((answer.succeeded, answer.revision.get(), inner), (true, 3, vec![2, 2, 3, 3, 3]));
        assert!(matches!(&answer.responses[4], OpResponse::Delete(d) if d.prev_kvs == [kv("a", "1", [2, 2, 1])]));
        let unchanged = run(db, [delete("x"), read_at("b", 0)]).unwrap();
        assert_eq!((unchanged.revision.get(), unchanged.responses.len(), db.revision().get()), (3, 2, 3));
    });
}

#[test]
fn tx_14_read_only_txn() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2")]);
        db.compact(3).unwrap();
        db.settle();
        let ops = [Op::from(Range::new("a")), nested([Range::new("a").at(3).into()])];
        let answer = db.txn().when([Compare::version("a").eq(2)]).then(ops).commit().unwrap();
        assert_eq!((answer.succeeded, answer.revision.get()), (true, 3));
        assert_eq!(range_of(&answer.responses[0]).kvs, [kv("a", "2", [2, 3, 2])]);
        assert_eq!(range_of(&answer.responses[0]).revision, 3);
        let error = refused(db, |db| run(db, [read_at("a", 2)]));
        assert!(matches!(error, Error::Compacted { compacted } if compacted == 3));
        let error = refused(db, |db| run(db, [read_at("a", 99)]));
        assert!(matches!(error, Error::FutureRevision { .. }));
    });
}

/// A txn that reads what is compacted, beside writes, fails whole: etcd applied part of it on some members. What the log
/// holds must replay to the same.
#[test]
fn etcd_18667_compacted_read_fails_whole_txn() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("a", "2")]);
        db.compact(3).unwrap();
        for revision in [2, 1, 99] {
            for order in [0, 1, 2] {
                let mut ops = vec![put("b", "1"), delete("a")];
                ops.insert(order, read_at("a", revision));
                let error = refused(db, |db| db.txn().then(ops).commit());
                assert!(matches!(error, Error::Compacted { .. } | Error::FutureRevision { .. }), "{error}");
            }
        }
        let before = db.hash(0).unwrap();
        db.reopen();
        db.settle();
        assert_eq!((db.hash(0).unwrap(), all_keys(db)), (before, vec!["a".to_owned()]));
        assert_eq!(get(db, "a"), kv("a", "2", [2, 3, 2]));
        assert!(run(db, [put("b", "1"), read_at("a", 3)]).is_ok(), "the compact revision itself is readable");
    });
}

#[test]
fn tx_08_budget_of_nested_levels() {
    let db = Options::new().txn_ops_max(128).in_memory().unwrap();
    let puts = |first: usize, count: usize| (first..first + count).map(|n| put(&n.to_string(), ""));
    let levels = |outer: usize, inner: usize| {
        let below = Op::from(Txn::new().then(puts(1000, inner)));
        db.txn().then(puts(0, outer - 1).chain([below])).commit()
    };
    assert_eq!(levels(100, 28).unwrap().responses.len(), 100);
    let too_many = |result: etclite::Result<_>, len, max| {
        let error = refused(&db, |_| result);
        assert!(matches!(error, Error::TooLarge { len: l, max: m, .. } if (l, m) == (len, max)), "{error:?}");
    };
    too_many(levels(100, 29), 129, 128);
    too_many(levels(129, 0), 129, 128);
    // Siblings do not add up: each gets what the level above left over.
    let sibling = |first| Op::from(Txn::new().then(puts(first, 126)));
    assert!(db.txn().then([sibling(2000), sibling(3000)]).commit().is_ok());
    // The longest of compares, then and else counts.
    let compares = (0..129).map(|_| Compare::version("x").eq(0));
    too_many(db.txn().when(compares).then([put("a", "")]).commit(), 129, 128);
    too_many(db.txn().then([put("a", "")]).or_else(puts(0, 129)).commit(), 129, 128);
}
