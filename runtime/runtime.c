#include "runtime/runtime.h"

#include "runtime/core.h"

#include <stdlib.h>
#include <unistd.h>

static void on_timers_fired(struct timers *timers)
{
    runtime_drain(container_of(timers, struct runtime, timers));
}

int runtime_new(struct uv_loop_s *loop, const struct limits *limits, struct runtime **out, struct err *e)
{
    struct runtime *runtime = calloc(1, sizeof *runtime);
    if (runtime == NULL)
        return err_set(e, ERR_OUT_OF_MEMORY, "there is no memory for the runtime");
    runtime->loop = loop;
    runtime->limits = *limits;
    runtime->ready_end = &runtime->ready;
    runtime->pid = getpid();
    runtime->tid = gettid();
    ring_init(&runtime->roots);
    int rc = timers_init(&runtime->timers, loop, on_timers_fired);
    POST(rc == 0); /* uv_timer_init() has nothing that could fail */
    *out = runtime;
    return 0;
}

const struct limits *runtime_limits(const struct runtime *runtime)
{
    return &runtime->limits;
}

size_t runtime_unfinished(const struct runtime *runtime)
{
    return runtime->unfinished;
}

void runtime_refuse(struct runtime *runtime)
{
    runtime->refusing = true;
}

void runtime_cancel_all(struct runtime *runtime)
{
    for (struct ring *r = runtime->roots.next; r != &runtime->roots; r = r->next)
        task_cancel(container_of(r, struct root, link)->task, CANCEL_SHUTDOWN);
}

static void on_timers_closed(struct timers *timers)
{
    free(container_of(timers, struct runtime, timers));
}

void runtime_close(struct runtime *runtime)
{
    PRE(ring_empty(&runtime->roots) && runtime->unfinished == 0);
    timers_close(&runtime->timers, on_timers_closed);
}
