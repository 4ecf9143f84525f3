/* make_directory - creates a directory, and its missing parents on request. */
#include "runtime/executors/run_context.h"
#include "runtime/files/file_io.h"
#include "runtime/files/file_root.h"
#include "runtime/task/function.h"

#include <errno.h>
#include <unistd.h>

struct make_directory_input {
    struct str path;
    bool parents, exist_ok;
};

struct make_directory_output {
    bool created;
};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct make_directory_input, path), FIELD_REQUIRED, NULL,
     "The directory, relative to the file root", "notes/2026"},
    {"parents", &file_bool_type, offsetof(struct make_directory_input, parents), FIELD_DEFAULTED, "false",
     "Whether to create missing parent directories", NULL},
    {"exist_ok", &file_bool_type, offsetof(struct make_directory_input, exist_ok), FIELD_DEFAULTED, "false",
     "Whether to succeed if the directory exists already", NULL},
    {0},
};

static const struct field output_fields[] = {
    {"created", &file_bool_type, offsetof(struct make_directory_output, created), FIELD_REQUIRED, NULL,
     "Whether the directory was created; false if it existed", "true"},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct make_directory_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct make_directory_output)};

static int create_directory(const struct make_directory_input *input, struct run_context *run)
{
    struct file_entry entry;
    int rc = input->parents ? file_root_make_parents(run->file_root, input->path, run->e) : 0;
    if (rc == 0)
        rc = file_root_find_entry(run->file_root, input->path, &entry, run->e);
    if (rc != 0)
        return rc;
    if (mkdirat(entry.dir_fd, entry.name, 0777) != 0)
        rc = file_error_set_errno(run->e, errno, input->path);
    close(entry.dir_fd);
    return rc;
}

static int make_directory_run(const void *in, void *out, struct run_context *run)
{
    const struct make_directory_input *input = in;
    struct make_directory_output *output = out;
    struct stat stat;
    int rc = create_directory(input, run);
    output->created = rc == 0;
    if (rc == ERR_FILE_EXISTS && input->exist_ok &&
        file_root_stat(run->file_root, input->path, true, &stat, NULL) == 0 && S_ISDIR(stat.st_mode))
        return 0;
    return rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "nested",
     .summary = "With its parents, unless it exists",
     .input = JSON({"path": "out/2026", "parents": true, "exist_ok": true}),
     .result = JSON({"created": true})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS, ERR_FILE_EXISTS, ERR_INSUFFICIENT_STORAGE, 0};

const struct function function_make_directory = {
    .name = "make_directory",
    .doc = "Creates a directory",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = make_directory_run,
};
