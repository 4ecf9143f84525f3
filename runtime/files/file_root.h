/* file_root - the root of files: the one place where paths become descriptors, and none leads out of it.
 *
 * The kernel resolves each path in one call, openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, from the root's
 * descriptor; what follows works on the descriptor that gave, never on the path again. So a directory that is swapped for a
 * symlink meanwhile changes nothing. What acts on a name (remove, rename, make) resolves its parent and uses an *at call.
 *
 * Owns:     the root's descriptor and that of its directory for temporary files, .gatherd-tmp: no path leads there, and
 *           what an earlier process left in it is removed at the start.
 * Threads:  any; it does not change.
 * Errors:   PATH_FORBIDDEN, ACCESS_DENIED, NO_FILE, FILE_EXISTS, UNSUITABLE_FILE, NO_SPACE, IO_ERROR, with e->msg naming the
 *           path; file_error_set_errno() makes them from errno.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_ROOT_H
#define GATHERD_RUNTIME_FILES_FILE_ROOT_H

#include "runtime/files/file_entry.h"
#include "runtime/files/file_error.h"

#include <sys/stat.h>
#include <sys/types.h>

enum { FILE_PATH_MAX = 4095 }; /* bytes of a path: PATH_MAX without its NUL */

struct file_root;
struct temp_dir;

/* Opens the root. ERR_INVALID when it is no directory that can be opened, or the kernel lacks openat2(2) (before Linux 5.6);
 * ERR_OUT_OF_MEMORY. */
int file_root_new(const char *root, struct file_root **out, struct err *e);
void file_root_free(struct file_root *file_root); /* NULL is allowed */

/* The directory for temporary files; never NULL. */
const struct temp_dir *file_root_temp_dir(const struct file_root *file_root);

/* Opens a regular file: flags and mode as for open(2); O_CLOEXEC, O_NOCTTY and O_NONBLOCK are added. Symlinks are followed
 * as long as they stay inside. 0 with *out a descriptor, the caller's to close. Anything but a regular file is UNSUITABLE_FILE. */
int file_root_open(const struct file_root *file_root, struct str path, int flags, mode_t mode, int *out, struct err *e);

/* Opens a directory for reading it; "." is the root. */
int file_root_open_dir(const struct file_root *file_root, struct str path, int *out, struct err *e);

/* What the path leads to, of whatever kind it is, without opening it. Unless `follow`, of a symlink at its end the link. */
int file_root_stat(const struct file_root *file_root, struct str path, bool follow, struct stat *out, struct err *e);

/* Finds the entry that the path names; a symlink at its end is not followed. */
int file_root_find_entry(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* The same for a file that is to be created. ERR_FILE_EXISTS when the name exists, also as a dangling symlink. */
int file_root_find_new(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* The same, but where the name is a symlink, the entry that it (and so on) leads to: where a file is to be replaced. The
 * entry need not exist. */
int file_root_find_target(const struct file_root *file_root, struct str path, struct file_entry *out, struct err *e);

/* Makes the directories that lead to the path's last component, as mkdir -p does. */
int file_root_make_parents(const struct file_root *file_root, struct str path, struct err *e);

#endif
