#include "runtime/files/file_methods.h"

#include "runtime/files/file_ops.h"

/* -- the tables ---------------------------------------------------------------------------------------------------- */

const struct type file_mode_type = {.kind = TYPE_ENUM, .names = file_mode_names};
static const struct type lease_type = {.kind = TYPE_SECONDS, .min = NS_PER_MS, .limit = &limits_fields[LIMIT_LEASE]};

#define CALL(member) offsetof(struct file_call, member)
#define GIVES(member) offsetof(struct file_result, member)
#define DATA_FIELD \
    { \
        "data", &data_type, CALL(data), FIELD_REQUIRED, NULL, "What to write, in the file's encoding", "aio file" \
    }
#define OFFSET_DOC "Where, in bytes from the beginning"
#define GIVES_DATA \
    { \
        "data", &read_data_type, GIVES(data), FIELD_REQUIRED, NULL, "What was read; \"\" at the end", "aio file" \
    }
#define GIVES_READ \
    { \
        "read_bytes", &file_bytes_type, GIVES(read_bytes), FIELD_REQUIRED, NULL, "How much of the file that is", "8" \
    }
#define GIVES_EOF \
    { \
        "eof", &flag_type, GIVES(eof), FIELD_REQUIRED, NULL, "Whether the file ends there", "true" \
    }
#define GIVES_POSITION \
    { \
        "position", &file_bytes_type, GIVES(position), FIELD_REQUIRED, NULL, "Where the next call reads or writes", \
            "8" \
    }
#define GIVES_WRITTEN \
    { \
        "written_bytes", &file_bytes_type, GIVES(written_bytes), FIELD_REQUIRED, NULL, \
            "How much was written: all of it", "8" \
    }
#define TYPE(id, struct_name, label) \
    static const struct type id##_type = { \
        .kind = TYPE_RECORD, .name = (label), .fields = id##_fields, .size = sizeof(struct struct_name)}

static const struct field nothing_fields[] = {{0}};
TYPE(nothing, file_call, NULL);
static const struct type empty_type = {
    .kind = TYPE_RECORD, .fields = nothing_fields, .size = sizeof(struct file_result)};

static const struct field read_fields[] = {{"length", &read_length_type, CALL(length), FIELD_OPTIONAL, NULL,
                                            "Bytes at most, but no less than a character; absent: to the end", "8"},
                                           {0}};
TYPE(read, file_call, "FileReadInput");
static const struct field write_fields[] = {DATA_FIELD, {0}};
TYPE(write, file_call, "FileWriteInput");
static const struct field writelines_fields[] = {
    {"lines", &file_lines_type, CALL(lines), FIELD_REQUIRED, NULL, "What to write; no newlines are added", NULL}, {0}};
TYPE(writelines, file_call, "FileWritelinesInput");
static const struct field pread_fields[] = {
    {"offset", &file_bytes_type, CALL(offset), FIELD_REQUIRED, NULL, OFFSET_DOC, "0"},
    {"length", &read_length_type, CALL(length), FIELD_REQUIRED, NULL, "Bytes at most, but no less than a character",
     "8"},
    {0}};
TYPE(pread, file_call, "FilePreadInput");
static const struct field pwrite_fields[] = {
    {"offset", &file_bytes_type, CALL(offset), FIELD_REQUIRED, NULL, OFFSET_DOC, "0"}, DATA_FIELD, {0}};
TYPE(pwrite, file_call, "FilePwriteInput");
static const struct field seek_fields[] = {
    {"offset", &file_distance_type, CALL(offset), FIELD_REQUIRED, NULL, "How far from `whence`, in bytes", "0"},
    {"whence", &file_whence_type, CALL(whence), FIELD_DEFAULTED, "start", "From where", NULL},
    {0}};
TYPE(seek, file_call, "FileSeekInput");
static const struct field truncate_fields[] = {
    {"size", &file_bytes_type, CALL(size), FIELD_OPTIONAL, NULL, "The new size in bytes; absent: the position", "0"},
    {0}};
TYPE(truncate, file_call, "FileTruncateInput");

static const struct field got_fields[] = {GIVES_DATA, GIVES_READ, GIVES_POSITION, GIVES_EOF, {0}};
TYPE(got, file_result, "FileReadResult");
static const struct field lines_fields[] = {{"lines", &file_lines_type, GIVES(lines), FIELD_REQUIRED, NULL,
                                             "All lines that were left, with their newlines", NULL},
                                            GIVES_READ,
                                            GIVES_POSITION,
                                            GIVES_EOF,
                                            {0}};
TYPE(lines, file_result, "FileReadlinesResult");
static const struct field preads_fields[] = {GIVES_DATA, GIVES_READ, GIVES_EOF, {0}};
TYPE(preads, file_result, "FilePreadResult");
static const struct field wrote_fields[] = {GIVES_WRITTEN, GIVES_POSITION, {0}};
TYPE(wrote, file_result, "FileWriteResult");
static const struct field pwrote_fields[] = {GIVES_WRITTEN, {0}};
TYPE(pwrote, file_result, "FilePwriteResult");
static const struct field position_fields[] = {GIVES_POSITION, {0}};
TYPE(position, file_result, "FilePositionResult");
static const struct field size_fields[] = {
    {"size_bytes", &file_bytes_type, GIVES(size_bytes), FIELD_REQUIRED, NULL, "The file's size now", "8"}, {0}};
TYPE(size, file_result, "FileTruncateResult");

bool file_mode_allows(int mode, enum file_op op)
{
    switch (file_methods[op].need) {
    case NEEDS_READING:
        return (file_open_flags[mode] & O_ACCMODE) != O_WRONLY;
    case NEEDS_WRITING:
        return (file_open_flags[mode] & O_ACCMODE) != O_RDONLY;
    case NEEDS_WRITING_ANYWHERE:
        return (file_open_flags[mode] & O_ACCMODE) != O_RDONLY && (file_open_flags[mode] & O_APPEND) == 0;
    case NEEDS_NOTHING:
        break;
    }
    return true;
}

int file_method_step(const struct file_call *call, struct file_result *result, struct run_context *run)
{
    const struct open_file *file = call->file;
    if (file->fd < 0)
        return err_set(run->e, ERR_HANDLE_CLOSED, "%s was closed", file->path.at);
    if (!file_mode_allows(file->mode, (enum file_op)call->op))
        return err_set(run->e, ERR_FILE_MODE_MISMATCH, "%s is open in mode %s, in which %s can't be called",
                       file->path.at, file_mode_names[file->mode], file_method_names[call->op]);
    return file_methods[call->op].step(call, result, run);
}

static int method_run(const void *in, void *out, struct run_context *run)
{
    return file_method_step(in, out, run);
}

static struct strand *call_lane(const void *in)
{
    return &((const struct file_call *)in)->file->strand;
}

static int open_run(const void *in, void *out, struct run_context *run)
{
    struct open_file *file = ((const struct file_call *)in)->file;
    int rc = file_open_step(file, run);
    ((struct file_result *)out)->position = atomic_load(&file->position);
    return rc;
}

const struct function function_file_open = {
    .name = "open",
    .doc = "Opens a file",
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &nothing_type,
    .output = &position_type,
    .run = open_run,
    .strand = call_lane,
};

static const struct field opening_fields[] = {
    {"path", &path_type, offsetof(struct file_opening, path), FIELD_REQUIRED, NULL,
     "The file, from the root of files on", "data.txt"},
    {"mode", &file_mode_type, offsetof(struct file_opening, mode), FIELD_DEFAULTED, "r",
     "As in Python's open(); all files are opened as bytes", NULL},
    {"encoding", &encoding_type, offsetof(struct file_opening, encoding), FIELD_DEFAULTED, "utf-8",
     "What data looks like in JSON", NULL},
    {"lease_seconds", &lease_type, offsetof(struct file_opening, lease_ns), FIELD_OPTIONAL, NULL,
     "The file is closed when it was not used for so long; absent: 60, or max_lease_seconds where that is less", NULL},
    {0},
};
const struct type file_opening_type = {
    .kind = TYPE_RECORD, .name = "FileOpening", .fields = opening_fields, .size = sizeof(struct file_opening)};

void file_call_spec(struct open_file *file, enum file_op op, struct file_call *call, struct task_spec *spec)
{
    call->file = file;
    call->op = (int)op;
    *spec = (struct task_spec){.function = &file_methods[op].function, .input = call, .options = task_options_none};
}

#define METHOD(word, needed, text, in, out) \
    { \
        .function = {.name = #word, \
                     .doc = (text), \
                     .executor = EXECUTOR_FILES, \
                     .executors = EXECUTOR_BIT(EXECUTOR_FILES), \
                     .input = (in), \
                     .output = (out), \
                     .run = method_run, \
                     .strand = call_lane}, \
        .need = (needed), .step = file_step_##word, \
    }

const struct file_method file_methods[OP_COUNT] = {
    [OP_READ] = METHOD(read, NEEDS_READING, "Reads from the position on", &read_type, &got_type),
    [OP_READLINE] = METHOD(readline, NEEDS_READING, "Reads a line, with its newline", &read_type, &got_type),
    [OP_READLINES] = METHOD(readlines, NEEDS_READING, "Reads all lines that are left", &nothing_type, &lines_type),
    [OP_WRITE] = METHOD(write, NEEDS_WRITING, "Writes at the position", &write_type, &wrote_type),
    [OP_WRITELINES] =
        METHOD(writelines, NEEDS_WRITING, "Writes lines, one after the other", &writelines_type, &wrote_type),
    [OP_PREAD] =
        METHOD(pread, NEEDS_READING, "Reads anywhere, and leaves the position alone", &pread_type, &preads_type),
    [OP_PWRITE] = METHOD(pwrite, NEEDS_WRITING_ANYWHERE, "Writes anywhere, and leaves the position alone", &pwrite_type,
                         &pwrote_type),
    [OP_SEEK] = METHOD(seek, NEEDS_NOTHING, "Moves the position", &seek_type, &position_type),
    [OP_TELL] = METHOD(tell, NEEDS_NOTHING, "Says the position", &nothing_type, &position_type),
    [OP_TRUNCATE] =
        METHOD(truncate, NEEDS_WRITING, "Makes the file shorter, or longer by zeros", &truncate_type, &size_type),
    [OP_FLUSH] = METHOD(flush, NEEDS_NOTHING, "Hands what was written to the kernel, which is where it is already",
                        &nothing_type, &empty_type),
    [OP_FSYNC] = METHOD(fsync, NEEDS_NOTHING, "Waits until what was written is on disk", &nothing_type, &empty_type),
    [OP_STAT] = METHOD(stat, NEEDS_NOTHING, "Says what the file is", &nothing_type, &file_stat_type),
    [OP_CLOSE] = METHOD(close, NEEDS_NOTHING, "Closes the file", &nothing_type, &empty_type),
};

#define NAME(op, word) [op] = #word
const char *const file_method_names[OP_COUNT + 1] = {
    NAME(OP_READ, read),
    NAME(OP_READLINE, readline),
    NAME(OP_READLINES, readlines),
    NAME(OP_WRITE, write),
    NAME(OP_WRITELINES, writelines),
    NAME(OP_PREAD, pread),
    NAME(OP_PWRITE, pwrite),
    NAME(OP_SEEK, seek),
    NAME(OP_TELL, tell),
    NAME(OP_TRUNCATE, truncate),
    NAME(OP_FLUSH, flush),
    NAME(OP_FSYNC, fsync),
    NAME(OP_STAT, stat),
    NAME(OP_CLOSE, close),
};
