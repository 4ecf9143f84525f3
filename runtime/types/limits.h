/* limits - what the runtime will take on at most, each limit a row of one table.
 *
 * Owns:     nothing; a plain value. Filled from the configuration before the runtime starts, constant afterwards.
 */
#ifndef GATHERD_RUNTIME_TYPES_LIMITS_H
#define GATHERD_RUNTIME_TYPES_LIMITS_H

#include "runtime/lib/util.h"
#include "runtime/types/type.h"

struct limits {
    int64_t max_tasks;
    int64_t max_gather_children;
    int64_t max_gather_depth;
    int64_t queue_limit;
    int64_t max_open_files;
    int64_t max_streams;
    int64_t max_read_bytes;
    int64_t max_script_steps;
    uint64_t max_lease_seconds;        /* nanoseconds, as all below */
    uint64_t max_timeout_seconds;      /* nanoseconds, as every TYPE_SECONDS */
    uint64_t default_timeout_seconds;  /* nanoseconds */
    uint64_t max_deadline_seconds;     /* nanoseconds */
    uint64_t default_deadline_seconds; /* nanoseconds */
    struct array
        pools; /* of struct pool_config, at most MAX_POOLS: the pools of threads, the one named default first. No row of
                        * the table: runtime/executors/pool_options.h makes it */
};

/* A pool of threads, as it was configured. */
struct pool_config {
    struct str name;
    int64_t size;
    const char *source; /* what says so: "configured", "affinity", "cgroup" */
};

enum { MAX_POOLS = 16 };

/* Rows of limits_type.fields, for a type's .limit and for errors that name a limit. */
enum limit_index {
    LIMIT_TASKS,
    LIMIT_GATHER_CHILDREN,
    LIMIT_GATHER_DEPTH,
    LIMIT_QUEUE,
    LIMIT_OPEN_FILES,
    LIMIT_STREAMS,
    LIMIT_READ_BYTES,
    LIMIT_SCRIPT_STEPS,
    LIMIT_LEASE,
    LIMIT_TIMEOUT,
    LIMIT_DEFAULT_TIMEOUT,
    LIMIT_DEADLINE,
    LIMIT_DEFAULT_DEADLINE,
    LIMIT_COUNT
};

extern const struct field limits_fields[LIMIT_COUNT + 1];
extern const struct type limits_type;

#endif
