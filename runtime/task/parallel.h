/* parallel - splits one call of a parallelizable function into parts, which run in several slots of its pool, and
 * merges their outputs.
 *
 * The parts are ordinary tasks, the children of the task that is split. If a part fails, that task fails and its other
 * parts are canceled.
 *
 * Owns:     nothing; all memory is in the task's arena.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_PARALLEL_H
#define GATHERD_RUNTIME_TASK_PARALLEL_H

#include "runtime/task/task_internal.h"

/* The function of a task that is split, in place of spec->function. Not in the registry. */
extern const struct function parallel_function;

/* Makes the specs of the parts of `spec`, whose option parallel is set, in the arena. Returns 0 with *parts set to an
 * array of struct task_spec, or -1 when out of memory. */
int parallel_split(const struct task_spec *spec, struct arena *arena, struct array *parts);

#endif
