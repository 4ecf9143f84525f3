/* worker_event - how worker processes are configured, and what the operator is told of a lost one.
 *
 * Owns:     nothing.
 * Threads:  the loop thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_EVENT_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_EVENT_H

#include "runtime/lib/str.h"

#include <stdint.h>

/* A worker process that is lost without our having wanted it. What became of its task is told to who waits for that; this
 * is for whoever looks after the machine. */
struct worker_event {
    bool was_ready; /* false: it failed to start */
    enum worker_fault {
        WORKER_EXITED,         /* by itself, or someone else killed it; or it hung up on us, and we made sure */
        WORKER_SPAWN_FAILED,   /* there is none */
        WORKER_START_TIMEOUT,  /* it was not up in time; killed for that, as for all below */
        WORKER_PROTOCOL_ERROR, /* what it said made no sense */
        WORKER_OUT_OF_MEMORY,  /* we had none for what it said */
        WORKER_FAULT_COUNT
    } fault;
    const char *spawn_message; /* what the system says of one that was not spawned; else NULL */
    int pid;                   /* 0: none */
    int exit_signal;           /* that it died of without our doing; 0: of none */
    int exit_code;             /* that it exited with; -1: it didn't */
    const char *function;      /* of the task that it was running; NULL: none */
    struct str stderr_tail;    /* its last line on stderr, printable ASCII; absent: none */
    uint64_t retry_ns;         /* until another is tried in its place */
};
extern const char *const worker_fault_names[WORKER_FAULT_COUNT + 1]; /* ends with NULL */

/* Called from the loop, never from inside a call of ours, and not after runtime_close(). The event is lent for the call,
 * and the runtime may not be called from it. */
typedef void worker_event_fn(void *user, const struct worker_event *event);

struct process_config {
    int64_t size;              /* worker processes; 0: none */
    const char *size_source;   /* what says so; static */
    char *const *command;      /* argv, ends with NULL: how to start one; borrowed. It is to call worker_serve() */
    int64_t max_tasks;         /* that one worker runs before it is replaced; INTEGER absent: no limit */
    uint64_t start_timeout_ns; /* how long one may take to be up; 0: WORKER_START_TIMEOUT_NS */
    worker_event_fn *on_worker_event; /* NULL: no events */
    void *user;                       /* for on_worker; borrowed */
};

#endif
