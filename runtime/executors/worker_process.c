#include "runtime/executors/worker_process.h"

#include "runtime/lib/check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- the end ------------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct worker_process *c = handle->data;
    if (--c->handles > 0)
        return;
    free(c->output);
    c->output = NULL;
    c->events->gone(c);
}

static void close_handles(struct worker_process *c)
{
    c->handles = 3;
    uv_close((uv_handle_t *)&c->process, on_closed);
    uv_close((uv_handle_t *)&c->channel, on_closed);
    uv_close((uv_handle_t *)&c->errors, on_closed);
}

void worker_process_kill(struct worker_process *c)
{
    c->over = true;
    if (!c->exited)
        uv_process_kill(&c->process, SIGKILL);
}

static void give_up(struct worker_process *c, int fault)
{
    if (c->over)
        return;
    c->fault = fault;
    worker_process_kill(c);
    c->events->unfit(c);
}

/* -- what it says -------------------------------------------------------------------------------------------------- */

static void end_frame(struct worker_process *c)
{
    char *output = c->output;
    c->output = NULL;
    c->got = 0;
    c->awaited = false;
    if (!c->events->frame(c, &c->answer, output))
        give_up(c, ERR_WORKER_CRASHED);
    free(output);
}

/* Looks at the head as soon as it is there: what is no answer may not end either. */
static int begin_output(struct worker_process *c)
{
    if (c->answer.number != c->number || c->answer.len > FRAME_MOST)
        return ERR_WORKER_CRASHED;
    c->output = malloc(c->answer.len + 1);
    return c->output == NULL ? ERR_OUT_OF_MEMORY : 0;
}

static void take_bytes(struct worker_process *c, const char *bytes, size_t len)
{
    const size_t head = sizeof c->answer;
    while (len > 0 && !c->over) {
        if (!c->awaited) {
            give_up(c, ERR_WORKER_CRASHED);
            return;
        }
        char *to = c->got < head ? (char *)&c->answer + c->got : c->output + (c->got - head);
        size_t missing = (c->got < head ? head : head + c->answer.len) - c->got;
        size_t n = len < missing ? len : missing;
        memcpy(to, bytes, n);
        c->got += n;
        bytes += n;
        len -= n;
        int fault = c->got == head ? begin_output(c) : 0;
        if (fault == 0 && c->got >= head && c->got == head + c->answer.len && len > 0)
            fault = ERR_WORKER_CRASHED; /* it goes on unasked: then this is no answer to trust either */
        if (fault != 0)
            give_up(c, fault);
        else if (c->got >= head && c->got == head + c->answer.len)
            end_frame(c);
    }
}

static void take_words(struct worker_process *c, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            c->words_ended = true;
            continue;
        }
        if (c->words_ended)
            c->words_len = 0;
        c->words_ended = false;
        if (c->words_len < sizeof c->words - 1)
            c->words[c->words_len++] = bytes[i] >= ' ' && bytes[i] < 127 ? bytes[i] : '?';
    }
    c->words[c->words_len] = '\0';
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    buf->base = malloc(suggested);
    buf->len = buf->base == NULL ? 0 : suggested;
}

static void on_channel_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct worker_process *c = stream->data;
    if (n > 0)
        take_bytes(c, buf->base, (size_t)n);
    free(buf->base);
    if (n < 0 && n != UV_ENOBUFS) { /* for want of memory it is tried again at the next turn */
        uv_read_stop(stream);
        give_up(c, 0);
    }
}

static void on_errors_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n > 0)
        take_words(stream->data, buf->base, (size_t)n);
    free(buf->base);
    if (n < 0 && n != UV_ENOBUFS)
        uv_read_stop(stream);
}

/* What it had said before it exited. Its end of the pipe may live on in a process that it left behind, so this does not
 * wait for an end, and takes no more than a socket holds. */
static void take_rest(struct worker_process *c, uv_pipe_t *pipe,
                      void (*take)(struct worker_process *c, const char *bytes, size_t len))
{
    char bytes[16 * 1024];
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)pipe, &fd) != 0)
        return;
    for (int i = 0; i < 256; i++) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n <= 0)
            return;
        take(c, bytes, (size_t)n);
    }
}

static void on_ended(uv_process_t *process, int64_t code, int signum)
{
    struct worker_process *c = process->data;
    c->exited = true;
    c->exit_code = (int)code;
    c->exit_signal = signum;
    take_rest(c, &c->errors, take_words);
    take_rest(c, &c->channel, take_bytes);
    give_up(c, 0);
    close_handles(c);
}

/* -- the beginning ------------------------------------------------------------------------------------------------- */

void worker_process_spawn(struct worker_process *c, uv_loop_t *loop, char *const *command,
                          const struct worker_process_events *events)
{
    *c = (struct worker_process){.events = events, .awaited = true};
    uv_pipe_init(loop, &c->channel, 0);
    uv_pipe_init(loop, &c->errors, 0);
    c->process.data = c->channel.data = c->errors.data = c;
    uv_stdio_container_t stdio[WORKER_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->errors},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->channel},
    };
    uv_process_options_t options = {
        .exit_cb = on_ended,
        .file = command[0],
        .args = (char **)command, /* libuv does not write to it */
        .stdio_count = WORKER_FD + 1,
        .stdio = stdio,
    };
    c->spawn_error = uv_spawn(loop, &c->process, &options);
    if (c->spawn_error != 0) {
        c->exited = c->over = true;
        close_handles(c);
        return;
    }
    uv_read_start((uv_stream_t *)&c->channel, on_allocate, on_channel_read);
    uv_read_start((uv_stream_t *)&c->errors, on_allocate, on_errors_read);
}

static void on_written(uv_write_t *write, int status)
{
    struct worker_process *c = write->handle->data;
    free(container_of(write, struct parcel, write));
    if (status != 0 && status != UV_ECANCELED)
        give_up(c, 0);
}

struct parcel *parcel_new(const char *function, size_t len)
{
    struct parcel *parcel = malloc(sizeof *parcel + len);
    if (parcel == NULL)
        return NULL;
    parcel->frame = (struct request_frame){.len = len};
    CHECK(strlen(function) < sizeof parcel->frame.function);
    snprintf(parcel->frame.function, sizeof parcel->frame.function, "%s", function);
    return parcel;
}

void worker_process_send(struct worker_process *c, struct parcel *parcel)
{
    c->awaited = true;
    parcel->frame.number = ++c->number;
    uv_buf_t buf = uv_buf_init((char *)&parcel->frame, (unsigned)(sizeof parcel->frame + parcel->frame.len));
    if (uv_write(&parcel->write, (uv_stream_t *)&c->channel, &buf, 1, on_written) == 0)
        return;
    free(parcel);
    give_up(c, 0);
}

bool worker_process_is_ready(const struct worker_process *c)
{
    char byte;
    uv_os_fd_t fd;
    return !c->over && !c->exited && uv_fileno((const uv_handle_t *)&c->channel, &fd) == 0 &&
           recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}
