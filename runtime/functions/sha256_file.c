/* sha256_file - computes the SHA-256 of a file. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/lib/io.h"
#include "runtime/task/function.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/base16.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BUFFER_SIZE = 256 << 10, /* bytes between two checks for cancellation */
    DIGITS = BASE16_ENCODE_LENGTH(SHA256_DIGEST_SIZE),
};

struct sha256_file_input {
    struct str path;
};

struct sha256_file_output {
    struct str sha256;
    int64_t size_bytes;
};

static const struct type digest_type = {.kind = TYPE_STRING, .min = DIGITS, .max = DIGITS, .pattern = "^[0-9a-f]{64}$"};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct sha256_file_input, path), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "notes/a.txt"},
    {0},
};

static const struct field output_fields[] = {
    {"sha256", &digest_type, offsetof(struct sha256_file_output, sha256), FIELD_REQUIRED, NULL,
     "The digest, as 64 hexadecimal digits", "7c678ae0789d440fd5c3111d8ed521fead5da2b46ea7059038c068d597792003"},
    {"size_bytes", &file_bytes_type, offsetof(struct sha256_file_output, size_bytes), FIELD_REQUIRED, NULL,
     "The size of the file in bytes", "13"},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct sha256_file_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct sha256_file_output)};

/* Hashes the file, and adds its size to *size. */
static int hash_file(int fd, uint8_t *buffer, struct str path, struct sha256_ctx *context, int64_t *size,
                     struct run_context *run)
{
    for (;;) {
        if (run_canceled(run))
            return err_set(run->e, ERR_CANCELED, "The task was canceled");
        ssize_t n = io_pread_full(fd, buffer, BUFFER_SIZE, *size);
        if (n < 0)
            return file_error_set_errno(run->e, errno, path);
        if (n == 0)
            return 0;
        sha256_update(context, (size_t)n, buffer);
        *size += n;
    }
}

static int format_digest(struct sha256_ctx *context, struct sha256_file_output *output, struct run_context *run)
{
    uint8_t bytes[SHA256_DIGEST_SIZE];
    char text[BASE16_ENCODE_LENGTH(sizeof bytes)];
    sha256_digest(context, sizeof bytes, bytes);
    base16_encode_update(text, sizeof bytes, bytes);
    return arena_str(run->arena, text, sizeof text, &output->sha256) ? 0 : err_nomem(run->e);
}

static int sha256_file_run(const void *in, void *out, struct run_context *run)
{
    const struct sha256_file_input *input = in;
    struct sha256_file_output *output = out;
    struct sha256_ctx context;
    uint8_t *buffer = NULL;
    int fd;
    int rc = file_root_open(run->file_root, input->path, O_RDONLY, 0, &fd, run->e);
    if (rc != 0)
        return rc;
    sha256_init(&context);
    buffer = malloc(BUFFER_SIZE);
    rc = buffer == NULL ? err_nomem(run->e) : hash_file(fd, buffer, input->path, &context, &output->size_bytes, run);
    free(buffer);
    close(fd);
    return rc != 0 ? rc : format_digest(&context, output, run);
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "digest",
     .summary = "A file",
     .input = JSON({"path": "hello.txt"}),
     .result = JSON({"sha256": "7c678ae0789d440fd5c3111d8ed521fead5da2b46ea7059038c068d597792003",
                     "size_bytes": 13})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, 0};

const struct function function_sha256_file = {
    .name = "sha256_file",
    .doc = "Computes the SHA-256 of a file",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = sha256_file_run,
};
