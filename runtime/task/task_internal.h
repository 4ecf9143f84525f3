/* task_internal - the task and the runtime as functions and executors see them; modules outside runtime/ use task.h.
 *
 * Owns:     a task is one block in its request's arena: the struct, then the state, then the output.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_STATE_H
#define GATHERD_RUNTIME_TASK_TASK_STATE_H

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
    struct task **ready_tail;          /* where to link the next task */
    size_t unfinished;                 /* tasks that have not ended */
    size_t streams;                    /* open read and write streams (runtime/files/stream.h) */
    struct executor *pools[POOLS_MAX]; /* owned: in the order of limits.pools, then the others */
    size_t pool_count;
    struct file_root *file_root;   /* owned; NULL: the executor files is disabled */
    struct open_files *open_files; /* owned; NULL: as above */
    int pid, tid;                  /* of the loop thread */
    bool draining;                 /* inside task_drain() */
    bool rejecting_new;            /* task_submit() fails */
    bool rejecting_all;            /* task_continue() fails too */
};

/* The part of a top-level task that children lack. */
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
    const struct task_spec *spec;               /* in the arena */
    const struct function *function;            /* spec->function, or parallel_function */
    struct executor *pool;                      /* NULL: the loop */
    struct task *parent;                        /* NULL: top-level */
    struct toplevel *root;                      /* NULL: a child */
    struct task *next_ready;                    /* in runtime->ready */
    struct timer limit_timer;                   /* queued: the deadline; running: the earlier of timeout and deadline */
    uint64_t received_ns, started_ns, ended_ns; /* uv_hrtime(); 0: not yet */
    const char *detail; /* a sentence about rc, in the state of the task or a descendant; or NULL */
    int16_t rc;
    uint8_t state;  /* enum task_state */
    uint8_t reason; /* enum cancel_reason, valid when cancel_requested */
    uint8_t effect; /* enum cancel_effect, valid when cancel_completed */
    bool cancel_requested, cancel_completed;
    bool was_queued; /* has left TASK_SUBMITTED by task_queue() */
    bool has_output; /* true also for a failed or canceled gather, whose output lists its children */
    uint32_t index;  /* among its siblings */
};

/* First member of the state of a function with children; they are submitted, not queued. */
struct children {
    struct task **children; /* in the arena, in the order of the input */
    size_t count;
};

void *task_state(struct task *task);       /* function->state_size bytes; in a pool, the executor's state_size */
struct task *task_from_state(void *state); /* inverse of task_state() */
void *task_output(struct task *task);      /* zeroed before start() */

size_t task_output_offset(const struct task *task);
size_t task_state_size(const struct task *task);
struct toplevel *task_toplevel(const struct task *task);
struct arena *task_arena(const struct task *task); /* of its request; borrowed */

enum { TIMERS_PER_TASK = 2 }; /* reserved at admission: limit_timer and one of its function */

/* Starts the deadline timer. For a child this happens when its parent starts, though the deadline counts from receipt:
 * children of a parent that never starts end with the parent. */
void task_arm_deadline(struct task *task);

/* Moves a submitted task to queued. */
void task_queue(struct task *task);

/* Moves a queued task to running. False: its deadline has passed and the task has ended. */
bool task_begin(struct task *task);

/* Ends a running or canceling task whose work has ended: rc 0 with the output filled, or an ERR_ code. task_drain()
 * delivers it. */
void task_end(struct task *task, int rc);

/* Ends a canceling task whose work was stopped, with this effect. */
void task_end_canceled(struct task *task, enum cancel_effect effect);

bool task_ended(const struct task *task);

void children_cancel(struct children *children, enum cancel_reason reason);

/* The most severe cancel effect of all children, at least EFFECT_STOPPED. */
enum cancel_effect children_effect(const struct children *children);

#endif
