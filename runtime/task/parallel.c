#include "runtime/task/parallel.h"

#include <string.h>

struct parallel {
    struct children children; /* first */
    size_t ended, succeeded;
    bool resolved; /* a part has failed, or the task is canceled; the other parts were then canceled */
    int rc;        /* of the first part that failed, or of merge() */
    struct err e;  /* of merge() */
};

int64_t parallel_split_range(int64_t from, int64_t to, int64_t max_parts, int64_t index, int64_t *part_from,
                             int64_t *part_to)
{
    int64_t size = to > from ? to - from : 0, count = size < max_parts ? (size > 0 ? size : 1) : max_parts;
    int64_t quotient = size / count, remainder = size % count; /* the first `remainder` parts are longer by 1 */
    *part_from = from + index * quotient + (index < remainder ? index : remainder);
    *part_to = *part_from + quotient + (index < remainder ? 1 : 0);
    return count;
}

int parallel_split(const struct task_spec *spec, struct arena *arena, struct array *parts)
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
        task_options_inherit(&specs[i].options, &spec->options);
        specs[i].input = arena_alloc(arena, function->input->size);
        if (specs[i].input == NULL)
            return -1;
        memcpy(specs[i].input, spec->input, function->input->size);
        function->split(spec->input, spec->options.parallel, i, specs[i].input);
    }
    *parts = (struct array){specs, (size_t)count};
    return 0;
}

static void parallel_start(struct task *task)
{
    struct parallel *parallel = task_state(task);
    for (size_t i = 0; i < parallel->children.count; i++)
        if (!task_ended(parallel->children.children[i])) /* ended already: its deadline has passed */
            task_queue(parallel->children.children[i]);
}

static void merge_parts(struct task *task)
{
    const struct function *function = task->spec->function;
    struct parallel *parallel = task_state(task);
    char *output = task_output(task);
    struct array parts = {parallel->children.children, parallel->children.count};
    for (size_t i = 0; parallel->rc == 0 && i < parallel->children.count; i++)
        parallel->rc = function->merge(output, task_output(parallel->children.children[i]), &parallel->e);
    if (parallel->rc != 0)
        task->detail = parallel->e.msg;
    memcpy(output + function->parts_offset, &parts, sizeof parts);
}

static void parallel_child_ended(struct task *task, struct task *child)
{
    struct parallel *parallel = task_state(task);
    parallel->ended++;
    parallel->succeeded += child->state == TASK_SUCCEEDED;
    if (child->state != TASK_SUCCEEDED && !parallel->resolved) {
        parallel->resolved = true;
        parallel->rc = child->rc;
        task->detail = child->detail;
        children_cancel(&parallel->children, CANCEL_SIBLING);
    }
    if (parallel->ended < parallel->children.count)
        return;
    bool all_succeeded = parallel->succeeded == parallel->children.count; /* a cancellation was then too late */
    if (task->state == TASK_CANCELING && !all_succeeded) {
        task_end_canceled(task, children_effect(&parallel->children));
        return;
    }
    if (all_succeeded)
        merge_parts(task);
    task_end(task, parallel->rc);
}

static void parallel_cancel(struct task *task)
{
    struct parallel *parallel = task_state(task);
    parallel->resolved = true;
    children_cancel(&parallel->children, CANCEL_PARENT);
}

const struct function parallel_function = {
    .name = "parallel",
    .executor = EXECUTOR_LOOP,
    .state_size = sizeof(struct parallel),
    .start = parallel_start,
    .cancel = parallel_cancel,
    .child_ended = parallel_child_ended,
};
