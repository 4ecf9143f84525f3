/* file_lookup - looks up the version of a file that could be read, without reading it: no stream slot, no blocks.
 *
 * Owns:     itself until file_lookup_close(). Holds a descriptor only while its thread is in the kernel.
 * Threads:  the loop thread.
 * Promise:  after file_lookup_start() returned 0, `done` runs exactly once, later, unless file_lookup_close() comes first.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_LOOKUP_H
#define GATHERD_RUNTIME_FILES_FILE_LOOKUP_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

struct file_lookup;

/* version is valid when e->rc is 0, until done() returns. e->rc is otherwise as read_stream_open() would report it. */
typedef void file_lookup_cb(struct file_lookup *lookup, const struct file_version *version, const struct err *e,
                            void *user);

/* Copies `path`. Returns 0 with *out set, or fails as file_work_submit() does. */
int file_lookup_start(struct runtime *runtime, struct str path, file_lookup_cb *done, void *user,
                      struct file_lookup **out, struct err *e);

/* At any time, also from inside done(); done() doesn't run afterwards. */
void file_lookup_close(struct file_lookup *lookup);

#endif
