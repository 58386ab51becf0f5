/*
 * The log sink: it is told what recovery met, up to its level; nothing can be called from inside; whoever replaces it
 * waits until nobody is inside of it any more.
 */

#include "fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a sink is given, and what it notes. */
struct notes {
    /* For calls from inside that would do well from outside. */
    etclite_db *db;
    int told;
    uint32_t level;
    char text[512];
};

static void note(void *context, uint32_t level, const uint8_t *message, size_t message_len) {
    struct notes *notes = context;
    etclite_error own;
    etclite_result *result = (etclite_result *)notes;
    int64_t revision = 7, compacted = 7;
    notes->told++;
    notes->level = level;
    CHECK(message_len < sizeof notes->text);
    memcpy(notes->text, message, message_len);
    notes->text[message_len] = 0;
    CHECK(etclite_put(notes->db, TEXT("inside"), TEXT("v"), NULL, NULL, &own) == ETCLITE_E_MISUSE);
    CHECK(own.code == ETCLITE_E_MISUSE && strstr(own.message, "log sink") != NULL);
    CHECK(etclite_get(notes->db, TEXT("k"), 0, &result, &own) == ETCLITE_E_MISUSE);
    CHECK(etclite_revision(notes->db, &revision, &compacted, &own) == ETCLITE_E_MISUSE && revision == 7);
    CHECK(etclite_set_log(ETCLITE_LOG_OFF, NULL, NULL, &own) == ETCLITE_E_MISUSE);
    CHECK(etclite_close(notes->db, &own) == ETCLITE_E_MISUSE);
    /* These cannot fail. */
    CHECK(etclite_version_number() == ETCLITE_VERSION_NUMBER && etclite_status_text(ETCLITE_OK)[0] != 0);
}

/* What a write that a crash cut off leaves behind: bytes behind the last record that are none. */
static void tear(const char *path) {
    char log[4096], name[4096 + 256];
    static unsigned char bytes[1 << 16];
    int torn = 0;
    DIR *segments = opendir(path_in(log, sizeof log, path, "log"));
    CHECK(segments != NULL);
    for (struct dirent *entry; (entry = readdir(segments)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(name, sizeof name, "%s/%s", log, entry->d_name);
        FILE *file = fopen(name, "r+b");
        CHECK(file != NULL);
        size_t len = fread(bytes, 1, sizeof bytes, file), end = len;
        while (end > 0 && bytes[end - 1] == 0) {
            end--;
        }
        /* The records of a store of one key do not come near the end of what was read. */
        CHECK(end + 64 < sizeof bytes);
        memset(bytes, 0xff, 48);
        CHECK(fseek(file, (long)end + 8, SEEK_SET) == 0 && fwrite(bytes, 1, 48, file) == 48 && fclose(file) == 0);
        torn++;
    }
    closedir(segments);
    CHECK(torn > 0);
}

/* A store as a crash in the middle of a write leaves it. */
static const char *make_torn(const char *directory) {
    static char path[4096];
    static int number;
    char name[32];
    snprintf(name, sizeof name, "torn%d", number++);
    path_in(path, sizeof path, directory, name);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        etclite_db *db = NULL;
        OK(etclite_open(TEXT(path), NULL, &db, &err));
        OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
        _exit(0);
    }
    int ended;
    CHECK(waitpid(child, &ended, 0) == child && ended == 0);
    tear(path);
    return path;
}

static void open_and_close(const char *path) {
    etclite_error own;
    etclite_db *db = NULL;
    etclite_result *result = NULL;
    CHECK(etclite_open(TEXT(path), NULL, &db, &own) == ETCLITE_OK);
    /* What was acknowledged before is there. */
    CHECK(etclite_get(db, TEXT("k"), 0, &result, &own) == ETCLITE_OK);
    CHECK(etclite_result_free(result) == ETCLITE_OK);
    CHECK(etclite_close(db, &own) == ETCLITE_OK);
}

static void a_sink_is_told(const char *directory) {
    struct notes notes = {.db = open_in_memory()};
    int64_t before = 0, now = 0, compacted = 0;
    OK(etclite_put(notes.db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_revision(notes.db, &before, &compacted, &err));
    OK(etclite_set_log(ETCLITE_LOG_INFO, note, &notes, &err));
    const char *path = make_torn(directory);
    open_and_close(path);
    CHECK(notes.told == 1 && notes.level == ETCLITE_LOG_INFO);
    CHECK(strncmp(notes.text, path, strlen(path)) == 0 && strncmp(notes.text + strlen(path), ": log/", 6) == 0);
    CHECK(strstr(notes.text, "an unfinished write") != NULL && strchr(notes.text, '\n') == NULL);
    /* Once: it is repaired by now. */
    open_and_close(path);
    CHECK(notes.told == 1);
    /* What it called has done nothing, and the store is open. */
    OK(etclite_revision(notes.db, &now, &compacted, &err));
    CHECK(now == before);

    /* Not above its level, and not once there is none. */
    OK(etclite_set_log(ETCLITE_LOG_WARN, note, &notes, &err));
    open_and_close(make_torn(directory));
    OK(etclite_set_log(ETCLITE_LOG_OFF, NULL, NULL, &err));
    open_and_close(make_torn(directory));
    CHECK(notes.told == 1);
    STATUS(ETCLITE_E_MISUSE, etclite_set_log(ETCLITE_LOG_INFO, NULL, &notes, &err));
    STATUS(ETCLITE_E_INVALID_ARGUMENT, etclite_set_log(ETCLITE_LOG_INFO + 1, note, &notes, &err));
    OK(etclite_close(notes.db, &err));
}

static atomic_int inside, let_go, left, replaced, replacer;

static void stay_inside(void *context, uint32_t level, const uint8_t *message, size_t message_len) {
    (void)context, (void)level, (void)message, (void)message_len;
    atomic_store(&inside, 1);
    while (!atomic_load(&let_go)) {
        sched_yield();
    }
    atomic_store(&left, 1);
}

static void count(void *context, uint32_t level, const uint8_t *message, size_t message_len) {
    (void)level, (void)message, (void)message_len;
    ++*(int *)context;
}

static void *open_torn(void *path) {
    open_and_close(path);
    return NULL;
}

static void *replace(void *told) {
    etclite_error own;
    atomic_store(&replacer, (int)syscall(SYS_gettid));
    CHECK(etclite_set_log(ETCLITE_LOG_INFO, count, told, &own) == ETCLITE_OK);
    /* From here on a host may free what the old one used. */
    CHECK(atomic_load(&left));
    atomic_store(&replaced, 1);
    return NULL;
}

/* Whether a thread sleeps, as the system sees it. */
static int is_asleep(int id) {
    char path[64], line[256], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    CHECK(sscanf(strrchr(line, ')') + 1, " %c", &state) == 1);
    return state == 'S';
}

static void who_replaces_it_waits(const char *directory) {
    char path[4096];
    int told = 0;
    pthread_t opens, replaces;
    strcpy(path, make_torn(directory));
    OK(etclite_set_log(ETCLITE_LOG_INFO, stay_inside, NULL, &err));
    CHECK(pthread_create(&opens, NULL, open_torn, path) == 0);
    while (!atomic_load(&inside)) {
        sched_yield();
    }
    CHECK(pthread_create(&replaces, NULL, replace, &told) == 0);
    while (atomic_load(&replacer) == 0 || !is_asleep(atomic_load(&replacer))) {
        sched_yield();
    }
    CHECK(!atomic_load(&replaced));
    /* A sink that is inside holds up nobody else. */
    etclite_db *db = open_in_memory();
    OK(etclite_put(db, TEXT("k"), TEXT("v"), NULL, NULL, &err));
    OK(etclite_close(db, &err));
    atomic_store(&let_go, 1);
    CHECK(pthread_join(replaces, NULL) == 0 && pthread_join(opens, NULL) == 0);
    CHECK(atomic_load(&replaced) && told == 0);
    open_and_close(make_torn(directory));
    CHECK(told == 1);
    OK(etclite_set_log(ETCLITE_LOG_OFF, NULL, NULL, &err));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    a_sink_is_told(argv[1]);
    who_replaces_it_waits(argv[1]);
    return 0;
}
