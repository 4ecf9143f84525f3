/* worker_process.c - reads from a process that may crash or send anything.
 *
 * A function may crash or corrupt its worker at any time, so every byte is checked against the state. A response is due
 * only after a request, and must repeat the request's number. The header of a response is checked as soon as it is
 * complete, before memory is allocated. Bytes that follow a response in the same read, or arrive when no response is
 * due, are a protocol error. After an error the process is killed and its output is discarded.
 *
 * SIGCHLD reports the exit independently of the pipes, so they may still hold data: a response sent before the exit is
 * valid, and stderr often says why the process died. These reads after the exit are bounded and non-blocking, because a
 * descendant of the worker may hold the other ends of the pipes open.
 */
#include "runtime/executors/worker_process.h"

#include "runtime/lib/check.h"
#include "runtime/lib/state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- states -------------------------------------------------------------------------------------------------------- */

/* For each state, the states that it may change to. */
static const state_set process_moves[PROCESS_STATE_COUNT] = {
    [PROCESS_CLOSED] = STATE_BIT(PROCESS_AWAITING) | STATE_BIT(PROCESS_ENDED),
    [PROCESS_AWAITING] = STATE_BIT(PROCESS_SILENT) | STATE_BIT(PROCESS_KILLED) | STATE_BIT(PROCESS_EXITED_AWAITING),
    [PROCESS_SILENT] = STATE_BIT(PROCESS_AWAITING) | STATE_BIT(PROCESS_KILLED) | STATE_BIT(PROCESS_EXITED_SILENT),
    [PROCESS_KILLED] = STATE_BIT(PROCESS_ENDED),
    [PROCESS_EXITED_AWAITING] = STATE_BIT(PROCESS_EXITED_SILENT) | STATE_BIT(PROCESS_ENDED),
    [PROCESS_EXITED_SILENT] = STATE_BIT(PROCESS_ENDED),
    [PROCESS_ENDED] = STATE_BIT(PROCESS_CLOSED),
};

static void process_move(struct worker_process *proc, enum worker_process_state to)
{
    proc->state = STATE_MOVE(process_moves, proc->state, to);
}

static bool is_running(const struct worker_process *proc)
{
    return proc->state == PROCESS_AWAITING || proc->state == PROCESS_SILENT;
}

static bool is_awaiting(const struct worker_process *proc)
{
    return proc->state == PROCESS_AWAITING || proc->state == PROCESS_EXITED_AWAITING;
}

static bool discards_output(const struct worker_process *proc)
{
    return proc->state == PROCESS_KILLED || proc->state == PROCESS_ENDED;
}

bool worker_process_has_exited(const struct worker_process *proc)
{
    return proc->state >= PROCESS_EXITED_AWAITING;
}

/* -- kill and close ------------------------------------------------------------------------------------------------ */

static void worker_process_on_closed(uv_handle_t *handle)
{
    struct worker_process *proc = handle->data;
    if (--proc->open_handles > 0)
        return;
    free(proc->output);
    proc->output = NULL;
    process_move(proc, PROCESS_CLOSED);
    proc->events->closed(proc);
}

static void close_handles(struct worker_process *proc)
{
    proc->open_handles = 3;
    uv_close((uv_handle_t *)&proc->handle, worker_process_on_closed);
    uv_close((uv_handle_t *)&proc->channel, worker_process_on_closed);
    uv_close((uv_handle_t *)&proc->stderr_pipe, worker_process_on_closed);
}

void worker_process_kill(struct worker_process *proc)
{
    if (discards_output(proc))
        return;
    bool running = is_running(proc);
    process_move(proc, running ? PROCESS_KILLED : PROCESS_ENDED);
    if (running)
        uv_process_kill(&proc->handle, SIGKILL);
}

static void worker_process_fail(struct worker_process *proc, int fault)
{
    if (discards_output(proc))
        return;
    proc->fault = fault;
    worker_process_kill(proc);
    proc->events->failed(proc);
}

/* -- output of the process ----------------------------------------------------------------------------------------- */

static void complete_frame(struct worker_process *proc)
{
    char *output = proc->output;
    proc->output = NULL;
    proc->received = 0;
    process_move(proc, is_running(proc) ? PROCESS_SILENT : PROCESS_EXITED_SILENT);
    if (!proc->events->frame(proc, &proc->response, output))
        worker_process_fail(proc, ERR_WORKER_CRASHED);
    free(output);
}

/* Checks a complete header and allocates the output. 0, or a code for proc->fault. */
static int check_header(struct worker_process *proc)
{
    if (proc->response.number != proc->number || proc->response.len > FRAME_MAX_LEN)
        return ERR_WORKER_CRASHED;
    proc->output = malloc(proc->response.len + 1);
    return proc->output == NULL ? ERR_OUT_OF_MEMORY : 0;
}

static void receive_bytes(struct worker_process *proc, const char *bytes, size_t len)
{
    const size_t header_len = sizeof proc->response;
    while (len > 0 && !discards_output(proc)) {
        if (!is_awaiting(proc)) {
            worker_process_fail(proc, ERR_WORKER_CRASHED);
            return;
        }
        char *dest = proc->received < header_len ? (char *)&proc->response + proc->received
                                                 : proc->output + (proc->received - header_len);
        size_t remaining =
            (proc->received < header_len ? header_len : header_len + proc->response.len) - proc->received;
        size_t n = len < remaining ? len : remaining;
        memcpy(dest, bytes, n);
        proc->received += n;
        bytes += n;
        len -= n;
        int fault = proc->received == header_len ? check_header(proc) : 0;
        if (fault == 0 && proc->received >= header_len && proc->received == header_len + proc->response.len && len > 0)
            fault = ERR_WORKER_CRASHED; /* stray bytes follow the response, so it is not trusted either */
        if (fault != 0)
            worker_process_fail(proc, fault);
        else if (proc->received >= header_len && proc->received == header_len + proc->response.len)
            complete_frame(proc);
    }
}

static void receive_stderr(struct worker_process *proc, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            proc->line_ended = true;
            continue;
        }
        if (proc->line_ended)
            proc->stderr_tail_len = 0;
        proc->line_ended = false;
        if (proc->stderr_tail_len < sizeof proc->stderr_tail - 1)
            proc->stderr_tail[proc->stderr_tail_len++] = bytes[i] >= ' ' && bytes[i] < 127 ? bytes[i] : '?';
    }
    proc->stderr_tail[proc->stderr_tail_len] = '\0';
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    buf->base = malloc(suggested);
    buf->len = buf->base == NULL ? 0 : suggested;
}

static void on_channel_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct worker_process *proc = stream->data;
    if (n > 0)
        receive_bytes(proc, buf->base, (size_t)n);
    free(buf->base);
    if (n < 0 && n != UV_ENOBUFS) { /* UV_ENOBUFS: out of memory, retried in the next turn */
        uv_read_stop(stream);
        worker_process_fail(proc, 0);
    }
}

static void on_stderr_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n > 0)
        receive_stderr(stream->data, buf->base, (size_t)n);
    free(buf->base);
    if (n < 0 && n != UV_ENOBUFS)
        uv_read_stop(stream);
}

/* Reads the data that was written before the exit: at most 4 MiB, and not until the end of the file, because a
 * descendant may hold the other end open. */
static void drain_pipe(struct worker_process *proc, uv_pipe_t *pipe,
                       void (*consume)(struct worker_process *proc, const char *bytes, size_t len))
{
    char bytes[16 * 1024];
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)pipe, &fd) != 0)
        return;
    for (int i = 0; i < 256; i++) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n <= 0)
            return;
        consume(proc, bytes, (size_t)n);
    }
}

static void on_process_exit(uv_process_t *handle, int64_t code, int signum)
{
    struct worker_process *proc = handle->data;
    process_move(proc, proc->state == PROCESS_AWAITING ? PROCESS_EXITED_AWAITING
                       : proc->state == PROCESS_SILENT ? PROCESS_EXITED_SILENT
                                                       : PROCESS_ENDED);
    proc->exit_code = (int)code;
    proc->exit_signal = signum;
    drain_pipe(proc, &proc->stderr_pipe, receive_stderr);
    drain_pipe(proc, &proc->channel, receive_bytes);
    worker_process_fail(proc, 0); /* no effect if the process was killed or has failed before */
    close_handles(proc);
}

/* -- spawn and send ------------------------------------------------------------------------------------------------ */

void worker_process_spawn(struct worker_process *proc, uv_loop_t *loop, char *const *command,
                          const struct worker_process_events *events)
{
    *proc = (struct worker_process){.events = events};
    uv_pipe_init(loop, &proc->channel, 0);
    uv_pipe_init(loop, &proc->stderr_pipe, 0);
    proc->handle.data = proc->channel.data = proc->stderr_pipe.data = proc;
    uv_stdio_container_t stdio[WORKER_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&proc->stderr_pipe},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&proc->channel},
    };
    uv_process_options_t options = {
        .exit_cb = on_process_exit,
        .file = command[0],
        .args = (char **)command, /* libuv does not write to it */
        .stdio_count = WORKER_FD + 1,
        .stdio = stdio,
    };
    proc->spawn_error = uv_spawn(loop, &proc->handle, &options);
    if (proc->spawn_error != 0) {
        process_move(proc, PROCESS_ENDED);
        close_handles(proc);
        return;
    }
    process_move(proc, PROCESS_AWAITING);
    uv_read_start((uv_stream_t *)&proc->channel, on_allocate, on_channel_read);
    uv_read_start((uv_stream_t *)&proc->stderr_pipe, on_allocate, on_stderr_read);
}

static void on_write(uv_write_t *write, int status)
{
    struct worker_process *proc = write->handle->data;
    free(container_of(write, struct request_buffer, write));
    if (status != 0 && status != UV_ECANCELED)
        worker_process_fail(proc, 0);
}

struct request_buffer *request_buffer_new(const char *function, size_t len)
{
    struct request_buffer *request_buffer = malloc(sizeof *request_buffer + len);
    if (request_buffer == NULL)
        return NULL;
    request_buffer->frame = (struct request_frame){.len = len};
    CHECK(strlen(function) < sizeof request_buffer->frame.function);
    snprintf(request_buffer->frame.function, sizeof request_buffer->frame.function, "%s", function);
    return request_buffer;
}

void worker_process_send(struct worker_process *proc, struct request_buffer *request_buffer)
{
    process_move(proc, PROCESS_AWAITING);
    request_buffer->frame.number = ++proc->number;
    uv_buf_t buf = uv_buf_init((char *)&request_buffer->frame,
                               (unsigned)(sizeof request_buffer->frame + request_buffer->frame.len));
    if (uv_write(&request_buffer->write, (uv_stream_t *)&proc->channel, &buf, 1, on_write) == 0)
        return;
    free(request_buffer);
    worker_process_fail(proc, 0);
}

bool worker_process_is_ready(const struct worker_process *proc)
{
    char byte;
    uv_os_fd_t fd;
    return is_running(proc) && uv_fileno((const uv_handle_t *)&proc->channel, &fd) == 0 &&
           recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}
