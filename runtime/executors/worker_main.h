/* worker_main - the other side of a process pool: one process that runs one task at a time, for whoever holds the socket.
 *
 * A request and an answer each are one frame: a struct, then a value by its type table (runtime/types/type_serialize.h). The first answer is
 * to no request, and says that the worker is up. An answer bears the number of its request, so that what a damaged worker
 * says out of turn is not taken for one.
 *
 * Owns:     nothing beyond a task.
 * Threads:  a worker process has one.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_MAIN_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_MAIN_H

#include "runtime/task/function.h"
#include "runtime/task/task_spec.h"

enum {
    WORKER_FD = 3,                    /* the socket, in a worker */
    FRAME_MAX_LEN = 64 * 1024 * 1024, /* bytes of a value in a frame */
    FUNCTION_NAME_MAX = 32,
};

struct request_frame {
    uint64_t number;                  /* from 1 */
    uint64_t len;                     /* of the input, which follows */
    char function[FUNCTION_NAME_MAX]; /* NUL-terminated */
};

struct response_frame {
    uint64_t number; /* of the request; 0: to none */
    uint32_t len;    /* of the output, which follows; 0 when rc isn't */
    int32_t rc;
    uint64_t user_ns, system_ns;
    int64_t peak_rss_bytes;
    char msg[256]; /* NUL-terminated; what is to be said of rc */
};

/* Serves requests on WORKER_FD for functions of `table` (ends with NULL) until the other side closes it, or goes. Returns the
 * process's exit code. memory_bytes: how much address space it may take beyond what it has now; INTEGER absent: no limit. */
int worker_serve(const struct function *const *table, int64_t memory_bytes);

#endif
