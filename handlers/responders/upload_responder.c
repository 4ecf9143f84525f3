#include "handlers/responders/upload_responder.h"

#include "handlers/http/etag.h"
#include "handlers/json/field_types.h"
#include "handlers/json/render.h"
#include "runtime/files/file_io.h"
#include "runtime/files/write_stream.h"
#include "runtime/lib/state.h"
#include "runtime/lib/util.h"

/*
 *     RECEIVING -> COMMITTING -> COMPLETE
 *         +-------------------------^      the write failed; the rest of the body is discarded
 */
enum upload_state { UPLOAD_RECEIVING, UPLOAD_COMMITTING, UPLOAD_COMPLETE, UPLOAD_STATE_COUNT };

/* allowed transitions */
static const state_set moves[UPLOAD_STATE_COUNT] = {
    [UPLOAD_RECEIVING] = STATE_BIT(UPLOAD_COMMITTING) | STATE_BIT(UPLOAD_COMPLETE),
    [UPLOAD_COMMITTING] = STATE_BIT(UPLOAD_COMPLETE),
};

struct upload {
    struct responder base;
    struct runtime *runtime;       /* borrowed */
    const struct request *request; /* borrowed */
    struct str path;               /* in the request's arena */
    enum upload_state state;
    struct write_stream *stream; /* owned */
};

struct stored_file {
    struct str path;
    int64_t size_bytes;
    bool created;
};
static const struct field stored_file_fields[] = {
    {"path", &file_path_type, offsetof(struct stored_file, path), FIELD_REQUIRED, NULL, "The path, as requested", NULL},
    {"size_bytes", &count_type, offsetof(struct stored_file, size_bytes), FIELD_REQUIRED, NULL, "The size of the file",
     "13"},
    {"created", &boolean_type, offsetof(struct stored_file, created), FIELD_REQUIRED, NULL,
     "Whether the path had no file before", "true"},
    {0},
};
const struct type stored_file_type = {.kind = TYPE_RECORD,
                                      .name = "StoredFile",
                                      .doc = "A file that was uploaded.",
                                      .fields = stored_file_fields,
                                      .size = sizeof(struct stored_file)};

static struct upload *upload_of(struct responder *base)
{
    return container_of(base, struct upload, base);
}

static void upload_move(struct upload *upload, enum upload_state to)
{
    upload->state = STATE_MOVE(moves, upload->state, to);
}

static void upload_fail(struct upload *upload, const struct err *e)
{
    upload_move(upload, UPLOAD_COMPLETE);
    response_error(upload->base.response, upload->request->id, e, upload->request->limits);
}

static void upload_succeed(struct upload *upload)
{
    struct response *response = upload->base.response;
    struct file_version version;
    struct json_writer w = {0};
    char tag[ETAG_SIZE];
    bool created;
    upload_move(upload, UPLOAD_COMPLETE);
    write_stream_get_result(upload->stream, &version, &created);
    etag_format(&version, tag);
    response_header(response, "ETag", "%s", tag);
    const struct stored_file file = {upload->path, (int64_t)version.size_bytes, created};
    render_value(&w, &stored_file_type, &file, NULL);
    response_json(response, created ? 201 : 200, &w);
}

/* Called when the stream can take more of the body, when a write has failed, or when the file is committed. May run
 * inside write_stream_finish(). */
static void on_upload_ready(struct write_stream *stream, const struct err *e, void *user)
{
    struct upload *upload = user;
    (void)stream;
    if (upload->state == UPLOAD_COMMITTING && e->rc != 0)
        upload_fail(upload, e);
    else if (upload->state == UPLOAD_COMMITTING)
        upload_succeed(upload);
    responder_wake(&upload->base);
}

static enum responder_result upload_body(struct responder *base, const char *bytes, size_t *len)
{
    struct upload *upload = upload_of(base);
    struct err e;
    size_t n = *len;
    *len = write_stream_write(upload->stream, bytes, n);
    task_drain(upload->runtime);
    if (*len < n)
        return RESPONDER_WAIT;
    if (!write_stream_failed(upload->stream, &e))
        return RESPONDER_CONTINUE;
    upload_fail(upload, &e);
    return RESPONDER_READY;
}

static enum responder_result upload_finish(struct responder *base)
{
    struct upload *upload = upload_of(base);
    if (upload->state == UPLOAD_RECEIVING) {
        upload_move(upload, UPLOAD_COMMITTING);
        write_stream_finish(upload->stream);
        task_drain(upload->runtime);
    }
    return upload->state == UPLOAD_COMPLETE ? RESPONDER_READY : RESPONDER_WAIT;
}

static void upload_close(struct responder *base)
{
    write_stream_close(upload_of(base)->stream);
}

static const struct responder_ops upload_ops = {
    .body = upload_body,
    .finish = upload_finish,
    .close = upload_close,
};

struct responder *upload_responder_new(struct runtime *runtime, const struct request *request, struct str path,
                                       const struct file_condition *condition, struct response *response)
{
    struct err e;
    struct upload *upload = arena_alloc(request->arena, sizeof *upload);
    if (upload == NULL) {
        err_nomem(&e);
        goto fail;
    }
    responder_init(&upload->base, &upload_ops, response);
    upload->runtime = runtime;
    upload->request = request;
    upload->path = path;
    upload->state = UPLOAD_RECEIVING;
    if (write_stream_open(runtime, path, condition, on_upload_ready, upload, &upload->stream, &e) != 0)
        goto fail;
    task_drain(runtime);
    return &upload->base;

fail:
    response_error(response, request->id, &e, request->limits);
    return NULL;
}
