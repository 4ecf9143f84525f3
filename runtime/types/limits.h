/* limits - the runtime's configured limits, each one row of a table.
 *
 * Owns:     nothing; a plain value, set from the configuration before the runtime starts.
 * Threads:  any; constant once the runtime has started.
 */
#ifndef GATHERD_RUNTIME_TYPES_LIMITS_H
#define GATHERD_RUNTIME_TYPES_LIMITS_H

#include "runtime/lib/util.h"
#include "runtime/types/type.h"

/* X(LIMIT_ index, C type, member and option name, value type, default, description). Each row is a flag, an environment
 * variable, a line of --help and a member of GET /v1/limits. Members of type uint64_t are in nanoseconds. */
#define LIMITS_TABLE(X) \
    X(TASKS, int64_t, max_tasks, limits_count_type, "1000000", \
      "Maximum number of unfinished tasks, children included; more are rejected with 503") \
    X(GATHER_CHILDREN, int64_t, max_gather_children, limits_count_type, "10000", \
      "Maximum number of tasks in one gather") \
    X(GATHER_DEPTH, int64_t, max_gather_depth, limits_depth_type, "8", \
      "Maximum nesting depth of gathers; a gather of plain tasks has depth 1") \
    X(QUEUE, int64_t, queue_limit, limits_queue_type, "10000", \
      "Maximum number of tasks queued for a pool, besides those running; more are rejected with 503") \
    X(OPEN_FILES, int64_t, max_open_files, limits_count_type, "1000", \
      "Maximum number of open files; more are rejected with 503") \
    X(STREAMS, int64_t, max_streams, limits_count_type, "256", \
      "Maximum number of concurrent transfers of /v1/fs/PATH, each of up to 0.7 MB of memory; " \
      "more are rejected with 503") \
    X(READ_BYTES, int64_t, max_read_bytes, limits_count_type, "16777216", \
      "Maximum number of bytes that one request may read from files and directories; not for GET /v1/fs/PATH") \
    X(SCRIPT_STEPS, int64_t, max_script_steps, limits_count_type, "10000", \
      "Maximum number of steps in a script of file operations") \
    X(LEASE, uint64_t, max_lease_seconds, limits_duration_type, "3600", \
      "Longest lease of an open file, after which it is closed if unused") \
    X(TIMEOUT, uint64_t, max_timeout_seconds, limits_duration_type, "86400", \
      "Largest timeout_seconds that a task may request") \
    X(DEFAULT_TIMEOUT, uint64_t, default_timeout_seconds, limits_duration_type, "3600", \
      "Timeout of a task that requests none") \
    X(DEADLINE, uint64_t, max_deadline_seconds, limits_duration_type, "86400", \
      "Largest deadline_seconds that a task may request") \
    X(DEFAULT_DEADLINE, uint64_t, default_deadline_seconds, limits_duration_type, "86400", \
      "Deadline of a task that requests none")

struct limits {
#define X(index, c_type, member, ...) c_type member;
    LIMITS_TABLE(X)
#undef X
    struct array pools; /* of struct pool_config, "default" first; set by pool_options_parse() */
};

/* A configured thread pool. */
struct pool_config {
    struct str name;
    int64_t size;
    const char *source; /* of the size: "configured", "affinity" or "cgroup"; static */
};

enum { MAX_THREAD_POOLS = 16, POOL_NAME_MAX = 12 /* characters */ };

/* Index of each row of limits_fields, for a type's .limit and for errors that name a limit. */
enum limit_index {
#define X(index, ...) LIMIT_##index,
    LIMITS_TABLE(X)
#undef X
        LIMIT_COUNT
};

extern const struct field limits_fields[LIMIT_COUNT + 1];
extern const struct type limits_type;

#endif
