/* remove_file - removes a file, a symlink (not its target), or an empty directory. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/task/function.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct remove_file_input {
    struct str path;
    bool missing_ok, directory;
};

struct remove_file_output {
    bool removed;
};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct remove_file_input, path), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "notes/a.txt"},
    {"missing_ok", &file_bool_type, offsetof(struct remove_file_input, missing_ok), FIELD_DEFAULTED, "false",
     "Whether to succeed if the file does not exist", NULL},
    {"directory", &file_bool_type, offsetof(struct remove_file_input, directory), FIELD_DEFAULTED, "false",
     "Whether to remove an empty directory, and not a file", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"removed", &file_bool_type, offsetof(struct remove_file_output, removed), FIELD_REQUIRED, NULL,
     "Whether the file existed", "true"},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct remove_file_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct remove_file_output)};

static int remove_file_entry(const struct remove_file_input *input, struct run_context *run)
{
    struct file_entry entry;
    int rc = file_root_find_entry(run->file_root, input->path, &entry, run->e);
    if (rc != 0)
        return rc;
    int error = unlinkat(entry.dir_fd, entry.name, input->directory ? AT_REMOVEDIR : 0) == 0 ? 0 : errno;
    close(entry.dir_fd);
    if (error == EISDIR)
        return file_error_set(run->e, ERR_UNSUPPORTED_FILE_TYPE, input->path,
                              "the path is a directory; set \"directory\": true to remove it if it is empty");
    if (error == ENOTDIR)
        return file_error_set(run->e, ERR_UNSUPPORTED_FILE_TYPE, input->path, "not a directory");
    return error == 0 ? 0 : file_error_set_errno(run->e, error, input->path);
}

static int remove_file_run(const void *in, void *out, struct run_context *run)
{
    const struct remove_file_input *input = in;
    struct remove_file_output *output = out;
    int rc = remove_file_entry(input, run);
    output->removed = rc == 0;
    return rc == ERR_FILE_NOT_FOUND && input->missing_ok ? 0 : rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "gone",
     .summary = "A file that may be missing",
     .input = JSON({"path": "gone.txt", "missing_ok": true}),
     .result = JSON({"removed": false})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, ERR_FILE_EXISTS, 0};

const struct function function_remove_file = {
    .name = "remove_file",
    .doc = "Removes a file, a symlink or an empty directory",
    .description = "A symlink is removed itself, not its target.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = remove_file_run,
};
