/*
 * Every function of the header, with every pointer argument wrong in every way: null, a handle that was freed, one of
 * every other kind, one that never was, one whose store is closed; bytes that are null, or longer than anything can be;
 * structs whose size is 0, too small or larger than this release's. The answer must be MISUSE, or what the header says,
 * `err` must tell the same, outputs must be as the header promises, and the same call with good arguments must succeed.
 */

#include "fixture.h"

#include <stdint.h>

static char scratch[PARAMETERS_MAX][SCRATCH];
static long cases, failures;

/* What is expected of a call. */
enum expected { MISUSE, INVALID, UNSUPPORTED, CLOSED, NOT_MISUSE, NOT_PANIC, FINE };

struct fault {
    const char *what;
    enum expected expected;
    /* Sets the wrong argument; `other` is the fault's own number. */
    void (*set)(const struct function *function, int index, const struct fixture *made, union argument *arguments,
                uint64_t other);
    uint64_t other;
};

static int is_free(const struct function *function) {
    size_t len = strlen(function->name);
    return strcmp(function->name + len - 5, "_free") == 0 || strcmp(function->name, "etclite_close") == 0 ||
           strcmp(function->name, "etclite_session_close") == 0;
}

/* Functions of a group of stores, which this build leaves out, and one that wants a file that only an etcd can write. */
static int is_left_out(const struct function *function) {
    return strcmp(function->name, "etclite_import_etcd") == 0 || strncmp(function->name, "etclite_member_", 15) == 0 || strncmp(function->name, "etclite_cluster_", 16) == 0 ||
           strcmp(function->name, "etclite_move_leader") == 0 || strcmp(function->name, "etclite_await_leader") == 0;
}

static int meets(enum expected expected, int32_t status) {
    switch (expected) {
    case MISUSE:
        return status == ETCLITE_E_MISUSE;
    case INVALID:
        return status == ETCLITE_E_INVALID_ARGUMENT;
    case UNSUPPORTED:
        return status == ETCLITE_E_UNSUPPORTED;
    case CLOSED:
        return status == ETCLITE_E_CLOSED;
    case NOT_MISUSE:
        return status != ETCLITE_E_MISUSE && status != ETCLITE_E_PANIC;
    case NOT_PANIC:
        return status != ETCLITE_E_PANIC;
    default:
        return status >= 0;
    }
}

static void complain(const struct function *function, int index, const char *what, int32_t status, const char *of) {
    fprintf(stderr, "%s, `%s` %s: %ld, %s (%.239s)\n", function->name, index < 0 ? "" : function->parameters[index].name,
            what, (long)status, of, err.message);
    failures++;
}

static int all_are(const char *bytes, size_t from, size_t to, int value) {
    for (size_t i = from; i < to; i++) {
        if (bytes[i] != (char)value) {
            return 0;
        }
    }
    return 1;
}

/* Pointers are null and buffers empty after an error, and everything else is as it was. */
static int outputs_are_untouched(const struct function *function, const union argument *arguments) {
    for (int i = 0; i < function->count; i++) {
        const struct parameter *parameter = &function->parameters[i];
        if (arguments[i].pointer != scratch[i]) {
            continue;
        }
        switch (parameter->what) {
        case IS_HANDLE_OUT:
        case IS_BORROWED_OUT:
        case IS_VIEW_OUT:
            if (!all_are(scratch[i], 0, sizeof(void *), 0)) {
                return 0;
            }
            break;
        case IS_BUF_OUT:
            if (!all_are(scratch[i], 0, parameter->size, 0)) {
                return 0;
            }
            break;
        case IS_OUT:
        case IS_STRUCT_OUT:
        case IS_ARRAY:
        case IS_BUFFER:
            if (!all_are(scratch[i], 0, SCRATCH, 0xa5)) {
                return 0;
            }
            break;
        case IS_INFO:
            if (!all_are(scratch[i], sizeof(size_t), SCRATCH, 0xa5)) {
                return 0;
            }
            break;
        default:
            break;
        }
    }
    return 1;
}

/* However a call ended, it wrote into the outputs that it was given, and not behind them. */
static int nothing_is_written_behind(const struct function *function, const union argument *arguments) {
    for (int i = 0; i < function->count; i++) {
        const struct parameter *parameter = &function->parameters[i];
        size_t end;
        switch (parameter->what) {
        case IS_HANDLE_OUT:
        case IS_BORROWED_OUT:
        case IS_VIEW_OUT:
            end = sizeof(void *);
            break;
        case IS_OUT:
        case IS_STRUCT_OUT:
        case IS_BUF_OUT:
            end = parameter->size;
            break;
        case IS_ARRAY:
            end = parameter->size * ARRAY_ROOM;
            break;
        case IS_BUFFER:
            end = BUFFER_ROOM;
            break;
        default:
            continue;
        }
        /* What etclite_buf_free is given is all zeros. */
        int filler = parameter->what == IS_BUF_OUT && is_free(function) ? 0 : 0xa5;
        if (arguments[i].pointer == scratch[i] && !all_are(scratch[i], end, SCRATCH, filler)) {
            return 0;
        }
    }
    return 1;
}

/* Frees what a call has made, if it went well after all. */
static void free_outputs(const struct function *function, const union argument *arguments) {
    for (int i = 0; i < function->count; i++) {
        if (function->parameters[i].what == IS_BUF_OUT && arguments[i].pointer == scratch[i]) {
            CHECK(etclite_buf_free((etclite_buf *)scratch[i]) == ETCLITE_OK);
        }
        if (function->parameters[i].what == IS_HANDLE_OUT && arguments[i].pointer == scratch[i]) {
            void *handle;
            memcpy(&handle, scratch[i], sizeof handle);
            if (handle != NULL) {
                CHECK(free_handle(function->parameters[i].kind, handle) == ETCLITE_OK);
            }
        }
    }
}

static void try_fault(const struct function *function, int index, const struct fault *fault, const char *directory,
                      int with_err) {
    struct fixture made;
    union argument arguments[PARAMETERS_MAX];
    fixture_make(&made, directory);
    good_arguments(function, &made, scratch, arguments);
    memset(&err, 0x5a, sizeof err);
    int last = function->count - 1;
    int takes_err = last >= 0 && function->parameters[last].what == IS_ERR;
    if (takes_err) {
        arguments[last].pointer = with_err ? &err : NULL;
    }
    fault->set(function, index, &made, arguments, fault->other);
    int32_t status = function->call(arguments);
    cases++;
    if (!meets(fault->expected, status) && !is_left_out(function)) {
        complain(function, index, fault->what, status, "which is not expected");
    }
    if (takes_err && with_err && status < 0 && (err.code != status || memchr(err.message, 0, sizeof err.message) == NULL)) {
        complain(function, index, fault->what, status, "but err says something else");
    }
    if ((status >= 0 || !takes_err || !with_err) && !all_are((const char *)&err, 0, sizeof err, 0x5a)) {
        complain(function, index, fault->what, status, "but err was written");
    }
    if (status < 0 && !outputs_are_untouched(function, arguments)) {
        complain(function, index, fault->what, status, "but an output is not as promised");
    }
    if (!nothing_is_written_behind(function, arguments)) {
        complain(function, index, fault->what, status, "but something behind an output was written");
    }
    if (status >= 0) {
        free_outputs(function, arguments);
    }
    fixture_drop(&made);
}

static void try_both(const struct function *function, int index, const struct fault *fault, const char *directory) {
    try_fault(function, index, fault, directory, 1);
    try_fault(function, index, fault, directory, 0);
}

static void set_nothing(const struct function *function, int index, const struct fixture *made,
                        union argument *arguments, uint64_t other) {
    (void)function, (void)index, (void)made, (void)arguments, (void)other;
}

static void set_number(const struct function *function, int index, const struct fixture *made,
                       union argument *arguments, uint64_t other) {
    (void)function, (void)made;
    arguments[index].number = other;
}

static void set_other_kind(const struct function *function, int index, const struct fixture *made,
                           union argument *arguments, uint64_t other) {
    (void)function;
    arguments[index].pointer = made->handles[other];
}

static void set_flipped(const struct function *function, int index, const struct fixture *made,
                        union argument *arguments, uint64_t other) {
    (void)function, (void)made;
    arguments[index].number ^= other;
}

static void set_address(const struct function *function, int index, const struct fixture *made,
                        union argument *arguments, uint64_t other) {
    (void)function, (void)made, (void)other;
    arguments[index].pointer = scratch[index];
}

static void set_freed(const struct function *function, int index, const struct fixture *made, union argument *arguments,
                      uint64_t other) {
    (void)made, (void)other;
    CHECK(free_handle(function->parameters[index].kind, arguments[index].pointer) == ETCLITE_OK);
}

static void set_closed(const struct function *function, int index, const struct fixture *made,
                       union argument *arguments, uint64_t other) {
    (void)function, (void)index, (void)arguments, (void)other;
    CHECK(etclite_close((etclite_db *)made->handles[KIND_DB], NULL) == ETCLITE_OK);
}

/* Null with a length, or a length by itself. */
static void set_null_of(const struct function *function, int index, const struct fixture *made,
                        union argument *arguments, uint64_t other) {
    (void)function, (void)made;
    arguments[index].pointer = NULL;
    arguments[index + 1].number = other;
}

static void set_length(const struct function *function, int index, const struct fixture *made,
                       union argument *arguments, uint64_t other) {
    (void)function, (void)made;
    arguments[index + 1].number = other;
}

/* A size in the struct's first field, with zeros, or one last byte that is none, beyond what is known. */
static void set_size(const struct function *function, int index, const struct fixture *made, union argument *arguments,
                     uint64_t other) {
    (void)function, (void)made, (void)arguments;
    memcpy(scratch[index], &other, sizeof other);
}

static void set_size_and_tail(const struct function *function, int index, const struct fixture *made,
                              union argument *arguments, uint64_t other) {
    set_size(function, index, made, arguments, other);
    scratch[index][other - 1] = 1;
}

/* What a closed store does not reach: handles that are of no store, and calls that ask nothing of it. */
static int outlives_its_store(const struct function *function, int kind) {
    static const char *const local[] = {"etclite_poller_fd",   "etclite_poller_add",   "etclite_poller_remove",
                                        "etclite_poller_wake", "etclite_watch_cancel", "etclite_watch_progress"};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        if (strcmp(function->name, local[i]) == 0) {
            return 1;
        }
    }
    /* The fence is a lock of the store. */
    if (strcmp(function->name, "etclite_txn_fenced") == 0) {
        return 0;
    }
    return kind == KIND_TXN || kind == KIND_TXN_RESULT || kind == KIND_EVENTS || kind == KIND_RESULT;
}

static void try_handle(const struct function *function, int index, const char *directory) {
    int kind = function->parameters[index].kind;
    int null_is_fine = is_free(function) || function->parameters[index].may_be_null;
    struct fault null = {"null", null_is_fine ? FINE : MISUSE, set_number, 0};
    struct fault freed = {"freed", MISUSE, set_freed, 0};
    struct fault address = {"an address", MISUSE, set_address, 0};
    try_both(function, index, &null, directory);
    try_both(function, index, &freed, directory);
    try_both(function, index, &address, directory);
    for (int other = 0; other < KINDS; other++) {
        struct fault fault = {kind_names[other], MISUSE, set_other_kind, (uint64_t)other};
        if (other != kind) {
            try_both(function, index, &fault, directory);
        }
    }
    static const uint64_t forged[] = {1, 0xff, UINT64_MAX, UINT64_C(1) << 63, 0x7fffffffffff, UINT64_C(0xbfffffffffffffff)};
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct fault fault = {"forged", MISUSE, set_number, forged[i]};
        try_both(function, index, &fault, directory);
    }
    /* One bit of each part: mark, mark, kind, generation, index. */
    static const int bits[] = {63, 62, 56, 61, 24, 40, 55, 12, 23};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        struct fault fault = {"with a bit changed", MISUSE, set_flipped, UINT64_C(1) << bits[i]};
        try_both(function, index, &fault, directory);
    }
    enum expected when_closed = kind == KIND_DB ? MISUSE : is_free(function) || outlives_its_store(function, kind) ? FINE : CLOSED;
    struct fault closed = {"of a closed store", when_closed, set_closed, 0};
    if (index == 0) {
        try_both(function, index, &closed, directory);
    }
}

static void try_bytes(const struct function *function, int index, const char *directory) {
    /* No room is something that a function may refuse. */
    enum expected empty = function->parameters[index].what == IS_BYTES ? NOT_MISUSE : NOT_PANIC;
    struct fault faults[] = {
        {"null of length 0", empty, set_null_of, 0},
        {"null of length 5", MISUSE, set_null_of, 5},
        {"longer than PTRDIFF_MAX", INVALID, set_length, (uint64_t)PTRDIFF_MAX + 1},
        {"of length SIZE_MAX", INVALID, set_length, SIZE_MAX},
        {"null of length SIZE_MAX", function->parameters[index].what == IS_BYTES ? INVALID : NOT_PANIC, set_null_of,
         SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        try_both(function, index, &faults[i], directory);
    }
}

static void try_options(const struct function *function, int index, const char *directory) {
    uint64_t size = function->parameters[index].size;
    struct fault faults[] = {
        {"null", NOT_MISUSE, set_number, 0},
        {"of size 0", INVALID, set_size, 0},
        {"too short", INVALID, set_size, size - 8},
        {"longer, with zeros", NOT_MISUSE, set_size, size + 64},
        {"longer, with something in it", UNSUPPORTED, set_size_and_tail, size + 64},
        {"of a size that is none", UNSUPPORTED, set_size, UINT64_C(1) << 40},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        try_both(function, index, &faults[i], directory);
    }
}

static void try_info(const struct function *function, int index, const char *directory) {
    uint64_t size = function->parameters[index].size;
    struct fault faults[] = {
        {"null", MISUSE, set_number, 0},
        {"of size 0", INVALID, set_size, 0},
        {"too short", INVALID, set_size, size - 8},
        {"of a size that is none", UNSUPPORTED, set_size, UINT64_C(1) << 40},
        {"longer", FINE, set_size, size + 64},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        try_both(function, index, &faults[i], directory);
    }
    /* The last was longer: filled as far as both know it, with zeros to its end, and not beyond. */
    CHECK(!all_are(scratch[index], sizeof(size_t), size, 0xa5) && all_are(scratch[index], size, size + 64, 0));
    CHECK(all_are(scratch[index], size + 64, SCRATCH, 0xa5));
}

static void try_place(const struct function *function, int index, const char *directory) {
    int null_is_fine = function->parameters[index].may_be_null || is_free(function);
    struct fault null = {"null", null_is_fine ? FINE : MISUSE, set_number, 0};
    try_both(function, index, &null, directory);
}

static void try_parameter(const struct function *function, int index, const char *directory) {
    switch (function->parameters[index].what) {
    case IS_HANDLE:
        try_handle(function, index, directory);
        break;
    case IS_BYTES:
    case IS_BUFFER:
    case IS_ARRAY:
        try_bytes(function, index, directory);
        break;
    case IS_OPTIONS:
        try_options(function, index, directory);
        break;
    case IS_INFO:
        try_info(function, index, directory);
        break;
    case IS_HANDLE_OUT:
    case IS_BORROWED_OUT:
    case IS_STRUCT_OUT:
    case IS_BUF_OUT:
    case IS_VIEW_OUT:
    case IS_OUT:
        try_place(function, index, directory);
        break;
    default:
        break;
    }
}

/* A buffer is a plain struct that a host may copy; the bytes are freed once, whichever copy comes first. */
static void copied_buffers_are_freed_once(void) {
    etclite_db *db = open_in_memory();
    etclite_buf first, copy, other, kept;
    OK(etclite_stats(db, ETCLITE_STATS_JSON, &first, &err));
    copy = first;
    CHECK(first.token != 0 && first.data != NULL && first.len > 0);
    OK(etclite_buf_free(&first));
    CHECK(first.token == 0 && first.data == NULL && first.len == 0);
    /* Emptied, so that there is nothing to free. */
    OK(etclite_buf_free(&first));
    kept = copy;
    STATUS(ETCLITE_E_MISUSE, etclite_buf_free(&copy));
    CHECK(memcmp(&copy, &kept, sizeof copy) == 0);
    /* Nor does the stale copy free what has its place by now. */
    OK(etclite_stats(db, ETCLITE_STATS_JSON, &other, &err));
    STATUS(ETCLITE_E_MISUSE, etclite_buf_free(&copy));
    CHECK(other.data[0] == '{' && other.data[other.len - 1] == '}');
    OK(etclite_buf_free(&other));
    OK(etclite_close(db, &err));
}

/* However wrong a call was, it has left no handle that nobody knows: all that there can be are there to be taken. */
static void no_handle_is_lost(void) {
    static etclite_txn *txns[(1 << 20) + 1];
    int32_t status = ETCLITE_OK;
    long count = 0;
    while (count <= 1 << 20 && (status = etclite_txn_new(&txns[count], &err)) == ETCLITE_OK) {
        count++;
    }
    STATUS(ETCLITE_E_FULL, status);
    if (count != 1 << 20) {
        fprintf(stderr, "%ld handles are lost\n", (1 << 20) - count);
        failures++;
    }
    while (count > 0) {
        OK(etclite_txn_free(txns[--count]));
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    make_source(argv[1]);
    copied_buffers_are_freed_once();
    for (int i = 0; i < function_count; i++) {
        struct fault none = {"as it should be", FINE, set_nothing, 0};
        try_both(&functions[i], -1, &none, argv[1]);
        for (int index = 0; index < functions[i].count; index++) {
            try_parameter(&functions[i], index, argv[1]);
        }
    }
    no_handle_is_lost();
    printf("%ld calls of %d functions\n", cases, function_count);
    return failures != 0;
}
