/* temp_file - a file that is written in TEMP_DIR_NAME and then renamed to its final path, so that it appears complete
 * or not at all.
 *
 * rename(2) works within one file system: if another file system is mounted inside the file root, a commit to it fails
 * with ERR_UNSUPPORTED_FILE_TYPE.
 *
 * Owns:     the directory TEMP_DIR_NAME, and the files in it that are not committed or discarded yet.
 * Threads:  any; a temp_file is used by one thread at a time.
 * Errors:   those of file_error.h; `path` is the client's path of the final file.
 */
#ifndef GATHERD_RUNTIME_FILES_TEMP_FILE_H
#define GATHERD_RUNTIME_FILES_TEMP_FILE_H

#include "runtime/files/file_entry.h"
#include "runtime/files/file_version.h"

#include <sys/types.h>

/* The directory for temporary files, in the file root. Clients' paths through it are rejected, and list_directory omits
 * it. */
#define TEMP_DIR_NAME ".gatherd-tmp"

struct temp_dir {
    int fd;    /* owned; -1: could not be created or opened */
    int error; /* if fd is -1: the errno */
};

/* Opens or creates the directory, and removes files that processes left there when they ended. If the directory can't
 * be created or opened, as in a read-only root, succeeds with out->fd -1. ERR_INVALID if the name exists and is not a
 * directory. */
int temp_dir_open(int root_fd, struct temp_dir *out, struct err *e);
void temp_dir_close(struct temp_dir *dir);

struct temp_file {
    int fd;        /* to write to; closed by commit and discard */
    char name[32]; /* in TEMP_DIR_NAME */
};
int temp_file_create(const struct temp_dir *dir, mode_t mode, struct temp_file *out, struct err *e);
void temp_file_discard(const struct temp_dir *dir, struct temp_file *temp_file);

/* Renames the file to `entry`. If it replaces a file, it gets the permissions of that file. With `exclusive`,
 * ERR_FILE_EXISTS if the entry exists. With `sync`, the file and its directory are on disk on return. On failure the
 * file is discarded, unless the rename has succeeded before. */
int temp_file_commit(const struct temp_dir *dir, struct temp_file *temp_file, const struct file_entry *entry,
                     bool exclusive, bool sync, struct str path, struct err *e);

struct commit_result {
    struct file_version version; /* of the committed file */
    bool created;                /* no file was replaced */
};

/* Commits with `sync` if the condition (NULL: none) holds. No other commit replaces the file between the check and the
 * rename. If the entry did not exist at the check, the rename is exclusive: if another process has created the entry
 * meanwhile, the condition is checked again. */
int temp_file_commit_if(const struct temp_dir *dir, struct temp_file *temp_file, const struct file_entry *entry,
                        const struct file_condition *condition, struct str path, struct commit_result *out,
                        struct err *e);

/* Checks the condition (NULL: none) now. *created is set to whether the entry does not exist. ERR_UNSUPPORTED_FILE_TYPE
 * if the entry exists and is not a regular file. */
int temp_file_check_condition(const struct file_entry *entry, const struct file_condition *condition, struct str path,
                              bool *created, struct err *e);

#endif
