/* file_root - resolves clients' paths to descriptors of files inside the file root; no path leads outside it.
 *
 * The kernel resolves each path in one call, openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS, from the root's
 * descriptor. Later calls use the resulting descriptor and never the path again, so it has no effect to replace a
 * directory by a symlink meanwhile. Functions that act on a name (remove, rename, create) resolve the parent directory
 * and pass its descriptor to unlinkat(2), renameat2(2) and so on.
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

/* Opens the root. ERR_OUT_OF_MEMORY; ERR_INVALID if the directory or its TEMP_DIR_NAME can't be used, or if the kernel
 * lacks openat2(2) (before Linux 5.6). */
int file_root_new(const char *root, struct file_root **out, struct err *e);
void file_root_free(struct file_root *file_root); /* NULL is allowed */

/* The directory for temporary files; never NULL. */
const struct temp_dir *file_root_temp_dir(const struct file_root *file_root);

/* Opens a regular file; flags and mode as for open(2), plus O_CLOEXEC, O_NOCTTY and O_NONBLOCK. Follows symlinks that
 * stay inside the root. The caller closes *out. ERR_UNSUPPORTED_FILE_TYPE if the file is not a regular file. */
int file_root_open(const struct file_root *file_root, struct str path, int flags, mode_t mode, int *out, struct err *e);

/* Opens a directory for readdir(3); "." is the root. The caller closes *out. */
int file_root_open_dir(const struct file_root *file_root, struct str path, int *out, struct err *e);

/* As stat(2), or as lstat(2) if `follow` is false. */
int file_root_stat(const struct file_root *file_root, struct str path, bool follow, struct stat *out, struct err *e);

/* Finds the directory entry for the path's last component, which need not exist and is not followed if it is a symlink.
 * The caller closes out->dir_fd, also for the next two functions. */
int file_root_find_entry(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* As file_root_find_entry(), for a file that must not exist yet: ERR_FILE_EXISTS if the entry exists, even as a
 * dangling symlink. */
int file_root_find_new(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* Finds the entry of a regular file that is to be created or replaced. Symlinks are followed; the file at their end
 * need not exist. ERR_UNSUPPORTED_FILE_TYPE if it exists and is not a regular file, or if the path ends in a slash. */
int file_root_find_target(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* Creates the missing parent directories of the path, as mkdir -p does; not its last component. */
int file_root_make_parents(const struct file_root *file_root, struct str path, struct err *e);

#endif
