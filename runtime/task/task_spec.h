/* task_spec - what is asked for: a function, its input, and what may be said of any task.
 *
 * Owns:     nothing; a spec and all it points to live in its request's arena.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_SPEC_H
#define GATHERD_RUNTIME_TASK_TASK_SPEC_H

#include "runtime/task/function.h"
#include "runtime/types/limits.h"

/* Of an option's type: how it depends on the function. */
enum task_option_flag {
    OPTION_NEEDS_THREADS = 1 << 0, /* only for the executor threads */
    OPTION_NEEDS_SPLIT = 1 << 1,   /* only for divisible functions */
    OPTION_INHERITED = 1 << 2,     /* parts of a divided call and tasks of a map get their parent's value */
};

/* One row for each option: X(C type, member, JSON name, type, value when absent, doc, example). */
#define TASK_OPTIONS(X) \
    X(struct str, name, "name", &name_type, {0}, "A name for people, given back with the result", "task1") \
    X(uint64_t, timeout_ns, "timeout_seconds", &timeout_type, SECONDS_ABSENT, \
      "The task fails when it runs longer; counts from its start", "30") \
    X(uint64_t, deadline_ns, "deadline_seconds", &deadline_type, SECONDS_ABSENT, \
      "The task fails when it has not ended by then; counts from receipt, queueing included", "60") \
    /* enum executor_kind */ \
    X(int, executor, "executor", &task_executor_type, ENUM_ABSENT, \
      "Where to run it, of the executors that its function allows; absent: the function's own", "threads") \
    /* an index in limits->pools */ \
    X(int64_t, pool, "pool", &task_pool_type, INTEGER_ABSENT, \
      "Which pool of threads, with executor threads; absent: the pool named default", "default") \
    X(int64_t, parallel, "parallel", &parallel_type, INTEGER_ABSENT, \
      "Over how many slots to spread the call, with a divisible function such as sum", "2")

struct task_options {
#define TASK_OPTION_MEMBER(ctype, member, ...) ctype member;
    TASK_OPTIONS(TASK_OPTION_MEMBER)
#undef TASK_OPTION_MEMBER
};
extern const struct type task_options_type;                  /* the RECORD of it */
extern const struct task_options task_options_none;          /* all absent */
extern const struct type task_executor_type, task_pool_type; /* of those options */

/* Whether a task of this function may have the option, or other field of a record, on one of its executors. */
bool task_option_applies(const struct field *option, const struct function *function);

/* Copies the options with OPTION_INHERITED. */
void task_options_inherit(struct task_options *options, const struct task_options *parent);

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
