/* worker_main - the program of a worker process: runs one task at a time for the service, over a socket.
 *
 * Requests and responses are frames: a struct, followed by a value (runtime/types/type_serialize.h). The first response
 * has number 0 and reports that the worker is ready. Each later response repeats the number of its request, so that
 * stray output of a corrupted worker is not taken for a response.
 *
 * Owns:     nothing between tasks.
 * Threads:  a worker process has one thread.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_MAIN_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_MAIN_H

#include "runtime/task/registry.h"
#include "runtime/task/task_spec.h"

enum {
    WORKER_FD = 3,                    /* the worker's descriptor of the socket */
    FRAME_MAX_LEN = 64 * 1024 * 1024, /* maximum size of a value in bytes */
};

struct request_frame {
    uint64_t number;                   /* from 1 */
    uint64_t len;                      /* of the input that follows, in bytes */
    char function[FUNCTION_NAME_SIZE]; /* NUL-terminated */
};

struct response_frame {
    uint64_t number;             /* of the request; 0: ready */
    uint32_t len;                /* of the output that follows, in bytes; 0 if rc is not 0 */
    int32_t rc;                  /* 0 or an ERR_ code */
    uint64_t user_ns, system_ns; /* CPU time of the task */
    int64_t peak_rss_bytes;      /* of the process since its start */
    char msg[256];               /* if rc is not 0: the error detail, NUL-terminated */
};

/* Serves requests on WORKER_FD for functions of the registry until the service closes it or exits. Returns the exit
 * status of the process. memory_bytes: address space allowed beyond the present size; absent: unlimited. */
int worker_serve(const struct registry *registry, int64_t memory_bytes);

#endif
