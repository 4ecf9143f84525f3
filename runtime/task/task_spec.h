/* task_spec - what is asked for: a function, its input, and what may be said of any task.
 *
 * Owns:     nothing; a spec and all it points to live in its request's arena.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_SPEC_H
#define GATHERD_RUNTIME_TASK_TASK_SPEC_H

#include "runtime/task/function.h"
#include "runtime/types/limits.h"

/* What may be said of any task, whatever its function. */
struct task_options {
    struct str name; /* absent: none */
    uint64_t
        timeout_ns; /* counts from the start; SECONDS absent: the default for a task of its own, none for a child */
    uint64_t deadline_ns; /* counts from receipt, queueing included; absent: likewise */
    int executor;         /* enum executor_kind; absent: the function's own */
    int64_t pool;         /* which of limits->pools; absent: the first */
    int64_t parallel;     /* over how many slots to spread a divisible function; absent: one, undivided */
};
extern const struct type task_options_type;                                      /* the RECORD of it */
extern const struct task_options task_options_none;                              /* all absent */
extern const struct type task_executor_type, task_pool_type, task_parallel_type; /* of those options */

struct task_spec {
    const struct function *function;
    void *input; /* of function->input's type */
    struct task_options options;
};
/* The RECORD of it: `function`, `input`, and the options beside them. Its check says whether the options suit the function;
 * where a spec is put together from elsewhere, that is left to be called. */
extern const struct type task_spec_type;

enum executor_kind task_spec_executor(const struct task_spec *spec); /* where it is to run */

#endif
