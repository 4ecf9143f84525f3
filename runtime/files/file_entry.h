/* file_entry - a name in a directory that is open: the object of rename, remove and create, which follow no symlink.
 *
 * Owns:     nothing; the descriptor is the caller's.
 * Threads:  any.
 * Errors:   those of file_error.h; `path` is the client's name for the entry.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_ENTRY_H
#define GATHERD_RUNTIME_FILES_FILE_ENTRY_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#include <stdbool.h>

struct file_entry {
    int dir_fd;          /* O_PATH; the caller closes it */
    char name[256];      /* one component, not "." or ".." */
    bool trailing_slash; /* the path ended in a slash: only a directory may have the name */
};

/* renameat2(2). With `exclusive`, ERR_FILE_EXISTS when the new name exists; otherwise that is replaced. */
int file_entry_rename(int from_dir_fd, const char *from, const struct file_entry *to, bool exclusive, struct str path,
                      struct err *e);

/* Opens the entry's directory for fsync(2). -1 with errno set. */
int file_entry_open_dir(const struct file_entry *entry);

/* fsync(2) of the entry's directory, after the entry was created or removed. */
int file_entry_sync_dir(const struct file_entry *entry, struct str path, struct err *e);

#endif
