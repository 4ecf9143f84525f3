#include "runtime/files/file_methods.h"

#include "runtime/files/file_error.h"
#include "runtime/files/file_method_types.h"
#include "runtime/task/admission.h"
#include "runtime/task/task_internal.h"

bool file_mode_allows(int mode, enum file_op op)
{
    switch (file_methods[op].access) {
    case FILE_ACCESS_READ:
        return (file_open_flags[mode] & O_ACCMODE) != O_WRONLY;
    case FILE_ACCESS_WRITE:
        return (file_open_flags[mode] & O_ACCMODE) != O_RDONLY;
    case FILE_ACCESS_PWRITE:
        return (file_open_flags[mode] & O_ACCMODE) != O_RDONLY && (file_open_flags[mode] & O_APPEND) == 0;
    case FILE_ACCESS_NONE:
        break;
    }
    return true;
}

int file_method_call(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    const struct open_file *file = call->file;
    if (file->fd < 0)
        return err_set(run->e, ERR_HANDLE_CLOSED, "%s is closed", file->path.data);
    if (!file_mode_allows(file->mode, (enum file_op)call->op))
        return err_set(run->e, ERR_FILE_MODE_MISMATCH, "%s is open in mode %s, which does not allow %s",
                       file->path.data, file_mode_names[file->mode], file_method_names[call->op]);
    return file_methods[call->op].call_cb(call, result, run);
}

static int method_run(const void *in, void *out, struct run_context *run)
{
    return file_method_call(in, out, run);
}

static struct open_file *task_open_file(const struct task *task)
{
    return ((const struct file_call *)task->spec->input)->file;
}

static void open_ended(const struct task *task)
{
    if (task->state == TASK_SUCCEEDED)
        open_file_opened(task_open_file(task));
    else
        open_file_closed(task_open_file(task));
}

/* The file is closed even if close(2) fails with a write error, because close(2) releases the descriptor then too. */
static void close_ended(const struct task *task)
{
    if (task->rc == 0 || task->rc == ERR_IO_ERROR || task->rc == ERR_INSUFFICIENT_STORAGE)
        open_file_closed(task_open_file(task));
}

static struct strand *call_strand(const void *in)
{
    return &((const struct file_call *)in)->file->strand;
}

static int open_run(const void *in, void *out, struct run_context *run)
{
    struct open_file *file = ((const struct file_call *)in)->file;
    int rc = file_op_open(file, run);
    ((struct file_result *)out)->position = atomic_load(&file->position);
    return rc;
}

/* Examples of the body of POST /v1/files. */
/* clang-format off */
static const struct function_example open_examples[] = {
    {.name = "write",
     .summary = "A file to write; an existing file is emptied",
     .input = JSON({"path": "data.txt", "mode": "w"})},
    {.name = "read",
     .summary = "A file to read, with a lease of five minutes",
     .input = JSON({"path": "hello.txt", "lease_seconds": 300})},
    {.name = "bytes",
     .summary = "A file that is not text",
     .input = JSON({"path": "binary.dat", "mode": "r+", "encoding": "base64"})},
    {0},
};
/* clang-format on */

static const int open_errors[] = {FILE_ERRORS, ERR_FILE_EXISTS, ERR_INSUFFICIENT_STORAGE, 0};

const struct function function_file_open = {
    .name = "open",
    .doc = "Opens a file",
    .description = "The response has a handle, by which the methods of the file are called. "
                   "Calls on one file run one at a time, in the order of their arrival; "
                   "calls on different files run concurrently.",
    .examples = open_examples,
    .errors = open_errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &file_no_input_type,
    .output = &file_position_result_type,
    .run = open_run,
    .strand = call_strand,
    .ended = open_ended,
};

const struct type file_mode_type = {
    .kind = TYPE_ENUM,
    .name = "FileMode",
    .doc = "How to open a file, as in Python's `open()`. "
           "Positions and lengths are in bytes in every mode, and newlines are not translated.\n\n"
           "- `r`: an existing file, to read\n"
           "- `r+`: an existing file, to read and write\n"
           "- `w`, `w+`: a file that is emptied, or created\n"
           "- `a`, `a+`: a file that is created if it is missing; each write appends\n"
           "- `x`, `x+`: a new file; fails with `file_exists` if the path exists\n\n"
           "`w`, `a` and `x` are to write only; with `+` the file can also be read.",
    .names = file_mode_names,
};
static const struct type lease_type = {.kind = TYPE_SECONDS, .min = NS_PER_MS, .limit = &limits_fields[LIMIT_LEASE]};

static const struct field open_params_fields[] = {
    {"path", &file_path_type, offsetof(struct file_open_params, path), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "data.txt"},
    {"mode", &file_mode_type, offsetof(struct file_open_params, mode), FIELD_DEFAULTED, "r", "How to open the file",
     NULL},
    {"encoding", &file_encoding_type, offsetof(struct file_open_params, encoding), FIELD_DEFAULTED, "utf-8",
     "The encoding of data in calls and results", NULL},
    {"lease_seconds", &lease_type, offsetof(struct file_open_params, lease_ns), FIELD_OPTIONAL, NULL,
     "After how many seconds without a call the file is closed, from 0.001 to max_lease_seconds; absent: 60, or the "
     "limit if less",
     NULL},
    {0},
};
const struct type file_open_params_type = {
    .kind = TYPE_RECORD, .name = "FileOpening", .fields = open_params_fields, .size = sizeof(struct file_open_params)};

void file_call_spec(struct open_file *file, enum file_op op, struct file_call *call, struct task_spec *spec)
{
    call->file = file;
    call->op = (int)op;
    *spec = (struct task_spec){.function = &file_methods[op].function, .input = call, .options = task_options_none};
}

static void on_expired_file_closed(struct task *task, void *user)
{
    (void)user;
    task_release(task);
}

bool file_submit_close(struct runtime *runtime, struct open_file *file)
{
    struct arena *arena = arena_new();
    struct task_spec *spec = arena == NULL ? NULL : arena_alloc(arena, sizeof *spec);
    struct file_call *call = spec == NULL ? NULL : arena_alloc(arena, sizeof *call);
    bool ok = call != NULL && open_file_ref(file, arena);
    if (ok) {
        struct task *task;
        file_call_spec(file, FILE_OP_CLOSE, call, spec);
        ok = task_submit(runtime, spec, arena, uv_hrtime(), on_expired_file_closed, NULL, &task, NULL) == 0;
    }
    arena_unref(arena); /* the task has a reference */
    return ok;
}

/* -- the methods --------------------------------------------------------------------------------------------------- */

/* The codes of errors, by groups of methods. */
static const int reading_errors[] = {ERR_HANDLE_CLOSED,  ERR_IO_ERROR,     ERR_FILE_MODE_MISMATCH,
                                     ERR_LIMIT_EXCEEDED, ERR_INVALID_UTF8, 0};
static const int writing_errors[] = {
    ERR_HANDLE_CLOSED, ERR_IO_ERROR, ERR_FILE_MODE_MISMATCH, ERR_INVALID_ARGUMENT, ERR_INSUFFICIENT_STORAGE, 0};
static const int seek_errors[] = {ERR_HANDLE_CLOSED, ERR_IO_ERROR, ERR_INVALID_ARGUMENT, 0};
static const int truncate_errors[] = {ERR_HANDLE_CLOSED, ERR_IO_ERROR, ERR_FILE_MODE_MISMATCH, ERR_INSUFFICIENT_STORAGE,
                                      0};
static const int closed_errors[] = {ERR_HANDLE_CLOSED, 0};
static const int syncing_errors[] = {ERR_HANDLE_CLOSED, ERR_IO_ERROR, ERR_INSUFFICIENT_STORAGE, 0};
static const int stat_errors[] = {ERR_HANDLE_CLOSED, ERR_IO_ERROR, 0};

/* clang-format off */
static const struct function_example read_examples[] = {
    {.name = "four",
     .summary = "Four bytes",
     .input = JSON({"length": 4}),
     .result = JSON({"data": "Hell", "read_bytes": 4, "position": 4, "eof": false})},
    {.name = "all",
     .summary = "All that is left",
     .input = JSON({})},
    {0},
};
static const struct function_example readline_examples[] = {
    {.name = "line",
     .summary = "A line",
     .input = JSON({}),
     .result = JSON({"data": "Hello, file.\n", "read_bytes": 13, "position": 13, "eof": true})},
    {.name = "piece",
     .summary = "At most four bytes of a line",
     .input = JSON({"length": 4})},
    {0},
};
static const struct function_example readlines_examples[] = {
    {.name = "lines",
     .summary = "All lines",
     .input = JSON({}),
     .result = JSON({"lines": ["Hello, file.\n"], "read_bytes": 13, "position": 13, "eof": true})},
    {0},
};
static const struct function_example write_examples[] = {
    {.name = "seed",
     .summary = "Eight bytes",
     .input = JSON({"data": "aio file"}),
     .result = JSON({"written_bytes": 8, "position": 8})},
    {0},
};
static const struct function_example writelines_examples[] = {
    {.name = "two",
     .summary = "Two lines",
     .input = JSON({"lines": ["one\n", "two\n"]}),
     .result = JSON({"written_bytes": 8, "position": 8})},
    {0},
};
static const struct function_example pread_examples[] = {
    {.name = "range",
     .summary = "Four bytes",
     .input = JSON({"offset": 7, "length": 4}),
     .result = JSON({"data": "file", "read_bytes": 4, "eof": false})},
    {0},
};
static const struct function_example pwrite_examples[] = {
    {.name = "patch",
     .summary = "Four bytes in the middle",
     .input = JSON({"offset": 7, "data": "FILE"}),
     .result = JSON({"written_bytes": 4})},
    {0},
};
static const struct function_example seek_examples[] = {
    {.name = "end",
     .summary = "To the end",
     .input = JSON({"offset": 0, "whence": "end"}),
     .result = JSON({"position": 13})},
    {.name = "start",
     .summary = "To the start",
     .input = JSON({"offset": 0}),
     .result = JSON({"position": 0})},
    {.name = "before_start",
     .summary = "To an offset before the start",
     .input = JSON({"offset": -1}),
     .error = ERR_INVALID_ARGUMENT},
    {0},
};
static const struct function_example tell_examples[] = {
    {.name = "position",
     .summary = "The position of a file just opened",
     .input = JSON({}),
     .result = JSON({"position": 0})},
    {0},
};
static const struct function_example truncate_examples[] = {
    {.name = "shorter",
     .summary = "To five bytes",
     .input = JSON({"size": 5}),
     .result = JSON({"size_bytes": 5})},
    {.name = "here",
     .summary = "To the position",
     .input = JSON({})},
    {0},
};
static const struct function_example flush_examples[] = {
    {.name = "flush",
     .summary = "A call without arguments",
     .input = JSON({}),
     .result = JSON({})},
    {0},
};
static const struct function_example fsync_examples[] = {
    {.name = "fsync",
     .summary = "A call without arguments",
     .input = JSON({}),
     .result = JSON({})},
    {0},
};
static const struct function_example stat_examples[] = {
    {.name = "stat",
     .summary = "A call without arguments",
     .input = JSON({}),
     .result = JSON({"type": "file", "size_bytes": 13, "mode": "0644", "links": 1,
                     "modified_at": "2026-11-22T09:30:00.000112Z", "changed_at": "2026-11-22T09:30:00.000112Z",
                     "accessed_at": "2026-11-22T09:30:00.000112Z"})},
    {0},
};
static const struct function_example close_examples[] = {
    {.name = "close",
     .summary = "A call without arguments",
     .input = JSON({}),
     .result = JSON({})},
    {0},
};
/* clang-format on */

/* X(FILE_OP_ index, name, access, input, output, errors, doc, description, further members of struct function) */
#define FILE_METHODS(X) \
    X(READ, read, READ, read_input, read_result, reading, "Reads at the position, and moves it", \
      "Without `length` it reads to the end of the file, which fails with `limit_exceeded` if more than " \
      "`max_read_bytes` are left.", ) \
    X(READLINE, readline, READ, read_input, read_result, reading, "Reads a line, and moves the position", \
      "The line ends with its newline, except at the end of the file or after `length` bytes.", ) \
    X(READLINES, readlines, READ, no_input, readlines_result, reading, \
      "Reads all remaining lines, and moves the position", \
      "It fails with `limit_exceeded` if more than `max_read_bytes` are left.", ) \
    X(WRITE, write, WRITE, write_input, write_result, writing, "Writes at the position, and moves it", \
      "In the modes `a` and `a+` it writes at the end of the file. If the file system runs out of space, the file " \
      "stays unchanged.", ) \
    X(WRITELINES, writelines, WRITE, writelines_input, write_result, writing, \
      "Writes lines at the position, and moves it", "No newlines are added. All lines are written, or none.", ) \
    X(PREAD, pread, READ, pread_input, pread_result, reading, "Reads at an offset, without moving the position", \
      NULL, ) \
    X(PWRITE, pwrite, PWRITE, pwrite_input, pwrite_result, writing, \
      "Writes at an offset, without moving the position", \
      "A gap between the end of the file and the offset reads as zeros. It fails with `file_mode_mismatch` in the " \
      "modes `a` and `a+`.", ) \
    X(SEEK, seek, NONE, seek_input, position_result, seek, "Moves the position", \
      "The position may be after the end of the file; before its start, it fails with `invalid_argument`.", ) \
    X(TELL, tell, NONE, no_input, position_result, closed, "Returns the position", NULL, ) \
    X(TRUNCATE, truncate, WRITE, truncate_input, truncate_result, truncate, \
      "Truncates the file, or extends it with zeros", "The position does not move.", ) \
    X(FLUSH, flush, NONE, no_input, no_result, closed, "Does nothing: written data is not buffered", \
      "It exists because files in Python have it. To wait for the disk, call `fsync`.", ) \
    X(FSYNC, fsync, NONE, no_input, no_result, syncing, "Waits until written data is on disk", NULL, ) \
    X(STAT, stat, NONE, no_input, stat, stat, "Returns the file's type, size and times", NULL, ) \
    X(CLOSE, close, NONE, no_input, no_result, syncing, "Closes the file", \
      "Later calls with its handle fail with `handle_closed`.", .ended = close_ended)

#define METHOD(OP, ident, required, in, out, codes, text, more_text, ...) \
    [FILE_OP_##OP] = { \
        .function = {.name = #ident, \
                     .schema_prefix = "File", \
                     .doc = (text), \
                     .description = (more_text), \
                     .examples = ident##_examples, \
                     .errors = codes##_errors, \
                     .executor = EXECUTOR_FILES, \
                     .executors = EXECUTOR_BIT(EXECUTOR_FILES), \
                     .input = &file_##in##_type, \
                     .output = &file_##out##_type, \
                     .run = method_run, \
                     .strand = call_strand, \
                     __VA_ARGS__}, \
        .access = FILE_ACCESS_##required, \
        .call_cb = file_op_##ident, \
    },
#define METHOD_NAME(OP, ident, ...) [FILE_OP_##OP] = #ident,
#define METHOD_FUNCTION(OP, ...) [FILE_OP_##OP] = &file_methods[FILE_OP_##OP].function,
#define METHOD_INPUT(OP, ident, required, in, ...) [FILE_OP_##OP] = &file_##in##_type,

const struct file_method file_methods[FILE_OP_COUNT] = {FILE_METHODS(METHOD)};
const char *const file_method_names[FILE_OP_COUNT + 1] = {FILE_METHODS(METHOD_NAME)};
const struct type file_method_type = {.kind = TYPE_ENUM, .names = file_method_names};
const struct function *const file_method_functions[FILE_OP_COUNT + 1] = {FILE_METHODS(METHOD_FUNCTION)};
const struct type *const file_method_inputs[FILE_OP_COUNT] = {FILE_METHODS(METHOD_INPUT)};
