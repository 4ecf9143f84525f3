/* function - what a task runs: one row of data, with a type table for what goes in and one for what comes out.
 *
 * Owns:     nothing; functions are constants, one file each in runtime/functions/, listed in runtime/functions.c.
 * Threads:  start, cancel and child_ended on the loop thread.
 */
#ifndef GATHERD_RUNTIME_FUNCTION_H
#define GATHERD_RUNTIME_FUNCTION_H

#include "runtime/types.h"

struct task;

/* Where a task runs. */
enum executor { EXECUTOR_LOOP, EXECUTOR_COUNT };
extern const char *const executor_names[EXECUTOR_COUNT + 1]; /* ends with NULL */

/* What became of a cancel (also one that a timeout or a deadline made): see effect_names for the words outside. */
enum cancel_effect {
    EFFECT_PREVENTED, /* the task had not started, and never will */
    EFFECT_STOPPED,   /* it was running, and ended early */
    EFFECT_TOO_LATE,  /* it had ended by itself before the cancel reached it */
    EFFECT_COUNT
};
extern const char *const effect_names[EFFECT_COUNT + 1]; /* ends with NULL */

/* What check() finds wrong with an input whose fields are each right by themselves. */
struct fault {
    char pointer[64]; /* RFC 6901, from the input's root */
    char detail[192]; /* a sentence */
};

struct function {
    const char *name;
    const char *doc; /* one line for the catalogue, without a full stop at the end */
    enum executor executor;
    enum cancel_effect cancel_effect; /* what cancelling it does while it runs */
    const struct type *input;         /* a RECORD */
    const struct type *output;        /* a RECORD */
    size_t state_size;                /* of what task_state() gives it, zeroed before start */

    /* May be NULL. Checks what no single field can. True, or false with *fault filled. */
    bool (*check)(const void *input, struct fault *fault);

    /* Functions of the loop. start() begins the work; task_end() is called once, from inside start() or later. cancel()
     * is called at most once, while the task runs, and brings task_end() about, from inside or later. */
    void (*start)(struct task *task);
    void (*cancel)(struct task *task);

    /* Functions that have children: the tasks in their input, in order (a list of struct task_spec), and a call for
     * each child that ended, also for those that never started. Their state begins with a struct family, filled before
     * start(). NULL elsewhere. */
    const struct list *(*children)(const void *input);
    void (*child_ended)(struct task *task, struct task *child);
};

extern const struct function *const functions[];        /* every function there is, by name; ends with NULL */
const struct function *function_find(struct text name); /* NULL when there is none */

#endif
