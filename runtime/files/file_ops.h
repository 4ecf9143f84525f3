/* file_ops - what each method of an open file does, in a thread of the files pool that has the file's lane.
 *
 * A step that fails leaves the file and its position as they were.
 *
 * Owns:     nothing; results lie in run->arena.
 * Threads:  one of the files pool.
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_OPS_H
#define GATHERD_RUNTIME_FILES_FILE_OPS_H

#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/open_files.h"
#include "runtime/lib/util.h"

enum whence { WHENCE_START, WHENCE_CURRENT, WHENCE_END };

/* The arguments of every method; which of them one takes is said by its type. */
struct file_call {
    struct open_file *file; /* no field: whoever makes the call sets it */
    int op;                 /* likewise: a row of file_methods */
    struct str data;
    struct array lines; /* of struct str */
    int64_t length;     /* INTEGER absent: as much as there is */
    int64_t offset;
    int64_t size; /* absent: the position */
    int whence;   /* enum whence */
};

/* What methods give back. `stat` is first, so that a step that sets nothing else can do with that. */
struct file_result {
    struct file_stat stat;
    struct str data;
    struct array lines;
    int64_t read_bytes, written_bytes, position, size_bytes;
    bool eof;
};

/* Types of arguments, for the tables of methods and scripts. */
extern const struct type file_lines_type, file_whence_type, file_distance_type;

extern const int file_open_flags[FILE_MODES]; /* for open(2) */

/* The file is open, in a mode that allows it. 0 with *result filled, as far as the method's output type says; or an ERR_ code
 * with run->e filled. */
typedef int file_step_fn(const struct file_call *call, struct file_result *result, struct run_context *run);
file_step_fn file_step_read, file_step_readline, file_step_readlines, file_step_write, file_step_writelines,
    file_step_pread, file_step_pwrite, file_step_seek, file_step_tell, file_step_truncate, file_step_flush,
    file_step_fsync, file_step_stat, file_step_close;

/* Opens the file as its mode says, and sets its position. */
int file_open_step(struct open_file *file, struct run_context *run);

#endif
