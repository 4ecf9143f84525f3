/* pool_options - the pools that a runtime is started with.
 *
 * Owns:     nothing; a plain value.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_POOL_OPTIONS_H
#define GATHERD_RUNTIME_EXECUTORS_POOL_OPTIONS_H

#include "runtime/lib/cpu_count.h"
#include "runtime/lib/error.h"
#include "runtime/lib/str.h"
#include "runtime/lib/util.h"
#include "runtime/types/limits.h"

struct pool_options {
    struct array threads;        /* of struct str, "NAME=N" or "N"; absent: sized by the processors there are */
    int64_t processes;           /* absent: likewise; 0: none */
    int64_t worker_max_tasks;    /* absent: no such limit */
    int64_t worker_memory_bytes; /* absent: no such limit */
    struct str files_root;       /* absent: no file functions */
    int64_t files_threads;       /* absent: sized by the processors there are */
};
extern const struct type pool_options_type; /* the RECORD of it */

/* How many threads a pool has that nobody sized: they block more than they compute, so more than there are processors. */
int64_t pool_options_default_threads(struct cpus cpus);

/* What `threads` says, for limits->pools: struct pool_config in the arena. The pool named default is always there, and
 * first. 0, ERR_INVALID with e->msg as "must be ...", or ERR_OUT_OF_MEMORY. */
int pool_options_parse(const struct pool_options *options, struct cpus cpus, struct arena *arena, struct array *out,
                       struct err *e);

#endif
