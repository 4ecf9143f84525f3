/* file_script - opens a file, calls methods on it in order, and closes it, in one job of the files pool. */
#include "runtime/files/file_error.h"
#include "runtime/files/file_methods.h"
#include "runtime/task/function.h"

#include <unistd.h>

struct script_input {
    struct str path;
    int mode;
    int encoding;
    struct array ops; /* of struct file_call */
};

struct step_output {
    const struct function *op;
    const void *result; /* of op->output's type */
};

struct script_output {
    struct array results; /* of struct step_output */
};

/* A step is the name of a method and the members of its input. */
static const struct field step_fields[] = {
    {"op", &file_method_type, FILE_CALL_OFFSET(op), FIELD_REQUIRED, NULL, "The method to call", "write"},
    {0},
};

static const struct type step_type = {.kind = TYPE_RECORD,
                                      .name = "FileScriptStep",
                                      .fields = step_fields,
                                      .size = sizeof(struct file_call),
                                      .variants = file_method_inputs};
static const struct type steps_type = {
    .kind = TYPE_ARRAY, .item = &step_type, .min = 1, .limit = &limits_fields[LIMIT_SCRIPT_STEPS]};

static const struct field input_fields[] = {
    {"path", &file_path_type, offsetof(struct script_input, path), FIELD_REQUIRED, NULL,
     "The file, relative to the file root", "data.txt"},
    {"mode", &file_mode_type, offsetof(struct script_input, mode), FIELD_DEFAULTED, "r", "How to open the file", NULL},
    {"encoding", &file_encoding_type, offsetof(struct script_input, encoding), FIELD_DEFAULTED, "utf-8",
     "The encoding of data in the steps and results", NULL},
    {"ops", &steps_type, offsetof(struct script_input, ops), FIELD_REQUIRED, NULL,
     "The steps, in order, at most max_script_steps; the first that fails ends the script", NULL},
    {0},
};

static const struct type method_type = {.kind = TYPE_FUNCTION, .functions = file_method_functions};
static const struct type result_type = {.kind = TYPE_OUTPUT};
static const struct field result_fields[] = {
    {"op", &method_type, offsetof(struct step_output, op), FIELD_REQUIRED, NULL, "The method of the step", "write"},
    {"result", &result_type, offsetof(struct step_output, result), FIELD_REQUIRED, NULL, "The result of the method",
     NULL},
    {0},
};
static const struct type step_output_type = {
    .kind = TYPE_RECORD, .name = "FileStepResult", .fields = result_fields, .size = sizeof(struct step_output)};
static const struct type results_type = {
    .kind = TYPE_ARRAY, .item = &step_output_type, .limit = &limits_fields[LIMIT_SCRIPT_STEPS]};

static const struct field output_fields[] = {
    {"results", &results_type, offsetof(struct script_output, results), FIELD_REQUIRED, NULL,
     "The result of each step, in order", NULL},
    {0},
};

static const struct type input_type = {
    .kind = TYPE_RECORD, .fields = input_fields, .size = sizeof(struct script_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .fields = output_fields, .size = sizeof(struct script_output)};

/* Puts the index and the method of the step before the error's message. */
static int set_step_error(struct err *e, size_t index, int op)
{
    struct err cause = *e;
    return err_set(e, cause.rc, "/ops/%zu (%s): %s", index, file_method_names[op], cause.msg);
}

static int run_step(const struct file_call *call, struct step_output *step, struct run_context *run)
{
    const struct file_method *method = &file_methods[call->op];
    struct file_result *result = arena_alloc(run->arena, sizeof *result);
    if (result == NULL)
        return err_nomem(run->e);
    int rc = file_method_call(call, result, run);
    if (rc != 0)
        return rc;
    *step = (struct step_output){&method->function, result};
    return 0;
}

static int script_run(const void *in, void *out, struct run_context *run)
{
    const struct script_input *input = in;
    struct script_output *output = out;
    struct open_file file = {.path = input->path, .mode = input->mode, .encoding = input->encoding, .fd = -1};
    struct step_output *steps = arena_calloc(run->arena, input->ops.count, sizeof *steps);
    if (steps == NULL)
        return err_nomem(run->e);
    int rc = file_op_open(&file, run);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < input->ops.count; i++) {
        struct file_call call = ((const struct file_call *)input->ops.items)[i];
        call.file = &file;
        if (run_canceled(run))
            rc = err_set(run->e, ERR_CANCELED, "The script was canceled");
        else
            rc = run_step(&call, &steps[i], run);
        if (rc != 0)
            set_step_error(run->e, i, call.op);
    }
    if (file.fd >= 0)
        close(file.fd);
    output->results = (struct array){steps, input->ops.count};
    return rc;
}

/* clang-format off */
static const struct function_example examples[] = {
    {.name = "seed",
     .summary = "Open, write, close",
     .input = JSON({"path": "data.txt", "mode": "w", "ops": [{"op": "write", "data": "aio file"}, {"op": "close"}]}),
     .result = JSON({"results": [{"op": "write", "result": {"written_bytes": 8, "position": 8}},
                                 {"op": "close", "result": {}}]})},
    {.name = "mixed",
     .summary = "Lines written, and the first one read",
     .input = JSON({"path": "data2.txt", "mode": "w+",
                    "ops": [{"op": "writelines", "lines": ["one\n", "two\n"]}, {"op": "seek", "offset": 0},
                            {"op": "readline"}, {"op": "tell"}]}),
     .result = JSON({"results": [{"op": "writelines", "result": {"written_bytes": 8, "position": 8}},
                                 {"op": "seek", "result": {"position": 0}},
                                 {"op": "readline",
                                  "result": {"data": "one\n", "read_bytes": 4, "position": 4, "eof": false}},
                                 {"op": "tell", "result": {"position": 4}}]})},
    {0},
};
/* clang-format on */

static const int errors[] = {FILE_ERRORS,
                             ERR_FILE_EXISTS,
                             ERR_HANDLE_CLOSED,
                             ERR_LIMIT_EXCEEDED,
                             ERR_FILE_MODE_MISMATCH,
                             ERR_INVALID_UTF8,
                             ERR_INSUFFICIENT_STORAGE,
                             0};

const struct function function_file_script = {
    .name = "file_script",
    .doc = "Opens a file, calls methods on it in order, and closes it, in one task",
    .description =
        "The file is opened before the first step and closed after the last. "
        "If a step fails, the task fails with its error, whose detail names the step; earlier steps are not undone.",
    .examples = examples,
    .errors = errors,
    .executor = EXECUTOR_FILES,
    .executors = EXECUTOR_BIT(EXECUTOR_FILES),
    .input = &input_type,
    .output = &output_type,
    .run = script_run,
};
