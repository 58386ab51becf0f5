/*
 * Calls of all functions in random order with random arguments: handles that are live, freed, of the wrong kind or none
 * at all, from pools that all threads share. Whatever the order, a call returns one of the statuses that there are, and
 * none is PANIC; at the end all is freed, and the sanitizers find nothing lost.
 *
 * STEPS, SEED and THREADS are environment variables; a failure prints the seed. With one thread a seed is a run.
 */

#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define POOL 12

static _Atomic(void *) pools[KINDS][POOL];
static const char *directory;
static _Atomic long counts[2];

/* The random numbers of a thread: splitmix64. */
struct dice {
    uint64_t state;
    /* What a call reads and writes. */
    char memory[PARAMETERS_MAX][SCRATCH];
};

static uint64_t roll(struct dice *dice) {
    uint64_t mixed = dice->state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

static uint64_t below(struct dice *dice, uint64_t end) {
    return roll(dice) % end;
}

static int one_in(struct dice *dice, uint64_t count) {
    return below(dice, count) == 0;
}

static void *any_handle(struct dice *dice, int kind) {
    if (one_in(dice, 40)) {
        return NULL;
    }
    if (one_in(dice, 40)) {
        kind = (int)below(dice, KINDS);
    }
    uint64_t handle = (uint64_t)(uintptr_t)atomic_load(&pools[kind][below(dice, POOL)]);
    if (one_in(dice, 100)) {
        handle ^= UINT64_C(1) << below(dice, 64);
    }
    return (void *)(uintptr_t)handle;
}

/* Puts a new handle into the pool, and frees what it takes the place of. */
static void keep(struct dice *dice, int kind, void *handle) {
    void *before = atomic_exchange(&pools[kind][below(dice, POOL)], handle);
    if (before != NULL) {
        free_handle(kind, before);
    }
}

/* Small numbers, those at the bounds, and few that are neither. */
static uint64_t any_number(struct dice *dice) {
    static const uint64_t bounds[] = {0, 1, 2, 3, UINT64_MAX, UINT64_MAX - 1, INT64_MAX, UINT64_C(1) << 63, 1 << 20, 60000};
    switch (below(dice, 4)) {
    case 0:
        return bounds[below(dice, sizeof bounds / sizeof *bounds)];
    case 1:
        return below(dice, 256);
    case 2:
        return UINT64_C(1) << below(dice, 8);
    default:
        return below(dice, 4);
    }
}

/* Milliseconds to wait: never for long. */
static uint64_t any_wait(struct dice *dice) {
    return one_in(dice, 20) ? (uint64_t)-2 : below(dice, 4) / 3;
}

static void any_bytes(struct dice *dice, const struct parameter *parameter, char *memory, union argument *arguments) {
    uint64_t len = below(dice, 5);
    if (is_named(parameter, "path") || is_named(parameter, "source") || is_named(parameter, "target")) {
        len = (uint64_t)snprintf(memory, SCRATCH, "%s/%d", directory, (int)below(dice, 4));
    } else if (is_named(parameter, "value")) {
        len = one_in(dice, 10) ? SCRATCH : below(dice, 64);
        memset(memory, 'v', len);
    } else if (is_named(parameter, "request") || is_named(parameter, "requests")) {
        good_bytes(&functions[below(dice, (uint64_t)function_count)], parameter, directory, memory, &arguments[0], &arguments[1]);
        len = arguments[1].number;
        if (one_in(dice, 2)) {
            memory[below(dice, len + 1)] = (char)roll(dice);
        }
    } else {
        for (uint64_t i = 0; i < len; i++) {
            memory[i] = "ab/\xff"[below(dice, 4)];
        }
    }
    arguments[0].pointer = one_in(dice, 60) ? NULL : memory;
    arguments[1].number = one_in(dice, 200) ? any_number(dice) | UINT64_C(1) << 63 : len;
}

static void any_options(struct dice *dice, const struct parameter *parameter, char *memory) {
    size_t size = one_in(dice, 30) ? (size_t)below(dice, 200) : parameter->size;
    memset(memory, 0, SCRATCH);
    /* The options of a group hold pointers, and those must be good. */
    int has_pointers = parameter->size == sizeof(etclite_cluster_options);
    for (size_t at = sizeof(size_t); at + 4 <= parameter->size; at += 4) {
        if (!has_pointers && one_in(dice, 6)) {
            uint32_t part = (uint32_t)any_number(dice);
            memcpy(memory + at, &part, sizeof part);
        }
    }
    memcpy(memory, &size, sizeof size);
    if (parameter->size == sizeof(etclite_open_options) && is_named(parameter, "options")) {
        etclite_open_options *options = (etclite_open_options *)(void *)memory;
        options->lock_wait_ms = (int64_t)any_wait(dice);
        options->memtable_bytes = 0;
    }
}

/* Most stores live in memory, where a step is quick. */
static void prefer_memory(struct dice *dice, union argument *arguments) {
    if (!one_in(dice, 40)) {
        etclite_open_options *options = (etclite_open_options *)(void *)dice->memory[2];
        memset(options, 0, sizeof *options);
        options->struct_size = sizeof *options;
        options->flags = ETCLITE_OPEN_IN_MEMORY;
        arguments[1].number = 0;
        arguments[2].pointer = options;
    }
}

static void any_arguments(struct dice *dice, const struct function *function, union argument *arguments) {
    for (int i = 0; i < function->count; i++) {
        const struct parameter *parameter = &function->parameters[i];
        char *memory = dice->memory[i];
        arguments[i].pointer = one_in(dice, 80) ? NULL : memory;
        switch (parameter->what) {
        case IS_HANDLE:
            arguments[i].pointer = any_handle(dice, parameter->kind);
            break;
        case IS_BYTES:
            any_bytes(dice, parameter, memory, &arguments[i]);
            i++;
            break;
        case IS_BUFFER:
            arguments[i + 1].number = below(dice, SCRATCH);
            i++;
            break;
        case IS_ARRAY:
            arguments[i + 1].number = below(dice, SCRATCH / sizeof(uint64_t));
            i++;
            break;
        case IS_OPTIONS:
            any_options(dice, parameter, memory);
            break;
        case IS_INFO:
            memcpy(memory, &parameter->size, sizeof(size_t));
            break;
        case IS_NUMBER:
            arguments[i].number = is_named(parameter, "timeout_ms") ? any_wait(dice) : any_number(dice);
            break;
        case IS_CALLBACK:
        case IS_CONTEXT:
            arguments[i].pointer = NULL;
            break;
        case IS_STRUCT_OUT:
        case IS_BUF_OUT:
            memset(memory, 0, parameter->size);
            break;
        default:
            break;
        }
    }
    if (function->call == call_etclite_open) {
        prefer_memory(dice, arguments);
    }
}

static int is_a_status(int32_t status) {
    for (int i = 0; i < status_count; i++) {
        if (statuses[i] == status) {
            return status != ETCLITE_E_PANIC && status != ETCLITE_E_INDETERMINATE;
        }
    }
    return 0;
}

/* Keeps new handles, and frees bytes. */
static void take_outputs(struct dice *dice, const struct function *function, const union argument *arguments) {
    for (int i = 0; i < function->count; i++) {
        const struct parameter *parameter = &function->parameters[i];
        if (arguments[i].pointer != dice->memory[i]) {
            continue;
        }
        if (parameter->what == IS_HANDLE_OUT) {
            void *handle;
            memcpy(&handle, dice->memory[i], sizeof handle);
            if (handle != NULL) {
                keep(dice, parameter->kind, handle);
            }
        }
        if (parameter->what == IS_BUF_OUT && strcmp(function->name, "etclite_buf_free") != 0 &&
            (is_named(parameter, "spill") || is_named(parameter, "stats") || is_named(parameter, "report"))) {
            CHECK(etclite_buf_free((etclite_buf *)(void *)dice->memory[i]) == ETCLITE_OK);
        }
    }
}

static void step(struct dice *dice) {
    union argument arguments[PARAMETERS_MAX];
    const struct function *function = &functions[below(dice, (uint64_t)function_count)];
    /* Closing is a function among a hundred, but ends what all others need. */
    if (function->call == call_etclite_close && !one_in(dice, 4)) {
        return;
    }
    any_arguments(dice, function, arguments);
    int32_t status = function->call(arguments);
    if (!is_a_status(status)) {
        fprintf(stderr, "%s returned %ld\n", function->name, (long)status);
        abort();
    }
    atomic_fetch_add(&counts[status >= 0], 1);
    if (status >= 0) {
        take_outputs(dice, function, arguments);
    }
}

static long from_environment(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value != NULL ? atol(value) : otherwise;
}

struct share {
    uint64_t seed;
    long steps;
};

static void *run_share(void *argument) {
    const struct share *share = argument;
    struct dice *dice = calloc(1, sizeof *dice);
    CHECK(dice != NULL);
    dice->state = share->seed;
    for (long i = 0; i < share->steps; i++) {
        step(dice);
    }
    free(dice);
    return NULL;
}

static void free_pools(void) {
    for (int kind = KINDS - 1; kind >= 0; kind--) {
        for (int i = 0; i < POOL; i++) {
            free_handle(kind, atomic_exchange(&pools[kind][i], NULL));
        }
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    directory = argv[1];
    long steps = from_environment("STEPS", 10000), seed = from_environment("SEED", 1);
    long thread_count = from_environment("THREADS", 1);
    CHECK(thread_count >= 1 && thread_count <= 64);
    fprintf(stderr, "SEED=%ld STEPS=%ld THREADS=%ld\n", seed, steps, thread_count);
    struct share shares[64];
    pthread_t threads[64];
    for (long i = 0; i < thread_count; i++) {
        shares[i].seed = (uint64_t)seed * 1000 + (uint64_t)i;
        shares[i].steps = steps / thread_count;
        CHECK(pthread_create(&threads[i], NULL, run_share, &shares[i]) == 0);
    }
    for (long i = 0; i < thread_count; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    free_pools();
    long fine = atomic_load(&counts[1]), refused = atomic_load(&counts[0]);
    printf("%ld calls went well, %ld were refused\n", fine, refused);
    /* Most arguments are good ones, or it would test refusals alone. */
    CHECK(fine > refused / 4);
    return 0;
}
