/* temp_file - a file that is written aside and then put in place by rename(2), so that it appears whole or not at all.
 *
 * rename(2) works within one file system: a commit to another one that is mounted inside the root fails with
 * ERR_UNSUPPORTED_FILE_TYPE.
 *
 * Owns:     the directory TEMP_DIR_NAME, and in it the files that are not committed or discarded yet.
 * Threads:  any; one temp_file belongs to one thread at a time.
 * Errors:   those of file_error.h; `path` is the client's name for the file.
 */
#ifndef GATHERD_RUNTIME_FILES_TEMP_FILE_H
#define GATHERD_RUNTIME_FILES_TEMP_FILE_H

#include "runtime/files/file_entry.h"
#include "runtime/files/file_version.h"

#include <sys/types.h>

/* In the root of files. Paths through it are rejected and lists leave it out. */
#define TEMP_DIR_NAME ".gatherd-tmp"

struct temp_dir {
    int fd;    /* owned; -1: not available */
    int error; /* why not: an errno */
};

/* Opens or creates the directory, and removes files that were left there by processes that have ended. In a root that
 * can't be written it succeeds with fd -1. ERR_INVALID when the name belongs to something else. */
int temp_dir_open(int root_fd, struct temp_dir *out, struct err *e);
void temp_dir_close(struct temp_dir *dir);

struct temp_file {
    int fd;        /* to write to; closed by commit and discard */
    char name[32]; /* in the directory */
};
int temp_file_create(const struct temp_dir *dir, mode_t mode, struct temp_file *out, struct err *e);
void temp_file_discard(const struct temp_dir *dir, struct temp_file *temp_file);

/* Renames the file to `entry`, keeping the permissions of a file that it replaces. With `exclusive`, ERR_FILE_EXISTS when
 * the entry exists. With `sync`, file and directory are on disk on return. The file is discarded on failure. */
int temp_file_commit(const struct temp_dir *dir, struct temp_file *temp_file, const struct file_entry *entry,
                     bool exclusive, bool sync, struct str path, struct err *e);

struct commit_result {
    struct file_version version; /* of the file in its place */
    bool created;                /* nothing was replaced */
};

/* Commits with `sync` if the condition (NULL: none) holds; no other commit comes between the check and the rename. If the
 * entry did not exist when checked, it is created exclusively, and checked again if another process was faster. */
int temp_file_commit_if(const struct temp_dir *dir, struct temp_file *temp_file, const struct file_entry *entry,
                        const struct file_condition *condition, struct str path, struct commit_result *out,
                        struct err *e);

/* Checks the condition (NULL: none) now. ERR_UNSUPPORTED_FILE_TYPE when the entry is not a regular file. *created is true
 * when it does not exist. */
int temp_file_check_condition(const struct file_entry *entry, const struct file_condition *condition, struct str path,
                              bool *created, struct err *e);

#endif
