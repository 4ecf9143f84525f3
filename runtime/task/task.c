/* task.c - states, time limits, delivery.
 *
 * Ready queue: one FIFO holds both the queued tasks of the loop, to be started, and ended tasks, to be delivered. One
 * queue keeps events in order: if task A ended before task B was queued, A is delivered before B starts, so the parent
 * or the `done` of A can still cancel B. Nothing recurses, however deep the tree of gathers is: start() and `done` only
 * append to the queue, and task_drain() takes tasks from it one at a time. A task is in the queue at most once: if it
 * is canceled while it waits there to be started, it has ended when its turn comes, and is delivered instead.
 *
 * A queued task of a pool waits in the pool's queue. It enters the ready queue when it has ended.
 */
#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "runtime/task/task_internal.h"

#include <stdalign.h>

const char *const task_state_names[TASK_STATE_COUNT + 1] = {
    [TASK_SUBMITTED] = "submitted", [TASK_QUEUED] = "queued",       [TASK_RUNNING] = "running",
    [TASK_CANCELING] = "canceling", [TASK_SUCCEEDED] = "succeeded", [TASK_FAILED] = "failed",
    [TASK_CANCELED] = "canceled",
};

const char *const cancel_reason_names[CANCEL_REASON_COUNT + 1] = {
    [CANCEL_CLIENT] = "client",     [CANCEL_PARENT] = "parent",   [CANCEL_SIBLING] = "sibling",
    [CANCEL_SHUTDOWN] = "shutdown", [CANCEL_TIMEOUT] = "timeout", [CANCEL_DEADLINE] = "deadline",
};

/* -- memory: struct task, state and output in one block, each aligned for any type --------------------------------- */

#define ALIGNED(size) (((size) + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1))

void *task_state(struct task *task)
{
    return (char *)task + ALIGNED(sizeof *task);
}

struct task *task_from_state(void *state)
{
    return (struct task *)(void *)((char *)state - ALIGNED(sizeof(struct task)));
}

size_t task_state_size(const struct task *task)
{
    return task->pool != NULL ? task->pool->ops->state_size : task->function->state_size;
}

size_t task_output_offset(const struct task *task)
{
    return ALIGNED(sizeof(struct task)) + ALIGNED(task_state_size(task));
}

void *task_output(struct task *task)
{
    return (char *)task + task_output_offset(task);
}

struct toplevel *task_toplevel(const struct task *task)
{
    while (task->parent != NULL)
        task = task->parent;
    return task->root;
}

struct arena *task_arena(const struct task *task)
{
    return task_toplevel(task)->arena;
}

/* -- time limits --------------------------------------------------------------------------------------------------- */

static uint64_t task_deadline_ns(const struct task *task)
{
    uint64_t deadline_ns = task->spec->options.deadline_ns;
    if (deadline_ns != SECONDS_ABSENT)
        return task->received_ns + deadline_ns;
    return task->root == NULL ? UINT64_MAX : task->received_ns + task->runtime->limits.default_deadline_seconds;
}

static uint64_t task_timeout_ns(const struct task *task)
{
    uint64_t timeout_ns = task->spec->options.timeout_ns;
    if (timeout_ns != SECONDS_ABSENT)
        return task->started_ns + timeout_ns;
    return task->root == NULL ? UINT64_MAX : task->started_ns + task->runtime->limits.default_timeout_seconds;
}

static void arm_limit_timer(struct task *task, uint64_t due_ns)
{
    if (due_ns != UINT64_MAX)
        timers_start(&task->runtime->timers, &task->limit_timer, due_ns);
}

static void on_limit_timer(struct timer *timer);

void task_arm_deadline(struct task *task)
{
    task->limit_timer.fire = on_limit_timer;
    arm_limit_timer(task, task_deadline_ns(task));
}

/* -- states -------------------------------------------------------------------------------------------------------- */

/* For each state, the states that it may change to. */
static const state_set moves[TASK_STATE_COUNT] = {
    [TASK_SUBMITTED] = STATE_BIT(TASK_QUEUED) | STATE_BIT(TASK_FAILED) | STATE_BIT(TASK_CANCELED),
    [TASK_QUEUED] = STATE_BIT(TASK_RUNNING) | STATE_BIT(TASK_FAILED) | STATE_BIT(TASK_CANCELED),
    [TASK_RUNNING] = STATE_BIT(TASK_CANCELING) | STATE_BIT(TASK_SUCCEEDED) | STATE_BIT(TASK_FAILED),
    [TASK_CANCELING] = STATE_BIT(TASK_SUCCEEDED) | STATE_BIT(TASK_FAILED) | STATE_BIT(TASK_CANCELED),
};

static void move(struct task *task, enum task_state to)
{
    task->state = (uint8_t)STATE_MOVE(moves, task->state, to);
}

bool task_ended(const struct task *task)
{
    return task->state >= TASK_SUCCEEDED;
}

static void make_ready(struct task *task)
{
    task->next_ready = NULL;
    *task->runtime->ready_tail = task;
    task->runtime->ready_tail = &task->next_ready;
}

void task_queue(struct task *task)
{
    move(task, TASK_QUEUED);
    task->was_queued = true;
    if (task->pool != NULL)
        task->pool->ops->queue(task->pool, task);
    else
        make_ready(task);
}

static bool has_children(const struct task *task)
{
    return task->function->child_ended != NULL;
}

/* Every task ends through this function. */
static void task_finish(struct task *task, enum task_state state, int rc)
{
    move(task, state);
    task->rc = (int16_t)rc;
    task->ended_ns = uv_hrtime();
    timers_stop(&task->runtime->timers, &task->limit_timer);
    timers_unreserve(&task->runtime->timers, TIMERS_PER_TASK);
    task->runtime->unfinished--;
    if (task->pool != NULL)
        task->pool->admitted--;
}

static void task_finish_canceled(struct task *task, enum cancel_effect effect)
{
    task->effect = (uint8_t)effect;
    task->cancel_completed = true;
    switch ((enum cancel_reason)task->reason) {
    case CANCEL_TIMEOUT:
        task_finish(task, TASK_FAILED, ERR_TIMEOUT);
        break;
    case CANCEL_DEADLINE:
        task_finish(task, TASK_FAILED, ERR_DEADLINE_EXCEEDED);
        break;
    case CANCEL_SHUTDOWN:
        task_finish(task, TASK_CANCELED, ERR_SHUTTING_DOWN);
        break;
    case CANCEL_CLIENT:
    case CANCEL_PARENT:
    case CANCEL_SIBLING:
    case CANCEL_REASON_COUNT:
        task_finish(task, TASK_CANCELED, ERR_CANCELED);
        break;
    }
}

void task_end(struct task *task, int rc)
{
    if (task->cancel_requested) {
        task->effect = EFFECT_TOO_LATE;
        task->cancel_completed = true;
    }
    if (rc == 0)
        task->has_output = true;
    task_finish(task, rc == 0 ? TASK_SUCCEEDED : TASK_FAILED, rc);
    make_ready(task);
}

void task_end_canceled(struct task *task, enum cancel_effect effect)
{
    CHECK(task->state == TASK_CANCELING);
    task_finish_canceled(task, effect);
    make_ready(task);
}

static void request_cancel(struct task *task, enum cancel_reason reason)
{
    task->cancel_requested = true;
    task->reason = (uint8_t)reason;
}

/* Ends a task that has not started, and its descendants. The caller delivers the task; its descendants are not
 * delivered, because their parents never ran. */
static void cancel_before_start(struct task *task, enum cancel_reason reason)
{
    if (has_children(task)) {
        struct children *children = task_state(task);
        for (size_t i = 0; i < children->count; i++)
            cancel_before_start(children->children[i], CANCEL_PARENT);
    }
    request_cancel(task, reason);
    task_finish_canceled(task, EFFECT_PREVENTED);
}

void task_cancel(struct task *task, enum cancel_reason reason)
{
    switch ((enum task_state)task->state) {
    case TASK_SUBMITTED:
        cancel_before_start(task, reason);
        make_ready(task);
        break;
    case TASK_QUEUED:
        cancel_before_start(task, reason);
        if (task->pool != NULL) {
            task->pool->ops->unqueue(task);
            make_ready(task);
        } /* a queued task of the loop is in the ready queue already */
        break;
    case TASK_RUNNING:
        request_cancel(task, reason);
        move(task, TASK_CANCELING);
        timers_stop(&task->runtime->timers, &task->limit_timer);
        if (task->pool != NULL)
            task->pool->ops->cancel(task);
        else
            task->function->cancel(task);
        break;
    case TASK_CANCELING:
    case TASK_SUCCEEDED:
    case TASK_FAILED:
    case TASK_CANCELED:
    case TASK_STATE_COUNT:
        break;
    }
}

static void on_limit_timer(struct timer *timer)
{
    struct task *task = container_of(timer, struct task, limit_timer);
    bool started = task->started_ns != 0;
    task_cancel(task, started && task_timeout_ns(task) <= task_deadline_ns(task) ? CANCEL_TIMEOUT : CANCEL_DEADLINE);
}

static void deliver(struct task *task)
{
    if (task->parent != NULL) {
        task->parent->function->child_ended(task->parent, task);
        return;
    }
    if (task->function->ended != NULL)
        task->function->ended(task);
    task->root->delivered = true;
    task->root->done(task, task->root->user);
}

static struct task *take_ready(struct runtime *runtime)
{
    struct task *task = runtime->ready;
    if (task == NULL)
        return NULL;
    runtime->ready = task->next_ready;
    if (runtime->ready == NULL)
        runtime->ready_tail = &runtime->ready;
    return task;
}

bool task_begin(struct task *task)
{
    uint64_t now = uv_hrtime(), deadline = task_deadline_ns(task);
    if (deadline <= now) { /* the deadline timer has not fired yet */
        cancel_before_start(task, CANCEL_DEADLINE);
        make_ready(task); /* delivered after the tasks that ended before it */
        return false;
    }
    move(task, TASK_RUNNING);
    task->started_ns = now;
    uint64_t timeout = task_timeout_ns(task);
    arm_limit_timer(task, deadline < timeout ? deadline : timeout);
    if (has_children(task)) {
        struct children *children = task_state(task);
        for (size_t i = 0; i < children->count; i++)
            task_arm_deadline(children->children[i]);
    }
    return true;
}

void task_drain(struct runtime *runtime)
{
    if (runtime->draining)
        return;
    runtime->draining = true;
    for (struct task *task; (task = take_ready(runtime)) != NULL;) {
        if (task_ended(task))
            deliver(task);
        else if (task_begin(task))
            task->function->start(task);
    }
    runtime->draining = false;
}

/* -- children ------------------------------------------------------------------------------------------------------ */

void children_cancel(struct children *children, enum cancel_reason reason)
{
    for (size_t i = 0; i < children->count; i++)
        task_cancel(children->children[i], reason);
}

enum cancel_effect children_effect(const struct children *children)
{
    enum cancel_effect effect = EFFECT_STOPPED;
    for (size_t i = 0; i < children->count; i++) {
        const struct task *child = children->children[i];
        if (child->cancel_completed && child->effect != EFFECT_TOO_LATE && child->effect > effect)
            effect = (enum cancel_effect)child->effect;
    }
    return effect;
}

void task_release(struct task *task)
{
    CHECK(task->root != NULL && task->root->delivered);
    struct arena *arena = task->root->arena;
    list_remove(&task->root->link);
    arena_unref(arena);
}

/* -- info ---------------------------------------------------------------------------------------------------------- */

void task_get_info(const struct task *task, struct task_info *out)
{
    bool started = task->started_ns != 0, ended = task_ended(task);
    *out = (struct task_info){
        .spec = task->spec,
        .state = (enum task_state)task->state,
        .done = ended,
        .rc = task->rc,
        .detail = task->detail,
        .output = task->has_output ? (const char *)task + task_output_offset(task) : NULL,
        .executor = task_spec_executor(task->spec),
        .pid = started ? task->runtime->pid : 0,
        .tid = started ? task->runtime->tid : 0,
        .exit_code = -1,
        .cancel_requested = task->cancel_requested,
        .cancel_completed = task->cancel_completed,
        .cancel_reason = (enum cancel_reason)task->reason,
        .cancel_effect = (enum cancel_effect)task->effect,
        .received_ns = task->received_ns,
        .queued_ns = SECONDS_ABSENT,
        .duration_ns = SECONDS_ABSENT,
        .index = task->index,
    };
    if (started || ended)
        out->queued_ns = (started ? task->started_ns : task->ended_ns) - task->received_ns;
    if (started && ended)
        out->duration_ns = task->ended_ns - task->started_ns;
    if (task->pool == NULL)
        return;
    out->pool = task->pool->name;
    out->pid = out->tid = 0;
    if (started)
        task->pool->ops->get_info(task, out);
}
