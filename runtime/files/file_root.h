/* file_root - resolves clients' paths to descriptors inside the root of files, and to nothing outside it.
 *
 * The kernel resolves each path in one call from the root's descriptor: openat2(2) with RESOLVE_BENEATH and
 * RESOLVE_NO_MAGICLINKS. Later calls use the resulting descriptor, never the path again, so replacing a directory by a
 * symlink in between has no effect. Functions that act on a name (remove, rename, create) resolve its parent and use an
 * *at call on that.
 *
 * Owns:     the descriptors of the root and of its directory for temporary files (runtime/files/temp_file.h).
 * Threads:  any; immutable.
 * Errors:   those of file_error.h: INVALID_ARGUMENT, PATH_FORBIDDEN, ACCESS_DENIED, FILE_NOT_FOUND, FILE_EXISTS,
 *           UNSUPPORTED_FILE_TYPE, INSUFFICIENT_STORAGE, IO_ERROR; e->msg begins with the path.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_ROOT_H
#define GATHERD_RUNTIME_FILES_FILE_ROOT_H

#include "runtime/files/file_entry.h"
#include "runtime/files/file_error.h"

#include <sys/stat.h>
#include <sys/types.h>

enum { FILE_PATH_MAX = 4095 }; /* bytes: PATH_MAX without the NUL */

struct file_root;
struct temp_dir;

/* Opens the root. ERR_INVALID when that fails, or when the kernel lacks openat2(2) (before Linux 5.6).
 * ERR_OUT_OF_MEMORY. */
int file_root_new(const char *root, struct file_root **out, struct err *e);
void file_root_free(struct file_root *file_root); /* NULL is allowed */

/* The directory for temporary files; never NULL. */
const struct temp_dir *file_root_temp_dir(const struct file_root *file_root);

/* Opens a regular file; flags and mode as for open(2), plus O_CLOEXEC, O_NOCTTY and O_NONBLOCK. Follows symlinks that
 * stay inside the root. The caller closes *out. ERR_UNSUPPORTED_FILE_TYPE for anything but a regular file. */
int file_root_open(const struct file_root *file_root, struct str path, int flags, mode_t mode, int *out, struct err *e);

/* Opens a directory for readdir(3); "." is the root. The caller closes *out. */
int file_root_open_dir(const struct file_root *file_root, struct str path, int *out, struct err *e);

/* stat(2), or with `follow` false lstat(2). */
int file_root_stat(const struct file_root *file_root, struct str path, bool follow, struct stat *out, struct err *e);

/* Finds the entry that the path names; a symlink at its end is not followed. */
int file_root_find_entry(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* The same for a file that must not exist yet. ERR_FILE_EXISTS when the name exists, also as a dangling symlink. */
int file_root_find_new(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* Finds the entry of a file that is to be created or replaced: symlinks are followed to their end, which need not
 * exist. ERR_UNSUPPORTED_FILE_TYPE when it exists and is not a regular file, or when the path ends in a slash. */
int file_root_find_target(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* Creates the missing directories on the way to the path's last component, as mkdir -p does. */
int file_root_make_parents(const struct file_root *file_root, struct str path, struct err *e);

#endif
