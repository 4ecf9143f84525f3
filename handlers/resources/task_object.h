/* task_object - the JSON representation of a task and of a gather's child, from type tables.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_HANDLERS_RESOURCES_TASK_OBJECT_H
#define GATHERD_HANDLERS_RESOURCES_TASK_OBJECT_H

#include "handlers/json/render.h"
#include "handlers/resources/ids.h"
#include "runtime/task/task.h"

extern const struct type task_object_type; /* of a top-level task */
extern const struct type task_error_type;  /* of its member `error` */
extern const struct type cancel_effect_type;

/* A top-level task as the API shows it: the runtime's information, and its id and creation time. */
struct task_snapshot {
    struct task_info info;
    char id[ID_SIZE];   /* NUL-terminated */
    int64_t created_us; /* microseconds since 1970 */
};

/* Formats why the task failed or was canceled; "" if it succeeded. */
enum { TASK_DETAIL_SIZE = 256 };
void task_object_error_detail(const struct task_info *info, char out[TASK_DETAIL_SIZE]);

void task_object_render(struct json_writer *w, const struct task_snapshot *task);

/* The children in a gather's result. */
extern const struct child_codec task_object_child_codec;

#endif
