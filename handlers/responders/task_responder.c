#include "handlers/responders/task_responder.h"

#include "runtime/lib/check.h"
#include "runtime/lib/util.h"
#include "runtime/task/admission.h"

struct task_responder {
    struct responder base;
    struct runtime *runtime;       /* borrowed */
    const struct request *request; /* borrowed */
    struct task *task;             /* owned; NULL when it has ended */
    task_responder_done_fn *done;
    void *user; /* borrowed */
};

static struct task_responder *task_responder_of(struct responder *base)
{
    return container_of(base, struct task_responder, base);
}

/* A task that ends at once is answered without suspending the connection. */
static enum responder_result task_responder_finish(struct responder *base)
{
    struct task_responder *responder = task_responder_of(base);
    if (responder->task != NULL)
        task_drain(responder->runtime);
    return responder->task == NULL ? RESPONDER_READY : RESPONDER_WAIT;
}

static void task_responder_cancel(struct responder *base)
{
    struct task_responder *responder = task_responder_of(base);
    if (responder->task == NULL)
        return;
    task_cancel(responder->task, CANCEL_CLIENT);
    task_drain(responder->runtime);
}

static void task_responder_close(struct responder *base)
{
    CHECK(task_responder_of(base)->task == NULL);
}

static const struct responder_ops task_responder_ops = {
    .finish = task_responder_finish,
    .cancel = task_responder_cancel,
    .close = task_responder_close,
};

static void on_task_done(struct task *task, void *user)
{
    struct task_responder *responder = user;
    struct task_info info;
    task_get_info(task, &info);
    responder->done(responder->request, &info, responder->user, responder->base.response);
    task_release(task);
    responder->task = NULL;
    responder_wake(&responder->base);
}

struct responder *task_responder_new(struct runtime *runtime, const struct request *request,
                                     const struct task_spec *spec, task_responder_done_fn *done, void *user,
                                     struct response *response)
{
    struct err e;
    struct task_responder *responder = arena_alloc(request->arena, sizeof *responder);
    if (responder == NULL) {
        err_nomem(&e);
        goto fail;
    }
    responder_init(&responder->base, &task_responder_ops, response);
    responder->runtime = runtime;
    responder->request = request;
    responder->done = done;
    responder->user = user;
    if (task_submit(runtime, spec, request->arena, request->received_ns, on_task_done, responder, &responder->task,
                    &e) == 0)
        return &responder->base;

fail:
    response_error(response, request->id, &e, request->limits);
    return NULL;
}
