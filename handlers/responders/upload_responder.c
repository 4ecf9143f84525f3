#include "handlers/responders/upload_responder.h"

#include "handlers/http/etag.h"
#include "runtime/files/write_stream.h"
#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

/*
 *     RECEIVING -> COMMITTING -> COMPLETE
 *         +-------------------------^      the write failed; the rest of the body is discarded
 */
enum upload_state { UPLOAD_RECEIVING, UPLOAD_COMMITTING, UPLOAD_COMPLETE, UPLOAD_STATE_COUNT };

static const unsigned char moves[UPLOAD_STATE_COUNT] = {
    /* allowed transitions */
    [UPLOAD_RECEIVING] = 1 << UPLOAD_COMMITTING | 1 << UPLOAD_COMPLETE,
    [UPLOAD_COMMITTING] = 1 << UPLOAD_COMPLETE,
};

struct upload {
    struct responder base;
    struct runtime *runtime;       /* borrowed */
    const struct request *request; /* borrowed */
    struct str path;               /* in the request's arena */
    enum upload_state state;
    struct write_stream *stream; /* owned */
};

static struct upload *upload_of(struct responder *base)
{
    return container_of(base, struct upload, base);
}

static void upload_move(struct upload *upload, enum upload_state to)
{
    CHECK((moves[upload->state] & 1 << to) != 0);
    upload->state = to;
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
    json_writer_raw(&w, "{\"path\":");
    json_writer_string(&w, upload->path);
    json_writer_raw(&w, ",\"size_bytes\":");
    json_writer_integer(&w, (int64_t)version.size_bytes);
    json_writer_raw(&w, created ? ",\"created\":true}" : ",\"created\":false}");
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
