#include "runtime/files/read_stream.h"

#include "runtime/files/file_root.h"
#include "runtime/files/file_work.h"
#include "runtime/files/stream.h"
#include "runtime/lib/check.h"
#include "runtime/task/task_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_COUNT = 2, BLOCK_SIZE = 256 * 1024 };

struct block {
    size_t len, consumed;
    bool full; /* has something to take */
    char *bytes;
};

struct read_stream {
    struct file_work req; /* one at a time; first: what it works on is the source */
    struct runtime *runtime;
    struct arena *arena; /* a reference, until read_stream_close(); holds the source and its blocks */
    struct str path;
    read_stream_cb *ready;
    void *user;
    int fd; /* set by the first step; -1 before */
    struct file_version version;
    uint64_t offset; /* of the next read */
    struct block blocks[BLOCK_COUNT];
    unsigned filling, draining; /* which block is next for each */
    bool busy;                  /* a step is under way */
    bool open;                  /* the first step has succeeded */
    bool reader_waiting;        /* read_stream_read() found nothing: ready() is owed */
    bool failed;
    bool closed;
    bool orphaned; /* the shutdown took a step away that may still be under way: the descriptor is not ours to close */
};

static struct read_stream *read_stream_of(struct file_work *req)
{
    return container_of(req, struct read_stream, req);
}

static int work_open(struct file_work *req, struct run_context *run)
{
    struct read_stream *stream = read_stream_of(req);
    struct stat st;
    int rc = file_root_open(run->file_root, stream->path, O_RDONLY, 0, &stream->fd, run->e);
    if (rc != 0)
        return rc;
    if (fstat(stream->fd, &st) != 0)
        return err_set(run->e, ERR_IO_ERROR, "%s can't be looked at", stream->path.data);
    posix_fadvise(stream->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    stream->version = file_version_of(&st);
    return 0;
}

static int work_read(struct file_work *req, struct run_context *run)
{
    struct read_stream *stream = read_stream_of(req);
    struct block *block = &stream->blocks[stream->filling];
    uint64_t left = stream->version.size_bytes - stream->offset;
    size_t want = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
    block->len = block->consumed = 0;
    while (block->len < want) {
        ssize_t n =
            pread(stream->fd, block->bytes + block->len, want - block->len, (off_t)(stream->offset + block->len));
        if (n <= 0)
            return err_set(run->e, ERR_IO_ERROR, "%s can't be read on", stream->path.data);
        block->len += (size_t)n;
    }
    return 0;
}

static int work_close(struct file_work *req, struct run_context *run)
{
    (void)run;
    close(read_stream_of(req)->fd);
    return 0;
}

static void read_stream_release(struct read_stream *stream)
{
    stream_slot_release(stream->runtime);
    arena_unref(stream->arena);
}

static void read_stream_on_closed(struct file_work *req, const struct err *e)
{
    (void)e;
    read_stream_release(read_stream_of(req));
}

/* Nothing of it is under way any more. */
static void read_stream_destroy(struct read_stream *stream)
{
    stream->req.work = work_close;
    stream->req.done = read_stream_on_closed;
    if (stream->orphaned)
        stream->fd = -1;
    if (stream->fd >= 0 && file_work_continue(stream->runtime, &stream->req, NULL) == 0)
        return;
    if (stream->fd >= 0)
        close(stream->fd); /* no thread to be had: of a file that was only read, it has nothing to wait for */
    read_stream_release(stream);
}

static void read_stream_notify(struct read_stream *stream, const struct err *e)
{
    stream->reader_waiting = false;
    stream->ready(stream, e, stream->user);
}

static void on_read(struct file_work *req, const struct err *e);

/* Reads ahead while there is a free block and something left. */
static void read_ahead(struct read_stream *stream)
{
    struct err e;
    struct block *block = &stream->blocks[stream->filling];
    if (stream->busy || stream->failed || block->full || stream->offset >= stream->version.size_bytes)
        return;
    stream->req.work = work_read;
    stream->req.done = on_read;
    if (file_work_continue(stream->runtime, &stream->req, &e) == 0)
        stream->busy = true;
    else
        stream->failed = true;
}

static void on_read(struct file_work *req, const struct err *e)
{
    struct read_stream *stream = read_stream_of(req);
    stream->busy = false;
    stream->orphaned = e->rc == ERR_SHUTTING_DOWN;
    if (stream->closed) {
        read_stream_destroy(stream);
        return;
    }
    if (e->rc != 0) {
        stream->failed = true;
    } else {
        struct block *block = &stream->blocks[stream->filling];
        block->full = true;
        stream->offset += block->len;
        stream->filling = (stream->filling + 1) % BLOCK_COUNT;
        read_ahead(stream);
    }
    if (stream->reader_waiting)
        read_stream_notify(stream, e);
}

static void on_open(struct file_work *req, const struct err *e)
{
    struct read_stream *stream = read_stream_of(req);
    stream->busy = false;
    stream->orphaned = e->rc == ERR_SHUTTING_DOWN;
    if (stream->closed) {
        read_stream_destroy(stream);
        return;
    }
    stream->open = e->rc == 0;
    if (stream->open)
        read_ahead(stream);
    read_stream_notify(stream, e);
}

int read_stream_open(struct runtime *runtime, struct str path, read_stream_cb *ready, void *user,
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
        arena_unref(arena);
        stream_slot_release(runtime);
        return err_nomem(e);
    }
    stream->runtime = runtime;
    stream->arena = arena;
    stream->ready = ready;
    stream->user = user;
    stream->fd = -1;
    stream->req = (struct file_work){.arena = arena, .work = work_open, .done = on_open};
    rc = file_work_submit(runtime, &stream->req, e);
    if (rc != 0) {
        arena_unref(arena);
        stream_slot_release(runtime);
        return rc;
    }
    stream->busy = true;
    *out = stream;
    return 0;
}

void read_stream_get_version(const struct read_stream *stream, struct file_version *out)
{
    CHECK(stream->open);
    *out = stream->version;
}

ssize_t read_stream_read(struct read_stream *stream, char *out, size_t max_len)
{
    struct block *block = &stream->blocks[stream->draining];
    if (!block->full) {
        if (!stream->busy)
            return READ_STREAM_FAILED;
        stream->reader_waiting = true;
        return READ_STREAM_EMPTY;
    }
    size_t left = block->len - block->consumed, n = left < max_len ? left : max_len;
    memcpy(out, block->bytes + block->consumed, n);
    block->consumed += n;
    if (block->consumed == block->len) {
        block->full = false;
        stream->draining = (stream->draining + 1) % BLOCK_COUNT;
        read_ahead(stream);
    }
    return (ssize_t)n;
}

void read_stream_close(struct read_stream *stream)
{
    stream->closed = true;
    if (!stream->busy)
        read_stream_destroy(stream);
}
