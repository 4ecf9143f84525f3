/* type - the algebra in which every function's input and output, every option and every limit is described.
 *
 * A type table says how a value lies in memory, what may stand in it, and what it is for. Decoding, rendering, JSON
 * Schema, query options, flags, environment and help are all derived from the tables, and from nothing else.
 *
 * Owns:     nothing; tables are constants. Decoded values live in the arena they were decoded into.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TYPES_TYPE_H
#define GATHERD_RUNTIME_TYPES_TYPE_H

#include "runtime/lib/arena.h"
#include "runtime/lib/error.h"

#include <stdint.h>

struct limits; /* runtime/types/limits.h */
struct field;

enum type_kind {
    /* in memory; outside it is what JSON has for it, unless something else is said */
    TYPE_BOOLEAN,   /* bool */
    TYPE_INTEGER,   /* int64_t */
    TYPE_SECONDS,   /* uint64_t nanoseconds; outside a number of seconds. Read rounding up, so never shorter. */
    TYPE_ENUM,      /* int, an index into .names; outside the name */
    TYPE_STRING,    /* struct str, UTF-8; a NUL is refused, unless .allow_nul */
    TYPE_TIME,      /* int64_t microseconds since 1970 (UTC); outside RFC 3339 text. Only in outputs. */
    TYPE_ARRAY,     /* struct array of .item */
    TYPE_RECORD,    /* the struct itself, inline, described by .fields */
    TYPE_FUNCTION,  /* const struct function *; outside its name */
    TYPE_INPUT,     /* void *, a value of the input type of the function named earlier in the same record */
    TYPE_OUTPUT,    /* const void *, a value of that function's output type. Only in outputs. */
    TYPE_CHILD,     /* const struct task *, rendered as a gather's child. Only in outputs. */
    TYPE_REFERENCE, /* const void *, to a value of .item, a RECORD; NULL is absent. Only in outputs. */
    TYPE_POOL,      /* int64_t, an index into the configured pools of threads (struct limits); outside its name */
};

/* What check() finds wrong with a record whose fields are each right by themselves. */
struct check_error {
    char pointer[64]; /* RFC 6901, from the record's root */
    char detail[192]; /* a sentence */
};

/* Fills *fault; false, so that a check() can `return check_error_set(...)`. */
bool check_error_set(struct check_error *check_error, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct type {
    enum type_kind kind;
    const char *name; /* what a RECORD is called in JSON Schema's $defs, or a flag's value in help; may be NULL */
    int64_t min, max; /* INTEGER: the value, above INT64_MIN; STRING: bytes; LIST: items; SECONDS: nanoseconds,
                                * where a min of 1 reads "more than 0" */
    const struct field
        *limit; /* if set, that configured limit (runtime/types/limits.h) is the maximum, and .max unused */
    const char *const *names; /* ENUM: ends with NULL; FUNCTION: which names there may be, NULL: those of functions[] */
    const struct type *item;  /* LIST, REFERENCE */
    const struct field *fields; /* RECORD: ends with a row whose name is NULL */
    size_t size;                /* RECORD: sizeof its struct */
    bool (*check)(const void *value,
                  struct check_error *check_error); /* RECORD: true, or false with *fault filled; may be NULL */
    bool allow_nul;                                 /* STRING: U+0000 is text like any other */
    bool render_nulls;                              /* RECORD: absent fields are rendered as null instead of left out */
    unsigned option_flags;                          /* of a task option: enum task_option_flag */
};

enum presence {
    FIELD_REQUIRED,
    FIELD_OPTIONAL,  /* may be absent: type_set_absent() marks it, type_is_absent() tells; not for BOOLEAN, RECORD */
    FIELD_DEFAULTED, /* absent means .fallback */
};

struct field {
    const char *name; /* the JSON member; flags write '-' for '_' */
    const struct type *type;
    size_t offset; /* in the record's struct */
    enum presence presence;
    const char *default_text; /* FIELD_DEFAULTED: the default, as text that type_parse() takes */
    const char *doc;          /* one line, a full sentence or phrase without a full stop at the end */
    const char *example;      /* as text; may be NULL */
};

size_t type_size(const struct type *type); /* of a value in memory, in bytes */

/* Integers of a larger magnitude are decimal strings in JSON: a double would round them (RFC 8259 section 6). */
#define SAFE_INTEGER_MAX (INT64_C(1) << 53)

#define SECONDS_ABSENT UINT64_MAX
#define INTEGER_ABSENT INT64_MIN
#define ENUM_ABSENT (-1)

/* Marks a value as absent, and tells whether it is: INTEGER, POOL and TIME INTEGER_ABSENT, SECONDS SECONDS_ABSENT, ENUM ENUM_ABSENT, texts, lists
 * and pointers NULL. A RECORD or BOOLEAN is never absent. */
void type_set_absent(const struct type *type, void *value);
bool type_is_absent(const struct type *type, const void *value);

/* The value that the row of limits_fields has in `limits`: a count, or nanoseconds. */
int64_t limits_get(const struct limits *limits, const struct field *field);

/* The largest number that may stand in a value of this type, with the configured limit applied where there is one. */
int64_t type_max(const struct type *type, const struct limits *limits);

/* Checks a value in memory against the type's range. 0, ERR_INVALID, or ERR_LIMIT_EXCEEDED where a configured limit (then
 * type->limit names it) was passed; e->msg says what is allowed, as "must be ...". Only INTEGER, SECONDS, STRING, LIST have
 * ranges; a STRING is also searched for a NUL. A list's items are not looked at. */
int type_check(const struct type *type, const void *value, const struct limits *limits, struct err *e);

#endif
