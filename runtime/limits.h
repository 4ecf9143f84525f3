/* limits - what the runtime will take on at most, each limit a row of one table.
 *
 * Owns:     nothing; a plain value. Filled from the configuration before the runtime starts, constant afterwards.
 */
#ifndef GATHERD_RUNTIME_LIMITS_H
#define GATHERD_RUNTIME_LIMITS_H

#include "runtime/types.h"

struct limits {
    int64_t max_tasks;
    int64_t max_gather_children;
    int64_t max_gather_depth;
    uint64_t max_timeout_seconds;      /* nanoseconds, as every TYPE_SECONDS */
    uint64_t default_timeout_seconds;  /* nanoseconds */
    uint64_t max_deadline_seconds;     /* nanoseconds */
    uint64_t default_deadline_seconds; /* nanoseconds */
};

/* Rows of limits_type.fields, for a type's .limit and for errors that name a limit. */
enum limit_row {
    LIMIT_TASKS,
    LIMIT_GATHER_CHILDREN,
    LIMIT_GATHER_DEPTH,
    LIMIT_TIMEOUT,
    LIMIT_DEFAULT_TIMEOUT,
    LIMIT_DEADLINE,
    LIMIT_DEFAULT_DEADLINE,
    LIMIT_ROWS
};

extern const struct field limits_fields[LIMIT_ROWS + 1];
extern const struct type limits_type;

/* The value that `row` has in `limits`: a count, or nanoseconds. */
int64_t limit_value(const struct limits *limits, const struct field *row);

/* Every limit at its default. */
void limits_default(struct limits *out);

#endif
