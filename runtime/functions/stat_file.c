/* stat_file - returns the metadata of a file, a directory or a symlink. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/task/function.h"

struct stat_file_input {
    struct str path;
    bool follow;
};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct stat_file_input, path), FIELD_REQUIRED, NULL,
     "The file, directory or symlink, relative to the file root", "notes/a.txt"},
    {"follow", &file_bool_type, offsetof(struct stat_file_input, follow), FIELD_DEFAULTED, "true",
     "Whether to follow a symlink, instead of describing the link", NULL},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct stat_file_input)};

static int stat_file_run(const void *in, void *out, struct run_context *run)
{
    const struct stat_file_input *input = in;
    struct stat stat;
    int rc = file_root_stat(run->file_root, input->path, input->follow, &stat, run->e);
    return rc != 0 ? rc : file_stat_from(&stat, run->arena, out, run->e);
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "file",
     .summary = "A file",
     .input = JSON({"path": "hello.txt"}),
     .result = JSON({"type": "file", "size_bytes": 13, "mode": "0644", "links": 1,
                     "modified_at": "2026-11-22T09:30:00.000112Z", "changed_at": "2026-11-22T09:30:00.000112Z",
                     "accessed_at": "2026-11-22T09:30:00.000112Z"})},
    {.name = "root",
     .summary = "The file root",
     .input = JSON({"path": "."})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, 0};

const struct function function_stat_file = {
    .name = "stat_file",
    .doc = "Returns a file's type, size and times",
    .description = "The file is not opened, so it needs no permission to read.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &file_stat_type,
    .run = stat_file_run,
};
