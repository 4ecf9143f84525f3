/* rename_file - renames a file, a directory or a symlink atomically. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/task/function.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct rename_file_input {
    struct str from, to;
    bool replace;
};

struct rename_file_output {
    int type; /* enum file_type */
};

static const struct field input_fields[] = {
    {"from", &file_path_type, offsetof(struct rename_file_input, from), FIELD_REQUIRED, NULL,
     "The file, directory or symlink, relative to the file root; a symlink is not followed", "notes/a.txt"},
    {"to", &file_path_type, offsetof(struct rename_file_input, to), FIELD_REQUIRED, NULL,
     "The new path, relative to the file root", "notes/b.txt"},
    {"replace", &file_bool_type, offsetof(struct rename_file_input, replace), FIELD_DEFAULTED, "false",
     "Whether to replace an existing file or symlink; a directory replaces an empty directory", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"type", &file_type_type, offsetof(struct rename_file_output, type), FIELD_REQUIRED, NULL,
     "The type of the renamed file", "file"},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct rename_file_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct rename_file_output)};

static int rename_file_entry(const struct rename_file_input *input, const struct file_entry *from,
                             const struct file_entry *to, int *type, struct run_context *run)
{
    struct stat stat;
    if (fstatat(from->dir_fd, from->name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return file_error_set_errno(run->e, errno, input->from);
    if (to->trailing_slash && !S_ISDIR(stat.st_mode))
        return file_error_set(run->e, ERR_UNSUPPORTED_FILE_TYPE, input->to,
                              "the path ends in a slash, but the source is not a directory");
    int rc = file_entry_rename(from->dir_fd, from->name, to, !input->replace, input->to, run->e);
    if (rc == 0)
        *type = (int)file_type_of(stat.st_mode);
    return rc;
}

static int rename_file_run(const void *in, void *out, struct run_context *run)
{
    const struct rename_file_input *input = in;
    struct rename_file_output *output = out;
    struct file_entry from, to;
    int rc = file_root_find_entry(run->file_root, input->from, &from, run->e);
    if (rc != 0)
        return rc;
    rc = file_root_find_entry(run->file_root, input->to, &to, run->e);
    if (rc == 0) {
        rc = rename_file_entry(input, &from, &to, &output->type, run);
        close(to.dir_fd);
    }
    close(from.dir_fd);
    return rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "swap",
     .summary = "Another file replaced",
     .input = JSON({"from": "docs/old.txt", "to": "docs/new.txt", "replace": true}),
     .result = JSON({"type": "file"})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, ERR_FILE_EXISTS, ERR_INSUFFICIENT_STORAGE, 0};

const struct function function_rename_file = {
    .name = "rename_file",
    .doc = "Renames or moves a file, a directory or a symlink",
    .description = "The change is atomic: at every moment, `to` names either what it named before or the renamed file.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = rename_file_run,
};
