/* file_work - internal blocking work on the files executor; a task that no client sees.
 *
 * Owns:     a reference to req->arena until done() has returned, so the submitter may release its own before.
 * Threads:  the loop thread, except work(), which runs in a thread of the files pool.
 * Promise:  when file_work_submit() returned 0, `done` runs exactly once, later, on the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_WORK_H
#define GATHERD_RUNTIME_FILES_FILE_WORK_H

#include "runtime/executors/run_context.h"
#include "runtime/task/task.h"

struct file_work {
    struct arena *arena; /* borrowed; holds this struct and all that work() uses */
    /* Returns 0 or an ERR_ code with run->e filled. */
    int (*work)(struct file_work *req, struct run_context *run);
    /* e->rc is the result of work(). ERR_SHUTTING_DOWN: work() may still be running; don't touch its data. */
    void (*done)(struct file_work *req, const struct err *e);
};

/* Submits the work, without a time limit. file_work_submit() is refused as any task is. file_work_continue() is for the
 * later work of an operation that was admitted: it is refused only by runtime_shutdown() (see task_continue()). On
 * failure done() doesn't run: ERR_OUT_OF_MEMORY, ERR_POOL_FULL, ERR_EXECUTOR_DISABLED, ERR_SHUTTING_DOWN. */
int file_work_submit(struct runtime *runtime, struct file_work *req, struct err *e);
int file_work_continue(struct runtime *runtime, struct file_work *req, struct err *e);

#endif
