/* read_file - reads a file, or a range of it, as text or base64. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/task/function.h"
#include "runtime/types/limits.h"

#include <fcntl.h>
#include <unistd.h>

struct read_file_input {
    struct str path;
    int64_t offset;
    int64_t length; /* absent: up to the limit max_read_bytes */
    int encoding;   /* enum encoding */
};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct read_file_input, path), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "notes/a.txt"},
    {"offset", &file_bytes_type, offsetof(struct read_file_input, offset), FIELD_DEFAULTED, "0",
     "The offset of the first byte", NULL},
    {"length", &file_read_length_type, offsetof(struct read_file_input, length), FIELD_OPTIONAL, NULL,
     "The maximum number of bytes, but at least one character in utf-8; absent: max_read_bytes", NULL},
    {"encoding", &file_encoding_type, offsetof(struct read_file_input, encoding), FIELD_DEFAULTED, "utf-8",
     "The encoding of `data` in the result", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"data", &file_read_data_type, offsetof(struct file_chunk, data), FIELD_REQUIRED, NULL,
     "The data, in the requested encoding", "Hello, file.\n"},
    {"read_bytes", &file_bytes_type, offsetof(struct file_chunk, read_bytes), FIELD_REQUIRED, NULL,
     "The number of bytes read; fewer than requested at the end of the file, or so as not to split a character", "13"},
    {"size_bytes", &file_bytes_type, offsetof(struct file_chunk, size_bytes), FIELD_REQUIRED, NULL,
     "The size of the file in bytes", "13"},
    {"eof", &file_bool_type, offsetof(struct file_chunk, eof), FIELD_REQUIRED, NULL,
     "Whether the file ends after the data", "true"},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct read_file_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct file_chunk)};

static int read_file_run(const void *in, void *out, struct run_context *run)
{
    const struct read_file_input *input = in;
    bool bounded = !type_is_absent(&file_read_length_type, &input->length);
    int fd;
    int rc = file_root_open(run->file_root, input->path, O_RDONLY, 0, &fd, run->e);
    if (rc != 0)
        return rc;
    struct file_range range = {
        .fd = fd,
        .offset = input->offset,
        .max_bytes = bounded ? input->length : run->limits->max_read_bytes,
        .encoding = (enum encoding)input->encoding,
        .path = input->path,
    };
    rc = file_read(&range, run, out);
    close(fd);
    return rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "whole",
     .summary = "All of a file",
     .input = JSON({"path": "hello.txt"}),
     .result = JSON({"data": "Hello, file.\n", "read_bytes": 13, "size_bytes": 13, "eof": true})},
    {.name = "range",
     .summary = "Four bytes, in base64",
     .input = JSON({"path": "hello.txt", "offset": 7, "length": 4, "encoding": "base64"}),
     .result = JSON({"data": "ZmlsZQ==", "read_bytes": 4, "size_bytes": 13, "eof": false})},
    {.name = "missing",
     .summary = "A file that does not exist",
     .input = JSON({"path": "missing.txt"}),
     .error = ERR_FILE_NOT_FOUND},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, ERR_LIMIT_EXCEEDED, ERR_INVALID_UTF8, 0};

const struct function function_read_file = {
    .name = "read_file",
    .doc = "Reads a file, or a range of it",
    .description =
        "`GET /v1/fs/{path}` sends the same bytes without an encoding and without the limit `max_read_bytes`.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = read_file_run,
};
