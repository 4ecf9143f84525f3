/* open_files - the files that clients hold open: handles, leases, and the order of the calls on each.
 *
 *     OPENING -> OPEN -> CLOSED     opened; closed by a call, or because the lease ended
 *        +-----------------^        the open failed, was canceled, or was never submitted
 *
 * Only an OPEN file can be found and listed. A call is an ordinary task on the file's strand, so calls on one file run in
 * order, and calls on different files at once. The request of a call references the file until its arena is freed, also
 * when a thread still runs a call whose task has been abandoned. The last reference to a CLOSED file frees it.
 *
 * Owns:     its files, their descriptors and leases.
 * Threads:  the loop thread; but `fd` belongs to the call that runs (the strand orders one call's accesses after those of
 *           the call before), and `position` is atomic.
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

enum open_file_state { OPEN_FILE_OPENING, OPEN_FILE_OPEN, OPEN_FILE_CLOSED, OPEN_FILE_STATE_COUNT };

struct open_file {
    struct open_files *files;
    char id[FILE_HANDLE_SIZE];
    struct str path;       /* in path_bytes */
    int mode;              /* enum file_mode */
    int encoding;          /* enum encoding */
    int fd;                /* owned; -1 before it is open and after it is closed */
    atomic_llong position; /* in bytes; the next read or write is there */
    uint64_t lease_ns;
    struct timer lease;
    uint64_t expires_ns; /* uv_hrtime() */
    struct strand strand;
    size_t refcount; /* requests that reference it */
    enum open_file_state state;
    char path_bytes[];
};

/* Submits a call that closes a file whose lease has ended, with a reference to the file. False when that is impossible
 * now; it is tried again after another lease. */
typedef bool open_files_close_fn(struct runtime *runtime, struct open_file *file);

int open_files_new(struct runtime *runtime, open_files_close_fn *submit_close, struct open_files **out, struct err *e);

/* Closes the files that are left; no request may reference one. NULL is allowed. */
void open_files_free(struct open_files *files);

/* Makes a file in state OPENING, with a reference for the arena. ERR_TOO_MANY_OPEN_FILES or ERR_OUT_OF_MEMORY. */
int open_files_add(struct open_files *files, const char *id, struct str path, int mode, int encoding, uint64_t lease_ns,
                   struct arena *arena, struct open_file **out, struct err *e);

/* NULL when no OPEN file has the id. */
struct open_file *open_files_find(struct open_files *files, struct str id);

/* Calls cb() for every OPEN file, in the order of their ids. */
void open_files_for_each(struct open_files *files, void (*cb)(struct open_file *file, void *user), void *user);

/* References the file until the arena is freed, and renews its lease. False when out of memory. */
bool open_file_ref(struct open_file *file, struct arena *arena);

/* To OPEN: the open has succeeded. The lease begins. */
void open_file_opened(struct open_file *file);

/* To CLOSED, from any state. The caller, or an arena, has a reference. */
void open_file_closed(struct open_file *file);

#endif
