/* open_files - the routes of open files: open, list, call a method, close. */
#include "handlers/json/field_types.h"
#include "handlers/json/render.h"
#include "handlers/resources/handlers.h"
#include "runtime/files/file_methods.h"

#include <stdio.h>
#include <string.h>

/* -- the representation -------------------------------------------------------------------------------------------- */

struct file_row {
    struct str id, path;
    int mode, encoding;
    int64_t position;
    uint64_t lease_ns, expires_ns;
    struct array methods; /* of int, enum file_op */
    int64_t pid, tid;
    uint64_t duration_ns;
};

static const struct type lease_type = {.kind = TYPE_SECONDS, .min = 1, .limit = &limits_fields[LIMIT_LEASE]};
static const struct type methods_type = {.kind = TYPE_ARRAY, .item = &file_method_type, .max = FILE_OP_COUNT};

#define FIELD(json, type, member, presence, doc, example) \
    { \
        json, type, offsetof(struct file_row, member), presence, NULL, doc, example \
    }
#define FILE_FIELDS \
    FIELD("id", &id_type, id, FIELD_REQUIRED, "The handle of the open file", NULL), \
        FIELD("path", &file_path_type, path, FIELD_REQUIRED, "The path, as opened", NULL), \
        FIELD("mode", &file_mode_type, mode, FIELD_REQUIRED, "The mode, as opened", NULL), \
        FIELD("encoding", &file_encoding_type, encoding, FIELD_REQUIRED, "The encoding, as opened", NULL), \
        FIELD("position", &file_bytes_type, position, FIELD_REQUIRED, \
              "The offset of the next read or write, in bytes from the start of the file", "0"), \
        FIELD("lease_seconds", &lease_type, lease_ns, FIELD_REQUIRED, \
              "The file is closed after this time without a call", "60")

static const struct field opened_fields[] = {
    FILE_FIELDS,
    FIELD("methods", &methods_type, methods, FIELD_REQUIRED,
          "The methods that its mode allows: `POST /v1/files/{handle}/{method}`", NULL),
    FIELD("pid", &pid_type, pid, FIELD_REQUIRED, "The id of the process that opened it", "4711"),
    FIELD("tid", &pid_type, tid, FIELD_REQUIRED, "The id of the thread that opened it", "4716"),
    FIELD("duration_seconds", &seconds_type, duration_ns, FIELD_REQUIRED, "The duration of the open call", "0.000187"),
    {0},
};
static const struct type opened_type = {.kind = TYPE_RECORD,
                                        .name = "OpenedFile",
                                        .doc = "A file that was just opened.",
                                        .fields = opened_fields,
                                        .size = sizeof(struct file_row)};

static const struct field listed_fields[] = {
    FILE_FIELDS,
    FIELD("expires_in_seconds", &seconds_type, expires_ns, FIELD_REQUIRED,
          "The time until it is closed, unless a method is called first", "59.9913"),
    {0},
};
static const struct type listed_type = {.kind = TYPE_RECORD,
                                        .name = "OpenFile",
                                        .doc = "An open file.",
                                        .fields = listed_fields,
                                        .size = sizeof(struct file_row)};

/* Only for the schema: the list is rendered file by file. */
static const struct type files_type = {.kind = TYPE_ARRAY, .item = &listed_type, .max = INT64_MAX};
static const struct field list_fields[] = {
    {"files", &files_type, 0, FIELD_REQUIRED, NULL, "All open files, in the order in which they were opened", NULL},
    {0},
};
static const struct type list_type = {
    .kind = TYPE_RECORD, .name = "OpenFileList", .doc = "The open files.", .fields = list_fields};

static struct file_row file_row_from(const struct open_file *file)
{
    return (struct file_row){
        .id = str_from(file->id),
        .path = file->path,
        .mode = file->mode,
        .encoding = file->encoding,
        .position = atomic_load(&file->position),
        .lease_ns = file->lease_ns,
    };
}

/* -- lookup -------------------------------------------------------------------------------------------------------- */

static bool reject_if_disabled(const struct api *api, const struct request *request, struct response *response)
{
    if (runtime_open_files(api->runtime) != NULL)
        return false;
    request_reject(request, response, ERR_EXECUTOR_DISABLED,
                   "Open files are disabled; to enable them, start gatherd with --files-root DIR");
    return true;
}

static bool check_open_file_head(struct api *api, struct request *request, struct response *response)
{
    struct task_spec spec = {.function = &function_file_open, .options = task_options_none};
    return !reject_if_disabled(api, request, response) && check_capacity(api, request, &spec, response);
}

/* Finds the file whose handle is in the path. If the handle is unknown, closed or stale, fills *response and returns
 * NULL. */
static struct open_file *find_open_file(struct api *api, const struct request *request, struct response *response)
{
    struct str id = request->params[0];
    int64_t issued_ms;
    if (reject_if_disabled(api, request, response))
        return NULL;
    struct open_file *file = open_files_find(runtime_open_files(api->runtime), id);
    if (file != NULL)
        return file;
    if (!ids_parse_time(id, &issued_ms))
        request_reject(request, response, ERR_HANDLE_NOT_FOUND,
                       "The handle is not valid; it is the id that POST /v1/files returns");
    else if (issued_ms < api->started_ms)
        request_reject(request, response, ERR_STALE_HANDLE,
                       "The handle was issued before the service restarted; open the file again");
    else
        request_reject(request, response, ERR_HANDLE_CLOSED,
                       "The file was closed by a call, or its lease expired; open it again");
    return NULL;
}

static bool ref_file(struct open_file *file, const struct request *request, struct response *response)
{
    if (open_file_ref(file, request->arena))
        return true;
    request_reject_nomem(request, response);
    return false;
}

/* -- opening ------------------------------------------------------------------------------------------------------- */

static uint64_t default_lease(const struct api *api)
{
    uint64_t max_ns = runtime_limits(api->runtime)->max_lease_seconds, default_ns = 60 * NS_PER_SECOND;
    return default_ns < max_ns ? default_ns : max_ns;
}

static void render_opened_file(const struct request *request, const struct task_snapshot *task,
                               struct response *response)
{
    const struct task_info *info = &task->info;
    int methods[FILE_OP_COUNT];
    if (info->state != TASK_SUCCEEDED) {
        render_task(request, task, response);
        return;
    }
    const struct open_file *file = ((const struct file_call *)info->spec->input)->file;
    struct file_row row = file_row_from(file);
    row.methods.items = methods;
    for (int op = 0; op < FILE_OP_COUNT; op++)
        if (file_mode_allows(file->mode, (enum file_op)op))
            methods[row.methods.count++] = op;
    row.pid = info->pid;
    row.tid = info->tid;
    row.duration_ns = info->duration_ns;
    struct json_writer w = {0};
    render_value(&w, &opened_type, &row, NULL);
    response_json(response, 201, &w);
    response_header(response, "Location", "/v1/files/%s", file->id);
}

static struct responder *post_files(struct api *api, const struct request *request, struct response *response)
{
    struct file_open_params params;
    struct open_file *file;
    struct err e;
    const struct record_ref record = {.type = &file_open_params_type, .value = &params};
    if (!request_reject_query(request, response) || !request_decode_body(request, request->body, &record, 1, response))
        return NULL;
    if (params.lease_ns == SECONDS_ABSENT)
        params.lease_ns = default_lease(api);
    struct task_spec *spec = arena_alloc(request->arena, sizeof *spec);
    struct file_call *call = arena_alloc(request->arena, sizeof *call);
    if (spec == NULL || call == NULL) {
        request_reject_nomem(request, response);
        return NULL;
    }
    char id[ID_SIZE];
    ids_generate(&api->ids, request->received_us, id);
    if (open_files_add(runtime_open_files(api->runtime), id, params.path, params.mode, params.encoding, params.lease_ns,
                       request->arena, &file, &e) != 0) {
        request_reject_error(request, response, &e);
        return NULL;
    }
    call->file = file;
    *spec = (struct task_spec){.function = &function_file_open, .input = call, .options = task_options_none};
    return task_respond(api, request, spec, render_opened_file, response);
}

/* -- listing ------------------------------------------------------------------------------------------------------- */

static void write_open_file(struct json_writer *w, const struct open_file *file, uint64_t now_ns)
{
    struct file_row row = file_row_from(file);
    row.expires_ns = file->expires_ns > now_ns ? file->expires_ns - now_ns : 0;
    render_value(w, &listed_type, &row, NULL);
}

struct list_context {
    struct json_writer w;
    uint64_t now_ns;
    bool has_items;
};

static void append_file(struct open_file *file, void *user)
{
    struct list_context *list_context = user;
    if (list_context->has_items)
        json_writer_raw(&list_context->w, ",");
    list_context->has_items = true;
    write_open_file(&list_context->w, file, list_context->now_ns);
}

static struct responder *get_files(struct api *api, const struct request *request, struct response *response)
{
    if (reject_if_disabled(api, request, response) || !request_reject_query(request, response))
        return NULL;
    struct list_context list_context = {.now_ns = request->received_ns};
    json_writer_raw(&list_context.w, "{\"files\":[");
    open_files_for_each(runtime_open_files(api->runtime), append_file, &list_context);
    json_writer_raw(&list_context.w, "]}");
    response_json(response, 200, &list_context.w);
    return NULL;
}

static struct responder *get_file(struct api *api, const struct request *request, struct response *response)
{
    struct open_file *file = request_reject_query(request, response) ? find_open_file(api, request, response) : NULL;
    if (file == NULL)
        return NULL;
    struct json_writer w = {0};
    write_open_file(&w, file, request->received_ns);
    response_json(response, 200, &w);
    return NULL;
}

/* -- methods ------------------------------------------------------------------------------------------------------- */

static int find_file_op(struct str name)
{
    int op = 0;
    while (op < FILE_OP_COUNT && !str_eq(name, file_method_names[op]))
        op++;
    return op;
}

static void reject_method(const struct request *request, struct response *response)
{
    struct name_list names = {0};
    for (int i = 0; i < FILE_OP_COUNT; i++)
        name_list_add(&names, file_method_names[i]);
    char sanitized[SANITIZED_SIZE];
    request_reject(request, response, ERR_FILE_METHOD_NOT_FOUND, "\"%s\" is not a known method; known methods: %s",
                   decode_sanitize(request->params[1], sanitized), names.text);
}

static struct responder *call_method(struct api *api, const struct request *request, int op, struct response *response)
{
    struct open_file *file = request_reject_query(request, response) ? find_open_file(api, request, response) : NULL;
    if (file == NULL)
        return NULL;
    struct task_spec *spec = arena_alloc(request->arena, sizeof *spec);
    struct file_call *call = arena_alloc(request->arena, sizeof *call);
    if (spec == NULL || call == NULL) {
        request_reject_nomem(request, response);
        return NULL;
    }
    const struct record_ref record = {.type = file_methods[op].function.input, .value = call};
    struct str body = request->body.len > 0 ? request->body : STR("{}");
    if (!request_decode_body(request, body, &record, 1, response) || !ref_file(file, request, response))
        return NULL;
    file_call_spec(file, (enum file_op)op, call, spec);
    return task_respond(api, request, spec, render_task, response);
}

/* Checks the method and the handle first, so that a full pool does not hide that they are unknown. */
static bool check_file_method_head(struct api *api, struct request *request, struct response *response)
{
    if (find_file_op(request->params[1]) == FILE_OP_COUNT) {
        reject_method(request, response);
        return false;
    }
    return request_reject_query(request, response) && find_open_file(api, request, response) != NULL &&
           check_open_file_head(api, request, response);
}

static struct responder *post_file_method(struct api *api, const struct request *request, struct response *response)
{
    int op = find_file_op(request->params[1]);
    if (op < FILE_OP_COUNT)
        return call_method(api, request, op, response);
    reject_method(request, response);
    return NULL;
}

static struct responder *delete_file(struct api *api, const struct request *request, struct response *response)
{
    return call_method(api, request, FILE_OP_CLOSE, response);
}

/* -- routes -------------------------------------------------------------------------------------------------------- */

#define HANDLE_ERRORS ERR_EXECUTOR_DISABLED, ERR_HANDLE_NOT_FOUND, ERR_HANDLE_CLOSED, ERR_STALE_HANDLE
static const int list_errors[] = {ERR_EXECUTOR_DISABLED, 0};
static const int handle_errors[] = {HANDLE_ERRORS, 0};
static const int open_errors[] = {ERR_TOO_MANY_OPEN_FILES, 0};

static const struct function_example open_examples[] = {
    {"write", "A file to write", JSON({"path" : "data.txt", "mode" : "w"}), NULL, NULL, 0},
    {"bytes", "A file of any bytes, in base64, kept open for 10 minutes without a call",
     JSON({"path" : "blob.bin", "mode" : "w+", "encoding" : "base64", "lease_seconds" : 600}), NULL, NULL, 0},
    {0},
};
static const struct route_answer open_answers[] = {
    {201, "The file is open.", "application/json", &opened_type, false, ANSWER_LOCATION, JSON({
         "id" : "01KAN5C3S0W9TZ3M5X7CEYAK4HQ2",
         "path" : "data.txt",
         "mode" : "w",
         "encoding" : "utf-8",
         "position" : 0,
         "lease_seconds" : 60,
         "methods" : [ "write", "writelines", "pwrite", "seek", "tell", "truncate", "flush", "fsync", "stat", "close" ],
         "pid" : 4711,
         "tid" : 4716,
         "duration_seconds" : 0.000187
     })},
    {0},
};
static const struct route_answer list_answers[] = {
    {200, "All open files.", "application/json", &list_type, false, 0, NULL},
    {0},
};
static const struct route_answer get_answers[] = {
    {200, "The open file.", "application/json", &listed_type, false, 0, NULL},
    {0},
};
static const struct route_answer method_answers[] = {
    {200, "The method has returned.", "application/json", NULL, false, ANSWER_SERVER_TIMING, NULL},
    {0},
};

const struct route route_post_files = {
    .method = METHOD_POST,
    .path = "/v1/files",
    .body = BODY_JSON,
    .handler = post_files,
    .check_head = check_open_file_head,
    .operation = "openFile",
    .tag = TAG_FILES,
    .function = "open",
    .summary = "Opens a file",
    .description =
        "Opens a file and returns its handle, for `POST /v1/files/{handle}/{method}`. The methods are those of\n"
        "Python's file objects; those of one file run one at a time, in the order in which their requests arrive,\n"
        "those of different files concurrently. The file is closed by its method `close`, by `DELETE`, or after\n"
        "`lease_seconds` without a call; every call renews the lease.",
    .request = &file_open_params_type,
    .answers = open_answers,
    .errors = open_errors,
    .examples = open_examples,
};

const struct route route_get_files = {
    .method = METHOD_GET,
    .path = "/v1/files",
    .handler = get_files,
    .operation = "listOpenFiles",
    .tag = TAG_FILES,
    .summary = "Lists the open files",
    .answers = list_answers,
    .errors = list_errors,
};

const struct route route_get_file = {
    .method = METHOD_GET,
    .path = "/v1/files/{handle}",
    .handler = get_file,
    .operation = "getOpenFile",
    .tag = TAG_FILES,
    .summary = "Gets an open file",
    .description = "Does not renew its lease.",
    .answers = get_answers,
    .errors = handle_errors,
};

const struct route route_delete_file = {
    .method = METHOD_DELETE,
    .path = "/v1/files/{handle}",
    .handler = delete_file,
    .operation = "closeFile",
    .tag = TAG_FILES,
    .function = "close",
    .summary = "Closes a file",
    .description = "The same as its method `close`.",
    .answers = method_answers,
    .errors = handle_errors,
};

const struct route route_post_file_method = {
    .method = METHOD_POST,
    .path = "/v1/files/{handle}/{method}",
    .body = BODY_JSON_OR_NONE,
    .handler = post_file_method,
    .check_head = check_file_method_head,
    .operation = "file",
    .tag = TAG_FILES,
    .expansion = EXPAND_METHODS,
    .answers = method_answers,
    .errors = handle_errors,
};
