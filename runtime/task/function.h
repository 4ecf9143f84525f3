/* function - what a task runs: one row of data, with a type table for what goes in and one for what comes out.
 *
 * Owns:     nothing; functions are constants, one file each in runtime/functions/, listed in runtime/functions/registry.c.
 * Threads:  start, cancel and child_ended on the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_FUNCTION_H
#define GATHERD_RUNTIME_TASK_FUNCTION_H

#include "runtime/lib/error.h"
#include "runtime/lib/util.h"
#include "runtime/types/type.h"

struct strand;
struct run_context;
struct task;

/* What became of a cancel (also one that a timeout or a deadline made), the weightier the later, but for too_late. */
enum cancel_effect {
    EFFECT_PREVENTED, /* the task had not started, and never will */
    EFFECT_STOPPED,   /* it was running, and ended early */
    EFFECT_KILLED,    /* the worker process that ran it was killed */
    EFFECT_ABANDONED, /* its thread can't be stopped: the task has ended, and the thread's slot is free when that returns */
    EFFECT_TOO_LATE, /* it had ended by itself before the cancel reached it */
    EFFECT_COUNT
};
extern const char *const cancel_effect_names[EFFECT_COUNT + 1]; /* ends with NULL */

/* Where a task runs: one row for each executor. X(NAME, name, effect of canceling a running task, option that enables it) */
#define EXECUTORS(X) \
    X(LOOP, "loop", EFFECT_STOPPED, NULL) \
    X(THREADS, "threads", EFFECT_ABANDONED, NULL) \
    X(PROCESSES, "processes", EFFECT_KILLED, "--processes N") \
    X(FILES, "files", EFFECT_ABANDONED, "--files-root DIR")

#define EXECUTOR_KIND(NAME, name, effect, option) EXECUTOR_##NAME,
enum executor_kind { EXECUTORS(EXECUTOR_KIND) EXECUTOR_COUNT };
#undef EXECUTOR_KIND
#define EXECUTOR_BIT(kind) (1U << (kind))

extern const char *const executor_names[EXECUTOR_COUNT + 1]; /* ends with NULL */
enum cancel_effect executor_cancel_effect(enum executor_kind kind);
const char *executor_enabling_option(enum executor_kind kind); /* NULL: it can't be disabled */

struct function {
    const char *name;
    const char *doc;             /* one line for the catalogue, without a full stop at the end */
    enum executor_kind executor; /* where it runs unless a task says otherwise */
    unsigned executors;          /* EXECUTOR_BITs: where it may run, that one included */
    const struct type *input;    /* a RECORD */
    const struct type *output;   /* a RECORD */
    size_t state_size;           /* of what task_state() gives a function of the loop, zeroed before start */

    /* Functions of the loop. start() begins the work; task_end() is called once, from inside start() or later. cancel()
     * is called at most once, while the task runs, and brings task_end() about, from inside or later. */
    void (*start)(struct task *task);
    void (*cancel)(struct task *task);

    /* Functions that have children: the tasks in their input, in order (a list of struct task_spec), and a call for
     * each child that ended, also for those that never started. Their state begins with a struct children, filled before
     * start(). NULL elsewhere. */
    const struct array *(*children)(const void *input);
    void (*child_ended)(struct task *task, struct task *child);

    /* May be NULL. Completes an input before anything is admitted. 0 or ERR_OUT_OF_MEMORY. */
    int (*prepare)(void *input, struct arena *arena);

    /* Functions of pools: runs it, in a pool's thread or in a worker process. It sees nothing but its input, its output
     * (zeroed) and `run` (runtime/executors/run_context.h). 0 or an ERR_ code. */
    int (*run)(const void *input, void *output, struct run_context *run);

    /* May be NULL. Calls with the same lane run one after the other, in the order of their submission. */
    struct strand *(*strand)(const void *input);

    /* May be NULL. Runs on the loop thread when a task that is no child has ended, before its `done`. */
    void (*ended)(const struct task *task);

    /* Divisible functions; NULL elsewhere. split() makes the part with this index, which comes as a copy of the input, of
     * at most `most` parts; returns how many there are, at least 1 and the same for each index. merge() adds a part's output,
     * in order, to an output that begins zeroed: 0, or an ERR_ code with *e filled. */
    int64_t (*split)(const void *input, int64_t max_parts, int64_t index, void *part);
    int (*merge)(void *output, const void *part, struct err *e);
    size_t parts_offset; /* in the output: a list of function_parts_type, where the parts are named */
};

/* The list of its parts in a divisible function's output; absent unless the call was divided. */
extern const struct type function_parts_type;
#define FUNCTION_PARTS_DOC "The parts, when the call was divided (option parallel): where each ran, and how long"

/* Cuts [from, to) into parts of about the same size, for split(): sets where part `index` lies, and returns how many parts
 * there are. Bounds are at most 2^53 in size. */
int64_t parallel_split_range(int64_t from, int64_t to, int64_t max_parts, int64_t index, int64_t *part_from,
                             int64_t *part_to);

extern const struct function *const function_registry[]; /* every function there is, by name; ends with NULL */
const struct function *function_find(struct str name);   /* NULL when there is none */

#endif
