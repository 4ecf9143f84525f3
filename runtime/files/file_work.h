/* file_work - runs the service's own blocking work in the files pool, as a task that clients do not see.
 *
 * Owns:     a reference to req->arena until done() has returned, so the submitter may drop its own reference earlier.
 * Threads:  the loop thread, except work(), which runs in a thread of the files pool.
 * Promise:  after file_work_submit() or file_work_continue() has returned 0, done() is called exactly once, later, from
 *           task_drain().
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_WORK_H
#define GATHERD_RUNTIME_FILES_FILE_WORK_H

#include "runtime/executors/run_context.h"
#include "runtime/task/task.h"

struct file_work {
    struct arena *arena; /* borrowed; holds this struct and all data that work() uses */
    /* Returns 0 or an ERR_ code with run->e filled. */
    int (*work)(struct file_work *req, struct run_context *run);
    /* e->rc is the result of work(). If it is ERR_SHUTTING_DOWN, work() may still be running: its data must not be
     * accessed. */
    void (*done)(struct file_work *req, const struct err *e);
};

/* Submit the work, without a timeout or deadline: file_work_submit() as task_submit() does, file_work_continue(), for
 * the further work of an operation that was admitted, as task_continue() does. Return 0, or an error of that function;
 * done() is then not called. */
int file_work_submit(struct runtime *runtime, struct file_work *req, struct err *e);
int file_work_continue(struct runtime *runtime, struct file_work *req, struct err *e);

#endif
