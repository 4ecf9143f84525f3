/* type - type tables, which describe every input, output, option and limit.
 *
 * A table gives a value's memory layout, range and description. Decoding, rendering, JSON Schema, query options, flags,
 * environment variables and --help are derived from the tables alone.
 *
 * Owns:     nothing; tables are constants.
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
    /* Each comment gives the C type of a value, and the JSON form if it is not obvious. */
    TYPE_BOOLEAN,   /* bool */
    TYPE_INTEGER,   /* int64_t */
    TYPE_SECONDS,   /* uint64_t nanoseconds; JSON: a number of seconds, rounded up to a nanosecond when read */
    TYPE_ENUM,      /* int, an index into .names; JSON: the name */
    TYPE_STRING,    /* struct str, UTF-8; a NUL is rejected unless .allow_nul */
    TYPE_TIME,      /* int64_t microseconds since 1970; JSON: RFC 3339 text. Outputs only. */
    TYPE_ARRAY,     /* struct array of .item */
    TYPE_RECORD,    /* the struct itself, described by .fields and .variants */
    TYPE_FUNCTION,  /* const struct function *; JSON: its name */
    TYPE_INPUT,     /* void *, the input of the function that an earlier field of the record names */
    TYPE_OUTPUT,    /* const void *, the output of the function that an earlier field names. Outputs only. */
    TYPE_CHILD,     /* const struct task *, a child of a gather. Outputs only. */
    TYPE_REFERENCE, /* const void *, points to a value of .item, a RECORD. Outputs only. */
    TYPE_POOL,      /* int64_t, an index into limits->pools; JSON: the pool's name. */
};

/* Why a record is invalid whose fields are valid one by one. */
struct check_error {
    int rc;           /* ERR_INVALID_ARGUMENT, or ERR_INVALID if the schema says so too */
    char pointer[64]; /* RFC 6901, from the record's root */
    char detail[192]; /* a sentence */
};

/* Fills *check_error, with rc ERR_INVALID_ARGUMENT, and returns false, so that a check() can
 * `return check_error_set(...)`. */
bool check_error_set(struct check_error *check_error, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A rule between two fields of a record, beyond their types. A field is "used" if it is present and, for a
 * FIELD_DEFAULTED, differs from its default. */
enum rule_kind {
    RULE_END,           /* ends a table of rules */
    RULE_ONLY_WITH,     /* .field may be used only if .other has one of .values */
    RULE_REQUIRED_WITH, /* .field must be present if .other has one of .values */
    RULE_ITEMS_WITH,    /* .field, an ARRAY, must have an item if .other has one of .values */
};
struct rule {
    enum rule_kind kind;
    const char *field, *other; /* names of two fields of the record; .other is an ENUM */
    const char *values[4];     /* of .other, the default included where it applies; ends with NULL unless full */
};

struct type {
    enum type_kind kind;
    /* In JSON Schema, the name of its definition; for a flag, of its value in --help. NULL: the schema is inline. A
     * function's input and output records have none, unless several functions share them: theirs are derived. */
    const char *name;
    const char *doc; /* of a named type: sentences in Markdown; may be NULL */
    /* INTEGER: the value, above INT64_MIN; STRING: characters (Unicode code points, as JSON Schema counts); ARRAY:
     * items; SECONDS: nanoseconds, where a min of 1 means "more than 0" */
    int64_t min, max;
    const struct field *limit;               /* a row of limits_fields whose configured value replaces .max, or NULL */
    const char *const *names;                /* ENUM: ends with NULL */
    const struct function *const *functions; /* FUNCTION: the allowed ones, NULL for all. Ends with NULL */
    const char *pattern;        /* STRING: a regular expression of outputs, for the schema; not checked. May be NULL */
    const struct type *item;    /* ARRAY, REFERENCE */
    const struct field *fields; /* RECORD: ends with a row whose name is NULL */
    size_t size;                /* RECORD: sizeof its struct */
    /* RECORD: the value of its only field, a required ENUM, selects one of these records in the same struct, whose
     * fields are members of the same JSON object; the fields of the others are left zeroed. Inputs only, and not the
     * root of a body or a query. NULL: none */
    const struct type *const *variants;
    const struct rule *rules; /* RECORD: ends with RULE_END; NULL: none. Checked before .check, and in the schema */
    /* RECORD: what neither types nor rules can say, so that it is not in the schema (ERR_INVALID_ARGUMENT; ERR_INVALID
     * for options, whose schema depends on the function): returns
     * false with *check_error filled. May be NULL */
    bool (*check)(const void *value, struct check_error *check_error);
    bool allow_nul;        /* STRING: U+0000 is allowed */
    bool render_nulls;     /* RECORD: absent fields are rendered as null instead of omitted */
    unsigned option_flags; /* type of a task option: enum task_option_flag */
};

enum presence {
    FIELD_REQUIRED,
    FIELD_OPTIONAL,  /* may be absent, see type_set_absent(); not for BOOLEAN or RECORD */
    FIELD_DEFAULTED, /* .default_text if absent */
};

struct field {
    const char *name; /* the JSON member; a flag has '-' for '_' */
    const struct type *type;
    size_t offset; /* in the record's struct */
    enum presence presence;
    const char *default_text; /* FIELD_DEFAULTED: the default, as text for type_parse() */
    const char *doc;          /* one line without a final full stop */
    const char *example;      /* a value, as text for type_parse(); may be NULL */
};

extern const struct type time_type; /* TIME */

size_t type_size(const struct type *type); /* sizeof a value */

/* Integers of a larger magnitude are strings of decimal digits in JSON, because clients that parse numbers as doubles
 * would round them (RFC 8259 section 6). */
#define SAFE_INTEGER_MAX (INT64_C(1) << 53)

#define SECONDS_ABSENT UINT64_MAX
#define INTEGER_ABSENT INT64_MIN
#define ENUM_ABSENT (-1)

/* An absent INTEGER, POOL or TIME is INTEGER_ABSENT, SECONDS is SECONDS_ABSENT, ENUM is ENUM_ABSENT; the data of a
 * STRING, the items of an ARRAY and pointers are NULL. BOOLEAN and RECORD are never absent. */
void type_set_absent(const struct type *type, void *value);
bool type_is_absent(const struct type *type, const void *value);

/* The value of a row of limits_fields: a count, or nanoseconds. */
int64_t limits_get(const struct limits *limits, const struct field *field);

/* The maximum of a type: its configured limit, if it has one, or .max. */
int64_t type_max(const struct type *type, const struct limits *limits);

/* Checks a value of kind INTEGER, SECONDS, STRING, ARRAY or POOL against the range of its type, and a STRING for NULs.
 * The items of an ARRAY are not checked; other kinds are always valid. Returns 0, ERR_LIMIT_EXCEEDED if the value
 * exceeds the configured limit type->limit, or ERR_INVALID; e->msg is then "must ...". */
int type_check(const struct type *type, const void *value, const struct limits *limits, struct err *e);

#endif
