/* What tables.py says of the functions in etclite.h. */
#ifndef ETCLITE_TESTS_TABLES_H
#define ETCLITE_TESTS_TABLES_H

#include <stdint.h>
#include <stdlib.h>

/* What a parameter is. */
enum what {
    IS_HANDLE,       /* a token */
    IS_HANDLE_OUT,   /* a place for a new handle */
    IS_BORROWED_OUT, /* a place for a handle that is freed with another */
    IS_BYTES,        /* bytes that go in; the length is next */
    IS_BUFFER,       /* memory to write bytes to; its size is next */
    IS_ARRAY,        /* memory to write numbers to; how many fit is next */
    IS_SIZE_OF,      /* such a length or size */
    IS_OPTIONS,      /* a struct that goes in, with its size */
    IS_INFO,         /* a struct to fill in, with its size */
    IS_STRUCT_OUT,   /* a struct to fill in, of a size that is frozen */
    IS_BUF_OUT,      /* an etclite_buf to fill in, or to free */
    IS_VIEW_OUT,     /* a place for a pointer to what a handle owns */
    IS_OUT,          /* a place for a number */
    IS_NUMBER,
    IS_CALLBACK,
    IS_CONTEXT,
    IS_ERR
};

union argument {
    void *pointer;
    uint64_t number;
};

struct parameter {
    const char *name;
    enum what what;
    int kind;        /* which handle; NO_KIND for others */
    size_t size;     /* of the struct or number */
    int may_be_null; /* its comment says so */
};

#define PARAMETERS_MAX 12

struct function {
    const char *name;
    int32_t (*call)(const union argument *arguments);
    int count;
    struct parameter parameters[PARAMETERS_MAX];
};

#endif
