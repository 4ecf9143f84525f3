/* task_state - what the functions and executors of the runtime see of a task. Rooms outside runtime/ use task.h.
 *
 * Owns:     a task lies in its request's arena: the struct, then its function's state, then its output, in one piece.
 * Threads:  all on the loop thread.
 */
#ifndef GATHERD_RUNTIME_TASK_TASK_STATE_H
#define GATHERD_RUNTIME_TASK_TASK_STATE_H

#include "runtime/lib/list.h"
#include "runtime/lib/timers.h"
#include "runtime/task/executor.h"
#include "runtime/task/task.h"

#include <stdatomic.h>

struct runtime {
    struct uv_loop_s *loop; /* borrowed */
    struct limits limits;
    struct timers timers;              /* limits of tasks, and sleeps */
    struct list_node roots;            /* of struct toplevel, submitted and not released */
    struct task *ready;                /* FIFO: queued tasks of the loop, to start, and ended ones, to deliver */
    struct task **ready_tail;          /* where the next one goes */
    size_t unfinished;                 /* tasks that have not ended */
    size_t streams;                    /* sources and sinks that have not given all back (runtime/files/stream.h) */
    struct executor *pools[POOLS_MAX]; /* owned: those of limits.pools, in that order, then the others */
    size_t pool_count;
    struct file_root *file_root;   /* owned; NULL: the executor files is disabled */
    struct open_files *open_files; /* owned; NULL: likewise */
    int pid, tid;                  /* of the loop thread */
    bool draining;                 /* task_drain() is at work, further down the stack */
    bool rejecting_new;            /* task_submit() takes nothing more */
    bool rejecting_all;            /* neither does task_continue() */
};

/* What only a task of its own has. */
struct toplevel {
    struct list_node link; /* in runtime->roots */
    struct task *task;
    struct arena *arena; /* a reference */
    task_done_fn *done;
    void *user;
    atomic_llong read_quota; /* bytes that its tasks may still read from files, all together */
    bool delivered;          /* done was called: only then may the task be released */
};

struct task {
    struct runtime *runtime;
    const struct task_spec *spec;    /* in the arena */
    const struct function *function; /* spec->function; or `divided`, when that is spread over several slots */
    struct executor *pool;           /* NULL: the loop */
    struct task *parent;             /* NULL for a task of its own */
    struct toplevel *root;           /* NULL for a child */
    struct task *next_ready;         /* in runtime->ready, which it is in at most once at a time */
    struct timer limit_timer;        /* its deadline while queued, the earlier of timeout and deadline while running */
    uint64_t received_ns, started_ns, ended_ns; /* uv_hrtime(); 0: not yet */
    const char *detail;                         /* what to say of rc; NULL or in its state */
    int16_t rc;
    uint8_t state;  /* enum task_state */
    uint8_t reason; /* enum cancel_reason, valid when cancel_requested */
    uint8_t effect; /* enum cancel_effect, valid when cancel_completed */
    bool cancel_requested, cancel_completed;
    bool was_queued; /* its turn has come */
    bool has_output; /* also of a gather that failed or was canceled: its children are listed */
    uint32_t index;  /* among its siblings */
};

/* What a function with children finds at the beginning of its state: its children, not yet queued. */
struct children {
    struct task **children; /* in the arena, in the order of the input */
    size_t count;
};

void *task_state(struct task *task);       /* runs->state_size bytes; in a pool a struct job */
struct task *task_from_state(void *state); /* the way back */
void *task_output(struct task *task);      /* function->output's struct, zeroed before start() */

size_t task_output_offset(const struct task *task);
size_t task_state_size(const struct task *task);
struct toplevel *task_toplevel(const struct task *task);
struct arena *task_arena(const struct task *task); /* that of its request; borrowed */

enum { TIMERS_PER_TASK = 2 }; /* that admission reserves: its limit, and one for its function */

/* Starts the clock of its deadline. A child's is watched from its parent's start on (it counts from receipt all the same):
 * before that there is nobody to be told, and children of a parent that never starts end with it. */
void task_arm_deadline(struct task *task);

/* Its turn has come: it goes from submitted to queued. */
void task_queue(struct task *task);

/* A slot has come free for a queued task: it runs from now on. False when its deadline has passed meanwhile; then it has
 * ended. */
bool task_begin(struct task *task);

/* The work has ended by itself: rc 0 with the output filled, or an ERR_ code. Delivery follows from task_drain(). */
void task_end(struct task *task, int rc);

/* The work has ended because it was canceled (the task is canceling), with this effect. */
void task_end_canceled(struct task *task, enum cancel_effect effect);

bool task_ended(const struct task *task);

void children_cancel(struct children *family, enum cancel_reason reason);

/* What became of a cancel, for all children together: the weightiest of their effects, and at least `stopped`. */
enum cancel_effect children_effect(const struct children *family);

#endif
