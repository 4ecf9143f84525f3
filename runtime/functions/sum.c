/* sum - adds up a range of integers one by one: a simple example of a computation that would block an event loop. */
#include "runtime/executors/run_context.h"
#include "runtime/task/function.h"

struct sum_input {
    int64_t n, from;
};

struct sum_output {
    int64_t sum;
    struct array parts; /* of struct task *; absent unless the call was split */
};

static const struct type bound_type = {.kind = TYPE_INTEGER, .min = 0, .max = SAFE_INTEGER_MAX};
static const struct type sum_type = {.kind = TYPE_INTEGER, .min = 0, .max = INT64_MAX};

static const struct field input_fields[] = {
    {"n", &bound_type, offsetof(struct sum_input, n), FIELD_REQUIRED, NULL,
     "The end of the range, exclusive, from 0 to 2^53", "5000"},
    {"from", &bound_type, offsetof(struct sum_input, from), FIELD_DEFAULTED, "0",
     "The start of the range, inclusive, from 0 to 2^53", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"sum", &sum_type, offsetof(struct sum_output, sum), FIELD_REQUIRED, NULL,
     "The sum; 0 for an empty range, and a string of decimal digits above 2^53", "12497500"},
    {"parts", &function_parts_type, offsetof(struct sum_output, parts), FIELD_OPTIONAL, NULL, FUNCTION_PARTS_DOC, NULL},
    {0},
};

static const struct type input_type = {.kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct sum_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct sum_output)};

enum { CANCEL_CHECK_INTERVAL = 1 << 20 }; /* additions between two calls of run_canceled() */

static int set_overflow(struct err *e)
{
    return err_set(e, ERR_OVERFLOW, "The sum exceeds the 64-bit maximum, %lld", (long long)INT64_MAX);
}

static int sum_run(const void *in, void *out, struct run_context *run)
{
    const struct sum_input *input = in;
    struct sum_output *output = out;
    int64_t sum = 0;
    for (int64_t i = input->from; i < input->n; i++) {
        if (__builtin_add_overflow(sum, i, &sum)) /* the check also keeps the compiler from replacing the loop */
            return set_overflow(run->e);
        if (i % CANCEL_CHECK_INTERVAL == 0 && run_canceled(run))
            return err_set(run->e, ERR_CANCELED, "The task was canceled");
    }
    output->sum = sum;
    type_set_absent(&function_parts_type, &output->parts);
    return 0;
}

static int64_t sum_split(const void *in, int64_t max_parts, int64_t index, void *part)
{
    const struct sum_input *input = in;
    struct sum_input *output = part;
    return parallel_split_range(input->from, input->n, max_parts, index, &output->from, &output->n);
}

static int sum_merge(void *out, const void *part, struct err *e)
{
    struct sum_output *output = out;
    const struct sum_output *addend = part;
    return __builtin_add_overflow(output->sum, addend->sum, &output->sum) ? set_overflow(e) : 0;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "small",
     .summary = "The sum of the integers below 5000",
     .input = JSON({"n": 5000}),
     .result = JSON({"sum": 12497500})},
    {.name = "large",
     .summary = "A sum above 2^53, which is a string",
     .input = JSON({"from": 9007199254740000, "n": 9007199254740992}),
     .result = JSON({"sum": "8935141660702571536"})},
    {.name = "parallel",
     .summary = "A range divided into two parts",
     .input = JSON({"n": 1000000}),
     .query = "parallel=2"},
    {.name = "overflow",
     .summary = "A sum that exceeds 64 bits",
     .input = JSON({"from": 9007199254738992, "n": 9007199254740992}),
     .error = ERR_OVERFLOW},
    {0},
};
/* clang-format on */

static const int errors[] = {ERR_OVERFLOW, 0};

const struct function function_sum = {
    .name = "sum",
    .doc = "Adds up a range of integers, one by one",
    .description = "It takes about a nanosecond for each integer, and is meant for trying out "
                   "executors. By default it runs in a worker process. " FUNCTION_PARALLEL_DESCRIPTION,
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_PROCESSES,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &input_type,
    .output = &output_type,
    .run = sum_run,
    .split = sum_split,
    .merge = sum_merge,
    .parts_offset = offsetof(struct sum_output, parts),
};
