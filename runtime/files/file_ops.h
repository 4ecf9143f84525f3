/* file_ops - the implementations of the methods of open files.
 *
 * A call that fails leaves the file and its position unchanged.
 *
 * Owns:     nothing; results are in run->arena.
 * Threads:  a thread of the files pool, one call at a time per file (its strand).
 */
#ifndef GATHERD_RUNTIME_FILES_FILE_OPS_H
#define GATHERD_RUNTIME_FILES_FILE_OPS_H

#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/open_files.h"
#include "runtime/lib/util.h"

enum whence { WHENCE_START, WHENCE_CURRENT, WHENCE_END };

/* The arguments of all methods. The fields of a method's input type are the arguments that the method takes. */
struct file_call {
    struct open_file *file; /* not an argument: set by the caller */
    int op;                 /* not an argument: enum file_op */
    struct str data;
    struct array lines; /* of struct str */
    int64_t length;     /* bytes; absent: to the end of the file */
    int64_t offset;     /* bytes */
    int64_t size;       /* bytes; absent: the position */
    int whence;         /* enum whence */
};

#define FILE_CALL_OFFSET(member) offsetof(struct file_call, member) /* for tables of fields */

/* The results of all methods. `stat` must be first: it is read by file_stat_type, whose offsets start at 0. */
struct file_result {
    struct file_stat stat;
    struct str data;
    struct array lines;
    int64_t read_bytes, written_bytes, position, size_bytes;
    bool eof;
};

/* Types of arguments, shared by the tables of methods and scripts. */
extern const struct type file_lines_type, file_whence_type, file_seek_offset_type;

extern const int file_open_flags[FILE_MODE_COUNT]; /* for open(2) */

/* A method. The file must be open in a mode that allows the call. Returns 0 with the fields of the method's output type
 * set in *result, or an ERR_ code with run->e filled. */
typedef int file_op_fn(const struct file_call *call, struct file_result *result, struct run_context *run);
file_op_fn file_op_read, file_op_readline, file_op_readlines, file_op_write, file_op_writelines, file_op_pread,
    file_op_pwrite, file_op_seek, file_op_tell, file_op_truncate, file_op_flush, file_op_fsync, file_op_stat,
    file_op_close;

/* Opens the file at file->path in its mode; sets its descriptor and position. */
int file_op_open(struct open_file *file, struct run_context *run);

#endif
