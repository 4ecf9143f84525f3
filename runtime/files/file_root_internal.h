/* file_root_internal - what the two rooms of the file_root share: file_root.c resolves paths, temp_file_create.c makes files aside. */
#ifndef GATHERD_RUNTIME_FILES_FILE_ROOT_INTERNAL_H
#define GATHERD_RUNTIME_FILES_FILE_ROOT_INTERNAL_H

#include "runtime/files/file_root.h"

struct file_root {
    int root;           /* O_PATH; owned */
    int temp_dir;       /* the directory for temporary files; owned; -1 when there can't be one */
    int temp_dir_error; /* then an errno: why */
};

/* Opens or makes the directory for temporary files, and removes what processes that are gone left in it. Where that can't be
 * written, there just are no drafts; an error only when something else has its name. */
int temp_file_open_dir(struct file_root *file_root, struct err *e);

#endif
