#include "runtime/files/open_files.h"

#include "runtime/files/file_methods.h"
#include "runtime/lib/check.h"
#include "runtime/task/task_internal.h"
#include "runtime/task/task_submit.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const file_mode_names[FILE_MODE_COUNT + 1] = {
    [FILE_R] = "r", [FILE_R_PLUS] = "r+", [FILE_W] = "w", [FILE_W_PLUS] = "w+",
    [FILE_A] = "a", [FILE_A_PLUS] = "a+", [FILE_X] = "x", [FILE_X_PLUS] = "x+",
};

struct open_files {
    struct runtime *runtime; /* borrowed */
    void *by_id;             /* tsearch(3) tree of struct open_file that are listed */
    size_t count;            /* listed, and removed ones that are still held */
};

static int open_files_compare(const void *a, const void *b)
{
    return strcmp(((const struct open_file *)a)->id, ((const struct open_file *)b)->id);
}

int open_files_new(struct runtime *runtime, struct open_files **out, struct err *e)
{
    struct open_files *files = calloc(1, sizeof *files);
    if (files == NULL)
        return err_nomem(e);
    files->runtime = runtime;
    *out = files;
    return 0;
}

/* Nobody refers to it any more. Its close was a call of its own, unless it was abandoned on the way: then nothing was written to
 * it, and close(2) has nothing to wait for. */
static void destroy(struct open_file *file)
{
    struct open_files *files = file->files;
    timers_stop(&files->runtime->timers, &file->lease);
    timers_unreserve(&files->runtime->timers, 1);
    files->count--;
    if (file->fd >= 0)
        close(file->fd);
    free(file);
}

static void remove_from_table(struct open_file *file)
{
    tdelete(file, &file->files->by_id, open_files_compare);
    file->in_table = false;
    timers_stop(&file->files->runtime->timers, &file->lease);
}

static void destroy_node(void *node)
{
    struct open_file *file = node;
    CHECK(file->refcount == 0);
    destroy(file);
}

void open_files_free(struct open_files *files)
{
    if (files == NULL)
        return;
    tdestroy(files->by_id, destroy_node);
    CHECK(files->count == 0);
    free(files);
}

static void open_file_unref(void *data)
{
    struct open_file *file = data;
    file->refcount--;
    if (file->refcount == 0 && file->in_table && file->fd < 0)
        remove_from_table(file); /* its opening was refused before it could be tried */
    if (file->in_table)
        open_file_renew(file);
    else if (file->refcount == 0)
        destroy(file);
}

/* The lease has run out: the file is closed by a call of its own, like any other, but for nobody. */
static void open_files_on_closed(struct task *task, void *user)
{
    (void)user;
    task_release(task);
}

static bool submit_close(struct open_file *file)
{
    struct runtime *runtime = file->files->runtime;
    struct arena *arena = arena_new();
    struct task_spec *spec = arena == NULL ? NULL : arena_alloc(arena, sizeof *spec);
    struct file_call *call = spec == NULL ? NULL : arena_alloc(arena, sizeof *call);
    bool ok = call != NULL && open_file_ref(file, arena);
    if (ok) {
        struct task *task;
        file_call_spec(file, FILE_OP_CLOSE, call, spec);
        ok = task_submit(runtime, spec, arena, uv_hrtime(), open_files_on_closed, NULL, &task, NULL) == 0;
    }
    arena_unref(arena); /* the task has its own reference */
    return ok;
}

static void on_lease_expired(struct timer *timer)
{
    struct open_file *file = container_of(timer, struct open_file, lease);
    if (file->refcount > 0 || !submit_close(file)) { /* in use: the lease begins anew; or it is tried again */
        open_file_renew(file);
        return;
    }
    remove_from_table(file);
}

void open_file_renew(struct open_file *file)
{
    if (!file->in_table)
        return;
    file->expires_ns = uv_hrtime() + file->lease_ns;
    timers_start(&file->files->runtime->timers, &file->lease, file->expires_ns);
}

bool open_file_ref(struct open_file *file, struct arena *arena)
{
    if (!arena_add_cleanup(arena, open_file_unref, file))
        return false;
    file->refcount++;
    open_file_renew(file);
    return true;
}

int open_files_add(struct open_files *files, const char *id, struct str path, int mode, int encoding, uint64_t lease_ns,
                   struct arena *arena, struct open_file **out, struct err *e)
{
    size_t max = (size_t)files->runtime->limits.max_open_files;
    if (files->count >= max)
        return err_set(e, ERR_TOO_MANY_OPEN_FILES,
                       "%zu files are open, and the limit max_open_files is %zu; close some", files->count, max);
    struct open_file *file = calloc(1, sizeof *file + path.len + 1);
    if (file == NULL || !timers_reserve(&files->runtime->timers, 1))
        goto err_memory;
    memcpy(file->path_bytes, path.data, path.len);
    file->files = files;
    memcpy(file->id, id, strnlen(id, FILE_HANDLE_SIZE - 1));
    file->path = (struct str){file->path_bytes, path.len};
    file->mode = mode;
    file->encoding = encoding;
    file->fd = -1;
    file->lease_ns = lease_ns;
    file->lease.fire = on_lease_expired;
    strand_init(&file->strand);
    if (tsearch(file, &files->by_id, open_files_compare) == NULL)
        goto err_after_reserve;
    file->in_table = true;
    files->count++;
    if (!open_file_ref(file, arena)) {
        remove_from_table(file);
        destroy(file);
        return err_nomem(e);
    }
    *out = file;
    return 0;

err_after_reserve:
    timers_unreserve(&files->runtime->timers, 1);
err_memory:
    free(file);
    return err_nomem(e);
}

struct open_file *open_files_find(struct open_files *files, struct str id)
{
    struct open_file key;
    if (id.len >= FILE_HANDLE_SIZE)
        return NULL;
    memcpy(key.id, id.data, id.len);
    key.id[id.len] = '\0';
    void *node = tfind(&key, &files->by_id, open_files_compare);
    return node == NULL ? NULL : *(struct open_file **)node;
}

struct visit_context {
    void (*cb)(struct open_file *file, void *user);
    void *user;
};

static void visit_node(const void *node, VISIT which, void *closure)
{
    const struct visit_context *visit_context = closure;
    if (which == postorder || which == leaf) /* what search.h calls so is in order */
        visit_context->cb(*(struct open_file *const *)node, visit_context->user);
}

void open_files_for_each(struct open_files *files, void (*cb)(struct open_file *file, void *user), void *user)
{
    twalk_r(files->by_id, visit_node, &(struct visit_context){cb, user});
}

void open_file_remove(struct open_file *file)
{
    CHECK(file->refcount > 0); /* by the request whose doing it is */
    if (file->in_table)
        remove_from_table(file);
}
