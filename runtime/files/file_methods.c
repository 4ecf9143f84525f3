#include "runtime/files/file_methods.h"

#include "runtime/task/admission.h"
#include "runtime/task/task_internal.h"

/* -- the tables ---------------------------------------------------------------------------------------------------- */

const struct type file_mode_type = {.kind = TYPE_ENUM, .names = file_mode_names};
static const struct type lease_type = {.kind = TYPE_SECONDS, .min = NS_PER_MS, .limit = &limits_fields[LIMIT_LEASE]};

#define RESULT_OFFSET(member) offsetof(struct file_result, member)
#define ARG_DATA_FIELD \
    { \
        "data", &file_data_type, FILE_CALL_OFFSET(data), FIELD_REQUIRED, NULL, \
            "The data to write, in the file's encoding", "aio file" \
    }
#define OFFSET_DOC "The offset in bytes from the start of the file"
#define RESULT_DATA_FIELD \
    { \
        "data", &file_read_data_type, RESULT_OFFSET(data), FIELD_REQUIRED, NULL, \
            "The data that was read; \"\" at the end of the file", "aio file" \
    }
#define RESULT_READ_BYTES_FIELD \
    { \
        "read_bytes", &file_bytes_type, RESULT_OFFSET(read_bytes), FIELD_REQUIRED, NULL, "The number of bytes read", \
            "8" \
    }
#define RESULT_EOF_FIELD \
    { \
        "eof", &file_bool_type, RESULT_OFFSET(eof), FIELD_REQUIRED, NULL, "Whether the file ends after the data", \
            "true" \
    }
#define RESULT_POSITION_FIELD \
    { \
        "position", &file_bytes_type, RESULT_OFFSET(position), FIELD_REQUIRED, NULL, \
            "The offset of the next read or write", "8" \
    }
#define RESULT_WRITTEN_BYTES_FIELD \
    { \
        "written_bytes", &file_bytes_type, RESULT_OFFSET(written_bytes), FIELD_REQUIRED, NULL, \
            "The number of bytes written: all of them", "8" \
    }
#define TYPE(id, struct_name, label) \
    static const struct type id##_type = { \
        .kind = TYPE_RECORD, .name = (label), .fields = id##_fields, .size = sizeof(struct struct_name)}

static const struct field no_args_fields[] = {{0}};
TYPE(no_args, file_call, NULL);
static const struct type no_result_type = {
    .kind = TYPE_RECORD, .fields = no_args_fields, .size = sizeof(struct file_result)};

static const struct field read_fields[] = {
    {"length", &file_read_length_type, FILE_CALL_OFFSET(length), FIELD_OPTIONAL, NULL,
     "The maximum number of bytes, at least one character; default: to the end", "8"},
    {0}};
TYPE(read, file_call, "FileReadInput");
static const struct field write_fields[] = {ARG_DATA_FIELD, {0}};
TYPE(write, file_call, "FileWriteInput");
static const struct field writelines_fields[] = {{"lines", &file_lines_type, FILE_CALL_OFFSET(lines), FIELD_REQUIRED,
                                                  NULL, "The lines to write; no newlines are added", NULL},
                                                 {0}};
TYPE(writelines, file_call, "FileWritelinesInput");
static const struct field pread_fields[] = {
    {"offset", &file_bytes_type, FILE_CALL_OFFSET(offset), FIELD_REQUIRED, NULL, OFFSET_DOC, "0"},
    {"length", &file_read_length_type, FILE_CALL_OFFSET(length), FIELD_REQUIRED, NULL,
     "The maximum number of bytes, at least one character", "8"},
    {0}};
TYPE(pread, file_call, "FilePreadInput");
static const struct field pwrite_fields[] = {
    {"offset", &file_bytes_type, FILE_CALL_OFFSET(offset), FIELD_REQUIRED, NULL, OFFSET_DOC, "0"}, ARG_DATA_FIELD, {0}};
TYPE(pwrite, file_call, "FilePwriteInput");
static const struct field seek_fields[] = {
    {"offset", &file_seek_offset_type, FILE_CALL_OFFSET(offset), FIELD_REQUIRED, NULL,
     "The offset from `whence` in bytes", "0"},
    {"whence", &file_whence_type, FILE_CALL_OFFSET(whence), FIELD_DEFAULTED, "start", "The origin of the offset", NULL},
    {0}};
TYPE(seek, file_call, "FileSeekInput");
static const struct field truncate_fields[] = {{"size", &file_bytes_type, FILE_CALL_OFFSET(size), FIELD_OPTIONAL, NULL,
                                                "The new size in bytes; default: the position", "0"},
                                               {0}};
TYPE(truncate, file_call, "FileTruncateInput");

static const struct field read_result_fields[] = {
    RESULT_DATA_FIELD, RESULT_READ_BYTES_FIELD, RESULT_POSITION_FIELD, RESULT_EOF_FIELD, {0}};
TYPE(read_result, file_result, "FileReadResult");
static const struct field lines_fields[] = {{"lines", &file_lines_type, RESULT_OFFSET(lines), FIELD_REQUIRED, NULL,
                                             "The remaining lines, with their newlines", NULL},
                                            RESULT_READ_BYTES_FIELD,
                                            RESULT_POSITION_FIELD,
                                            RESULT_EOF_FIELD,
                                            {0}};
TYPE(lines, file_result, "FileReadlinesResult");
static const struct field pread_result_fields[] = {RESULT_DATA_FIELD, RESULT_READ_BYTES_FIELD, RESULT_EOF_FIELD, {0}};
TYPE(pread_result, file_result, "FilePreadResult");
static const struct field write_result_fields[] = {RESULT_WRITTEN_BYTES_FIELD, RESULT_POSITION_FIELD, {0}};
TYPE(write_result, file_result, "FileWriteResult");
static const struct field pwrite_result_fields[] = {RESULT_WRITTEN_BYTES_FIELD, {0}};
TYPE(pwrite_result, file_result, "FilePwriteResult");
static const struct field position_fields[] = {RESULT_POSITION_FIELD, {0}};
TYPE(position, file_result, "FilePositionResult");
static const struct field size_fields[] = {
    {"size_bytes", &file_bytes_type, RESULT_OFFSET(size_bytes), FIELD_REQUIRED, NULL, "The new size of the file", "8"},
    {0}};
TYPE(size, file_result, "FileTruncateResult");

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

const struct function function_file_open = {
    .name = "open",
    .doc = "Opens a file",
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &no_args_type,
    .output = &position_type,
    .run = open_run,
    .strand = call_strand,
    .ended = open_ended,
};

static const struct field open_params_fields[] = {
    {"path", &file_path_type, offsetof(struct file_open_params, path), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "data.txt"},
    {"mode", &file_mode_type, offsetof(struct file_open_params, mode), FIELD_DEFAULTED, "r",
     "As in Python's open(), without text mode", NULL},
    {"encoding", &file_encoding_type, offsetof(struct file_open_params, encoding), FIELD_DEFAULTED, "utf-8",
     "The encoding of data in JSON", NULL},
    {"lease_seconds", &lease_type, offsetof(struct file_open_params, lease_ns), FIELD_OPTIONAL, NULL,
     "The file is closed after this time without a call; default: 60, or max_lease_seconds if less", NULL},
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

/* X(FILE_OP_ index, name, access, input, output, doc, further members of struct function) */
#define FILE_METHODS(X) \
    X(READ, read, READ, read, read_result, "Reads at the position", ) \
    X(READLINE, readline, READ, read, read_result, "Reads a line, with its newline", ) \
    X(READLINES, readlines, READ, no_args, lines, "Reads all remaining lines", ) \
    X(WRITE, write, WRITE, write, write_result, "Writes at the position", ) \
    X(WRITELINES, writelines, WRITE, writelines, write_result, "Writes lines", ) \
    X(PREAD, pread, READ, pread, pread_result, "Reads at an offset, without moving the position", ) \
    X(PWRITE, pwrite, PWRITE, pwrite, pwrite_result, "Writes at an offset, without moving the position", ) \
    X(SEEK, seek, NONE, seek, position, "Moves the position", ) \
    X(TELL, tell, NONE, no_args, position, "Returns the position", ) \
    X(TRUNCATE, truncate, WRITE, truncate, size, "Truncates the file, or extends it with zeros", ) \
    X(FLUSH, flush, NONE, no_args, no_result, "Does nothing: written data is not buffered", ) \
    X(FSYNC, fsync, NONE, no_args, no_result, "Waits until written data is on disk", ) \
    X(STAT, stat, NONE, no_args, file_stat, "Returns the file's metadata", ) \
    X(CLOSE, close, NONE, no_args, no_result, "Closes the file", .ended = close_ended)

#define METHOD(OP, ident, required, in, out, text, ...) \
    [FILE_OP_##OP] = { \
        .function = {.name = #ident, \
                     .doc = (text), \
                     .executor = EXECUTOR_FILES, \
                     .executors = EXECUTOR_BIT(EXECUTOR_FILES), \
                     .input = &in##_type, \
                     .output = &out##_type, \
                     .run = method_run, \
                     .strand = call_strand, \
                     __VA_ARGS__}, \
        .access = FILE_ACCESS_##required, \
        .call_cb = file_op_##ident, \
    },
#define METHOD_NAME(OP, ident, ...) [FILE_OP_##OP] = #ident,
#define METHOD_FUNCTION(OP, ...) [FILE_OP_##OP] = &file_methods[FILE_OP_##OP].function,
#define METHOD_INPUT(OP, ident, required, in, ...) [FILE_OP_##OP] = &in##_type,

const struct file_method file_methods[FILE_OP_COUNT] = {FILE_METHODS(METHOD)};
const char *const file_method_names[FILE_OP_COUNT + 1] = {FILE_METHODS(METHOD_NAME)};
const struct function *const file_method_functions[FILE_OP_COUNT + 1] = {FILE_METHODS(METHOD_FUNCTION)};
const struct type *const file_method_inputs[FILE_OP_COUNT] = {FILE_METHODS(METHOD_INPUT)};
