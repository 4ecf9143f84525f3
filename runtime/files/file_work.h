/* file_work - a piece of blocking work of our own on the files executor: a task like any other, for nobody outside.
 *
 * Owns:     while it is under way, a reference to the arena that holds it and all it works on; so whoever began it may go.
 * Threads:  the loop thread, but `work`.
 * Promise:  when file_work_submit() returned 0, `done` runs exactly once, later, on the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_WORK_H
#define GATHERD_RUNTIME_FILES_FILE_WORK_H

#include "runtime/executors/run_context.h"
#include "runtime/task/task.h"

struct file_work {
    struct arena *arena; /* borrowed; the step lies in it */
    /* In a thread of the pool; 0 or an ERR_ code with run->e filled. */
    int (*work)(struct file_work *req, struct run_context *run);
    /* e->rc is what work returned; or ERR_SHUTTING_DOWN, and then work may still be under way: what it works on is not to be
     * touched. */
    void (*done)(struct file_work *req, const struct err *e);
};

/* Submits it. The first step of a piece of work may be refused as any task; the others go on with it, and end it
 * (task_continue() in runtime/task/task_internal.h). It has no time limit: who would be told of one is who waits for it anyway. ERR_OUT_OF_MEMORY, ERR_POOL_FULL, ERR_EXECUTOR_DISABLED, ERR_SHUTTING_DOWN: then `done` does not run. */
int file_work_submit(struct runtime *runtime, struct file_work *req, struct err *e);
int file_work_continue(struct runtime *runtime, struct file_work *req, struct err *e);

#endif
