/* limits - the runtime's configured limits, each one row of a table.
 *
 * Owns:     nothing; a plain value, set from the configuration before the runtime starts and constant afterwards.
 */
#ifndef GATHERD_RUNTIME_TYPES_LIMITS_H
#define GATHERD_RUNTIME_TYPES_LIMITS_H

#include "runtime/lib/util.h"
#include "runtime/types/type.h"

/* X(LIMIT_ index, C type, member and option name, value type, default, description). A row is a flag, an environment
 * variable, a line of --help and a member of GET /v1/limits. A uint64_t is in nanoseconds. */
#define LIMITS_TABLE(X) \
    X(TASKS, int64_t, max_tasks, limits_count_type, "1000000", \
      "Unfinished tasks at most, children included; more are refused with 503") \
    X(GATHER_CHILDREN, int64_t, max_gather_children, limits_count_type, "10000", "Tasks in one gather at most") \
    X(GATHER_DEPTH, int64_t, max_gather_depth, limits_depth_type, "8", \
      "Gathers inside one another at most; a gather of plain tasks has depth 1") \
    X(QUEUE, int64_t, queue_limit, limits_queue_type, "10000", \
      "Tasks that may wait for a pool, beside those that run; more are refused with 503") \
    X(OPEN_FILES, int64_t, max_open_files, limits_count_type, "1000", "Files that may be open at the same time") \
    X(STREAMS, int64_t, max_streams, limits_count_type, "256", \
      "Files that may be on their way in or out by /v1/fs/PATH at the same time; more are refused with 503") \
    X(READ_BYTES, int64_t, max_read_bytes, limits_count_type, "16777216", \
      "Bytes that one request may read from files and directories, all its tasks together; GET /v1/fs/PATH has no " \
      "such limit") \
    X(SCRIPT_STEPS, int64_t, max_script_steps, limits_count_type, "10000", "Steps in one script of file operations") \
    X(LEASE, uint64_t, max_lease_seconds, limits_duration_type, "3600", \
      "The longest time an open file may stay unused before it is closed") \
    X(TIMEOUT, uint64_t, max_timeout_seconds, limits_duration_type, "86400", \
      "The longest timeout_seconds a task may ask for") \
    X(DEFAULT_TIMEOUT, uint64_t, default_timeout_seconds, limits_duration_type, "3600", \
      "The timeout of a task that asks for none") \
    X(DEADLINE, uint64_t, max_deadline_seconds, limits_duration_type, "86400", \
      "The longest deadline_seconds a task may ask for") \
    X(DEFAULT_DEADLINE, uint64_t, default_deadline_seconds, limits_duration_type, "86400", \
      "The deadline of a request that asks for none")

struct limits {
#define X(index, c_type, member, type, default_text, doc) c_type member;
    LIMITS_TABLE(X)
#undef X
    /* Of struct pool_config, at most MAX_POOLS, "default" first. Not in the table: pool_options_parse() fills it. */
    struct array pools;
};

/* A configured thread pool. */
struct pool_config {
    struct str name;
    int64_t size;
    const char *source; /* of the size: "configured", "affinity" or "cgroup" */
};

enum { MAX_POOLS = 16 };

/* Rows of limits_fields, for a type's .limit and for errors that name a limit. */
enum limit_index {
#define X(index, c_type, member, type, default_text, doc) LIMIT_##index,
    LIMITS_TABLE(X)
#undef X
        LIMIT_COUNT
};

extern const struct field limits_fields[LIMIT_COUNT + 1];
extern const struct type limits_type;

#endif
