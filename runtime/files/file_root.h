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
 *           path; file_root_set_errno() makes them from errno.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_ROOT_H
#define GATHERD_RUNTIME_FILES_FILE_ROOT_H

#include "runtime/files/file_version.h"
#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#include <sys/stat.h>
#include <sys/types.h>

enum { FILE_PATH_MAX = 4095 }; /* bytes of a path: PATH_MAX without its NUL */

#define TEMP_DIR_NAME ".gatherd-tmp" /* in the root: no path leads there, and no list shows it */

struct file_root;

/* Opens the root. ERR_INVALID when it is no directory that can be opened, or the kernel lacks openat2(2) (before Linux 5.6);
 * ERR_OUT_OF_MEMORY. */
int file_root_new(const char *root, struct file_root **out, struct err *e);
void file_root_free(struct file_root *file_root); /* NULL is allowed */

/* Fills *e from an errno that a system call left about `path`, and returns its code. */
int file_root_set_errno(struct err *e, int error, struct str path);

/* Fills *e with this code and "path: sentence", as file_root_set_errno() does, and returns the code. A long path is shortened. */
int file_root_set_error(struct err *e, int rc, struct str path, const char *detail);

/* Opens a regular file: flags and mode as for open(2); O_CLOEXEC, O_NOCTTY and O_NONBLOCK are added. Symlinks are followed
 * as long as they stay inside. 0 with *out a descriptor, the caller's to close. Anything but a regular file is UNSUITABLE_FILE. */
int file_root_open(const struct file_root *file_root, struct str path, int flags, mode_t mode, int *out, struct err *e);

/* Opens a directory for reading it; "." is the root. */
int file_root_open_dir(const struct file_root *file_root, struct str path, int *out, struct err *e);

/* What the path leads to, of whatever kind it is, without opening it. Unless `follow`, of a symlink at its end the link. */
int file_root_stat(const struct file_root *file_root, struct str path, bool follow, struct stat *out, struct err *e);

/* A name in a directory: what remove, rename and make act on, and never follow. */
struct file_root_entry {
    int directory;       /* O_PATH; the caller's to close */
    char name[256];      /* one component, not "." or ".." */
    bool trailing_slash; /* the path had a slash behind it: it means a directory */
};
int file_root_find_entry(const struct file_root *file_root, struct str path, struct file_root_entry *out,
                         struct err *e);

/* The same for a file that is to be created. ERR_FILE_EXISTS when the name exists, also as a dangling symlink. */
int file_root_find_new(const struct file_root *file_root, struct str path, struct file_root_entry *out, struct err *e);

/* The same, but where the name is a symlink, the entry that it (and so on) leads to: where a file is to be replaced. The
 * entry need not exist. */
int file_root_find_target(const struct file_root *file_root, struct str path, struct file_root_entry *out,
                          struct err *e);

/* A file that comes to be whole or not at all: written aside, then put in place by rename(2). That takes one file system:
 * where another one is mounted inside the root, publishing there is UNSUITABLE_FILE. */
struct temp_file {
    int fd;        /* to write to; closed by publish and drop */
    char name[32]; /* in the directory for temporary files */
};
int temp_file_create(const struct file_root *file_root, mode_t mode, struct temp_file *out, struct err *e);
/* Puts it in place of `entry`; with `exclusive`, FILE_EXISTS when there is one already. With `sync`, file and directory are on
 * disk when it returns. What is replaced keeps its permissions. Drops the draft when it fails. `path` is for messages. */
int temp_file_commit(const struct file_root *file_root, struct temp_file *temp_file,
                     const struct file_root_entry *entry, bool exclusive, bool sync, struct str path, struct err *e);

/* The same with `sync`, and only if the condition (NULL: none) holds: no other draft comes there between its check and the
 * rename. What is put where nothing was, replaces nothing, whoever else made it meanwhile: then it is checked again. */
struct commit_result {
    struct file_version version; /* of the file in its place */
    bool created;                /* nothing was there */
};
int temp_file_commit_if(const struct file_root *file_root, struct temp_file *temp_file,
                        const struct file_root_entry *entry, const struct file_condition *condition, struct str path,
                        struct commit_result *out, struct err *e);

/* Whether the condition (NULL: none) holds now. UNSUITABLE_FILE when something else than a file is there. *created is whether
 * nothing is. */
int temp_file_check_condition(const struct file_root_entry *entry, const struct file_condition *condition,
                              struct str path, bool *created, struct err *e);
void temp_file_discard(const struct file_root *file_root, struct temp_file *temp_file);

/* Gives what has this name in a directory another name; never follows one. `path` is the new one, for messages. */
int file_root_rename(int from_directory, const char *from, const struct file_root_entry *to, bool exclusive,
                     struct str path, struct err *e);

/* Brings the entry's directory to disk, after a file was made or removed there. */
int file_root_sync_dir(const struct file_root_entry *entry, struct str path, struct err *e);

/* Makes the directories that lead to the path's last component, as mkdir -p does. */
int file_root_make_parents(const struct file_root *file_root, struct str path, struct err *e);

#endif
