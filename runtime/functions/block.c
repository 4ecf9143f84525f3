/* block - blocks the thread that runs it, as a call of a blocking library would. */
#include "runtime/executors/run_context.h"
#include "runtime/task/function.h"

#include <errno.h>
#include <time.h>

struct block_input {
    uint64_t duration_ns;
};

struct block_output {
    uint64_t blocked_ns;
};

static const struct type input_seconds_type = {
    .kind = TYPE_SECONDS, .min = 0, .max = INT64_C(86400) * (int64_t)NS_PER_SECOND};
static const struct type blocked_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};

static const struct field input_fields[] = {
    {"seconds", &input_seconds_type, offsetof(struct block_input, duration_ns), FIELD_REQUIRED, NULL,
     "How long to block, in seconds, from 0 to 86400; rounded up to a whole nanosecond", "0.5"},
    {0},
};

static const struct field output_fields[] = {
    {"blocked_seconds", &blocked_type, offsetof(struct block_output, blocked_ns), FIELD_REQUIRED, NULL,
     "The measured duration in seconds; never less than requested", "0.500061"},
    {0},
};

static const struct type input_type = {.kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct block_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct block_output)};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

static int block_run(const void *in, void *out, struct run_context *run)
{
    (void)run; /* ignores cancellation, as a blocking library would */
    const struct block_input *input = in;
    struct block_output *output = out;
    uint64_t started = now_ns(), wakeup = started + input->duration_ns;
    struct timespec end = {.tv_sec = (time_t)(wakeup / NS_PER_SECOND), .tv_nsec = (long)(wakeup % NS_PER_SECOND)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
        ; /* clock_nanosleep() returns the error and does not set errno, so io_interrupted() cannot be used */
    output->blocked_ns = now_ns() - started;
    return 0;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "moment",
     .summary = "A tenth of a second",
     .input = JSON({"seconds": 0.1}),
     .result = JSON({"blocked_seconds": 0.100079})},
    {.name = "nothing",
     .summary = "No time at all",
     .input = JSON({"seconds": 0}),
     .result = JSON({"blocked_seconds": 0.000001})},
    {0},
};
/* clang-format on */

const struct function function_block = {
    .name = "block",
    .doc = "Blocks a thread, as a call of a blocking library would",
    .description =
        "It cannot be interrupted. By default it runs on the executor `threads`. "
        "On the executor `threads`, a canceled task ends at once with the effect `abandoned`, but its slot stays "
        "busy until the thread returns. "
        "On the executor `processes`, the worker process is killed.",
    .examples = examples,
    .executor = EXECUTOR_THREADS,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &input_type,
    .output = &output_type,
    .run = block_run,
};
