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
    X(struct str, name, "name", &task_name_type, {0}, "A name for people, shown in the result and in the log", \
      "task1") \
    X(uint64_t, timeout_ns, "timeout_seconds", &timeout_type, SECONDS_ABSENT, \
      "How long the task may run, in seconds, counted from its start", "30") \
    X(uint64_t, deadline_ns, "deadline_seconds", &deadline_type, SECONDS_ABSENT, \
      "How long until the task has ended, in seconds, counted from the receipt of the request, queueing included", \
      "60") \
    /* enum executor_kind */ \
    X(int, executor, "executor", &task_executor_type, ENUM_ABSENT, \
      "Where to run the task, one of the executors that its function allows; absent: the default of the function", \
      "threads") \
    /* an index in limits->pools */ \
    X(int64_t, pool, "pool", &task_pool_type, INTEGER_ABSENT, \
      "The thread pool to run in, only with executor threads; absent: the pool named default", "default") \
    X(int64_t, parallel, "parallel", &parallel_type, INTEGER_ABSENT, \
      "The maximum number of parts to divide the call into, from 1 to 64; absent: 1, not divided", "2")

struct task_options {
#define TASK_OPTION_MEMBER(ctype, member, ...) ctype member;
    TASK_OPTIONS(TASK_OPTION_MEMBER)
#undef TASK_OPTION_MEMBER
};
extern const struct type task_options_type;                                  /* RECORD of struct task_options */
extern const struct task_options task_options_none;                          /* every option absent */
extern const struct type task_name_type, task_executor_type, task_pool_type; /* of those options */

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
