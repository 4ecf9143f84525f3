/* gather - what gather and map share: many tasks, a mode that decides, one result.
 *
 * Owns:     nothing; all lies in the task's arena.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FUNCTIONS_GATHER_H
#define GATHERD_RUNTIME_FUNCTIONS_GATHER_H

#include "runtime/lib/error.h"
#include "runtime/lib/util.h"
#include "runtime/task/task_internal.h"

enum mode { MODE_ALL, MODE_ALL_SETTLED, MODE_ANY, MODE_RACE, MODE_QUORUM };

/* Where a gathering function's input begins with it, gather_start and the others do for that function. */
struct gather_input {
    struct array tasks; /* of struct task_spec */
    int mode;           /* enum mode */
    int64_t quorum;
    int64_t max_concurrency;
    int64_t tolerated_failures;
};

enum status { GATHER_PENDING, GATHER_SUCCEEDED, GATHER_FAILED };

/* The state of such a function. */
struct gather {
    struct children children; /* first, as function.h says */
    size_t next;              /* the first child whose turn has not come */
    size_t active;            /* children that were queued and have not ended */
    size_t ended;
    enum status status;
    const struct task *first_failed; /* of its children, in time */
    struct err e;                    /* of a lost gather */
};

extern const struct type gather_result_type;

const struct array *gather_children(const void *input);
void gather_start(struct task *task);
void gather_cancel(struct task *task);
void gather_child_ended(struct task *task, struct task *child);

/* Members of struct function that every gathering function has. */
#define GATHER_MEMBERS \
    .executor = EXECUTOR_LOOP, .executors = EXECUTOR_BIT(EXECUTOR_LOOP), .output = &gather_result_type, \
    .state_size = sizeof(struct gather), .start = gather_start, .cancel = gather_cancel, .children = gather_children, \
    .child_ended = gather_child_ended

#endif
