/* What the programs here check with. Plain C99 and C++98, as they are. */
#ifndef ETCLITE_TESTS_CHECK_H
#define ETCLITE_TESTS_CHECK_H

#include "etclite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program if a condition does not hold. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Ends the program if a call does not return a status; `err` must be the call's own. */
#define STATUS(status, call) check_status(status, call, &err, __FILE__, __LINE__, #call)
#define OK(call) STATUS(ETCLITE_OK, call)

static inline void check_status(int32_t expected, int32_t status, const etclite_error *err, const char *file, int line,
                                const char *call) {
    if (status != expected) {
        fprintf(stderr, "%s:%d: %ld instead of %ld (%s): %s\n", file, line, (long)status, (long)expected,
                status < 0 ? err->message : "not an error", call);
        abort();
    }
}

/* A text without its NUL, as key or value: two arguments. */
#define TEXT(text) (const uint8_t *)(text), strlen(text)
#define NONE NULL, 0

/* Whether bytes are a text. */
static inline int is_text(const uint8_t *bytes, size_t len, const char *text) {
    return len == strlen(text) && memcmp(bytes, text, len) == 0;
}

/* A path below the program's own directory. */
static inline const char *path_in(char *buffer, size_t size, const char *directory, const char *name) {
    CHECK(strlen(directory) + strlen(name) + 2 <= size);
    strcpy(buffer, directory);
    strcat(buffer, "/");
    return strcat(buffer, name);
}

#endif
