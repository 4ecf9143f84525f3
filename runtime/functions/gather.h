/* gather - the implementation that gather and map share: runs many tasks, and a mode decides the result.
 *
 * Owns:     nothing; all memory is in the task's arena.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_FUNCTIONS_GATHER_H
#define GATHERD_RUNTIME_FUNCTIONS_GATHER_H

#include "runtime/lib/error.h"
#include "runtime/lib/util.h"
#include "runtime/task/task_internal.h"

enum mode { MODE_ALL, MODE_ALL_SETTLED, MODE_ANY, MODE_RACE, MODE_QUORUM };

/* First member of the input of a gathering function. */
struct gather_input {
    struct array tasks; /* of struct task_spec */
    int mode;           /* enum mode */
    int64_t quorum;
    int64_t max_concurrency;
    int64_t tolerated_failures;
};

enum status { GATHER_PENDING, GATHER_SUCCEEDED, GATHER_FAILED };

/* State of a gathering function. */
struct gather {
    struct children children; /* first */
    size_t next;              /* index of the first child not queued */
    size_t active;            /* children queued and not ended */
    size_t ended;
    enum status status;
    const struct task *first_failed; /* earliest child that failed */
    struct err e;                    /* of a failed gather */
};

extern const struct type gather_result_type, gather_concurrency_type, gather_failures_type;

/* Fields that the inputs of all gathering functions have. */
#define GATHER_CONCURRENCY_FIELD(offset) \
    { \
        "max_concurrency", &gather_concurrency_type, (offset), FIELD_OPTIONAL, NULL, \
            "How many of the tasks may run at the same time, at least 1; absent: all", NULL \
    }
#define GATHER_FAILURES_FIELD(offset) \
    { \
        "tolerated_failures", &gather_failures_type, (offset), FIELD_DEFAULTED, "0", \
            "How many tasks may fail before the gather fails", NULL \
    }

extern const int gather_errors[];
const struct array *gather_children(const void *input);
void gather_start(struct task *task);
void gather_cancel(struct task *task);
void gather_child_ended(struct task *task, struct task *child);

/* Members of struct function that all gathering functions share. */
#define GATHER_MEMBERS \
    .executor = EXECUTOR_LOOP, .executors = EXECUTOR_BIT(EXECUTOR_LOOP), .output = &gather_result_type, \
    .state_size = sizeof(struct gather), .start = gather_start, .cancel = gather_cancel, .children = gather_children, \
    .child_ended = gather_child_ended, .errors = gather_errors

#endif
