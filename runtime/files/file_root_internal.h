/* file_root_internal - what the two rooms of the jail share: jail.c resolves paths, jail_draft.c makes files aside. */
#ifndef GATHERD_RUNTIME_FILES_FILE_ROOT_INTERNAL_H
#define GATHERD_RUNTIME_FILES_FILE_ROOT_INTERNAL_H

#include "runtime/files/file_root.h"

struct file_root {
    int root;         /* O_PATH; owned */
    int drafts;       /* the directory for temporary files; owned; -1 when there can't be one */
    int drafts_error; /* then an errno: why */
};

/* Opens or makes the directory for temporary files, and removes what processes that are gone left in it. Where that can't be
 * written, there just are no drafts; an error only when something else has its name. */
int jail_open_drafts(struct file_root *jail, struct err *e);

#endif
