/* task_spec - the specification of a task: a function, its input, and the options that every task may have.
 *
 * Owns:     nothing; a spec and all it points to are in the request's arena.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_SPEC_H
#define GATHERD_RUNTIME_TASK_TASK_SPEC_H

#include "runtime/task/function.h"
#include "runtime/types/limits.h"

/* Bits of type->option_flags of an option. */
enum task_option_flag {
    OPTION_NEEDS_THREADS = 1 << 0, /* valid only on the executor threads */
    OPTION_NEEDS_SPLIT = 1 << 1,   /* valid only for parallelizable functions */
    OPTION_INHERITED = 1 << 2,     /* copied to the parts of a parallel call and to the tasks of a map */
};

/* One row for each option: X(C type, member, JSON name, type, absent value, doc, example). */
#define TASK_OPTIONS(X) \
    X(struct str, name, "name", &name_type, {0}, "A name for people, returned with the result", "task1") \
    X(uint64_t, timeout_ns, "timeout_seconds", &timeout_type, SECONDS_ABSENT, \
      "The task fails when it runs longer; counts from its start", "30") \
    X(uint64_t, deadline_ns, "deadline_seconds", &deadline_type, SECONDS_ABSENT, \
      "The task fails when it has not ended by then; counts from receipt, queueing included", "60") \
    /* enum executor_kind */ \
    X(int, executor, "executor", &task_executor_type, ENUM_ABSENT, \
      "The executor to run on, one of those that the function allows; absent: the function's default", "threads") \
    /* an index in limits->pools */ \
    X(int64_t, pool, "pool", &task_pool_type, INTEGER_ABSENT, \
      "The pool to run in, on the executor threads; absent: the pool named default", "default") \
    X(int64_t, parallel, "parallel", &parallel_type, INTEGER_ABSENT, \
      "The number of slots to spread the call over, for a parallelizable function such as sum", "2")

struct task_options {
#define TASK_OPTION_MEMBER(ctype, member, ...) ctype member;
    TASK_OPTIONS(TASK_OPTION_MEMBER)
#undef TASK_OPTION_MEMBER
};
extern const struct type task_options_type;                  /* RECORD of struct task_options */
extern const struct task_options task_options_none;          /* every option absent */
extern const struct type task_executor_type, task_pool_type; /* of those two options */

/* Whether the option is valid for the function on at least one of its executors. True for fields that are not
 * options. */
bool task_option_applies(const struct field *option, const struct function *function);

/* Copies from `parent` the options that have OPTION_INHERITED. */
void task_options_inherit(struct task_options *options, const struct task_options *parent);

struct task_spec {
    const struct function *function;
    void *input; /* of function->input's type */
    struct task_options options;
};
/* RECORD of struct task_spec, with the options as fields beside `function` and `input`. The decoder calls check(),
 * which validates the options against the function; code that builds a spec in another way must call it too. */
extern const struct type task_spec_type;

enum executor_kind task_spec_executor(const struct task_spec *spec); /* the option executor, or function->executor */

#endif
