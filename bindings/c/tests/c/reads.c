/*
 * What a range answers, and what can be asked of a watch while it is read: each as etcd has it, or as the header says.
 */

#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static etclite_result *read_range(etclite_db *db, etclite_range_options options) {
    etclite_result *result = NULL;
    options.struct_size = sizeof options;
    options.flags |= ETCLITE_RANGE_PREFIX;
    OK(etclite_range(db, NONE, NONE, &options, &result, &err));
    return result;
}

/* The first bytes of the keys, in their order, and frees the result. */
static void check_order(etclite_result *result, const char *expected) {
    const etclite_kv *kvs = NULL;
    size_t count = 0;
    char order[16] = "";
    OK(etclite_result_kvs(result, &kvs, &count, &err));
    CHECK(count < sizeof order);
    for (size_t i = 0; i < count; i++) {
        order[i] = (char)kvs[i].key[0];
    }
    if (strcmp(order, expected) != 0) {
        fprintf(stderr, "%s instead of %s\n", order, expected);
        abort();
    }
    OK(etclite_result_free(result));
}

/* etcd: no order with another target than the key is ascending by that target; with the key it is the order of keys. */
static void no_order_is_ascending_by_the_target(etclite_db *db) {
    static const struct {
        uint32_t sort_by;
        const char *ascending, *descending;
    } orders[] = {
        /* Below: created as c, a, b; c is changed last and a twice; values run b, c, a. */
        {ETCLITE_SORT_KEY, "abc", "cba"},    {ETCLITE_SORT_VERSION, "bca", "acb"}, {ETCLITE_SORT_CREATE, "cab", "bac"},
        {ETCLITE_SORT_MOD, "bac", "cab"},    {ETCLITE_SORT_VALUE, "bca", "acb"},
    };
    static const char *const puts[][2] = {{"c", "0"}, {"a", "0"}, {"b", "1"}, {"a", "0"}, {"a", "3"}, {"c", "2"}};
    for (size_t i = 0; i < sizeof puts / sizeof *puts; i++) {
        OK(etclite_put(db, TEXT(puts[i][0]), TEXT(puts[i][1]), NULL, NULL, &err));
    }
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        etclite_range_options options = {.sort_by = orders[i].sort_by};
        options.sort_order = ETCLITE_ORDER_NONE;
        check_order(read_range(db, options), orders[i].ascending);
        options.sort_order = ETCLITE_ORDER_ASCEND;
        check_order(read_range(db, options), orders[i].ascending);
        options.sort_order = ETCLITE_ORDER_DESCEND;
        check_order(read_range(db, options), orders[i].descending);
        /* Sorted first, cut off then. */
        options.sort_order = ETCLITE_ORDER_NONE;
        options.limit = 1;
        check_order(read_range(db, options), (const char[]){orders[i].ascending[0], 0});
    }
}

static void check_count(const etclite_result *result, int64_t expected, size_t kvs_expected, int32_t more_expected) {
    const etclite_kv *kvs = NULL;
    size_t kvs_count = 0;
    int64_t count = -2;
    int32_t more = -1;
    OK(etclite_result_count(result, &count, &err));
    OK(etclite_result_kvs(result, &kvs, &kvs_count, &err));
    OK(etclite_result_more(result, &more, &err));
    CHECK(count == expected && kvs_count == kvs_expected && more == more_expected);
}

/* The count is that of the range, as etcd's, of a range by itself and of one in a txn. */
static void a_limit_leaves_the_count_alone(etclite_db *db) {
    static const int64_t limits[] = {0, 1, 2, 3, 4};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        int64_t limit = limits[i];
        int32_t more = limit > 0 && limit < 3;
        size_t kvs = more ? (size_t)limit : 3;
        etclite_range_options options = {.struct_size = sizeof options, .limit = limit, .flags = ETCLITE_RANGE_PREFIX};
        etclite_result *result = read_range(db, options);
        check_count(result, 3, kvs, more);
        OK(etclite_result_free(result));
        options.flags |= ETCLITE_RANGE_COUNT_ONLY;
        result = read_range(db, options);
        check_count(result, 3, 0, 0);
        OK(etclite_result_free(result));

        etclite_txn *txn = NULL;
        etclite_txn_result *answer = NULL;
        const etclite_result *op = NULL;
        int32_t succeeded = 0;
        options.flags = ETCLITE_RANGE_PREFIX;
        OK(etclite_txn_new(&txn, &err));
        OK(etclite_txn_range(txn, NONE, NONE, &options, &err));
        OK(etclite_txn_commit(db, txn, &succeeded, &answer, &err));
        OK(etclite_txn_op(answer, 0, &op, &err));
        check_count(op, 3, kvs, more);
        OK(etclite_txn_result_free(answer));
        OK(etclite_txn_free(txn));
    }
}

/* A watch that one thread reads and others look at. */
struct watched {
    etclite_watch *watch;
    atomic_int looked, stop;
};

/* Any number of threads may ask how far a watch has come: they are never refused, nor in the reader's way, and what they
 * are told never falls. */
static void *look_on(void *argument) {
    struct watched *watched = argument;
    etclite_error own;
    int64_t before = 0;
    while (!atomic_load(&watched->stop)) {
        int64_t now = 0;
        CHECK(etclite_watch_progress(watched->watch, &now, &own) == ETCLITE_OK);
        CHECK(now >= before);
        before = now;
        atomic_fetch_add(&watched->looked, 1);
    }
    return NULL;
}

#define LOOKERS 2
#define ROUNDS 3000

static void progress_is_told_while_others_read(etclite_db *db) {
    struct watched watched = {0};
    pthread_t lookers[LOOKERS];
    OK(etclite_watch_open(db, TEXT("p"), NONE, NULL, &watched.watch, &err));
    for (int i = 0; i < LOOKERS; i++) {
        CHECK(pthread_create(&lookers[i], NULL, look_on, &watched) == 0);
    }
    /* Until they have met it many times: reading with nothing there, and with something. */
    for (int i = 0; i < ROUNDS || atomic_load(&watched.looked) < ROUNDS; i++) {
        etclite_events *events = NULL;
        etclite_header header;
        int64_t progress = 0;
        STATUS(ETCLITE_TIMEOUT, etclite_watch_next(watched.watch, 0, &events, &err));
        OK(etclite_put(db, TEXT("p"), TEXT("v"), NULL, NULL, &err));
        OK(etclite_watch_next(watched.watch, 0, &events, &err));
        OK(etclite_events_header(events, &header, &err));
        OK(etclite_watch_progress(watched.watch, &progress, &err));
        CHECK(progress >= header.revision);
        OK(etclite_events_free(events));
    }
    atomic_store(&watched.stop, 1);
    for (int i = 0; i < LOOKERS; i++) {
        CHECK(pthread_join(lookers[i], NULL) == 0);
    }
    OK(etclite_watch_free(watched.watch));
}

int main(int argc, char **argv) {
    (void)argv;
    CHECK(argc == 2);
    etclite_db *db = open_in_memory();
    no_order_is_ascending_by_the_target(db);
    a_limit_leaves_the_count_alone(db);
    progress_is_told_while_others_read(db);
    OK(etclite_close(db, &err));
    return 0;
}
