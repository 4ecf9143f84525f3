/* file_methods - the methods of an open file, after Python's file objects: one table, dispatched by name.
 *
 * Positions and lengths are in bytes. Text is UTF-8 unless the file was opened with encoding base64; newlines are not
 * translated.
 *
 * Owns:     nothing.
 * Threads:  file_method_call() and the methods run in a thread of the files pool, one at a time per file (its strand);
 *           all other functions on the loop thread.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_METHODS_H
#define GATHERD_RUNTIME_FILES_FILE_METHODS_H

#include "runtime/files/file_ops.h"
#include "runtime/task/task_spec.h"

/* The access that a method needs; the mode of the file must allow it. */
enum file_access {
    FILE_ACCESS_NONE,
    FILE_ACCESS_READ,
    FILE_ACCESS_WRITE,
    FILE_ACCESS_PWRITE, /* not allowed in append modes: Linux then ignores the offset (pwrite(2), BUGS) */
};

struct file_method {
    struct function function; /* not in the registry: it needs a file */
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
extern const char *const file_method_names[FILE_OP_COUNT + 1];                /* ends with NULL */
extern const struct function *const file_method_functions[FILE_OP_COUNT + 1]; /* of file_methods; ends with NULL */
extern const struct type *const file_method_inputs[FILE_OP_COUNT];            /* of file_methods */

bool file_mode_allows(int mode, enum file_op op); /* mode: enum file_mode */

/* Runs a method in the calling thread. Returns 0 with the fields of the method's output type set in *result, or
 * ERR_HANDLE_CLOSED, ERR_FILE_MODE_MISMATCH or an error of the method, with run->e filled. */
int file_method_call(const struct file_call *call, struct file_result *result, struct run_context *run);

/* Opens a file that open_files_add() has returned. The input is a struct file_call of which only `file` is set. */
extern const struct function function_file_open;

/* Fills *spec with a call of the method `op` on `file`. *call holds the arguments; its members `file` and `op` are set
 * here. Both structs must be in the arena of the task. */
void file_call_spec(struct open_file *file, enum file_op op, struct file_call *call, struct task_spec *spec);

/* An open_files_close_fn. */
bool file_submit_close(struct runtime *runtime, struct open_file *file);

/* The parameters of POST /v1/files. */
struct file_open_params {
    struct str path;
    int mode;          /* enum file_mode */
    int encoding;      /* enum encoding */
    uint64_t lease_ns; /* absent: the default */
};
extern const struct type file_open_params_type;
extern const struct type file_mode_type;
extern const struct type file_method_type; /* ENUM: enum file_op */

#endif
