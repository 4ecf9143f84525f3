/* file_lookup - looks up the version of a file that could be downloaded, without a download: it takes no stream slot
 * and no block memory.
 *
 * Owns:     itself until file_lookup_close(). No descriptor stays open.
 * Threads:  the loop thread.
 * Promise:  after file_lookup_start() has returned 0, `done` runs exactly once, later, unless file_lookup_close() is
 *           called first.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_LOOKUP_H
#define GATHERD_RUNTIME_FILES_FILE_LOOKUP_H

#include "runtime/files/file_version.h"
#include "runtime/task/task.h"

struct file_lookup;

/* If e->rc is 0, `version` is valid during the call. Otherwise *e is the error that a read_stream would report. */
typedef void file_lookup_cb(struct file_lookup *lookup, const struct file_version *version, const struct err *e,
                            void *user);

/* Copies `path`. Returns 0 with *out set, or the errors of file_work_submit(). */
int file_lookup_start(struct runtime *runtime, struct str path, file_lookup_cb *done, void *user,
                      struct file_lookup **out, struct err *e);

/* Frees the lookup. May be called at any time, also from inside done(); done() is not called afterwards. */
void file_lookup_close(struct file_lookup *lookup);

#endif
