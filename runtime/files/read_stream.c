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

enum { BLOCKS = 2, BLOCK = 256 * 1024 };

struct block {
    size_t len, taken;
    bool full; /* has something to take */
    char *bytes;
};

struct read_stream {
    struct file_work step; /* one at a time; first: what it works on is the source */
    struct runtime *runtime;
    struct arena *arena; /* a reference, until source_close(); holds the source and its blocks */
    struct str path;
    source_fn *ready;
    void *user;
    int fd; /* set by the first step; -1 before */
    struct file_version stamp;
    uint64_t offset; /* of the next read */
    struct block blocks[BLOCKS];
    unsigned reading, taking; /* which block is next for each */
    bool busy;                /* a step is under way */
    bool open;                /* the first step has succeeded */
    bool hungry;              /* source_take() found nothing: ready() is owed */
    bool broken;
    bool closed;
    bool torn; /* the shutdown took a step away that may still be under way: the descriptor is not ours to close */
};

static struct read_stream *source_of(struct file_work *step)
{
    return container_of(step, struct read_stream, step);
}

static int work_open(struct file_work *step, struct run_context *run)
{
    struct read_stream *source = source_of(step);
    struct stat st;
    int rc = jail_open_file(run->jail, source->path, O_RDONLY, 0, &source->fd, run->e);
    if (rc != 0)
        return rc;
    if (fstat(source->fd, &st) != 0)
        return err_set(run->e, ERR_IO_ERROR, "%s can't be looked at", source->path.at);
    posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    source->stamp = file_stamp_of(&st);
    return 0;
}

static int work_read(struct file_work *step, struct run_context *run)
{
    struct read_stream *source = source_of(step);
    struct block *block = &source->blocks[source->reading];
    uint64_t left = source->stamp.size_bytes - source->offset;
    size_t want = left < BLOCK ? (size_t)left : BLOCK;
    block->len = block->taken = 0;
    while (block->len < want) {
        ssize_t n =
            pread(source->fd, block->bytes + block->len, want - block->len, (off_t)(source->offset + block->len));
        if (n <= 0)
            return err_set(run->e, ERR_IO_ERROR, "%s can't be read on", source->path.at);
        block->len += (size_t)n;
    }
    return 0;
}

static int work_close(struct file_work *step, struct run_context *run)
{
    (void)run;
    close(source_of(step)->fd);
    return 0;
}

static void give_back(struct read_stream *source)
{
    streams_leave(source->runtime);
    arena_unref(source->arena);
}

static void on_closed(struct file_work *step, const struct err *e)
{
    (void)e;
    give_back(source_of(step));
}

/* Nothing of it is under way any more. */
static void end(struct read_stream *source)
{
    source->step.work = work_close;
    source->step.done = on_closed;
    if (source->torn)
        source->fd = -1;
    if (source->fd >= 0 && step_go_on(source->runtime, &source->step, NULL) == 0)
        return;
    if (source->fd >= 0)
        close(source->fd); /* no thread to be had: of a file that was only read, it has nothing to wait for */
    give_back(source);
}

static void tell(struct read_stream *source, const struct err *e)
{
    source->hungry = false;
    source->ready(source, e, source->user);
}

static void on_read(struct file_work *step, const struct err *e);

/* Reads ahead while there is a free block and something left. */
static void read_on(struct read_stream *source)
{
    struct err e;
    struct block *block = &source->blocks[source->reading];
    if (source->busy || source->broken || block->full || source->offset >= source->stamp.size_bytes)
        return;
    source->step.work = work_read;
    source->step.done = on_read;
    if (step_go_on(source->runtime, &source->step, &e) == 0)
        source->busy = true;
    else
        source->broken = true;
}

static void on_read(struct file_work *step, const struct err *e)
{
    struct read_stream *source = source_of(step);
    source->busy = false;
    source->torn = e->rc == ERR_SHUTTING_DOWN;
    if (source->closed) {
        end(source);
        return;
    }
    if (e->rc != 0) {
        source->broken = true;
    } else {
        struct block *block = &source->blocks[source->reading];
        block->full = true;
        source->offset += block->len;
        source->reading = (source->reading + 1) % BLOCKS;
        read_on(source);
    }
    if (source->hungry)
        tell(source, e);
}

static void on_open(struct file_work *step, const struct err *e)
{
    struct read_stream *source = source_of(step);
    source->busy = false;
    source->torn = e->rc == ERR_SHUTTING_DOWN;
    if (source->closed) {
        end(source);
        return;
    }
    source->open = e->rc == 0;
    if (source->open)
        read_on(source);
    tell(source, e);
}

int source_open(struct runtime *runtime, struct str path, source_fn *ready, void *user, struct read_stream **out,
                struct err *e)
{
    int rc = streams_enter(runtime, e);
    if (rc != 0)
        return rc;
    struct arena *arena = arena_new();
    struct read_stream *source = arena == NULL ? NULL : arena_alloc(arena, sizeof *source);
    bool ok = source != NULL && arena_str(arena, path.at, path.len, &source->path);
    for (int i = 0; ok && i < BLOCKS; i++)
        ok = (source->blocks[i].bytes = arena_alloc_large(arena, BLOCK)) != NULL;
    if (!ok) {
        arena_unref(arena);
        streams_leave(runtime);
        return err_set(e, ERR_OUT_OF_MEMORY, "There is no memory to read the file; try again later");
    }
    source->runtime = runtime;
    source->arena = arena;
    source->ready = ready;
    source->user = user;
    source->fd = -1;
    source->step = (struct file_work){.arena = arena, .work = work_open, .done = on_open};
    rc = step_submit(runtime, &source->step, e);
    if (rc != 0) {
        arena_unref(arena);
        streams_leave(runtime);
        return rc;
    }
    source->busy = true;
    *out = source;
    return 0;
}

void source_look(const struct read_stream *source, struct file_version *out)
{
    CHECK(source->open);
    *out = source->stamp;
}

ssize_t source_take(struct read_stream *source, char *out, size_t most)
{
    struct block *block = &source->blocks[source->taking];
    if (!block->full) {
        if (!source->busy)
            return SOURCE_BROKEN;
        source->hungry = true;
        return SOURCE_EMPTY;
    }
    size_t left = block->len - block->taken, n = left < most ? left : most;
    memcpy(out, block->bytes + block->taken, n);
    block->taken += n;
    if (block->taken == block->len) {
        block->full = false;
        source->taking = (source->taking + 1) % BLOCKS;
        read_on(source);
    }
    return (ssize_t)n;
}

void source_close(struct read_stream *source)
{
    source->closed = true;
    if (!source->busy)
        end(source);
}
