#include "runtime/task/parallel.h"

#include <string.h>

struct division {
    struct children family; /* first, as function.h says */
    size_t ended, succeeded;
    bool decided; /* a part failed */
    int rc;       /* why */
    struct err e; /* of a merge that failed */
};

int64_t split_range(int64_t from, int64_t to, int64_t most, int64_t index, int64_t *part_from, int64_t *part_to)
{
    int64_t size = to > from ? to - from : 0, count = size < most ? (size > 0 ? size : 1) : most;
    int64_t small = size / count, larger = size % count; /* the first `larger` parts have one more */
    *part_from = from + index * small + (index < larger ? index : larger);
    *part_to = *part_from + small + (index < larger ? 1 : 0);
    return count;
}

int divide(const struct task_spec *spec, struct arena *arena, struct array *parts)
{
    const struct function *function = spec->function;
    void *scratch = arena_alloc(arena, function->input->size);
    if (scratch == NULL)
        return -1;
    int64_t count = function->split(spec->input, spec->options.parallel, 0, scratch);
    struct task_spec *specs = arena_calloc(arena, (size_t)count, sizeof *specs);
    if (specs == NULL)
        return -1;
    for (int64_t i = 0; i < count; i++) {
        specs[i].function = function;
        specs[i].options = task_options_none;
        specs[i].options.executor = spec->options.executor;
        specs[i].options.pool = spec->options.pool;
        specs[i].input = arena_alloc(arena, function->input->size);
        if (specs[i].input == NULL)
            return -1;
        memcpy(specs[i].input, spec->input, function->input->size);
        function->split(spec->input, spec->options.parallel, i, specs[i].input);
    }
    *parts = (struct array){specs, (size_t)count};
    return 0;
}

static void divided_start(struct task *task)
{
    struct division *division = task_state(task);
    for (size_t i = 0; i < division->family.count; i++)
        if (!task_ended(division->family.children[i])) /* its deadline may have passed */
            task_queue(division->family.children[i]);
}

static void merge(struct task *task)
{
    const struct function *function = task->spec->function;
    struct division *division = task_state(task);
    char *output = task_output(task);
    struct array parts = {division->family.children, division->family.count};
    for (size_t i = 0; division->rc == 0 && i < division->family.count; i++)
        division->rc = function->merge(output, task_output(division->family.children[i]), &division->e);
    if (division->rc != 0)
        task->detail = division->e.msg;
    memcpy(output + function->parts_offset, &parts, sizeof parts);
}

static void divided_child_ended(struct task *task, struct task *child)
{
    struct division *division = task_state(task);
    division->ended++;
    division->succeeded += child->state == TASK_SUCCEEDED;
    if (child->state != TASK_SUCCEEDED && !division->decided) {
        division->decided = true;
        division->rc = child->rc;
        task->detail = child->detail;
        children_cancel(&division->family, CANCEL_SIBLING);
    }
    if (division->ended < division->family.count)
        return;
    bool complete = division->succeeded == division->family.count; /* then a cancel came too late */
    if (task->state == TASK_CANCELING && !complete) {
        task_end_canceled(task, children_effect(&division->family));
        return;
    }
    if (complete)
        merge(task);
    task_end(task, division->rc);
}

static void divided_cancel(struct task *task)
{
    struct division *division = task_state(task);
    division->decided = true;
    children_cancel(&division->family, CANCEL_PARENT);
}

const struct function divided = {
    .name = "divided",
    .executor = EXECUTOR_LOOP,
    .state_size = sizeof(struct division),
    .start = divided_start,
    .cancel = divided_cancel,
    .child_ended = divided_child_ended,
};
