/* worker_event - configuration of the worker processes, and the event for an unexpected exit of one.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_EVENT_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_EVENT_H

#include "runtime/lib/str.h"

#include <stdint.h>

/* An unexpected exit of a worker process, for the operator's log. Its task's result reports the exit to the client. */
struct worker_event {
    bool was_ready; /* false: it failed during its start */
    enum worker_fault {
        WORKER_EXITED,         /* it exited, was killed from outside, or closed its socket and was killed */
        WORKER_SPAWN_FAILED,   /* uv_spawn() failed */
        WORKER_START_TIMEOUT,  /* killed: not ready in time */
        WORKER_PROTOCOL_ERROR, /* killed: invalid output */
        WORKER_OUT_OF_MEMORY,  /* killed: out of memory for its response */
        WORKER_FAULT_COUNT
    } fault;
    const char *spawn_message; /* the system's error if the spawn failed; else NULL */
    int pid;                   /* 0: not spawned */
    int exit_signal;           /* WORKER_EXITED by a signal; else 0 */
    int exit_code;             /* WORKER_EXITED by exit(3); else -1 */
    const char *function;      /* of its task; NULL: it had none */
    struct str stderr_tail;    /* last stderr line, printable ASCII; may be absent */
    uint64_t retry_ns;         /* delay before the next spawn */
};
extern const char *const worker_fault_names[WORKER_FAULT_COUNT + 1]; /* ends with NULL */

/* Called from the loop, never from inside a function of the runtime, and not after runtime_close(). The event is
 * valid during the call. The callback must not call the runtime. */
typedef void worker_event_fn(void *user, const struct worker_event *event);

/* The configuration of worker processes, besides their options (runtime/executors/pool_options.h). */
struct process_config {
    char *const *command;             /* argv of a program that calls worker_serve(), ends with NULL; borrowed */
    uint64_t start_timeout_ns;        /* from spawn to ready; 0: WORKER_START_TIMEOUT_NS */
    worker_event_fn *on_worker_event; /* may be NULL */
    void *user;                       /* for on_worker_event; borrowed */
};

#endif
