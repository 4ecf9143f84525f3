/* file_methods - the methods of an open file, as Python's file objects have them: one table, dispatched by name.
 *
 * Positions and amounts are in bytes. Text is UTF-8 unless the file was opened with encoding base64; nothing translates newlines.
 *
 * Owns:     nothing.
 * Threads:  steps in a thread of the files pool that has the file's lane.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_METHODS_H
#define GATHERD_RUNTIME_FILES_FILE_METHODS_H

#include "runtime/files/file_ops.h"
#include "runtime/task/task_spec.h"

/* What a method needs of the mode that its file is open in. */
enum file_access {
    FILE_ACCESS_NONE,
    FILE_ACCESS_READ,
    FILE_ACCESS_WRITE,
    FILE_ACCESS_PWRITE, /* not only at the end: Linux would append all the same (pwrite(2), BUGS) */
};

struct file_method {
    struct function function; /* not one that a request can name by itself: it needs a file */
    enum file_access access;
    int (*call_cb)(const struct file_call *call, struct file_result *result, struct run_context *run);
};

enum file_op {
    FILE_OP_READ,
    FILE_OP_READLINE,
    FILE_OP_READLINES,
    FILE_OP_WRITE,
    FILE_OP_WRITELINES,
    FILE_OP_PREAD,
    FILE_OP_PWRITE,
    FILE_OP_SEEK,
    FILE_OP_TELL,
    FILE_OP_TRUNCATE,
    FILE_OP_FLUSH,
    FILE_OP_FSYNC,
    FILE_OP_STAT,
    FILE_OP_CLOSE,
    FILE_OP_COUNT
};
extern const struct file_method file_methods[FILE_OP_COUNT];
extern const char *const file_method_names[FILE_OP_COUNT + 1]; /* ends with NULL */

bool file_mode_allows(int mode, enum file_op op);

/* Makes a call that was set up, at once. 0 with *result filled as far as the method's output type says; ERR_HANDLE_CLOSED,
 * ERR_FILE_MODE_MISMATCH, or what the method says, with run->e filled. */
int file_method_call(const struct file_call *call, struct file_result *result, struct run_context *run);

/* The call that opens a listed file; its input is a struct file_call of which only `file` counts. */
extern const struct function function_file_open;

/* Makes the call `op` of a file: fills call->file and call->op, whose other members are the arguments, and the spec. The call
 * lies where the spec does. */
void file_call_spec(struct open_file *file, enum file_op op, struct file_call *call, struct task_spec *spec);

/* An open_files_close_fn. */
bool file_submit_close(struct runtime *runtime, struct open_file *file);

/* What POST /v1/files takes, and what a script says of its file. */
struct file_open_params {
    struct str path;
    int mode;          /* enum file_mode */
    int encoding;      /* enum encoding */
    uint64_t lease_ns; /* may be absent */
};
extern const struct type file_open_params_type;
extern const struct type file_mode_type;

#endif
