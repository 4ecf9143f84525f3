/* worker_event - the configuration of worker processes, and the event that reports a failed one.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_EVENT_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_EVENT_H

#include "runtime/lib/str.h"

#include <stdint.h>

/* The failure of a worker process, for the operator's log. The result of the worker's task reports it to the client. */
struct worker_event {
    bool was_ready; /* false: the worker failed before it was ready */
    enum worker_fault {
        WORKER_EXITED,         /* exited, was killed by another process, or closed its socket and was killed */
        WORKER_SPAWN_FAILED,   /* uv_spawn() failed */
        WORKER_START_TIMEOUT,  /* was not ready in time and was killed */
        WORKER_PROTOCOL_ERROR, /* sent an invalid response and was killed */
        WORKER_OUT_OF_MEMORY,  /* was killed: the service ran out of memory for its response */
        WORKER_FAULT_COUNT
    } fault;
    const char *spawn_message; /* WORKER_SPAWN_FAILED: the system's error; else NULL */
    int pid;                   /* 0: not spawned */
    int exit_signal;           /* WORKER_EXITED by a signal; else 0 */
    int exit_code;             /* WORKER_EXITED by exit(3); else -1 */
    const char *function;      /* of the worker's task; NULL: the worker had no task */
    struct str stderr_tail;    /* the last line on stderr, printable ASCII; may be absent */
    uint64_t retry_ns;         /* delay before the next spawn */
};
extern const char *const worker_fault_names[WORKER_FAULT_COUNT + 1]; /* ends with NULL */

/* Called on the loop thread, from a callback of the loop, and not after runtime_close(). The event is valid during the
 * call. The callback must not call functions of the runtime. */
typedef void worker_event_fn(void *user, const struct worker_event *event);

/* The configuration of worker processes, besides their options (runtime/executors/pool_options.h). */
struct process_config {
    char *const *command;             /* argv of a program that calls worker_serve(), ends with NULL; borrowed */
    uint64_t start_timeout_ns;        /* from spawn to ready; 0: WORKER_START_TIMEOUT_NS */
    worker_event_fn *on_worker_event; /* may be NULL */
    void *user;                       /* for on_worker_event; borrowed */
};

#endif
