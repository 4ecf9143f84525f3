#include "tests/unit/support/runtime_fixture.h"

#include "runtime/lib/check.h"
#include "runtime/types/type_parse.h"

#include <stdlib.h>
#include <string.h>

/* -- the fixture ----------------------------------------------------------------------------------------------------- */

static bool never(const void *of)
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
    uv_timer_init(&f->loop, &f->guard);
    uv_unref((uv_handle_t *)&f->guard); /* what only waits for it has nothing left to wait for */
    struct runtime_config here = *config;
    here.loop = &f->loop;
    if (runtime_new(&here, &f->runtime, NULL) != 0)
        goto err_after_loop;
    f->arena = arena_new();
    if (f->arena != NULL)
        return f;

    runtime_close(f->runtime);
err_after_loop:
    run_until(f, never, NULL); /* worker processes take their time to end */
    uv_close((uv_handle_t *)&f->guard, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    uv_loop_close(&f->loop);
err_after_calloc:
    free(f);
    return NULL;
}

/* What a failed test leaves behind stays where it is: the fixture with it, so that nothing points to freed memory. */
bool fixture_free(struct fixture *f)
{
    if (f->runtime->unfinished != 0 || !list_empty(&f->runtime->roots) || f->runtime->ready != NULL ||
        running_timers(f) != 0 || reserved_timers(f) != 0 || runtime_abandoned(f->runtime) != 0)
        return false;
    runtime_close(f->runtime);
    run_until(f, never, NULL);
    uv_close((uv_handle_t *)&f->guard, NULL);
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

/* -- turning the loop ------------------------------------------------------------------------------------------------ */

enum { PATIENCE_MS = 60 * 1000 };

static void on_out_of_patience(uv_timer_t *guard)
{
    container_of(guard, struct fixture, guard)->out_of_patience = true;
}

bool run_until(struct fixture *f, bool (*condition)(const void *of), const void *of)
{
    f->out_of_patience = false;
    uv_update_time(&f->loop);
    uv_timer_start(&f->guard, on_out_of_patience, PATIENCE_MS, 0);
    bool alive = true, holds;
    while (!(holds = condition(of)) && alive && !f->out_of_patience)
        alive = uv_run(&f->loop, UV_RUN_ONCE) != 0;
    uv_timer_stop(&f->guard);
    return holds;
}

static bool is_idle(const void *of)
{
    const struct fixture *f = of;
    return f->runtime->unfinished == 0 && f->runtime->ready == NULL;
}

bool nothing_abandoned(const void *of)
{
    const struct fixture *f = of;
    return runtime_abandoned(f->runtime) == 0;
}

bool loop_is_dead(const void *of)
{
    const struct fixture *f = of;
    return uv_loop_alive(&f->loop) == 0;
}

bool run_until_idle(struct fixture *f)
{
    return run_until(f, is_idle, f);
}

/* -- submitting ------------------------------------------------------------------------------------------------------ */

void watch_done(struct task *task, void *watch)
{
    struct watch *w = watch;
    w->done++;
    w->place = ++w->fixture->done_calls;
    w->inside_call = w->inside_call || w->fixture->calling;
    task_get_info(task, &w->view);
    if (w->then != NULL)
        w->then(w);
}

void close_runtime(struct watch *w)
{
    struct fixture *f = w->fixture;
    task_release(w->task);
    runtime_close(f->runtime);
    f->runtime = NULL;
}

bool watch_is_done(const void *watch)
{
    return ((const struct watch *)watch)->done > 0;
}

int submit_received(struct fixture *f, const struct task_spec *spec, uint64_t received_ns, struct watch *w)
{
    w->fixture = f;
    struct task_spec *copy = arena_alloc(f->arena, sizeof *copy);
    if (copy == NULL)
        return ERR_OUT_OF_MEMORY;
    *copy = *spec;
    f->calling = true;
    int rc = task_submit(f->runtime, copy, f->arena, received_ns, watch_done, w, &w->task, NULL);
    f->calling = false;
    if (rc == 0) {
        arena_unref(f->arena);
        f->arena = arena_new();
    }
    return rc;
}

int submit(struct fixture *f, const struct task_spec *spec, struct watch *w)
{
    return submit_received(f, spec, uv_hrtime(), w);
}

void cancel(struct fixture *f, struct task *task, enum cancel_reason reason)
{
    f->calling = true;
    task_cancel(task, reason);
    f->calling = false;
}

struct task_info view_of(const struct task *task)
{
    struct task_info view;
    task_get_info(task, &view);
    return view;
}

/* -- specs ----------------------------------------------------------------------------------------------------------- */

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
    struct task_spec spec = spec_of(f, function_find(STR("sleep")));
    const struct field *field = find_field(spec.function->input, "seconds", strlen("seconds"));
    memcpy((char *)spec.input + field->offset, &duration_ns, sizeof duration_ns);
    return spec;
}

static struct task_spec gather_of_list(struct fixture *f, const char *mode, struct array tasks)
{
    struct task_spec spec = spec_of(f, function_find(STR("gather")));
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

/* -- results --------------------------------------------------------------------------------------------------------- */

int64_t output_integer(const struct task *task, const char *path)
{
    const struct type *type = task->spec->function->output;
    const char *value = view_of(task).output;
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

size_t family_size(struct task *task)
{
    return task->spec->function->children == NULL ? 0 : ((struct children *)task_state(task))->count;
}

struct task *family_child(struct task *task, size_t i)
{
    return i < family_size(task) ? ((struct children *)task_state(task))->children[i] : NULL;
}

size_t running_timers(const struct fixture *f)
{
    return f->runtime->timers.count;
}

size_t reserved_timers(const struct fixture *f)
{
    return f->runtime->timers.reserved;
}

/* -- chance: Marsaglia's xorshift* ----------------------------------------------------------------------------------- */

uint64_t dice_roll(struct dice *d, uint64_t sides)
{
    CHECK(d->state != 0 && sides > 0);
    d->state ^= d->state >> 12;
    d->state ^= d->state << 25;
    d->state ^= d->state >> 27;
    return (d->state * UINT64_C(2685821657736338717) >> 32) % sides;
}
