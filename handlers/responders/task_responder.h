/* task_responder - runs a task and responds when it has ended.
 *
 * Owns:     the task, from its submission to its end.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESPONDERS_TASK_RESPONDER_H
#define GATHERD_HANDLERS_RESPONDERS_TASK_RESPONDER_H

#include "handlers/http/request.h"
#include "handlers/responders/responder.h"
#include "runtime/task/task.h"

/* Makes the response from a task that has ended. Runs once. */
typedef void task_responder_done_fn(const struct request *request, const struct task_info *info, void *user,
                                    struct response *response);

/* Submits `spec`, which is in the request's arena. On failure, fills *response and returns NULL; done() never runs. */
struct responder *task_responder_new(struct runtime *runtime, const struct request *request,
                                     const struct task_spec *spec, task_responder_done_fn *done, void *user,
                                     struct response *response);

#endif
