/* copy_file - copies a file; the copy appears complete or not at all. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/files/temp_file.h"
#include "runtime/lib/io.h"
#include "runtime/task/function.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CHUNK_SIZE = 8 << 20,    /* bytes between two checks for cancellation */
    BUFFER_SIZE = 256 << 10, /* bytes read at a time if copy_file_range(2) can't be used */
};

struct copy_file_input {
    struct str from, to;
    bool replace, fsync;
};

struct copy_file_output {
    int64_t size_bytes;
};

static const struct field input_fields[] = {
    {"from", &file_path_type, offsetof(struct copy_file_input, from), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "notes/a.txt"},
    {"to", &file_path_type, offsetof(struct copy_file_input, to), FIELD_REQUIRED, NULL,
     "The path of the copy, relative to the file root", "notes/b.txt"},
    {"replace", &file_bool_type, offsetof(struct copy_file_input, replace), FIELD_DEFAULTED, "false",
     "Whether to replace an existing file; it stays unchanged until the copy is complete", NULL},
    {"fsync", &file_bool_type, offsetof(struct copy_file_input, fsync), FIELD_DEFAULTED, "false",
     "Whether to wait until the copy is on disk", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"size_bytes", &file_bytes_type, offsetof(struct copy_file_output, size_bytes), FIELD_REQUIRED, NULL,
     "The size of the copy in bytes", "13"},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct copy_file_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct copy_file_output)};

struct copy_state {
    const struct copy_file_input *input;
    int from, to;   /* descriptors; borrowed */
    int64_t copied; /* bytes */
    char *buffer;   /* owned; NULL while copy_file_range(2) is used */
};

/* Copies a chunk through the buffer. *n is set to its size in bytes, 0 at the end of the file. */
static int copy_read_write(struct copy_state *c, size_t *n, struct err *e)
{
    ssize_t bytes_read = io_pread_full(c->from, c->buffer, BUFFER_SIZE, c->copied);
    if (bytes_read < 0)
        return file_error_set_errno(e, errno, c->input->from);
    *n = (size_t)bytes_read;
    return file_write_at(c->to, c->copied, (struct str){c->buffer, *n}, c->input->to, e);
}

static int copy_chunk(struct copy_state *c, size_t *n, struct err *e)
{
    if (c->buffer != NULL)
        return copy_read_write(c, n, e);
    off_t from = c->copied, to = c->copied;
    ssize_t bytes_copied;
    do
        bytes_copied = copy_file_range(c->from, &from, c->to, &to, CHUNK_SIZE, 0);
    while (io_interrupted(bytes_copied));
    bool unsupported =
        bytes_copied < 0
            ? errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP
            : bytes_copied == 0 && c->copied == 0; /* an empty file, or one in /proc or /sys whose size is given as 0 */
    if (bytes_copied < 0 && !unsupported)
        return file_error_set_errno(e, errno, c->input->to);
    if (!unsupported) {
        *n = (size_t)bytes_copied;
        return 0;
    }
    c->buffer = malloc(BUFFER_SIZE);
    if (c->buffer == NULL)
        return err_nomem(e);
    return copy_read_write(c, n, e);
}

static int copy_all(struct copy_state *c, struct run_context *run)
{
    size_t n = 0;
    int rc;
    do {
        if (run_canceled(run))
            return err_set(run->e, ERR_CANCELED, "The copy was canceled; no file was created");
        rc = copy_chunk(c, &n, run->e);
        if (rc == 0)
            c->copied += (int64_t)n;
    } while (rc == 0 && n > 0);
    return rc;
}

static int copy_to(const struct copy_file_input *input, int from, const struct file_entry *entry,
                   struct copy_file_output *output, struct run_context *run)
{
    struct copy_state copy_state = {.input = input, .from = from};
    struct temp_file temp;
    struct stat stat;
    if (fstat(from, &stat) != 0)
        return file_error_set_errno(run->e, errno, input->from);
    int rc = temp_file_create(file_root_temp_dir(run->file_root), stat.st_mode & 0777, &temp, run->e);
    if (rc != 0)
        return rc;
    copy_state.to = temp.fd;
    rc = copy_all(&copy_state, run);
    free(copy_state.buffer);
    if (rc != 0) {
        temp_file_discard(file_root_temp_dir(run->file_root), &temp);
        return rc;
    }
    rc = temp_file_commit(file_root_temp_dir(run->file_root), &temp, entry, !input->replace, input->fsync, input->to,
                          run->e);
    output->size_bytes = rc == 0 ? copy_state.copied : 0;
    return rc;
}

static int copy_file_run(const void *in, void *out, struct run_context *run)
{
    const struct copy_file_input *input = in;
    struct file_entry entry;
    int from;
    int rc = file_root_open(run->file_root, input->from, O_RDONLY, 0, &from, run->e);
    if (rc != 0)
        return rc;
    rc = input->replace ? file_root_find_target(run->file_root, input->to, &entry, run->e)
                        : file_root_find_new(run->file_root, input->to, &entry, run->e);
    if (rc == 0) {
        rc = copy_to(input, from, &entry, out, run);
        close(entry.dir_fd);
    }
    close(from);
    return rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "replace",
     .summary = "Another file replaced",
     .input = JSON({"from": "hello.txt", "to": "copy.txt", "replace": true}),
     .result = JSON({"size_bytes": 13})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, ERR_FILE_EXISTS, ERR_INSUFFICIENT_STORAGE, 0};

const struct function function_copy_file = {
    .name = "copy_file",
    .doc = "Copies a file",
    .description = "The copy appears whole or not at all.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = copy_file_run,
};
