#include "tests/unit/support/loop_function.h"

#include "runtime/lib/check.h"

struct probe {
    struct timer alarm;
};

static void leave(struct task *task)
{
    const struct probe_input *input = task->spec->input;
    struct probe *probe = task_state(task);
    timers_stop(&task->runtime->timers, &probe->alarm);
    input->tally->active--;
    input->tally->ended++;
}

void probe_end(struct task *task, int rc)
{
    leave(task);
    task_end(task, rc);
}

void probe_stop(struct task *task)
{
    leave(task);
    task_end_canceled(task, EFFECT_STOPPED);
}

static void on_alarm(struct timer *alarm)
{
    struct task *task = task_from_state(container_of(alarm, struct probe, alarm));
    const struct probe_input *input = task->spec->input;
    if (task->state == TASK_CANCELING && input->on_cancel == PROBE_STOPS_LATER)
        probe_stop(task);
    else
        probe_end(task, input->rc);
}

static void probe_start(struct task *task)
{
    const struct probe_input *input = task->spec->input;
    struct probe *probe = task_state(task);
    struct tally *tally = input->tally;
    tally->started++;
    if (++tally->active > tally->most_active)
        tally->most_active = tally->active;
    probe->alarm.fire = on_alarm;
    if (input->duration_ns == 0)
        probe_end(task, input->rc);
    else if (input->duration_ns != BY_HAND)
        timers_start(&task->runtime->timers, &probe->alarm, task->started_ns + input->duration_ns);
}

static void probe_cancel(struct task *task)
{
    const struct probe_input *input = task->spec->input;
    struct probe *probe = task_state(task);
    input->tally->canceled++;
    switch (input->on_cancel) {
    case PROBE_STOPS:
        probe_stop(task);
        break;
    case PROBE_STOPS_LATER:
        if (input->linger_ns == BY_HAND)
            timers_stop(&task->runtime->timers, &probe->alarm);
        else
            timers_start(&task->runtime->timers, &probe->alarm, uv_hrtime() + input->linger_ns);
        break;
    case PROBE_ENDS:
        probe_end(task, input->rc);
        break;
    case PROBE_ENDS_LATER:
    case PROBE_CANCELS:
        break;
    }
}

static const struct field no_fields[] = {{0}};
static const struct type input_type = {.kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(struct probe_input)};
static const struct type output_type = {.kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(int64_t)};

const struct function function_probe = {
    .name = "probe",
    .doc = "Does as the test says",
    .executor = EXECUTOR_LOOP,
    .executors = EXECUTOR_BIT(EXECUTOR_LOOP),
    .input = &input_type,
    .output = &output_type,
    .state_size = sizeof(struct probe),
    .start = probe_start,
    .cancel = probe_cancel,
};

struct probe_input *probe_of(struct task_spec *spec)
{
    CHECK(spec->function == &function_probe);
    return spec->input;
}

struct task_spec probe_after(struct fixture *f, struct tally *tally, uint64_t duration_ns, int rc)
{
    struct task_spec spec = spec_of(f, &function_probe);
    *probe_of(&spec) = (struct probe_input){.duration_ns = duration_ns, .linger_ns = BY_HAND, .rc = rc, .tally = tally};
    return spec;
}

struct task_spec probe_by_hand(struct fixture *f, struct tally *tally)
{
    return probe_after(f, tally, BY_HAND, 0);
}
