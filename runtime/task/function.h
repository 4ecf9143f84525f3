/* function - the code that a task runs, with the type tables of its input and output.
 *
 * Owns:     nothing; functions are constants. Requests name those of the registry (registry.h).
 * Threads:  the loop thread; run() runs in a pool's thread or in a worker process.
 */
#ifndef GATHERD_RUNTIME_TASK_FUNCTION_H
#define GATHERD_RUNTIME_TASK_FUNCTION_H

#include "runtime/lib/error.h"
#include "runtime/lib/util.h"
#include "runtime/types/type.h"

struct strand;
struct run_context;
struct task;

/* Outcome of a cancellation, timeout or deadline, in order of severity except for TOO_LATE. */
enum cancel_effect {
    EFFECT_PREVENTED, /* the task never started */
    EFFECT_STOPPED,   /* the task ended early */
    EFFECT_KILLED,    /* the task's worker process was killed */
    EFFECT_ABANDONED, /* the task has ended, but its thread still runs: the slot is freed when the thread returns */
    EFFECT_TOO_LATE,  /* the task's work ended before the cancellation reached it */
    EFFECT_COUNT
};
extern const char *const cancel_effect_names[EFFECT_COUNT + 1]; /* ends with NULL */

/* Where a task runs. X(NAME, name, effect of canceling a running task, option that enables the executor or NULL). */
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
const char *executor_enabling_option(enum executor_kind kind);

/* JSON text without escaped quotes: JSON({"seconds": 1}). */
#define JSON(...) #__VA_ARGS__

/* A call and its outcome, for the documentation. The API tests run each of them. */
struct function_example {
    const char *name;    /* snake_case; NULL ends a table */
    const char *summary; /* one line without a full stop */
    const char *input;   /* JSON */
    const char *query;   /* task options, as in a URL: "parallel=2"; may be NULL */
    const char *result;  /* JSON, an example of the output; NULL: not shown */
    int error;           /* the ERR_ code that it fails with; 0: it succeeds */
};

enum { FUNCTION_NAME_SIZE = 32 }; /* of the longest name with its NUL */

struct function {
    const char *name;                        /* as registry_new() requires (registry.h) */
    const char *doc;                         /* one line for GET /v1/functions, without a full stop */
    const char *description;                 /* sentences in Markdown, beyond `doc`; may be NULL */
    const struct function_example *examples; /* at least one */
    const int *errors;           /* the ERR_ codes of its own, that run() or start() may end with; ends with 0 */
    enum executor_kind executor; /* default */
    unsigned executors;          /* EXECUTOR_BITs allowed, the default included */
    const char *schema_prefix;   /* of the names of its schemas, before its own name; may be NULL */
    const struct type *input;    /* a RECORD */
    const struct type *output;   /* a RECORD */
    size_t state_size;           /* loop functions: size of task_state(), which is zeroed before start() */

    /* Loop functions. start() begins the work; the function calls task_end() once, from inside start() or later.
     * cancel() is called at most once, while the task runs; the function then calls task_end_canceled() or task_end(),
     * from inside cancel() or later. */
    void (*start)(struct task *task);
    void (*cancel)(struct task *task);

    /* Loop functions with children; else NULL. children() returns the specs of the children, which are in the input: an
     * array of struct task_spec. child_ended() is called when a child has ended, also if it never started. task_state()
     * begins with a struct children, filled before start(). */
    const struct array *(*children)(const void *input);
    void (*child_ended)(struct task *task, struct task *child);

    /* May be NULL. Called at admission, before children(), to complete the input. 0 or ERR_OUT_OF_MEMORY. */
    int (*prepare)(void *input, struct arena *arena);

    /* Pool functions: may use only the input, the output (zeroed) and `run` (runtime/executors/run_context.h). 0, or an
     * ERR_ code with run->e filled. */
    int (*run)(const void *input, void *output, struct run_context *run);

    /* Pool functions; may be NULL. Tasks with the same strand run one at a time, in order of submission. */
    struct strand *(*strand)(const void *input);

    /* May be NULL. Runs on the loop thread when a top-level task has ended, before its `done`. */
    void (*ended)(const struct task *task);

    /* Parallelizable pool functions; else NULL. split() changes *part, a copy of the input, into part `index` and
     * returns the number of parts: 1 to max_parts, the same for each index. merge() adds the output of a part to
     * *output, which is zeroed before the first; parts are merged in order. 0, or an ERR_ code with *e filled. */
    int64_t (*split)(const void *input, int64_t max_parts, int64_t index, void *part);
    int (*merge)(void *output, const void *part, struct err *e);
    size_t parts_offset; /* in the output: its array of function_parts_type */
};

/* The parts of a parallel call, in the function's output; absent if the call was not split. */
extern const struct type function_parts_type;
#define FUNCTION_PARTS_DOC "The parts of a divided call (option parallel), in order; absent if the call was not divided"
#define FUNCTION_PARALLEL_DESCRIPTION \
    "With the option `parallel`, the range is divided into parts that run at the same time; " \
    "`parts` in the result shows where each of them ran."

/* For split(): splits the integers from `from` up to, but without, `to` into parts whose sizes differ by at most 1.
 * Sets the bounds of part `index` and returns the number of parts. The magnitude of the bounds is at most 2^53. */
int64_t parallel_split_range(int64_t from, int64_t to, int64_t max_parts, int64_t index, int64_t *part_from,
                             int64_t *part_to);

#endif
