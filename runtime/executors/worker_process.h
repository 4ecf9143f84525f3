/* worker_process - a worker process as the service sees it: its handles, the frames it sends, its last words, how it ended.
 *
 * Knows no tasks: who employs it is told what happens. SIGPIPE must be ignored in the service.
 *
 * Owns:     from worker_process_spawn() on the process and both pipes, what is written to it, and a frame while it comes in.
 * Threads:  the loop thread.
 * Promise:  `gone` is called once for each worker_process_spawn(), never from inside it, when all of it is closed; and nothing after that.
 */
#ifndef GATHERD_RUNTIME_EXECUTORS_WORKER_PROCESS_H
#define GATHERD_RUNTIME_EXECUTORS_WORKER_PROCESS_H

#include "runtime/executors/worker_main.h"

#include <uv.h>

struct worker_process;

struct worker_process_events {
    /* The frame that was awaited is there, whole, with `output` of answer->len bytes lent for the call. False: it makes no
     * sense. Also called when it has exited: an answer may be the last it did. */
    bool (*frame)(struct worker_process *proc, const struct response_frame *response, const char *output);
    /* It will be of no use any more, and is killed if it hasn't exited. Not called after worker_process_kill(). */
    void (*failed)(struct worker_process *proc);
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
 * A process that could not be spawned goes from closed to ended. */
enum worker_process_state {
    PROCESS_CLOSED,
    PROCESS_AWAITING,        /* runs; a response is due */
    PROCESS_SILENT,          /* runs; any output is a protocol error */
    PROCESS_KILLED,          /* SIGKILL was sent; output is discarded */
    PROCESS_EXITED_AWAITING, /* has exited; the response may be unread in the socket */
    PROCESS_EXITED_SILENT,   /* has exited; any unread output is a protocol error */
    PROCESS_ENDED,           /* has exited; output is discarded, the handles are closing */
    PROCESS_STATE_COUNT
};

struct worker_process {
    const struct worker_process_events *events;
    uv_process_t handle;
    uv_pipe_t channel;     /* frames, both ways */
    uv_pipe_t stderr_pipe; /* its stderr */
    int open_handles;      /* of these three, that are not closed yet */
    enum worker_process_state state;
    int spawn_error; /* of uv_spawn(); 0: it was spawned */
    int exit_signal, exit_code;
    int fault; /* why we killed it: ERR_WORKER_CRASHED for nonsense, ERR_OUT_OF_MEMORY for its answer; 0: neither */
    uint64_t number; /* of the last request, which the response must bear; 0: none was sent */
    struct response_frame response;
    char *output;    /* owned; answer.len bytes, once the frame's head is there */
    size_t received; /* bytes of the frame, head included */
    size_t stderr_tail_len;
    char stderr_tail[161]; /* its last line on stderr, as far as there is room; printable ASCII, NUL-terminated */
    bool line_ended;       /* by a newline: the next byte begins a new line */
};

/* A request on its way. */
struct request_buffer {
    uv_write_t write;
    struct request_frame frame;
    char input[]; /* frame.len bytes */
};
_Static_assert(offsetof(struct request_buffer, input) ==
                   offsetof(struct request_buffer, frame) + sizeof(struct request_frame),
               "the input follows the frame's head");

/* Spawns it, and awaits its first frame. When it can't be spawned it is gone soon. */
void worker_process_spawn(struct worker_process *proc, uv_loop_t *loop, char *const *command,
                          const struct worker_process_events *events);

struct request_buffer *request_buffer_new(const char *function,
                                          size_t len); /* NULL: no memory. Its input is to be filled */

/* Takes the request_buffer over, and awaits the answer. */
void worker_process_send(struct worker_process *proc, struct request_buffer *request_buffer);

bool worker_process_has_exited(const struct worker_process *proc);

/* False when it has gone, or goes on talking, which the loop has not told yet. */
bool worker_process_is_ready(const struct worker_process *proc);

void worker_process_kill(struct worker_process *proc); /* without a call of unfit(); `gone` follows */

#endif
