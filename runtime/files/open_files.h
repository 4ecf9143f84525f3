/* open_files - the files that clients hold open: handles, leases, and the order of the calls on each.
 *
 *     open_files_add() -> (the open call) -> calls, each renewing the lease -> close, or the lease runs out
 *
 * A call is an ordinary task whose lane is its file's, so that calls on one file run in order and calls on different files at
 * once. A file is kept as long as a request holds it, also by a thread that nobody waits for any more; when the last one lets
 * go of a file that was removed, it is closed.
 *
 * Owns:     its files, their descriptors and leases.
 * Threads:  the loop thread; but fd belongs to the call that has the lane, and position may be looked at by anyone.
 */
#ifndef GATHERD_RUNTIME_FILES_OPEN_FILES_H
#define GATHERD_RUNTIME_FILES_OPEN_FILES_H

#include "runtime/executors/strand.h"
#include "runtime/lib/error.h"
#include "runtime/lib/str.h"
#include "runtime/lib/timers.h"
#include "runtime/types/limits.h"

#include <stdatomic.h>

struct runtime;
struct open_files;

/* As in Python's open(). */
enum file_mode { FILE_R, FILE_R_PLUS, FILE_W, FILE_W_PLUS, FILE_A, FILE_A_PLUS, FILE_X, FILE_X_PLUS, FILE_MODE_COUNT };
extern const char *const file_mode_names[FILE_MODE_COUNT + 1]; /* ends with NULL */

enum { FILE_HANDLE_SIZE = 32 }; /* bytes of a handle's id, NUL included */

struct open_file {
    struct open_files *files;
    char id[FILE_HANDLE_SIZE];
    struct str path;       /* lies in path_bytes */
    int mode;              /* enum file_mode */
    int encoding;          /* enum encoding */
    int fd;                /* owned; -1 before it is open and after it is closed */
    atomic_llong position; /* bytes from the beginning; the next read or write is there */
    uint64_t lease_ns;
    struct timer lease;
    uint64_t expires_ns; /* uv_hrtime() */
    struct strand strand;
    size_t refcount; /* requests that refer to it */
    bool in_table;   /* clients can find it */
    char path_bytes[];
};

int open_files_new(struct runtime *runtime, struct open_files **out, struct err *e);

/* Closes every file that is left. No request may hold one. NULL is allowed. */
void open_files_free(struct open_files *files);

/* Makes a file that is not open yet, lists it under `id`, and has the arena's request hold it. ERR_TOO_MANY_OPEN_FILES or
 * ERR_OUT_OF_MEMORY. */
int open_files_add(struct open_files *files, const char *id, struct str path, int mode, int encoding, uint64_t lease_ns,
                   struct arena *arena, struct open_file **out, struct err *e);

struct open_file *open_files_find(struct open_files *files, struct str id); /* NULL when there is none */

/* Calls `each` for every listed file, in the order of their ids. */
void open_files_for_each(struct open_files *files, void (*cb)(struct open_file *file, void *user), void *user);

/* Keeps the file until the arena goes, and renews its lease. False when there is no memory. */
bool open_file_ref(struct open_file *file, struct arena *arena);
void open_file_renew(struct open_file *file);

/* Clients can't find it any more: it was closed, or never opened. */
void open_file_remove(struct open_file *file);

#endif
