/* task_internal - struct task and struct runtime, for the functions and executors; modules outside runtime/ use task.h.
 *
 * Owns:     nothing; a task is one block in the request's arena: struct task, then its state, then its output.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_INTERNAL_H
#define GATHERD_RUNTIME_TASK_TASK_INTERNAL_H

#include "runtime/lib/list.h"
#include "runtime/lib/timers.h"
#include "runtime/task/executor.h"
#include "runtime/task/registry.h"
#include "runtime/task/task.h"

#include <stdatomic.h>

struct runtime {
    struct uv_loop_s *loop; /* borrowed */
    struct limits limits;
    struct registry *registry;         /* owned reference */
    struct timers timers;              /* timeouts and deadlines, and the timers of functions */
    struct list_node roots;            /* of struct toplevel, submitted and not released */
    struct task *ready;                /* FIFO of tasks to start and tasks to deliver (task.c) */
    struct task **ready_tail;          /* where to link the next task in `ready` */
    size_t unfinished;                 /* tasks that have not ended */
    size_t streams;                    /* open read and write streams (runtime/files/stream.h) */
    struct executor *pools[MAX_POOLS]; /* owned: those of limits.pools, in that order; then files and processes */
    size_t pool_count;
    struct file_root *file_root;   /* owned; NULL: the executor files is disabled */
    struct open_files *open_files; /* owned; NULL: as file_root */
    int pid, tid;                  /* of the process and its loop thread */
    bool draining;                 /* inside task_drain() */
    bool rejecting_new;            /* task_submit() fails */
    bool rejecting_all;            /* task_continue() fails too */
};

/* The members of a top-level task that children lack. */
struct toplevel {
    struct list_node link; /* in runtime->roots */
    struct task *task;
    struct arena *arena; /* owned reference */
    task_done_fn *done;
    void *user;
    atomic_llong read_quota; /* bytes that the task and its descendants may still read from files */
    bool delivered;          /* `done` has been called: the task may be released */
};

struct task {
    struct runtime *runtime;
    const struct task_spec *spec;    /* in the arena */
    const struct function *function; /* spec->function, or parallel_function */
    struct executor *pool;           /* NULL: the loop */
    struct task *parent;             /* NULL: top-level */
    struct toplevel *root;           /* NULL: a child */
    struct task *next_ready;         /* in runtime->ready */
    struct timer limit_timer;        /* before the start: the deadline; running: the earlier of timeout and deadline */
    uint64_t received_ns, started_ns, ended_ns; /* times of uv_hrtime(); 0: not yet */
    const char *detail; /* a sentence about rc, borrowed from the state of the task or a descendant; or NULL */
    int16_t rc;
    uint8_t state;  /* enum task_state */
    uint8_t reason; /* enum cancel_reason, valid when cancel_requested */
    uint8_t effect; /* enum cancel_effect, valid when cancel_completed */
    bool cancel_requested, cancel_completed;
    bool was_queued; /* task_queue() was called */
    bool has_output; /* true also for a failed or canceled gather, whose output lists its children */
    uint32_t index;  /* among its siblings */
};

/* First member of the state of a function with children. Admission fills it with submitted tasks; the function queues
 * them with task_queue(). */
struct children {
    struct task **children; /* in the arena, in the order of the input */
    size_t count;
};

void *task_state(struct task *task);       /* function->state_size bytes, or in a pool pool->ops->state_size bytes */
struct task *task_from_state(void *state); /* inverse of task_state() */
void *task_output(struct task *task);      /* a value of the type function->output, zeroed at admission */

size_t task_output_offset(const struct task *task);
size_t task_state_size(const struct task *task);
struct toplevel *task_toplevel(const struct task *task);
struct arena *task_arena(const struct task *task); /* of its request; borrowed */

enum { TIMERS_PER_TASK = 2 }; /* reserved at admission: limit_timer, and one for the function */

/* Starts the deadline timer of a top-level task at its submission, and that of a child when its parent starts; both
 * deadlines count from receipt. Until its parent starts, a child needs no timer: it ends with the parent. */
void task_arm_deadline(struct task *task);

/* Moves a submitted task to queued. */
void task_queue(struct task *task);

/* Moves a queued task to running. False: its deadline has passed, and the task has ended instead. */
bool task_begin(struct task *task);

/* Ends a running or canceling task whose work has ended: with rc 0, its output is filled; otherwise rc is an ERR_ code.
 * task_drain() delivers the task. */
void task_end(struct task *task, int rc);

/* Ends a canceling task whose work was stopped, with this effect. task_drain() delivers the task. */
void task_end_canceled(struct task *task, enum cancel_effect effect);

bool task_ended(const struct task *task);

void children_cancel(struct children *children, enum cancel_reason reason);

/* The most severe cancel effect of the children, at least EFFECT_STOPPED; EFFECT_TOO_LATE is ignored. */
enum cancel_effect children_effect(const struct children *children);

#endif
