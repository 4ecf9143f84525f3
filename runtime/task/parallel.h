/* parallel - divides one call of a divisible function over several slots of its pool and merges the results.
 *
 * The parts are ordinary tasks, children of the divided one. The first failure fails it and cancels the other parts.
 *
 * Owns:     nothing; all memory is in the task's arena.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_PARALLEL_H
#define GATHERD_RUNTIME_TASK_PARALLEL_H

#include "runtime/task/task_internal.h"

/* Replaces the function of a divided task. Not in the registry. */
extern const struct function parallel_function;

/* Makes the specs of the parts of `spec`, whose option parallel is set. 0 with *parts set, or -1: out of memory. */
int parallel_split(const struct task_spec *spec, struct arena *arena, struct array *parts);

#endif
