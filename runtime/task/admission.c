/* Admission.
 *
 * A tree of tasks is first allocated and counted (admit), then checked against every limit (check_capacity); then its
 * timers and its places in the pools are reserved. Nothing has to be undone on failure: before the reservations, only
 * memory of the arena was taken.
 */
#include "runtime/task/admission.h"

#include "runtime/lib/check.h"
#include "runtime/task/parallel.h"

/* A tree of tasks that is being admitted, and the number of its tasks in total and for each pool. */
struct admission {
    struct runtime *runtime;
    struct arena *arena;
    uint64_t received_ns;
    size_t tasks;
    size_t counts[MAX_POOLS];              /* of tasks, for each of runtime->pools */
    const struct task_spec *disabled_spec; /* the first whose executor is disabled; NULL: none */
    bool over_capacity;                    /* an idle service could not admit the tree; counting has stopped */
};

static size_t executor_capacity(const struct executor *pool)
{
    return (size_t)(pool->size + pool->queue_limit);
}

/* Index in runtime->pools of the pool for a spec; pool_count or more: its executor is disabled. */
static size_t find_pool(const struct runtime *runtime, const struct task_spec *spec, enum executor_kind kind)
{
    size_t i = 0;
    while (i < runtime->pool_count && runtime->pools[i]->kind != kind)
        i++;
    /* Pools of one kind are neighbors, in the order of limits.pools. */
    return spec->options.pool == INTEGER_ABSENT ? i : i + (size_t)spec->options.pool;
}

/* Counts a task for its pool and returns the pool. NULL: the task runs on the loop, or its executor is disabled. */
static struct executor *choose_pool(struct admission *a, const struct task_spec *spec)
{
    const struct runtime *runtime = a->runtime;
    enum executor_kind kind = task_spec_executor(spec);
    if (kind == EXECUTOR_LOOP)
        return NULL;
    size_t i = find_pool(runtime, spec, kind);
    if (i >= runtime->pool_count) {
        if (a->disabled_spec == NULL)
            a->disabled_spec = spec;
        return NULL;
    }
    if (++a->counts[i] > executor_capacity(runtime->pools[i]))
        a->over_capacity = true;
    return runtime->pools[i];
}

static bool admit_children(struct admission *a, struct task *task, const struct array *specs);

/* Allocates and counts a task and its descendants. Recursive; the decoder bounds the depth (max_gather_depth). NULL:
 * out of memory, or over_capacity. */
static struct task *admit(struct admission *a, const struct task_spec *spec)
{
    const struct function *function = spec->function;
    bool is_parallel = spec->options.parallel != INTEGER_ABSENT && spec->options.parallel > 1;
    struct task initial = {
        .runtime = a->runtime,
        .spec = spec,
        .function = is_parallel ? &parallel_function : function,
        .pool = is_parallel ? NULL : choose_pool(a, spec),
        .received_ns = a->received_ns,
    };
    struct task *task = arena_alloc(a->arena, task_output_offset(&initial) + function->output->size);
    if (task == NULL)
        return NULL;
    *task = initial;
    if (++a->tasks > (size_t)a->runtime->limits.max_tasks || a->over_capacity) {
        a->over_capacity = true;
        return NULL;
    }
    if (function->prepare != NULL && function->prepare(spec->input, a->arena) != 0)
        return NULL;
    struct array specs = {0};
    if (is_parallel && parallel_split(spec, a->arena, &specs) != 0)
        return NULL;
    if (function->children != NULL)
        specs = *function->children(spec->input);
    if ((is_parallel || function->children != NULL) && !admit_children(a, task, &specs))
        return NULL;
    return task;
}

static bool admit_children(struct admission *a, struct task *task, const struct array *specs)
{
    struct children *children = task_state(task);
    children->count = specs->count;
    children->children = arena_calloc(a->arena, specs->count, sizeof(struct task *));
    if (children->children == NULL)
        return false;
    for (size_t i = 0; i < specs->count; i++) {
        struct task *child = admit(a, (const struct task_spec *)specs->items + i);
        if (child == NULL)
            return false;
        child->parent = task;
        child->index = (uint32_t)i;
        children->children[i] = child;
    }
    return true;
}

/* Sets e->limit and returns ERR_LIMIT_EXCEEDED. */
static int set_limit(enum limit_index index, struct err *e)
{
    if (e != NULL)
        e->limit = &limits_fields[index];
    return ERR_LIMIT_EXCEEDED;
}

static int check_executors(const struct admission *a, struct err *e)
{
    if (a->disabled_spec == NULL)
        return 0;
    enum executor_kind kind = task_spec_executor(a->disabled_spec);
    return err_set(e, ERR_EXECUTOR_DISABLED, "%s runs on the executor %s, which is disabled; %s enables it",
                   a->disabled_spec->function->name, executor_names[kind], executor_enabling_option(kind));
}

static int check_pool(const struct executor *pool, size_t count, struct err *e)
{
    if (count == 0)
        return 0;
    size_t capacity = executor_capacity(pool);
    if (count > capacity) {
        err_set(e, ERR_LIMIT_EXCEEDED,
                "The request has at least %zu tasks for the pool %s; "
                "the pool's capacity is %zu: %lld slots and queue_limit %lld",
                count, pool->name.data, capacity, (long long)pool->size, (long long)pool->queue_limit);
        return set_limit(LIMIT_QUEUE, e);
    }
    size_t occupied = pool->admitted + pool->abandoned; /* an abandoned job still occupies its slot */
    if (occupied + count <= capacity)
        return 0;
    err_set(e, ERR_POOL_FULL,
            "The pool %s has %zu unfinished tasks and the request has %zu more; the pool's capacity is %zu",
            pool->name.data, occupied, count, capacity);
    if (e != NULL)
        e->pool = pool->name.data;
    return ERR_POOL_FULL;
}

static int check_capacity(const struct admission *a, struct err *e)
{
    const struct runtime *runtime = a->runtime;
    size_t max_tasks = (size_t)runtime->limits.max_tasks;
    if (a->tasks > max_tasks) {
        err_set(e, ERR_LIMIT_EXCEEDED, "The request has at least %zu tasks; the limit max_tasks is %zu", a->tasks,
                max_tasks);
        return set_limit(LIMIT_TASKS, e);
    }
    if (runtime->unfinished > max_tasks - a->tasks)
        return err_set(e, ERR_TOO_MANY_TASKS,
                       "%zu tasks are unfinished and the request has %zu more; the limit max_tasks is %zu",
                       runtime->unfinished, a->tasks, max_tasks);
    int rc = check_executors(a, e);
    for (size_t i = 0; rc == 0 && i < runtime->pool_count; i++)
        rc = check_pool(runtime->pools[i], a->counts[i], e);
    return rc;
}

static void reserve_capacity(const struct admission *a)
{
    struct runtime *runtime = a->runtime;
    runtime->unfinished += a->tasks;
    for (size_t i = 0; i < runtime->pool_count; i++)
        runtime->pools[i]->admitted += a->counts[i];
}

static int reject_shutting_down(struct err *e)
{
    return err_set(e, ERR_SHUTTING_DOWN, "The service is shutting down and accepts no new tasks");
}

static int submit_task(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, uint64_t received_ns,
                       bool continuation, task_done_fn *done, void *user, struct task **out, struct err *e)
{
    if (continuation ? runtime->rejecting_all : runtime->rejecting_new)
        return reject_shutting_down(e);
    struct admission a = {.runtime = runtime, .arena = arena, .received_ns = received_ns};
    struct task *task = admit(&a, spec);
    struct toplevel *root = arena_alloc(arena, sizeof *root);
    if ((task == NULL && !a.over_capacity) || root == NULL)
        return err_nomem(e);
    int rc = continuation ? 0 : check_capacity(&a, e);
    if (rc != 0)
        return rc;
    CHECK(task != NULL);
    if (!timers_reserve(&runtime->timers, TIMERS_PER_TASK * a.tasks))
        return err_nomem(e);

    *root = (struct toplevel){.task = task, .arena = arena_ref(arena), .done = done, .user = user};
    atomic_init(&root->read_quota, runtime->limits.max_read_bytes);
    list_append(&runtime->roots, &root->link);
    task->root = root;
    reserve_capacity(&a);
    task_arm_deadline(task);
    task_queue(task);
    *out = task;
    return 0;
}

int task_submit_check(struct runtime *runtime, const struct task_spec *spec, struct err *e)
{
    if (runtime->rejecting_new)
        return reject_shutting_down(e);
    struct admission a = {.runtime = runtime, .tasks = 1};
    if (spec != NULL)
        choose_pool(&a, spec);
    return check_capacity(&a, e);
}

int task_submit(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, uint64_t received_ns,
                task_done_fn *done, void *user, struct task **out, struct err *e)
{
    return submit_task(runtime, spec, arena, received_ns, false, done, user, out, e);
}

int task_continue(struct runtime *runtime, const struct task_spec *spec, struct arena *arena, task_done_fn *done,
                  void *user, struct task **out, struct err *e)
{
    return submit_task(runtime, spec, arena, uv_hrtime(), true, done, user, out, e);
}
