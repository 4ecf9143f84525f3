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

#define FILE_CALL_OFFSET(member) offsetof(struct file_call, member) /* for tables of fields */

/* What methods give back. `stat` is first, so that a step that sets nothing else can do with that. */
struct file_result {
    struct file_stat stat;
    struct str data;
    struct array lines;
    int64_t read_bytes, written_bytes, position, size_bytes;
    bool eof;
};

/* Types of arguments, for the tables of methods and scripts. */
extern const struct type file_lines_type, file_whence_type, file_seek_offset_type;

extern const int file_open_flags[FILE_MODE_COUNT]; /* for open(2) */

/* The file is open, in a mode that allows it. 0 with *result filled, as far as the method's output type says; or an ERR_ code
 * with run->e filled. */
typedef int file_op_fn(const struct file_call *call, struct file_result *result, struct run_context *run);
file_op_fn file_op_read, file_op_readline, file_op_readlines, file_op_write, file_op_writelines, file_op_pread,
    file_op_pwrite, file_op_seek, file_op_tell, file_op_truncate, file_op_flush, file_op_fsync, file_op_stat,
    file_op_close;

/* Opens the file as its mode says, and sets its position. */
int file_op_open(struct open_file *file, struct run_context *run);

#endif
