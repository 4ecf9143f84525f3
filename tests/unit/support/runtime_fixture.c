#include "tests/unit/support/runtime_fixture.h"

#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"
#include "tests/unit/support/builtins.h"

#include <stdlib.h>
#include <string.h>

/* -- fixture ------------------------------------------------------------------------------------------------------- */

static bool always_false(const void *of)
{
    (void)of;
    return false;
}

struct fixture *fixture_new(const struct limits *limits)
{
    struct limits defaults;
    if (limits == NULL)
        record_set_defaults(&limits_type, &defaults);
    return fixture_start(&(struct runtime_config){.limits = limits == NULL ? &defaults : limits});
}

struct fixture *fixture_start(const struct runtime_config *config)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    if (uv_loop_init(&f->loop) != 0)
        goto err_after_calloc;
    uv_timer_init(&f->loop, &f->timeout_timer);
    uv_unref((uv_handle_t *)&f->timeout_timer); /* otherwise it would keep the loop alive */
    struct runtime_config local_config = *config;
    local_config.loop = &f->loop;
    int rc = 0;
    if (config->registry == NULL)
        rc = builtin_registry(&local_config.registry, NULL);
    else
        registry_ref(config->registry);
    if (rc == 0) {
        rc = runtime_new(&local_config, &f->runtime, NULL);
        registry_unref(local_config.registry);
    }
    if (rc != 0)
        goto err_after_loop;
    f->arena = arena_new();
    if (f->arena != NULL)
        return f;

    runtime_close(f->runtime);
err_after_loop:
    run_until(f, always_false, NULL); /* waits for worker processes to exit */
    uv_close((uv_handle_t *)&f->timeout_timer, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    uv_loop_close(&f->loop);
err_after_calloc:
    free(f);
    return NULL;
}

/* On failure the fixture is not freed, because handles and tasks still point to it. */
bool fixture_free(struct fixture *f)
{
    if (f->runtime->unfinished != 0 || !list_empty(&f->runtime->roots) || f->runtime->ready != NULL ||
        started_timers(f) != 0 || reserved_timers(f) != 0 || runtime_abandoned(f->runtime) != 0)
        return false;
    runtime_close(f->runtime);
    run_until(f, always_false, NULL);
    uv_close((uv_handle_t *)&f->timeout_timer, NULL);
    if (uv_run(&f->loop, UV_RUN_NOWAIT) != 0 || uv_loop_close(&f->loop) != 0)
        return false;
    arena_unref(f->arena);
    free(f);
    return true;
}

int fixture_setup(void **state)
{
    *state = fixture_new(NULL);
    return *state == NULL ? -1 : 0;
}

int fixture_teardown(void **state)
{
    return fixture_free(*state) ? 0 : -1;
}

/* -- run the loop -------------------------------------------------------------------------------------------------- */

enum { RUN_TIMEOUT_MS = 60 * 1000 };

static void on_run_timeout(uv_timer_t *timeout_timer)
{
    container_of(timeout_timer, struct fixture, timeout_timer)->timed_out = true;
}

bool run_until(struct fixture *f, bool (*condition)(const void *of), const void *of)
{
    f->timed_out = false;
    uv_update_time(&f->loop);
    uv_timer_start(&f->timeout_timer, on_run_timeout, RUN_TIMEOUT_MS, 0);
    bool alive = true, satisfied;
    while (!(satisfied = condition(of)) && alive && !f->timed_out)
        alive = uv_run(&f->loop, UV_RUN_ONCE) != 0;
    uv_timer_stop(&f->timeout_timer);
    return satisfied;
}

static bool fixture_is_idle(const void *of)
{
    const struct fixture *f = of;
    return f->runtime->unfinished == 0 && f->runtime->ready == NULL;
}

bool no_abandoned_jobs(const void *of)
{
    const struct fixture *f = of;
    return runtime_abandoned(f->runtime) == 0;
}

bool loop_is_finished(const void *of)
{
    const struct fixture *f = of;
    return uv_loop_alive(&f->loop) == 0;
}

bool run_until_idle(struct fixture *f)
{
    return run_until(f, fixture_is_idle, f);
}

/* -- submit -------------------------------------------------------------------------------------------------------- */

void waiter_done(struct task *task, void *waiter)
{
    struct waiter *w = waiter;
    w->done++;
    w->completion_index = ++w->fixture->done_calls;
    w->done_in_call = w->done_in_call || w->fixture->in_call;
    task_get_info(task, &w->info);
    if (w->on_done != NULL)
        w->on_done(w);
}

void waiter_close_runtime(struct waiter *w)
{
    struct fixture *f = w->fixture;
    task_release(w->task);
    runtime_close(f->runtime);
    f->runtime = NULL;
}

bool waiter_is_done(const void *waiter)
{
    return ((const struct waiter *)waiter)->done > 0;
}

int submit_received(struct fixture *f, const struct task_spec *spec, uint64_t received_ns, struct waiter *w)
{
    w->fixture = f;
    struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
    if (copy == NULL)
        return ERR_OUT_OF_MEMORY;
    *copy = *spec;
    f->in_call = true;
    int rc = task_submit(f->runtime, copy, f->arena, received_ns, waiter_done, w, &w->task, NULL);
    f->in_call = false;
    if (rc == 0) {
        arena_unref(f->arena);
        f->arena = arena_new();
    }
    return rc;
}

int submit(struct fixture *f, const struct task_spec *spec, struct waiter *w)
{
    return submit_received(f, spec, uv_hrtime(), w);
}

void cancel(struct fixture *f, struct task *task, enum cancel_reason reason)
{
    f->in_call = true;
    task_cancel(task, reason);
    f->in_call = false;
}

struct task_info task_info_of(const struct task *task)
{
    struct task_info info;
    task_get_info(task, &info);
    return info;
}

/* -- specs --------------------------------------------------------------------------------------------------------- */

static const struct field *find_field(const struct type *record, const char *name, size_t len)
{
    for (const struct field *field = record->fields; field->name != NULL; field++)
        if (strlen(field->name) == len && memcmp(field->name, name, len) == 0)
            return field;
    UNREACHABLE();
}

struct task_spec spec_of(struct fixture *f, const struct function *function)
{
    void *input = arena_alloc(f->arena, function->input->size);
    CHECK(input != NULL);
    for (const struct field *field = function->input->fields; field->name != NULL; field++) {
        char *value = (char *)input + field->offset;
        if (field->presence == FIELD_OPTIONAL)
            type_set_absent(field->type, value);
        if (field->presence == FIELD_DEFAULTED)
            CHECK(type_parse(field->type, str_from(field->default_text), f->arena, runtime_limits(f->runtime), value,
                             NULL) == 0);
    }
    return (struct task_spec){
        .function = function,
        .input = input,
        .options = task_options_none,
    };
}

struct task_spec sleep_of(struct fixture *f, uint64_t duration_ns)
{
    struct task_spec spec = spec_of(f, builtins_find("sleep"));
    const struct field *field = find_field(spec.function->input, "seconds", strlen("seconds"));
    memcpy((char *)spec.input + field->offset, &duration_ns, sizeof duration_ns);
    return spec;
}

static struct task_spec gather_of_list(struct fixture *f, const char *mode, struct array tasks)
{
    struct task_spec spec = spec_of(f, builtins_find("gather"));
    const struct type *input = spec.function->input;
    const struct field *field = find_field(input, "tasks", strlen("tasks"));
    memcpy((char *)spec.input + field->offset, &tasks, sizeof tasks);
    field = find_field(input, "mode", strlen("mode"));
    CHECK(type_parse(field->type, str_from(mode), NULL, NULL, (char *)spec.input + field->offset, NULL) == 0);
    return spec;
}

struct task_spec gather_of(struct fixture *f, const char *mode, size_t count, const struct task_spec children[])
{
    struct array tasks = {arena_calloc(f->arena, count, sizeof children[0]), count};
    CHECK(tasks.items != NULL);
    if (count > 0)
        memcpy(tasks.items, children, count * sizeof children[0]);
    return gather_of_list(f, mode, tasks);
}

struct task_spec gather_of_copies(struct fixture *f, const char *mode, size_t count, const struct task_spec *child)
{
    struct array tasks = {arena_calloc(f->arena, count, sizeof *child), count};
    CHECK(tasks.items != NULL);
    for (size_t i = 0; i < count; i++)
        ((struct task_spec *)tasks.items)[i] = *child;
    return gather_of_list(f, mode, tasks);
}

void set_integer(struct task_spec *spec, const char *field, int64_t value)
{
    const struct field *row = find_field(spec->function->input, field, strlen(field));
    CHECK(row->type->kind == TYPE_INTEGER);
    memcpy((char *)spec->input + row->offset, &value, sizeof value);
}

int64_t get_integer(const struct task_spec *spec, const char *field)
{
    int64_t value;
    const struct field *row = find_field(spec->function->input, field, strlen(field));
    CHECK(row->type->kind == TYPE_INTEGER);
    memcpy(&value, (const char *)spec->input + row->offset, sizeof value);
    return value;
}

/* -- results ------------------------------------------------------------------------------------------------------- */

int64_t output_integer(const struct task *task, const char *path)
{
    const struct type *type = task->spec->function->output;
    const char *value = task_info_of(task).output;
    CHECK(value != NULL);
    for (;;) {
        size_t len = strcspn(path, ".");
        const struct field *field = find_field(type, path, len);
        type = field->type;
        value += field->offset;
        if (path[len] == '\0')
            break;
        path += len + 1;
    }
    if (type_is_absent(type, value))
        return INT64_MIN;
    if (type->kind == TYPE_ENUM) {
        int index;
        memcpy(&index, value, sizeof index);
        return index;
    }
    CHECK(type->kind == TYPE_INTEGER || type->kind == TYPE_SECONDS);
    int64_t number;
    memcpy(&number, value, sizeof number);
    return number;
}

size_t children_count(struct task *task)
{
    return task->spec->function->children == NULL ? 0 : ((struct children *)task_state(task))->count;
}

struct task *child_at(struct task *task, size_t i)
{
    return i < children_count(task) ? ((struct children *)task_state(task))->children[i] : NULL;
}

struct pool *pool_at(const struct fixture *f, enum executor_kind kind, size_t index)
{
    const struct runtime *runtime = f->runtime;
    for (size_t i = 0; i < runtime->pool_count; i++)
        if (runtime->pools[i]->kind == kind && index-- == 0)
            return container_of(runtime->pools[i], struct pool, executor);
    return NULL;
}

size_t started_timers(const struct fixture *f)
{
    return f->runtime->timers.count;
}

size_t reserved_timers(const struct fixture *f)
{
    return f->runtime->timers.reserved;
}

/* -- random numbers: Marsaglia's xorshift* ------------------------------------------------------------------------- */

uint64_t prng_below(struct prng *prng, uint64_t limit)
{
    CHECK(prng->state != 0 && limit > 0);
    prng->state ^= prng->state >> 12;
    prng->state ^= prng->state << 25;
    prng->state ^= prng->state >> 27;
    return (prng->state * UINT64_C(2685821657736338717) >> 32) % limit;
}
