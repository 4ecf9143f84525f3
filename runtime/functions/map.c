/* map - runs one function over many inputs: a gather whose tasks differ only in their input. */
#include "runtime/functions/gather.h"
#include "runtime/types/type_rules.h"

struct map_input {
    struct gather_input gather; /* first; map_prepare() fills its tasks */
    const struct function *function;
    struct array inputs;         /* of void *, each an input of the function */
    struct task_options options; /* of each task; only the options in input_fields are set */
};

static const struct type function_type = {.kind = TYPE_FUNCTION};
static const struct type item_type = {.kind = TYPE_INPUT};
static const struct type inputs_type = {
    .kind = TYPE_ARRAY, .item = &item_type, .limit = &limits_fields[LIMIT_GATHER_CHILDREN]};
static const struct type concurrency_type = {.kind = TYPE_INTEGER, .min = 1, .max = INT32_MAX};
static const struct type failures_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT32_MAX};

static const struct field input_fields[] = {
    {"function", &function_type, offsetof(struct map_input, function), FIELD_REQUIRED, NULL, "The function to run",
     "primes"},
    {"inputs", &inputs_type, offsetof(struct map_input, inputs), FIELD_REQUIRED, NULL,
     "The function's inputs, one for each task; results have the same order", NULL},
    {"executor", &task_executor_type, offsetof(struct map_input, options.executor), FIELD_OPTIONAL, NULL,
     "The executor of the tasks; absent: the function's default", NULL},
    {"pool", &task_pool_type, offsetof(struct map_input, options.pool), FIELD_OPTIONAL, NULL,
     "The pool of the tasks, on the executor threads; absent: the pool named default", NULL},
    {"max_concurrency", &concurrency_type, offsetof(struct map_input, gather.max_concurrency), FIELD_OPTIONAL, NULL,
     "The maximum number of tasks that run at the same time; absent: all", NULL},
    {"tolerated_failures", &failures_type, offsetof(struct map_input, gather.tolerated_failures), FIELD_DEFAULTED, "0",
     "The number of failures that is accepted; one more cancels the other tasks", NULL},
    {0},
};

static struct task_spec map_spec(const struct map_input *input, void *item)
{
    struct task_spec spec = {.function = input->function, .input = item, .options = task_options_none};
    task_options_inherit(&spec.options, &input->options);
    return spec;
}

static bool map_check(const void *data, struct check_error *check_error)
{
    struct task_spec spec = map_spec(data, NULL);
    return type_check_rules(&task_spec_type, &spec, check_error);
}

static int map_prepare(void *data, struct arena *arena)
{
    struct map_input *input = data;
    struct task_spec *specs = arena_calloc(arena, input->inputs.count, sizeof *specs);
    if (specs == NULL)
        return ERR_OUT_OF_MEMORY;
    for (size_t i = 0; i < input->inputs.count; i++)
        specs[i] = map_spec(input, ((void **)input->inputs.items)[i]);
    input->gather.mode = MODE_ALL;
    type_set_absent(&concurrency_type, &input->gather.quorum);
    input->gather.tasks = (struct array){specs, input->inputs.count};
    return 0;
}

static const struct type input_type = {.kind = TYPE_RECORD,
                                       .name = "MapInput",
                                       .fields = input_fields,
                                       .size = sizeof(struct map_input),
                                       .check = map_check};

const struct function function_map = {
    .name = "map",
    .doc = "Runs one function over many inputs, concurrently",
    .input = &input_type,
    .prepare = map_prepare,
    GATHER_MEMBERS,
};
