/* core - what the functions and executors of the runtime see of a task. Rooms outside runtime/ use task.h.
 *
 * Owns:     a task lies in its request's arena: the struct, then its function's state, then its output, in one piece.
 * Threads:  all on the loop thread.
 */
#ifndef GATHERD_RUNTIME_CORE_H
#define GATHERD_RUNTIME_CORE_H

#include "runtime/task.h"
#include "runtime/timers.h"

struct runtime {
    struct uv_loop_s *loop; /* borrowed */
    struct limits limits;
    struct timers timers;    /* limits of tasks, and sleeps */
    struct ring roots;       /* of struct root, submitted and not released */
    struct task *ready;      /* FIFO: queued tasks of the loop, to start, and ended ones, to deliver */
    struct task **ready_end; /* where the next one goes */
    size_t unfinished;       /* tasks that have not ended */
    int pid, tid;            /* of the loop thread */
    bool draining;           /* runtime_drain() is at work, further down the stack */
    bool refusing;           /* task_submit() takes nothing more */
};

/* What only a task of its own has. */
struct root {
    struct ring link; /* in runtime->roots */
    struct task *task;
    struct arena *arena; /* a reference */
    task_done_fn *done;
    void *user;
    bool delivered; /* done was called: only then may the task be released */
};

struct task {
    struct runtime *runtime;
    const struct task_spec *spec; /* in the arena */
    struct task *parent;          /* NULL for a task of its own */
    struct root *root;            /* NULL for a child */
    struct task *next_ready;      /* in runtime->ready, which it is in at most once at a time */
    struct timer limit;           /* its deadline while queued, the earlier of timeout and deadline while running */
    uint64_t received_ns, started_ns, ended_ns; /* uv_hrtime(); 0: not yet */
    const char *detail;                         /* what to say of rc; NULL or in its state */
    int16_t rc;
    uint8_t state;  /* enum task_state */
    uint8_t reason; /* enum cancel_reason, valid when cancel_asked */
    uint8_t effect; /* enum cancel_effect, valid when cancel_settled */
    bool cancel_asked, cancel_settled;
    bool was_queued; /* its turn has come */
    bool has_output; /* also of a gather that failed or was canceled: its children are listed */
    uint32_t index;  /* among its siblings */
};

/* What a function with children finds at the beginning of its state: its children, not yet queued. */
struct family {
    struct task **children; /* in the arena, in the order of the input */
    size_t count;
};

void *task_state(struct task *task);     /* function->state_size bytes */
struct task *task_of_state(void *state); /* the way back */
void *task_output(struct task *task);    /* function->output's struct, zeroed before start() */

size_t task_output_offset(const struct function *function);

enum { TIMERS_PER_TASK = 2 }; /* that admission reserves: its limit, and one for its function */

/* Starts the clock of its deadline. A child's is watched from its parent's start on (it counts from receipt all the same):
 * before that there is nobody to be told, and children of a parent that never starts end with it. */
void task_watch_deadline(struct task *task);

/* Its turn has come: it goes from submitted to queued. */
void task_queue(struct task *task);

/* The work has ended by itself: rc 0 with the output filled, or an ERR_ code. Delivery follows from runtime_drain(). */
void task_end(struct task *task, int rc);

/* The work has ended because it was canceled (the task is canceling), with this effect. */
void task_end_canceled(struct task *task, enum cancel_effect effect);

bool task_ended(const struct task *task);

#endif
