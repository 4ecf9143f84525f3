/* file_entry - a directory entry: an open directory and a name in it, which rename, remove and create act on. A symlink
 * with that name is not followed.
 *
 * Owns:     nothing; the descriptor is the caller's.
 * Threads:  any.
 * Errors:   those of file_error.h; `path` is the client's path of the entry.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_ENTRY_H
#define GATHERD_RUNTIME_FILES_FILE_ENTRY_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#include <stdbool.h>

struct file_entry {
    int dir_fd;          /* of the directory, opened with O_PATH; the caller closes it */
    char name[256];      /* one path component, not "." or ".." */
    bool trailing_slash; /* the path ended in a slash: the entry must be a directory */
};

/* Renames as renameat2(2) does. With `exclusive`, ERR_FILE_EXISTS if `to` exists; otherwise `to` is replaced. `path` is
 * that of `to`. */
int file_entry_rename(int from_dir_fd, const char *from, const struct file_entry *to, bool exclusive, struct str path,
                      struct err *e);

/* Opens the entry's directory for fsync(2). Returns a descriptor, or -1 with errno set. */
int file_entry_open_dir(const struct file_entry *entry);

/* Calls fsync(2) on the entry's directory, so that the creation or removal of the entry is on disk. */
int file_entry_sync_dir(const struct file_entry *entry, struct str path, struct err *e);

#endif
