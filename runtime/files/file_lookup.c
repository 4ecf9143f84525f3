#include "runtime/files/file_lookup.h"

#include "runtime/files/file_root.h"
#include "runtime/files/file_work.h"
#include "runtime/lib/util.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct file_lookup {
    struct file_work req;
    struct arena *arena; /* owned reference, until file_lookup_close(); this struct is in it */
    struct str path;
    file_lookup_cb *done; /* NULL after file_lookup_close() */
    void *user;
    struct file_version version;
};

/* Opens the file for reading, as a download does, so that the permission to read it is checked too. */
static int work_lookup(struct file_work *req, struct run_context *run)
{
    struct file_lookup *lookup = container_of(req, struct file_lookup, req);
    struct stat st;
    int fd;
    int rc = file_root_open(run->file_root, lookup->path, O_RDONLY, 0, &fd, run->e);
    if (rc != 0)
        return rc;
    if (fstat(fd, &st) != 0)
        rc = file_error_set_errno(run->e, errno, lookup->path);
    else
        lookup->version = file_version_of(&st);
    close(fd);
    return rc;
}

static void file_lookup_on_done(struct file_work *req, const struct err *e)
{
    struct file_lookup *lookup = container_of(req, struct file_lookup, req);
    if (lookup->done != NULL)
        lookup->done(lookup, &lookup->version, e, lookup->user);
}

int file_lookup_start(struct runtime *runtime, struct str path, file_lookup_cb *done, void *user,
                      struct file_lookup **out, struct err *e)
{
    struct arena *arena = arena_new();
    struct file_lookup *lookup = arena == NULL ? NULL : arena_alloc(arena, sizeof *lookup);
    if (lookup == NULL || !arena_str(arena, path.data, path.len, &lookup->path)) {
        arena_unref(arena);
        return err_nomem(e);
    }
    lookup->req = (struct file_work){.arena = arena, .work = work_lookup, .done = file_lookup_on_done};
    lookup->arena = arena;
    lookup->done = done;
    lookup->user = user;
    int rc = file_work_submit(runtime, &lookup->req, e);
    if (rc != 0) {
        arena_unref(arena);
        return rc;
    }
    *out = lookup;
    return 0;
}

/* If work_lookup() has not returned, file_work still holds a reference to the arena. */
void file_lookup_close(struct file_lookup *lookup)
{
    lookup->done = NULL;
    arena_unref(lookup->arena);
}
