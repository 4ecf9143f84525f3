/* open_files - the files that clients have opened: their handles, leases and states.
 *
 *     OPENING -> OPEN -> CLOSED     opened; closed by a call of the method close, or when the lease expired
 *        +-----------------^        the open failed, was canceled, or was never submitted
 *
 * Only an OPEN file can be found and listed. A call is an ordinary task on the file's strand, so calls on one file run
 * in order, and calls on different files run concurrently. Each request that calls a method holds a reference to the
 * file until the request's arena is freed; an abandoned call keeps that arena until its thread returns. A CLOSED file
 * is freed with its last reference.
 *
 * Owns:     the files, with their descriptors and lease timers.
 * Threads:  the loop thread; except `fd`, which is accessed by the call that runs (the strand orders the calls), and
 *           `position`, which is atomic.
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
    int fd;                /* owned; -1: not open */
    atomic_llong position; /* offset of the next read or write, in bytes */
    uint64_t lease_ns;     /* duration of the lease, renewed by each call */
    struct timer lease;
    uint64_t expires_ns; /* when the lease ends, a time of uv_hrtime() */
    struct strand strand;
    size_t refcount; /* requests that hold a reference */
    enum open_file_state state;
    char path_bytes[];
};

/* Submits a call that closes a file whose lease has expired; the call holds a reference to the file. False: the call
 * could not be submitted; it is tried again after another lease. */
typedef bool open_files_close_fn(struct runtime *runtime, struct open_file *file);

int open_files_new(struct runtime *runtime, open_files_close_fn *submit_close, struct open_files **out, struct err *e);

/* Closes and frees the remaining files; no request may hold a reference. NULL is allowed. */
void open_files_free(struct open_files *files);

/* Makes a file in the state OPENING; the arena holds a reference to it. `id` is its handle. Returns 0 with *out set,
 * ERR_TOO_MANY_OPEN_FILES or ERR_OUT_OF_MEMORY. */
int open_files_add(struct open_files *files, const char *id, struct str path, int mode, int encoding, uint64_t lease_ns,
                   struct arena *arena, struct open_file **out, struct err *e);

/* The OPEN file with this id, borrowed; NULL: none. */
struct open_file *open_files_find(struct open_files *files, struct str id);

/* Calls cb() for every OPEN file, in the order of their ids. */
void open_files_for_each(struct open_files *files, void (*cb)(struct open_file *file, void *user), void *user);

/* Renews the lease; the arena holds a reference to the file until the arena is freed. False: out of memory. */
bool open_file_ref(struct open_file *file, struct arena *arena);

/* Moves the file to OPEN and starts its lease. */
void open_file_opened(struct open_file *file);

/* Moves the file from any state to CLOSED. The file must have a reference; with the last one it is freed. */
void open_file_closed(struct open_file *file);

#endif
