#include "runtime/files/open_files.h"

#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "runtime/task/task_internal.h"

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
    open_files_close_fn *submit_close;
    void *by_id;  /* tsearch(3) tree of the struct open_file that are not CLOSED */
    size_t count; /* of all files, including CLOSED files with references */
};

/* For each state, the states that it may change to. */
static const state_set open_file_moves[OPEN_FILE_STATE_COUNT] = {
    [OPEN_FILE_OPENING] = STATE_BIT(OPEN_FILE_OPEN) | STATE_BIT(OPEN_FILE_CLOSED),
    [OPEN_FILE_OPEN] = STATE_BIT(OPEN_FILE_CLOSED),
};

static void open_file_move(struct open_file *file, enum open_file_state to)
{
    file->state = STATE_MOVE(open_file_moves, file->state, to);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct open_file *)a)->id, ((const struct open_file *)b)->id);
}

int open_files_new(struct runtime *runtime, open_files_close_fn *submit_close, struct open_files **out, struct err *e)
{
    struct open_files *files = calloc(1, sizeof *files);
    if (files == NULL)
        return err_nomem(e);
    files->runtime = runtime;
    files->submit_close = submit_close;
    *out = files;
    return 0;
}

/* The descriptor is still open only after an abandoned open, which wrote nothing, or at the end of the process;
 * therefore close(2) may be called on the loop thread. */
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

static void open_file_renew(struct open_file *file)
{
    if (file->state != OPEN_FILE_OPEN)
        return;
    file->expires_ns = uv_hrtime() + file->lease_ns;
    timers_start(&file->files->runtime->timers, &file->lease, file->expires_ns);
}

static void on_lease_expired(struct timer *timer)
{
    struct open_file *file = container_of(timer, struct open_file, lease);
    if (file->refcount > 0 || !file->files->submit_close(file->files->runtime, file))
        open_file_renew(file);
    else
        open_file_closed(file);
}

void open_file_opened(struct open_file *file)
{
    open_file_move(file, OPEN_FILE_OPEN);
    open_file_renew(file);
}

void open_file_closed(struct open_file *file)
{
    if (file->state == OPEN_FILE_CLOSED)
        return;
    open_file_move(file, OPEN_FILE_CLOSED);
    tdelete(file, &file->files->by_id, compare_files);
    timers_stop(&file->files->runtime->timers, &file->lease);
}

/* A file without references and without a descriptor is CLOSED: its open was never submitted, or an abandoned call of
 * the method close has closed it. */
static void open_file_unref(void *data)
{
    struct open_file *file = data;
    file->refcount--;
    if (file->refcount == 0 && file->fd < 0)
        open_file_closed(file);
    open_file_renew(file);
    if (file->refcount == 0 && file->state == OPEN_FILE_CLOSED)
        destroy(file);
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
                       "%zu files are open, and the limit max_open_files is %zu; close some files first", files->count,
                       max);
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
    if (tsearch(file, &files->by_id, compare_files) == NULL)
        goto err_after_reserve;
    files->count++;
    if (!open_file_ref(file, arena)) {
        open_file_closed(file);
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

static int compare_key(const void *key, const void *file)
{
    return strcmp(key, ((const struct open_file *)file)->id);
}

struct open_file *open_files_find(struct open_files *files, struct str id)
{
    char key[FILE_HANDLE_SIZE];
    if (id.len >= FILE_HANDLE_SIZE)
        return NULL;
    memcpy(key, id.data, id.len);
    key[id.len] = '\0';
    struct open_file *const *node = tfind(key, &files->by_id, compare_key);
    return node == NULL || (*node)->state != OPEN_FILE_OPEN ? NULL : *node;
}

struct visit_context {
    void (*cb)(struct open_file *file, void *user);
    void *user;
};

static void visit_node(const void *node, VISIT which, void *closure)
{
    const struct visit_context *visit_context = closure;
    struct open_file *file = *(struct open_file *const *)node;
    /* twalk_r(3) calls with `postorder` between the two subtrees of a node: the files come in the order of their
     * ids. */
    if ((which == postorder || which == leaf) && file->state == OPEN_FILE_OPEN)
        visit_context->cb(file, visit_context->user);
}

void open_files_for_each(struct open_files *files, void (*cb)(struct open_file *file, void *user), void *user)
{
    twalk_r(files->by_id, visit_node, &(struct visit_context){cb, user});
}
