/* sleep - ends after a given time; until then it uses only a timer, no thread. */
#include "runtime/task/task_internal.h"

struct sleep_input {
    uint64_t duration_ns;
};

struct sleep_output {
    uint64_t slept_ns;
};

static const struct type sleep_duration_type = {
    .kind = TYPE_SECONDS, .min = 0, .max = INT64_C(86400) * (int64_t)NS_PER_SECOND};
static const struct type slept_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};

static const struct field input_fields[] = {
    {"seconds", &sleep_duration_type, offsetof(struct sleep_input, duration_ns), FIELD_REQUIRED, NULL,
     "How long to sleep, in seconds, from 0 to 86400; rounded up to a whole nanosecond", "1.5"},
    {0},
};

static const struct field output_fields[] = {
    {"slept_seconds", &slept_type, offsetof(struct sleep_output, slept_ns), FIELD_REQUIRED, NULL,
     "The measured duration in seconds; never less than requested", "1.500213"},
    {0},
};

static const struct type input_type = {.kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct sleep_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct sleep_output)};

struct sleep {
    struct timer timer;
};

static void sleep_end(struct task *task)
{
    struct sleep_output *output = task_output(task);
    output->slept_ns = uv_hrtime() - task->started_ns;
    task_end(task, 0);
}

static void sleep_on_timer(struct timer *timer)
{
    sleep_end(task_from_state(container_of(timer, struct sleep, timer)));
}

static void sleep_start(struct task *task)
{
    const struct sleep_input *input = task->spec->input;
    struct sleep *sleep = task_state(task);
    if (input->duration_ns == 0) {
        sleep_end(task);
        return;
    }
    sleep->timer.fire = sleep_on_timer;
    timers_start(&task->runtime->timers, &sleep->timer, task->started_ns + input->duration_ns);
}

static void sleep_cancel(struct task *task)
{
    struct sleep *sleep = task_state(task);
    timers_stop(&task->runtime->timers, &sleep->timer);
    task_end_canceled(task, EFFECT_STOPPED);
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "moment",
     .summary = "A tenth of a second",
     .input = JSON({"seconds": 0.1}),
     .result = JSON({"slept_seconds": 0.100183})},
    {.name = "nothing",
     .summary = "No time at all",
     .input = JSON({"seconds": 0}),
     .result = JSON({"slept_seconds": 0.000001})},
    {0},
};
/* clang-format on */

const struct function function_sleep = {
    .name = "sleep",
    .doc = "Waits without blocking anything",
    .description = "A sleep uses a timer and no thread, so many thousands of them can run at the same time. "
                   "The task never ends earlier than requested.",
    .examples = examples,
    .executor = EXECUTOR_LOOP,
    .executors = EXECUTOR_BIT(EXECUTOR_LOOP),
    .input = &input_type,
    .output = &output_type,
    .state_size = sizeof(struct sleep),
    .start = sleep_start,
    .cancel = sleep_cancel,
};
