/* parallel - one call of a divisible function, spread over several slots of its pool, and put together again.
 *
 * The parts are children of the task, ordinary tasks to everything else. The first that fails decides; the others are canceled.
 *
 * Owns:     nothing; all lies in the task's arena.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_PARALLEL_H
#define GATHERD_RUNTIME_TASK_PARALLEL_H

#include "runtime/task/task_internal.h"

/* How a divided task runs, in place of its own function; not one that a request can name. */
extern const struct function parallel_function;

/* Makes the specs of the parts of `spec`, whose parallel option is set. 0 with *parts set; -1: no memory. */
int parallel_split(const struct task_spec *spec, struct arena *arena, struct array *parts);

#endif
