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

static const struct field input_fields[] = {
    {"function", &function_type, offsetof(struct map_input, function), FIELD_REQUIRED, NULL,
     "The function to run, one of GET /v1/functions", "primes"},
    {"inputs", &inputs_type, offsetof(struct map_input, inputs), FIELD_REQUIRED, NULL,
     "The inputs, one for each task, at most max_gather_children; the results have the same order", NULL},
    {"executor", &task_executor_type, offsetof(struct map_input, options.executor), FIELD_OPTIONAL, NULL,
     "Where to run the tasks, one of the executors that the function allows; absent: the default of the function",
     NULL},
    {"pool", &task_pool_type, offsetof(struct map_input, options.pool), FIELD_OPTIONAL, NULL,
     "The thread pool to run in, only with executor threads; absent: the pool named default", NULL},
    GATHER_CONCURRENCY_FIELD(offsetof(struct map_input, gather.max_concurrency)),
    GATHER_FAILURES_FIELD(offsetof(struct map_input, gather.tolerated_failures)),
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
    input->gather.quorum = INTEGER_ABSENT;
    input->gather.tasks = (struct array){specs, input->inputs.count};
    return 0;
}

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct map_input), .check = map_check};

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "primes",
     .summary = "Primes below each of three bounds",
     .input = JSON({"function": "primes", "inputs": [{"to": 100}, {"to": 1000}, {"to": 10000}]}),
     .result = JSON({"mode": "all", "counts": {"total": 3, "succeeded": 3, "failed": 0, "canceled": 0},
                     "serial_seconds": 0.000334,
                     "tasks": [
                         {"index": 0, "function": "primes", "executor": "processes", "pool": "processes",
                          "state": "succeeded", "result": {"count": 25}, "pid": 4712, "tid": 4712,
                          "queued_seconds": 0.000031, "duration_seconds": 0.000102,
                          "usage": {"user_seconds": 0.000041, "system_seconds": 0.000021,
                                    "worker_peak_rss_bytes": 4489216}},
                         {"index": 1, "function": "primes", "executor": "processes", "pool": "processes",
                          "state": "succeeded", "result": {"count": 168}, "pid": 4713, "tid": 4713,
                          "queued_seconds": 0.000031, "duration_seconds": 0.000098,
                          "usage": {"user_seconds": 0.000041, "system_seconds": 0.000021,
                                    "worker_peak_rss_bytes": 4489216}},
                         {"index": 2, "function": "primes", "executor": "processes", "pool": "processes",
                          "state": "succeeded", "result": {"count": 1229}, "pid": 4712, "tid": 4712,
                          "queued_seconds": 0.000031, "duration_seconds": 0.000134,
                          "usage": {"user_seconds": 0.000041, "system_seconds": 0.000021,
                                    "worker_peak_rss_bytes": 4489216}}]})},
    {.name = "blocking",
     .summary = "Blocking calls, two at a time",
     .input = JSON({"function": "block", "inputs": [{"seconds": 0.1}, {"seconds": 0.1}, {"seconds": 0.1}],
                    "pool": "default", "max_concurrency": 2})},
    {.name = "none",
     .summary = "No inputs, which succeeds",
     .input = JSON({"function": "sleep", "inputs": []}),
     .result = JSON({"mode": "all", "counts": {"total": 0, "succeeded": 0, "failed": 0, "canceled": 0},
                     "serial_seconds": 0, "tasks": []})},
    {0},
};
/* clang-format on */

const struct function function_map = {
    .name = "map",
    .doc = "Runs one function over many inputs, concurrently",
    .description =
        "It is a gather in mode `all` whose tasks differ only in their inputs, and has the result of a gather.",
    .examples = examples,
    .input = &input_type,
    .prepare = map_prepare,
    GATHER_MEMBERS,
};
