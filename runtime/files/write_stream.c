#include "runtime/files/write_stream.h"

#include "runtime/files/file_root.h"
#include "runtime/files/file_work.h"
#include "runtime/files/stream.h"
#include "runtime/lib/check.h"
#include "runtime/task/task_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 2, BLOCK = 256 * 1024, FILE_MODE = 0666 };

struct block {
    size_t len;
    bool full; /* to be written */
    char *bytes;
};

struct write_stream {
    struct file_work step; /* one at a time; what it works on is the sink */
    struct runtime *runtime;
    struct arena *arena; /* a reference, until it ends; holds the sink and its blocks */
    struct str path;
    sink_fn *ready;
    void *user;
    struct jail_draft draft;                /* fd -1: there is none */
    const struct file_condition *condition; /* NULL: none */
    struct jail_put put;                    /* once it is in its place */
    struct block blocks[BLOCKS];
    unsigned filling, writing; /* which block is next for each */
    bool busy;                 /* a step is under way */
    bool blocked;              /* sink_put() took less than all: ready() is owed */
    bool finishing;            /* sink_finish() was called: ready() is owed in the end */
    bool finished;
    bool closed;
    bool torn;         /* the shutdown took a step away that may still be under way: the draft is not ours to touch, and
                          * the next start sweeps it up */
    struct err failed; /* rc 0: it has not */
};

static struct write_stream *sink_of(struct file_work *step)
{
    return container_of(step, struct write_stream, step);
}

/* -- in the pool --------------------------------------------------------------------------------------------------- */

static int work_begin(struct file_work *step, struct run_context *run)
{
    struct write_stream *sink = sink_of(step);
    struct jail_entry entry; /* a place that can't be is told at once, not after a gigabyte */
    bool created;
    int rc = jail_target(run->jail, sink->path, &entry, run->e);
    if (rc != 0)
        return rc;
    rc = jail_check(&entry, sink->condition, sink->path, &created, run->e);
    close(entry.directory);
    if (rc != 0)
        return rc;
    return jail_draft(run->jail, FILE_MODE, &sink->draft, run->e);
}

static int work_write(struct file_work *step, struct run_context *run)
{
    struct write_stream *sink = sink_of(step);
    struct block *block = &sink->blocks[sink->writing];
    for (size_t done = 0; done < block->len;) {
        ssize_t n = write(sink->draft.fd, block->bytes + done, block->len - done);
        if (n < 0 && errno != EINTR)
            return jail_error(run->e, errno, sink->path);
        done += n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static int work_publish(struct file_work *step, struct run_context *run)
{
    struct write_stream *sink = sink_of(step);
    struct jail_entry entry;
    int rc = jail_target(run->jail, sink->path, &entry, run->e);
    if (rc != 0)
        return rc;
    rc = jail_publish_if(run->jail, &sink->draft, &entry, sink->condition, sink->path, &sink->put, run->e);
    close(entry.directory);
    return rc;
}

static int work_drop(struct file_work *step, struct run_context *run)
{
    struct write_stream *sink = sink_of(step);
    jail_drop(run->jail, &sink->draft);
    sink->draft.fd = -1;
    return 0;
}

/* -- on the loop --------------------------------------------------------------------------------------------------- */

static void give_back(struct write_stream *sink)
{
    streams_leave(sink->runtime);
    arena_unref(sink->arena);
}

static void on_dropped(struct file_work *step, const struct err *e)
{
    (void)e;
    give_back(sink_of(step));
}

/* Nothing of it is under way any more. */
static void end(struct write_stream *sink)
{
    sink->step.work = work_drop;
    sink->step.done = on_dropped;
    if (sink->torn)
        sink->draft.fd = -1;
    if (sink->draft.fd >= 0 && step_go_on(sink->runtime, &sink->step, NULL) == 0)
        return;
    if (sink->draft.fd >= 0)
        jail_drop(sink->runtime->jail, &sink->draft); /* no thread to be had; an unlink waits for little */
    give_back(sink);
}

static void on_step(struct file_work *step, const struct err *e);

static bool submit(struct write_stream *sink, int (*work)(struct file_work *step, struct run_context *run))
{
    sink->step.work = work;
    sink->step.done = on_step;
    struct err e;
    int rc =
        work == work_begin ? step_submit(sink->runtime, &sink->step, &e) : step_go_on(sink->runtime, &sink->step, &e);
    if (rc != 0 && sink->failed.rc == 0)
        sink->failed = e;
    sink->busy = rc == 0;
    return sink->busy;
}

/* Does what is to be done next. False: nothing is under way, and nothing will be by itself. */
static bool advance(struct write_stream *sink)
{
    if (sink->busy)
        return true;
    if (sink->finished || (sink->failed.rc != 0 && (sink->draft.fd < 0 || sink->torn)))
        return false;
    if (sink->failed.rc != 0) /* what is there so far takes space that others may need */
        return submit(sink, work_drop);
    struct block *filling = &sink->blocks[sink->filling];
    if (sink->finishing && filling->len > 0 && !filling->full) {
        filling->full = true;
        sink->filling = (sink->filling + 1) % BLOCKS;
    }
    if (sink->blocks[sink->writing].full)
        return submit(sink, work_write);
    return sink->finishing && submit(sink, work_publish);
}

static void tell(struct write_stream *sink)
{
    sink->blocked = false;
    sink->ready(sink, &sink->failed, sink->user);
}

static void on_step(struct file_work *step, const struct err *e)
{
    struct write_stream *sink = sink_of(step);
    bool published = step->work == work_publish, wrote = step->work == work_write;
    sink->busy = false;
    sink->torn = e->rc == ERR_SHUTTING_DOWN;
    if (sink->closed) {
        end(sink);
        return;
    }
    if (e->rc != 0) {
        sink->failed = *e;
    } else if (wrote) {
        struct block *block = &sink->blocks[sink->writing];
        block->full = false;
        block->len = 0;
        sink->writing = (sink->writing + 1) % BLOCKS;
    }
    sink->finished = published && e->rc == 0;
    bool more = advance(sink);
    if (sink->blocked || (sink->finishing && !more))
        tell(sink);
}

int sink_open(struct runtime *runtime, struct str path, const struct file_condition *condition, sink_fn *ready,
              void *user, struct write_stream **out, struct err *e)
{
    int rc = streams_enter(runtime, e);
    if (rc != 0)
        return rc;
    struct arena *arena = arena_new();
    struct write_stream *sink = arena == NULL ? NULL : arena_alloc(arena, sizeof *sink);
    bool ok = sink != NULL && arena_str(arena, path.at, path.len, &sink->path);
    for (int i = 0; ok && i < BLOCKS; i++)
        ok = (sink->blocks[i].bytes = arena_alloc_large(arena, BLOCK)) != NULL;
    if (ok && condition != NULL)
        ok = arena_retain(arena, condition->arena);
    if (!ok) {
        arena_unref(arena);
        streams_leave(runtime);
        return err_set(e, ERR_OUT_OF_MEMORY, "There is no memory to write the file; try again later");
    }
    sink->runtime = runtime;
    sink->arena = arena;
    sink->ready = ready;
    sink->user = user;
    sink->condition = condition;
    sink->draft.fd = -1;
    sink->step.arena = arena;
    if (!submit(sink, work_begin)) {
        rc = sink->failed.rc;
        *e = sink->failed;
        arena_unref(arena);
        streams_leave(runtime);
        return rc;
    }
    *out = sink;
    return 0;
}

size_t sink_put(struct write_stream *sink, const char *bytes, size_t len)
{
    size_t taken = 0;
    while (taken < len && sink->failed.rc == 0) {
        struct block *block = &sink->blocks[sink->filling];
        if (block->full) {
            sink->blocked = true;
            break;
        }
        size_t room = BLOCK - block->len, n = len - taken < room ? len - taken : room;
        memcpy(block->bytes + block->len, bytes + taken, n);
        block->len += n;
        taken += n;
        if (block->len == BLOCK) {
            block->full = true;
            sink->filling = (sink->filling + 1) % BLOCKS;
            advance(sink);
        }
    }
    if (sink->failed.rc != 0) {
        sink->blocked = false;
        taken = len;
    }
    return taken;
}

void sink_finish(struct write_stream *sink)
{
    sink->finishing = true;
    if (!advance(sink))
        tell(sink);
}

bool sink_failed(const struct write_stream *sink, struct err *e)
{
    if (sink->failed.rc != 0)
        *e = sink->failed;
    return sink->failed.rc != 0;
}

void sink_look(const struct write_stream *sink, struct file_version *stamp, bool *created)
{
    CHECK(sink->finished);
    *stamp = sink->put.stamp;
    *created = sink->put.created;
}

void sink_close(struct write_stream *sink)
{
    sink->closed = true;
    if (!sink->busy)
        end(sink);
}
