#include "runtime/files/write_stream.h"

#include "runtime/files/file_root.h"
#include "runtime/files/file_work.h"
#include "runtime/files/stream.h"
#include "runtime/files/temp_file.h"
#include "runtime/lib/check.h"
#include "runtime/task/task_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_COUNT = 2, BLOCK_SIZE = 256 * 1024, TEMP_FILE_MODE = 0666 };

struct block {
    size_t len;
    bool full; /* to be written */
    char *bytes;
};

struct write_stream {
    struct file_work req; /* one at a time; what it works on is the sink */
    struct runtime *runtime;
    struct arena *arena; /* a reference, until it ends; holds the sink and its blocks */
    struct str path;
    write_stream_cb *ready;
    void *user;
    struct temp_file temp_file;             /* fd -1: there is none */
    const struct file_condition *condition; /* NULL: none */
    struct commit_result result;            /* once it is in its place */
    struct block blocks[BLOCK_COUNT];
    unsigned filling, writing; /* which block is next for each */
    bool busy;                 /* a step is under way */
    bool writer_waiting;       /* write_stream_write() took less than all: ready() is owed */
    bool finishing;            /* write_stream_finish() was called: ready() is owed in the end */
    bool finished;
    bool closed;
    bool orphaned;    /* the shutdown took a step away that may still be under way: the draft is not ours to touch, and
                          * the next start sweeps it up */
    struct err error; /* rc 0: it has not */
};

static struct write_stream *write_stream_of(struct file_work *req)
{
    return container_of(req, struct write_stream, req);
}

/* -- in the pool --------------------------------------------------------------------------------------------------- */

static int work_create(struct file_work *req, struct run_context *run)
{
    struct write_stream *stream = write_stream_of(req);
    struct file_entry entry; /* a place that can't be is told at once, not after a gigabyte */
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
    struct block *block = &stream->blocks[stream->writing];
    for (size_t done = 0; done < block->len;) {
        ssize_t n = write(stream->temp_file.fd, block->bytes + done, block->len - done);
        if (n < 0 && errno != EINTR)
            return file_error_set_errno(run->e, errno, stream->path);
        done += n < 0 ? 0 : (size_t)n;
    }
    return 0;
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
    stream->temp_file.fd = -1;
    return 0;
}

/* -- on the loop --------------------------------------------------------------------------------------------------- */

static void write_stream_release(struct write_stream *stream)
{
    stream_slot_release(stream->runtime);
    arena_unref(stream->arena);
}

static void on_discarded(struct file_work *req, const struct err *e)
{
    (void)e;
    write_stream_release(write_stream_of(req));
}

/* Nothing of it is under way any more. */
static void write_stream_destroy(struct write_stream *stream)
{
    stream->req.work = work_discard;
    stream->req.done = on_discarded;
    if (stream->orphaned)
        stream->temp_file.fd = -1;
    if (stream->temp_file.fd >= 0 && file_work_continue(stream->runtime, &stream->req, NULL) == 0)
        return;
    if (stream->temp_file.fd >= 0)
        temp_file_discard(file_root_temp_dir(stream->runtime->file_root),
                          &stream->temp_file); /* no thread to be had; an unlink waits for little */
    write_stream_release(stream);
}

static void on_work_done(struct file_work *req, const struct err *e);

static bool write_stream_submit(struct write_stream *stream,
                                int (*work)(struct file_work *req, struct run_context *run))
{
    stream->req.work = work;
    stream->req.done = on_work_done;
    struct err e;
    int rc = work == work_create ? file_work_submit(stream->runtime, &stream->req, &e)
                                 : file_work_continue(stream->runtime, &stream->req, &e);
    if (rc != 0 && stream->error.rc == 0)
        stream->error = e;
    stream->busy = rc == 0;
    return stream->busy;
}

/* Does what is to be done next. False: nothing is under way, and nothing will be by itself. */
static bool write_stream_advance(struct write_stream *stream)
{
    if (stream->busy)
        return true;
    if (stream->finished || (stream->error.rc != 0 && (stream->temp_file.fd < 0 || stream->orphaned)))
        return false;
    if (stream->error.rc != 0) /* what is there so far takes space that others may need */
        return write_stream_submit(stream, work_discard);
    struct block *filling = &stream->blocks[stream->filling];
    if (stream->finishing && filling->len > 0 && !filling->full) {
        filling->full = true;
        stream->filling = (stream->filling + 1) % BLOCK_COUNT;
    }
    if (stream->blocks[stream->writing].full)
        return write_stream_submit(stream, work_write);
    return stream->finishing && write_stream_submit(stream, work_commit);
}

static void write_stream_notify(struct write_stream *stream)
{
    stream->writer_waiting = false;
    stream->ready(stream, &stream->error, stream->user);
}

static void on_work_done(struct file_work *req, const struct err *e)
{
    struct write_stream *stream = write_stream_of(req);
    bool committed = req->work == work_commit, wrote = req->work == work_write;
    stream->busy = false;
    stream->orphaned = e->rc == ERR_SHUTTING_DOWN;
    if (stream->closed) {
        write_stream_destroy(stream);
        return;
    }
    if (e->rc != 0) {
        stream->error = *e;
    } else if (wrote) {
        struct block *block = &stream->blocks[stream->writing];
        block->full = false;
        block->len = 0;
        stream->writing = (stream->writing + 1) % BLOCK_COUNT;
    }
    stream->finished = committed && e->rc == 0;
    bool more = write_stream_advance(stream);
    if (stream->writer_waiting || (stream->finishing && !more))
        write_stream_notify(stream);
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
        arena_unref(arena);
        stream_slot_release(runtime);
        return err_nomem(e);
    }
    stream->runtime = runtime;
    stream->arena = arena;
    stream->ready = ready;
    stream->user = user;
    stream->condition = condition;
    stream->temp_file.fd = -1;
    stream->req.arena = arena;
    if (!write_stream_submit(stream, work_create)) {
        rc = stream->error.rc;
        *e = stream->error;
        arena_unref(arena);
        stream_slot_release(runtime);
        return rc;
    }
    *out = stream;
    return 0;
}

size_t write_stream_write(struct write_stream *stream, const char *bytes, size_t len)
{
    size_t consumed = 0;
    while (consumed < len && stream->error.rc == 0) {
        struct block *block = &stream->blocks[stream->filling];
        if (block->full) {
            stream->writer_waiting = true;
            break;
        }
        size_t space = BLOCK_SIZE - block->len, n = len - consumed < space ? len - consumed : space;
        memcpy(block->bytes + block->len, bytes + consumed, n);
        block->len += n;
        consumed += n;
        if (block->len == BLOCK_SIZE) {
            block->full = true;
            stream->filling = (stream->filling + 1) % BLOCK_COUNT;
            write_stream_advance(stream);
        }
    }
    if (stream->error.rc != 0) {
        stream->writer_waiting = false;
        consumed = len;
    }
    return consumed;
}

void write_stream_finish(struct write_stream *stream)
{
    stream->finishing = true;
    if (!write_stream_advance(stream))
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
    CHECK(stream->finished);
    *version = stream->result.version;
    *created = stream->result.created;
}

void write_stream_close(struct write_stream *stream)
{
    stream->closed = true;
    if (!stream->busy)
        write_stream_destroy(stream);
}
