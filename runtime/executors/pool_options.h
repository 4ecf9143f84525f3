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

struct pool_options {
    struct array threads;        /* of struct str, "NAME=N" or "N"; absent: "default" with CPUs + 4, at most 32 */
    int64_t processes;           /* absent: one for each CPU; 0: disabled */
    int64_t worker_max_tasks;    /* absent: unlimited */
    int64_t worker_memory_bytes; /* absent: unlimited */
    struct str files_root;       /* absent: executor files disabled */
    int64_t files_threads;       /* absent: CPUs + 4, at most 32 */
};
extern const struct type pool_options_type; /* RECORD of struct pool_options */

/* Default size of a pool of threads: CPUs + 4, at most 32. More threads than CPUs, because most functions block. */
int64_t pool_options_default_threads(struct cpus cpus);

/* Parses options->threads into an array of struct pool_config, in the arena, for limits->pools. The pool `default` is
 * always the first. Returns 0, ERR_INVALID with "must ..." in e->msg, or ERR_OUT_OF_MEMORY. */
int pool_options_parse(const struct pool_options *options, struct cpus cpus, struct arena *arena, struct array *out,
                       struct err *e);

#endif
