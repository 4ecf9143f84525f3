/* file_version - identifies a version of a file's content, and conditions for replacing a version.
 *
 * Owns:     nothing.
 * Threads:  any.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_VERSION_H
#define GATHERD_RUNTIME_FILES_FILE_VERSION_H

#include "runtime/lib/error.h"
#include "runtime/lib/str.h"

#include <stdint.h>
#include <sys/stat.h>

struct file_version {
    uint64_t inode;
    uint64_t size_bytes;
    int64_t modified_us; /* microseconds since 1970 */
};

static inline struct file_version file_version_of(const struct stat *stat)
{
    return (struct file_version){
        .inode = stat->st_ino,
        .size_bytes = (uint64_t)stat->st_size,
        .modified_us = (int64_t)stat->st_mtim.tv_sec * 1000000 + stat->st_mtim.tv_nsec / 1000,
    };
}

struct arena;

/* A condition for replacing a file. check() returns 0 if it holds, or an ERR_ code with *e filled, whose message names
 * the path. `current` is the version of the file, or NULL if the file does not exist. check() runs in a thread of the
 * files pool, possibly several times, and uses only its arguments. */
struct file_condition {
    int (*check)(const void *user, const struct file_version *current, struct str path, struct err *e);
    const void *user;
    struct arena *arena; /* holds this struct and *user; borrowed */
};

#endif
