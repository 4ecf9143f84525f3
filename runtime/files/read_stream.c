/* A read_stream has at most one file_work in the files pool at a time: to open the file, to read a block or to close
 * the file. The state tells which. The two blocks alternate: a thread fills one while the loop drains the other.
 *
 *     OPENING -> IDLE <-> READING -> AWAITED      a thread reads a block; AWAITED: the caller waits for that block
 *        |        ^|         |        |
 *        |        +|---------|--------+
 *        +---------+---------+--------+--> FAILED     the file can't be opened or read
 *        +-------------------+--------+--> LOST       the shutdown canceled work that a thread may still be doing
 *        +-------------------+--------+--> ABANDONED  read_stream_close() was called while a thread works
 *
 *     IDLE, FAILED, ABANDONED -> CLOSING -> ENDED   close(2) runs in the pool; directly to ENDED if the file is not
 *                                                   open or the work can't be submitted
 *     LOST -> ENDED                                 a thread may use the descriptor, which stays open until the process
 *                                                   ends
 */
#include "runtime/files/read_stream.h"

#include "runtime/files/file_root.h"
#include "runtime/files/file_work.h"
#include "runtime/files/stream.h"
#include "runtime/lib/check.h"
#include "runtime/lib/io.h"
#include "runtime/lib/state.h"
#include "runtime/task/task_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_COUNT = 2, BLOCK_SIZE = 256 * 1024 };

enum read_state {
    READ_OPENING,
    READ_IDLE, /* no work: the blocks are full, or the whole file has been read */
    READ_READING,
    READ_AWAITED,
    READ_FAILED,
    READ_LOST,
    READ_ABANDONED,
    READ_CLOSING,
    READ_ENDED,
    READ_STATE_COUNT
};

/* For each state, the states that it may change to. */
static const state_set read_moves[READ_STATE_COUNT] = {
    [READ_OPENING] = STATE_BIT(READ_IDLE) | STATE_BIT(READ_FAILED) | STATE_BIT(READ_LOST) | STATE_BIT(READ_ABANDONED),
    [READ_IDLE] = STATE_BIT(READ_READING) | STATE_BIT(READ_FAILED) | STATE_BIT(READ_CLOSING) | STATE_BIT(READ_ENDED),
    [READ_READING] = STATE_BIT(READ_AWAITED) | STATE_BIT(READ_IDLE) | STATE_BIT(READ_FAILED) | STATE_BIT(READ_LOST) |
                     STATE_BIT(READ_ABANDONED),
    [READ_AWAITED] = STATE_BIT(READ_IDLE) | STATE_BIT(READ_FAILED) | STATE_BIT(READ_LOST) | STATE_BIT(READ_ABANDONED),
    [READ_FAILED] = STATE_BIT(READ_CLOSING) | STATE_BIT(READ_ENDED),
    [READ_LOST] = STATE_BIT(READ_ENDED),
    [READ_ABANDONED] = STATE_BIT(READ_CLOSING) | STATE_BIT(READ_ENDED),
    [READ_CLOSING] = STATE_BIT(READ_ENDED),
};

struct read_block {
    size_t len, consumed;
    char *bytes;
};

struct read_stream {
    struct file_work req; /* the work in the files pool, if any */
    struct runtime *runtime;
    struct arena *arena; /* owned reference, until ENDED; this struct and the blocks are in it */
    struct str path;
    read_stream_cb *ready;
    void *user;
    enum read_state state;
    int fd;                      /* set by work_open(); -1 before */
    struct file_version version; /* set by work_open() */
    uint64_t offset;             /* of the next read */
    struct read_block blocks[BLOCK_COUNT];
    unsigned filled, drained; /* number of blocks so far; modulo BLOCK_COUNT, the index of the next block */
};

static struct read_stream *read_stream_of(struct file_work *req)
{
    return container_of(req, struct read_stream, req);
}

static void read_stream_move(struct read_stream *stream, enum read_state to)
{
    stream->state = STATE_MOVE(read_moves, stream->state, to);
}

/* -- in the pool --------------------------------------------------------------------------------------------------- */

static int work_open(struct file_work *req, struct run_context *run)
{
    struct read_stream *stream = read_stream_of(req);
    struct stat st;
    int rc = file_root_open(run->file_root, stream->path, O_RDONLY, 0, &stream->fd, run->e);
    if (rc != 0)
        return rc;
    if (fstat(stream->fd, &st) != 0)
        return file_error_set_errno(run->e, errno, stream->path);
    posix_fadvise(stream->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    stream->version = file_version_of(&st);
    return 0;
}

static int work_read(struct file_work *req, struct run_context *run)
{
    struct read_stream *stream = read_stream_of(req);
    struct read_block *block = &stream->blocks[stream->filled % BLOCK_COUNT];
    uint64_t left = stream->version.size_bytes - stream->offset;
    size_t len = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
    ssize_t n = io_pread_full(stream->fd, block->bytes, len, (off_t)stream->offset);
    if (n < 0)
        return file_error_set_errno(run->e, errno, stream->path);
    if ((size_t)n < len)
        return file_error_set(run->e, ERR_IO_ERROR, stream->path, "the file was truncated while it was read");
    block->len = len;
    block->consumed = 0;
    return 0;
}

static int work_close(struct file_work *req, struct run_context *run)
{
    (void)run;
    close(read_stream_of(req)->fd);
    return 0;
}

/* -- on the loop --------------------------------------------------------------------------------------------------- */

static void read_stream_end(struct read_stream *stream)
{
    read_stream_move(stream, READ_ENDED);
    stream_slot_release(stream->runtime);
    arena_unref(stream->arena);
}

/* Closes the file. Must not be called while work is in the pool. */
static void read_stream_close_file(struct read_stream *stream)
{
    stream->req.work = work_close;
    if (stream->fd >= 0 && file_work_continue(stream->runtime, &stream->req, NULL) == 0) {
        read_stream_move(stream, READ_CLOSING);
        return;
    }
    if (stream->fd >= 0)
        close(stream->fd); /* does not block the loop: nothing was written */
    read_stream_end(stream);
}

/* Starts to read the next block, if one is free and the file has more bytes. */
static void read_ahead(struct read_stream *stream)
{
    struct err e;
    if (stream->state != READ_IDLE || stream->filled - stream->drained == BLOCK_COUNT ||
        stream->offset >= stream->version.size_bytes)
        return;
    stream->req.work = work_read;
    read_stream_move(stream, file_work_continue(stream->runtime, &stream->req, &e) == 0 ? READ_READING : READ_FAILED);
}

static void on_opened(struct read_stream *stream, const struct err *e)
{
    read_stream_move(stream, e->rc == 0 ? READ_IDLE : e->rc == ERR_SHUTTING_DOWN ? READ_LOST : READ_FAILED);
    read_ahead(stream);
    stream->ready(stream, e, stream->user);
}

static void on_block_read(struct read_stream *stream, const struct err *e)
{
    bool awaited = stream->state == READ_AWAITED;
    if (e->rc != 0) {
        read_stream_move(stream, e->rc == ERR_SHUTTING_DOWN ? READ_LOST : READ_FAILED);
    } else {
        stream->offset += stream->blocks[stream->filled % BLOCK_COUNT].len;
        stream->filled++;
        read_stream_move(stream, READ_IDLE);
        read_ahead(stream);
    }
    if (awaited)
        stream->ready(stream, e, stream->user);
}

static void read_stream_on_work_done(struct file_work *req, const struct err *e)
{
    struct read_stream *stream = read_stream_of(req);
    switch (stream->state) {
    case READ_OPENING:
        on_opened(stream, e);
        break;
    case READ_READING:
    case READ_AWAITED:
        on_block_read(stream, e);
        break;
    case READ_ABANDONED:
        if (e->rc == ERR_SHUTTING_DOWN)
            read_stream_end(stream);
        else
            read_stream_close_file(stream);
        break;
    case READ_CLOSING:
        read_stream_end(stream);
        break;
    case READ_IDLE:
    case READ_FAILED:
    case READ_LOST:
    case READ_ENDED:
    case READ_STATE_COUNT:
        UNREACHABLE(); /* these states have no work in the pool */
    }
}

int read_stream_open(struct runtime *runtime, struct str path, bool continuation, read_stream_cb *ready, void *user,
                     struct read_stream **out, struct err *e)
{
    int rc = stream_slot_acquire(runtime, e);
    if (rc != 0)
        return rc;
    struct arena *arena = arena_new();
    struct read_stream *stream = arena == NULL ? NULL : arena_alloc(arena, sizeof *stream);
    bool ok = stream != NULL && arena_str(arena, path.data, path.len, &stream->path);
    for (int i = 0; ok && i < BLOCK_COUNT; i++)
        ok = (stream->blocks[i].bytes = arena_alloc_large(arena, BLOCK_SIZE)) != NULL;
    if (!ok) {
        rc = err_nomem(e);
        goto err_after_slot;
    }
    stream->runtime = runtime;
    stream->arena = arena;
    stream->ready = ready;
    stream->user = user;
    stream->state = READ_OPENING;
    stream->fd = -1;
    stream->req = (struct file_work){.arena = arena, .work = work_open, .done = read_stream_on_work_done};
    rc = continuation ? file_work_continue(runtime, &stream->req, e) : file_work_submit(runtime, &stream->req, e);
    if (rc != 0)
        goto err_after_slot;
    *out = stream;
    return 0;

err_after_slot:
    arena_unref(arena);
    stream_slot_release(runtime);
    return rc;
}

void read_stream_get_version(const struct read_stream *stream, struct file_version *out)
{
    CHECK(stream->state != READ_OPENING);
    *out = stream->version;
}

ssize_t read_stream_read(struct read_stream *stream, char *out, size_t max_len)
{
    if (stream->filled == stream->drained) {
        if (stream->state != READ_READING && stream->state != READ_AWAITED)
            return READ_STREAM_FAILED;
        if (stream->state == READ_READING)
            read_stream_move(stream, READ_AWAITED);
        return READ_STREAM_EMPTY;
    }
    struct read_block *block = &stream->blocks[stream->drained % BLOCK_COUNT];
    size_t left = block->len - block->consumed, n = left < max_len ? left : max_len;
    memcpy(out, block->bytes + block->consumed, n);
    block->consumed += n;
    if (block->consumed == block->len) {
        stream->drained++;
        read_ahead(stream);
    }
    return (ssize_t)n;
}

void read_stream_close(struct read_stream *stream)
{
    if (stream->state == READ_LOST)
        read_stream_end(stream);
    else if (stream->state == READ_IDLE || stream->state == READ_FAILED)
        read_stream_close_file(stream);
    else
        read_stream_move(stream, READ_ABANDONED);
}
