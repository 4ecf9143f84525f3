/* pool_options - the options that set the sizes of a runtime's pools.
 *
 * Owns:     nothing; a plain value.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_POOL_OPTIONS_H
#define GATHERD_RUNTIME_EXECUTORS_POOL_OPTIONS_H

#include "runtime/lib/cpu_count.h"
#include "runtime/lib/error.h"
#include "runtime/lib/str.h"
#include "runtime/lib/util.h"
#include "runtime/types/limits.h"

/* X(C type, member and option name, value type, description); all are absent by default. A row is a flag, an
 * environment variable and a line of --help; runtime/runtime.c uses it to start the pools. `threads` is an array of
 * struct str, "NAME=N" or "N". */
#define POOL_OPTIONS(X) \
    X(struct array, threads, pool_specs_type, \
      "Pools of threads for blocking calls, such as default=4,reports=2; a bare number sizes the pool default " \
      "(default: CPUs + 4, at most 32)") \
    X(int64_t, processes, processes_type, \
      "Worker processes for computation; 0 disables them (default: one for each CPU)") \
    X(int64_t, worker_max_tasks, worker_tasks_type, "Replace a worker process after this many tasks (default: never)") \
    X(int64_t, worker_memory_bytes, worker_memory_type, \
      "Address space that a worker process may use beyond what it starts with (default: unlimited)") \
    X(struct str, files_root, directory_type, \
      "The directory that file functions can access; without it they are disabled") \
    X(int64_t, files_threads, pool_size_type, "Threads for file functions (default: CPUs + 4, at most 32)")

struct pool_options {
#define X(c_type, member, ...) c_type member;
    POOL_OPTIONS(X)
#undef X
    /* Not in the table: where the size comes from, "configured", "descriptors" or the source of the CPU count; static.
     * pool_options_set_sizes() fills them. */
    const char *processes_source, *files_source;
};
extern const struct type pool_options_type; /* RECORD of struct pool_options */

/* Sizes the pools that no option does. The pool of an executor that is disabled stays without a size. */
void pool_options_set_sizes(struct pool_options *options, struct cpus cpus);

/* Threads of all pools but those of the option threads, whose sizes pool_options_parse() returns. */
int64_t pool_options_count_threads(const struct pool_options *options);

/* Parses options->threads into an array of struct pool_config, in the arena, for limits->pools. The pool `default` is
 * always the first. Returns 0, ERR_INVALID with "must ..." in e->msg, or ERR_OUT_OF_MEMORY. */
int pool_options_parse(const struct pool_options *options, struct cpus cpus, struct arena *arena, struct array *out,
                       struct err *e);

#endif
