#include "tests/unit/support/loop_function.h"

#include "runtime/lib/check.h"

struct mock {
    struct timer timer;
};

static void mock_finish(struct task *task)
{
    const struct mock_input *input = task->spec->input;
    struct mock *mock = task_state(task);
    timers_stop(&task->runtime->timers, &mock->timer);
    input->mock_counts->active--;
    input->mock_counts->ended++;
}

void mock_end(struct task *task, int rc)
{
    mock_finish(task);
    task_end(task, rc);
}

void mock_stop(struct task *task)
{
    mock_finish(task);
    task_end_canceled(task, EFFECT_STOPPED);
}

static void mock_on_timer(struct timer *timer)
{
    struct task *task = task_from_state(container_of(timer, struct mock, timer));
    const struct mock_input *input = task->spec->input;
    if (task->state == TASK_CANCELING && input->on_cancel == MOCK_STOP_LATER)
        mock_stop(task);
    else
        mock_end(task, input->rc);
}

static void mock_start(struct task *task)
{
    const struct mock_input *input = task->spec->input;
    struct mock *mock = task_state(task);
    struct mock_counts *mock_counts = input->mock_counts;
    mock_counts->started++;
    if (++mock_counts->active > mock_counts->max_active)
        mock_counts->max_active = mock_counts->active;
    mock->timer.fire = mock_on_timer;
    if (input->duration_ns == 0)
        mock_end(task, input->rc);
    else if (input->duration_ns != MOCK_MANUAL)
        timers_start(&task->runtime->timers, &mock->timer, task->started_ns + input->duration_ns);
}

static void mock_cancel(struct task *task)
{
    const struct mock_input *input = task->spec->input;
    struct mock *mock = task_state(task);
    input->mock_counts->canceled++;
    switch (input->on_cancel) {
    case MOCK_STOP:
        mock_stop(task);
        break;
    case MOCK_STOP_LATER:
        if (input->cancel_delay_ns == MOCK_MANUAL)
            timers_stop(&task->runtime->timers, &mock->timer);
        else
            timers_start(&task->runtime->timers, &mock->timer, uv_hrtime() + input->cancel_delay_ns);
        break;
    case MOCK_END:
        mock_end(task, input->rc);
        break;
    case MOCK_END_LATER:
    case MOCK_CANCEL_COUNT:
        break;
    }
}

static const struct field no_fields[] = {{0}};
static const struct type input_type = {.kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(struct mock_input)};
static const struct type output_type = {.kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(int64_t)};

const struct function function_mock = {
    .name = "mock",
    .doc = "Ends as its input says",
    .executor = EXECUTOR_LOOP,
    .executors = EXECUTOR_BIT(EXECUTOR_LOOP),
    .input = &input_type,
    .output = &output_type,
    .state_size = sizeof(struct mock),
    .start = mock_start,
    .cancel = mock_cancel,
};

struct mock_input *mock_input_of(struct task_spec *spec)
{
    CHECK(spec->function == &function_mock);
    return spec->input;
}

struct task_spec mock_timed(struct fixture *f, struct mock_counts *mock_counts, uint64_t duration_ns, int rc)
{
    struct task_spec spec = spec_of(f, &function_mock);
    *mock_input_of(&spec) = (struct mock_input){
        .duration_ns = duration_ns, .cancel_delay_ns = MOCK_MANUAL, .rc = rc, .mock_counts = mock_counts};
    return spec;
}

struct task_spec mock_manual(struct fixture *f, struct mock_counts *mock_counts)
{
    return mock_timed(f, mock_counts, MOCK_MANUAL, 0);
}
