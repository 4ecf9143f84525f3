/* worker_process - the service's side of a worker process: its handles, frames, stderr and exit.
 *
 * This module knows nothing of tasks; the owner of a worker_process gets events. The service must ignore SIGPIPE.
 *
 * Owns:     the process, the socket, the stderr pipe, request buffers being written and the response being read.
 * Threads:  the loop thread; events too.
 * Promise:  for each worker_process_spawn(), events->closed is called once, later, as the last event, when all handles
 *           are closed.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_PROCESS_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_PROCESS_H

#include "runtime/executors/worker_main.h"

#include <uv.h>

struct worker_process;

struct worker_process_events {
    /* A response is complete; `output` has response->len bytes and is valid during the call. Returns false if the
     * response is invalid: the process is then killed. May be called after the exit, for a response sent before it. */
    bool (*frame)(struct worker_process *proc, const struct response_frame *response, const char *output);
    /* The process has exited, closed its socket or violated the protocol; if it still ran, it was killed. Not called
     * after worker_process_kill(). */
    void (*failed)(struct worker_process *proc);
    /* The process has exited, or its spawn failed, and all handles are closed: `proc` may be freed or spawned again. */
    void (*closed)(struct worker_process *proc);
};

/* closed --spawn--> awaiting <--send, response--> silent
 *                     |   |                       |   |
 *                   exit kill                   kill exit
 *                     |   +-------> killed <------+   |
 *                     v               | exit          v
 *             exited_awaiting --------|------> exited_silent
 *                     |               v response      |
 *                     +-----------> ended <-----------+
 *
 * A failed spawn leads from closed to ended. */
enum worker_process_state {
    PROCESS_CLOSED,
    PROCESS_AWAITING,        /* runs; a response is due */
    PROCESS_SILENT,          /* runs; any output is a protocol error */
    PROCESS_KILLED,          /* SIGKILL was sent; output is discarded */
    PROCESS_EXITED_AWAITING, /* has exited; its response may still be unread in the socket */
    PROCESS_EXITED_SILENT,   /* has exited; unread output is a protocol error */
    PROCESS_ENDED,           /* has exited; output is discarded, the handles are closing */
    PROCESS_STATE_COUNT
};

struct worker_process {
    const struct worker_process_events *events;
    uv_process_t handle;
    uv_pipe_t channel;     /* socket for frames in both directions */
    uv_pipe_t stderr_pipe; /* standard error of the process */
    int open_handles;      /* of these three, while they close */
    enum worker_process_state state;
    int spawn_error; /* of uv_spawn(); 0: spawned */
    int exit_signal, exit_code;
    int fault; /* why it was killed: ERR_WORKER_CRASHED (protocol error), ERR_OUT_OF_MEMORY (for its response); or 0 */
    uint64_t number;                /* of the last request, which the response must repeat; 0: no request yet */
    struct response_frame response; /* being read */
    char *output;                   /* owned; response.len bytes, allocated when the header is complete */
    size_t received;                /* bytes of the frame, header included */
    size_t stderr_tail_len;
    char stderr_tail[161]; /* the last line on stderr, truncated; printable ASCII, NUL-terminated */
    bool line_ended;       /* the next byte on stderr begins a new line */
};

/* A request being written. */
struct request_buffer {
    uv_write_t write;
    struct request_frame frame;
    char input[]; /* frame.len bytes */
};
_Static_assert(offsetof(struct request_buffer, input) ==
                   offsetof(struct request_buffer, frame) + sizeof(struct request_frame),
               "the input follows the frame header");

/* Initializes `proc` and spawns the process; its first frame is then due. If the spawn fails, only events->closed
 * follows. */
void worker_process_spawn(struct worker_process *proc, uv_loop_t *loop, char *const *command,
                          const struct worker_process_events *events);

/* A request for a function, with `len` bytes of input, which the caller fills. NULL: out of memory. */
struct request_buffer *request_buffer_new(const char *function, size_t len);

/* Sends a request to a silent process; a response is then due. Takes ownership of the buffer. */
void worker_process_send(struct worker_process *proc, struct request_buffer *request_buffer);

bool worker_process_has_exited(const struct worker_process *proc);

/* Whether the process runs and its socket is open and empty. False: it has failed, or has closed its socket or written
 * to it, which the loop has not read yet. */
bool worker_process_is_ready(const struct worker_process *proc);

/* Kills the process and discards its output. events->closed follows, events->failed does not. */
void worker_process_kill(struct worker_process *proc);

#endif
