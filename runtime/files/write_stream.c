/* A write_stream has at most one file_work in the files pool at a time: to create the temporary file, to write a block,
 * to commit or to discard the file. The state tells which. The two blocks alternate: the loop fills one while a thread
 * writes the other.
 *
 *     CREATING -> IDLE <-> WRITING
 *        |         +-----> COMMITTING -> COMMITTED
 *        |         |          |
 *        |         +----------+--> DISCARDING   the stream failed; the temporary file is removed now, to free its space
 *        |         |          |        |
 *        +---------+----------+--------+--> FAILED
 *        +--------------------+--------+--> LOST       the shutdown canceled work that a thread may still be doing
 *        +--------------------+--------+--> ABANDONED  write_stream_close() was called while a thread works
 *
 *     IDLE, FAILED, ABANDONED -> CLOSING -> ENDED   the file is discarded in the pool; directly to ENDED if no file
 *                                                   exists or the work can't be submitted
 *     COMMITTED, LOST -> ENDED                      LOST: the next process that starts with this root removes the file
 *
 * WRITING leads to the same states as COMMITTING, except COMMITTED.
 */
#include "runtime/files/write_stream.h"

#include "runtime/files/file_root.h"
#include "runtime/files/file_work.h"
#include "runtime/files/stream.h"
#include "runtime/files/temp_file.h"
#include "runtime/lib/check.h"
#include "runtime/lib/io.h"
#include "runtime/lib/state.h"
#include "runtime/task/task_internal.h"

#include <string.h>
#include <unistd.h>

enum { BLOCK_COUNT = 2, BLOCK_SIZE = 256 * 1024, TEMP_FILE_MODE = 0666 };

enum write_state {
    WRITE_CREATING,
    WRITE_IDLE, /* no work: waits for bytes or for write_stream_finish() */
    WRITE_WRITING,
    WRITE_COMMITTING,
    WRITE_COMMITTED,
    WRITE_DISCARDING,
    WRITE_FAILED,
    WRITE_LOST,
    WRITE_ABANDONED,
    WRITE_CLOSING,
    WRITE_ENDED,
    WRITE_STATE_COUNT
};

/* The states to which the stream moves when a write or a commit does not succeed. */
enum {
    WRITE_FAILURES =
        STATE_BIT(WRITE_DISCARDING) | STATE_BIT(WRITE_FAILED) | STATE_BIT(WRITE_LOST) | STATE_BIT(WRITE_ABANDONED)
};

/* For each state, the states that it may change to. */
static const state_set write_moves[WRITE_STATE_COUNT] = {
    [WRITE_CREATING] =
        STATE_BIT(WRITE_IDLE) | STATE_BIT(WRITE_FAILED) | STATE_BIT(WRITE_LOST) | STATE_BIT(WRITE_ABANDONED),
    [WRITE_IDLE] = STATE_BIT(WRITE_WRITING) | STATE_BIT(WRITE_COMMITTING) | STATE_BIT(WRITE_DISCARDING) |
                   STATE_BIT(WRITE_FAILED) | STATE_BIT(WRITE_CLOSING) | STATE_BIT(WRITE_ENDED),
    [WRITE_WRITING] = STATE_BIT(WRITE_IDLE) | WRITE_FAILURES,
    [WRITE_COMMITTING] = STATE_BIT(WRITE_COMMITTED) | WRITE_FAILURES,
    [WRITE_COMMITTED] = STATE_BIT(WRITE_ENDED),
    [WRITE_DISCARDING] = STATE_BIT(WRITE_FAILED) | STATE_BIT(WRITE_LOST) | STATE_BIT(WRITE_ABANDONED),
    [WRITE_FAILED] = STATE_BIT(WRITE_CLOSING) | STATE_BIT(WRITE_ENDED),
    [WRITE_LOST] = STATE_BIT(WRITE_ENDED),
    [WRITE_ABANDONED] = STATE_BIT(WRITE_CLOSING) | STATE_BIT(WRITE_ENDED),
    [WRITE_CLOSING] = STATE_BIT(WRITE_ENDED),
};

/* State of the caller: SUPPLYING <-> WAITING, and FINISHED from either. */
enum writer {
    WRITER_SUPPLYING, /* may call write_stream_write() */
    WRITER_WAITING,   /* a write_stream_write() took less than `len` bytes: ready() must be called */
    WRITER_FINISHED,  /* write_stream_finish() was called: ready() must be called when the result is known */
};

struct write_block {
    size_t len;
    char *bytes;
};

struct write_stream {
    struct file_work req; /* the work in the files pool, if any */
    struct runtime *runtime;
    struct arena *arena; /* owned reference, until ENDED; this struct and the blocks are in it */
    struct str path;
    write_stream_cb *ready;
    void *user;
    enum write_state state;
    enum writer writer;
    struct temp_file temp_file;             /* fd -1: none */
    const struct file_condition *condition; /* NULL: none */
    struct commit_result result;            /* valid in COMMITTED */
    struct write_block blocks[BLOCK_COUNT];
    unsigned filled, written; /* number of blocks so far; modulo BLOCK_COUNT, the index of the next block */
    struct err error;         /* the first error; rc 0: none */
};

static struct write_stream *write_stream_of(struct file_work *req)
{
    return container_of(req, struct write_stream, req);
}

static void write_stream_move(struct write_stream *stream, enum write_state to)
{
    stream->state = STATE_MOVE(write_moves, stream->state, to);
}

/* -- in the pool --------------------------------------------------------------------------------------------------- */

/* Checks the path and the condition now, so that an upload that can't succeed fails before its body is sent. */
static int work_create(struct file_work *req, struct run_context *run)
{
    struct write_stream *stream = write_stream_of(req);
    struct file_entry entry;
    bool created;
    int rc = file_root_find_target(run->file_root, stream->path, &entry, run->e);
    if (rc != 0)
        return rc;
    rc = temp_file_check_condition(&entry, stream->condition, stream->path, &created, run->e);
    close(entry.dir_fd);
    if (rc != 0)
        return rc;
    return temp_file_create(file_root_temp_dir(run->file_root), TEMP_FILE_MODE, &stream->temp_file, run->e);
}

static int work_write(struct file_work *req, struct run_context *run)
{
    struct write_stream *stream = write_stream_of(req);
    const struct write_block *block = &stream->blocks[stream->written % BLOCK_COUNT];
    int error = io_write_full(stream->temp_file.fd, block->bytes, block->len, NULL);
    return error == 0 ? 0 : file_error_set_errno(run->e, error, stream->path);
}

static int work_commit(struct file_work *req, struct run_context *run)
{
    struct write_stream *stream = write_stream_of(req);
    struct file_entry entry;
    int rc = file_root_find_target(run->file_root, stream->path, &entry, run->e);
    if (rc != 0)
        return rc;
    rc = temp_file_commit_if(file_root_temp_dir(run->file_root), &stream->temp_file, &entry, stream->condition,
                             stream->path, &stream->result, run->e);
    close(entry.dir_fd);
    return rc;
}

static int work_discard(struct file_work *req, struct run_context *run)
{
    struct write_stream *stream = write_stream_of(req);
    temp_file_discard(file_root_temp_dir(run->file_root), &stream->temp_file);
    return 0;
}

/* -- on the loop --------------------------------------------------------------------------------------------------- */

static void write_stream_end(struct write_stream *stream)
{
    write_stream_move(stream, WRITE_ENDED);
    stream_slot_release(stream->runtime);
    arena_unref(stream->arena);
}

/* Starts work in the pool and moves to the state `to`. If the work can't be submitted, moves to FAILED; the temporary
 * file is then discarded when the stream is closed. */
static void start_work(struct write_stream *stream, enum write_state to,
                       int (*work)(struct file_work *req, struct run_context *run))
{
    struct err e;
    stream->req.work = work;
    int rc = file_work_continue(stream->runtime, &stream->req, &e);
    if (rc != 0 && stream->error.rc == 0)
        stream->error = e;
    write_stream_move(stream, rc == 0 ? to : WRITE_FAILED);
}

/* Discards the temporary file and ends the stream. Must not be called while work is in the pool. */
static void write_stream_discard(struct write_stream *stream)
{
    stream->req.work = work_discard;
    if (stream->temp_file.fd >= 0 && file_work_continue(stream->runtime, &stream->req, NULL) == 0) {
        write_stream_move(stream, WRITE_CLOSING);
        return;
    }
    if (stream->temp_file.fd >= 0)
        temp_file_discard(file_root_temp_dir(stream->runtime->file_root), &stream->temp_file); /* blocks only briefly */
    write_stream_end(stream);
}

/* Starts to write the next full block, or to commit a finished file. */
static void write_stream_advance(struct write_stream *stream)
{
    if (stream->state != WRITE_IDLE)
        return;
    if (stream->writer == WRITER_FINISHED && stream->filled - stream->written < BLOCK_COUNT &&
        stream->blocks[stream->filled % BLOCK_COUNT].len > 0)
        stream->filled++; /* the last block may be partly filled */
    if (stream->filled != stream->written)
        start_work(stream, WRITE_WRITING, work_write);
    else if (stream->writer == WRITER_FINISHED)
        start_work(stream, WRITE_COMMITTING, work_commit);
}

static void write_stream_fail(struct write_stream *stream, const struct err *e)
{
    stream->error = *e;
    if (e->rc == ERR_SHUTTING_DOWN)
        write_stream_move(stream, WRITE_LOST);
    else if (stream->temp_file.fd >= 0)
        start_work(stream, WRITE_DISCARDING, work_discard);
    else
        write_stream_move(stream, WRITE_FAILED);
}

/* Calls ready() if the caller waits for it. */
static void write_stream_notify(struct write_stream *stream)
{
    bool settled = stream->state == WRITE_COMMITTED || stream->state == WRITE_FAILED || stream->state == WRITE_LOST;
    if (stream->writer == WRITER_SUPPLYING || (stream->writer == WRITER_FINISHED && !settled))
        return;
    if (stream->writer == WRITER_WAITING)
        stream->writer = WRITER_SUPPLYING;
    stream->ready(stream, &stream->error, stream->user);
}

/* Handles the end of work, if the stream was not closed meanwhile. */
static void on_progress(struct write_stream *stream, const struct err *e)
{
    if (stream->state == WRITE_DISCARDING) {
        write_stream_move(stream, e->rc == ERR_SHUTTING_DOWN ? WRITE_LOST : WRITE_FAILED);
    } else if (e->rc != 0) {
        write_stream_fail(stream, e);
    } else if (stream->state == WRITE_COMMITTING) {
        write_stream_move(stream, WRITE_COMMITTED);
    } else {
        if (stream->state == WRITE_WRITING)
            stream->blocks[stream->written++ % BLOCK_COUNT].len = 0;
        write_stream_move(stream, WRITE_IDLE);
        write_stream_advance(stream);
    }
    write_stream_notify(stream);
}

static void write_stream_on_work_done(struct file_work *req, const struct err *e)
{
    struct write_stream *stream = write_stream_of(req);
    switch (stream->state) {
    case WRITE_CREATING:
    case WRITE_WRITING:
    case WRITE_COMMITTING:
    case WRITE_DISCARDING:
        on_progress(stream, e);
        break;
    case WRITE_ABANDONED:
        if (e->rc == ERR_SHUTTING_DOWN)
            write_stream_end(stream);
        else
            write_stream_discard(stream);
        break;
    case WRITE_CLOSING:
        write_stream_end(stream);
        break;
    case WRITE_IDLE:
    case WRITE_COMMITTED:
    case WRITE_FAILED:
    case WRITE_LOST:
    case WRITE_ENDED:
    case WRITE_STATE_COUNT:
        UNREACHABLE(); /* these states have no work in the pool */
    }
}

int write_stream_open(struct runtime *runtime, struct str path, const struct file_condition *condition,
                      write_stream_cb *ready, void *user, struct write_stream **out, struct err *e)
{
    int rc = stream_slot_acquire(runtime, e);
    if (rc != 0)
        return rc;
    struct arena *arena = arena_new();
    struct write_stream *stream = arena == NULL ? NULL : arena_alloc(arena, sizeof *stream);
    bool ok = stream != NULL && arena_str(arena, path.data, path.len, &stream->path);
    for (int i = 0; ok && i < BLOCK_COUNT; i++)
        ok = (stream->blocks[i].bytes = arena_alloc_large(arena, BLOCK_SIZE)) != NULL;
    if (ok && condition != NULL)
        ok = arena_retain(arena, condition->arena);
    if (!ok) {
        rc = err_nomem(e);
        goto err_after_slot;
    }
    stream->runtime = runtime;
    stream->arena = arena;
    stream->ready = ready;
    stream->user = user;
    stream->state = WRITE_CREATING;
    stream->writer = WRITER_SUPPLYING;
    stream->condition = condition;
    stream->temp_file.fd = -1;
    stream->req = (struct file_work){.arena = arena, .work = work_create, .done = write_stream_on_work_done};
    rc = file_work_submit(runtime, &stream->req, e);
    if (rc != 0)
        goto err_after_slot;
    *out = stream;
    return 0;

err_after_slot:
    arena_unref(arena);
    stream_slot_release(runtime);
    return rc;
}

size_t write_stream_write(struct write_stream *stream, const char *bytes, size_t len)
{
    size_t consumed = 0;
    while (consumed < len && stream->error.rc == 0) {
        if (stream->filled - stream->written == BLOCK_COUNT) {
            stream->writer = WRITER_WAITING;
            return consumed;
        }
        struct write_block *block = &stream->blocks[stream->filled % BLOCK_COUNT];
        size_t space = BLOCK_SIZE - block->len, n = len - consumed < space ? len - consumed : space;
        memcpy(block->bytes + block->len, bytes + consumed, n);
        block->len += n;
        consumed += n;
        if (block->len == BLOCK_SIZE) {
            stream->filled++;
            write_stream_advance(stream);
        }
    }
    return len;
}

void write_stream_finish(struct write_stream *stream)
{
    stream->writer = WRITER_FINISHED;
    write_stream_advance(stream);
    write_stream_notify(stream);
}

bool write_stream_failed(const struct write_stream *stream, struct err *e)
{
    if (stream->error.rc != 0)
        *e = stream->error;
    return stream->error.rc != 0;
}

void write_stream_get_result(const struct write_stream *stream, struct file_version *version, bool *created)
{
    CHECK(stream->state == WRITE_COMMITTED);
    *version = stream->result.version;
    *created = stream->result.created;
}

void write_stream_close(struct write_stream *stream)
{
    switch (stream->state) {
    case WRITE_CREATING:
    case WRITE_WRITING:
    case WRITE_COMMITTING:
    case WRITE_DISCARDING:
        write_stream_move(stream, WRITE_ABANDONED);
        break;
    case WRITE_IDLE:
    case WRITE_FAILED:
        write_stream_discard(stream);
        break;
    case WRITE_COMMITTED:
    case WRITE_LOST:
        write_stream_end(stream);
        break;
    case WRITE_ABANDONED:
    case WRITE_CLOSING:
    case WRITE_ENDED:
    case WRITE_STATE_COUNT:
        UNREACHABLE(); /* the stream was closed before */
    }
}
