#include "service/http/exchange.h"

#include "runtime/files/read_stream.h"
#include "runtime/files/write_stream.h"
#include "runtime/lib/check.h"
#include "runtime/lib/wall_clock.h"
#include "runtime/runtime.h"
#include "runtime/task/task_submit.h"
#include "service/http/origin_check.h"
#include "service/log/log_events.h"

#include <string.h>
#include <uv.h>

enum { MAX_REQUEST_ID = 128 };

/* A body that has been refused is read on and thrown away, so that the client gets to read why, but not for ever. */
#define MAX_DISCARDED_BODY (INT64_C(64) * 1024 * 1024)

enum exchange_state { STATE_RECEIVING_BODY, STATE_SUBMITTING, STATE_SUSPENDED, STATE_READY };

struct exchange {
    struct exchange_context *context; /* borrowed */
    void *user;                       /* borrowed */
    enum exchange_state state;
    struct str method;         /* as it came; in the arena */
    struct str authority;      /* of a target in absolute form; absent in origin form */
    struct request request;    /* its arena is owned, and holds this struct too */
    const struct route *route; /* NULL: refused, and reply says why */
    struct json_writer body;   /* owned */
    int64_t discarded;         /* bytes of the body that nobody will read */
    bool expects_body;
    struct response response; /* owned */
    struct task_identity identity;
    struct task *task;            /* owned while it runs */
    bool task_failed;             /* or was canceled, which has been logged */
    struct read_stream *download; /* owned; what the answer streams */
    struct write_stream *upload;  /* owned; where the body streams to */
    struct str path;              /* of either; in the arena */
};

/* The path of a target in origin form, or in absolute form, which servers have to take, and whose authority counts in place of
 * Host (RFC 9112 section 3.2.2). */
static bool split_target(struct exchange *exchange, struct str target)
{
    static const char scheme[] = "http://";
    struct request *request = &exchange->request;
    if (target.len >= sizeof scheme - 1 && memcmp(target.data, scheme, sizeof scheme - 1) == 0) {
        target.data += sizeof scheme - 1;
        target.len -= sizeof scheme - 1;
        size_t authority = strcspn(target.data, "/?");
        if (!arena_str(request->arena, target.data, authority, &exchange->authority))
            return false;
        target.data += authority;
        target.len -= authority;
    }
    const char *question = memchr(target.data, '?', target.len);
    request->path = target;
    if (question != NULL) {
        request->path.len = (size_t)(question - target.data);
        request->query = (struct str){question + 1, target.len - request->path.len - 1};
    }
    if (request->path.len == 0)
        request->path = STR("/");
    return true;
}

struct exchange *exchange_new(struct exchange_context *context, const char *target, void *user)
{
    struct arena *arena = arena_new();
    if (arena == NULL)
        return NULL;
    struct exchange *exchange = arena_alloc(arena, sizeof *exchange);
    struct str copy;
    if (exchange == NULL || !arena_str(arena, target, strlen(target), &copy)) {
        arena_unref(arena);
        return NULL;
    }
    *exchange = (struct exchange){
        .context = context,
        .user = user,
        .request = {.arena = arena, .received_ns = uv_hrtime(), .received_us = wall_clock_us()},
    };
    if (split_target(exchange, copy))
        return exchange;
    arena_unref(arena);
    return NULL;
}

struct response *exchange_response(struct exchange *exchange)
{
    return &exchange->response;
}

struct str exchange_request_id(const struct exchange *exchange)
{
    return exchange->request.id;
}

bool exchange_expects_body(const struct exchange *exchange)
{
    return exchange->expects_body;
}

static enum method method_from_name(struct str name)
{
    if (str_eq(name, "GET") || str_eq(name, "HEAD"))
        return METHOD_GET;
    if (str_eq(name, "POST"))
        return METHOD_POST;
    if (str_eq(name, "PUT"))
        return METHOD_PUT;
    return str_eq(name, "DELETE") ? METHOD_DELETE : METHOD_OTHER;
}

/* A client's own id is taken over when it can stand in a header, a log line and a URN as it is. */
static bool request_id_is_valid(struct str id)
{
    if (id.len == 0 || id.len > MAX_REQUEST_ID)
        return false;
    return strspn(id.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == id.len;
}

static bool assign_request_id(struct exchange *exchange, struct str client_id)
{
    struct request *request = &exchange->request;
    if (request_id_is_valid(client_id))
        return arena_str(request->arena, client_id.data, client_id.len, &request->id);
    char id[ID_SIZE];
    api_generate_id(exchange->context->api, request->received_us, id);
    return arena_str(request->arena, id, ID_LEN, &request->id);
}

static bool copy_field(struct request *request, struct str header, struct str *out)
{
    return header.data == NULL || arena_str(request->arena, header.data, header.len, out);
}

static void reject_body_size(struct exchange *exchange)
{
    response_problem(&exchange->response, exchange->request.id, ERR_BODY_TOO_LARGE,
                     "The body has more than %lld bytes, the limit max_body_bytes (GET /v1/limits)",
                     (long long)exchange->context->limits->max_body_bytes);
    exchange->route = NULL;
}

/* The reply is there: at once, inside run_on(), or later. */
static void complete(struct exchange *exchange)
{
    bool was_suspended = exchange->state == STATE_SUSPENDED;
    exchange->state = STATE_READY;
    if (was_suspended)
        exchange->context->ready(exchange, exchange->user);
}

/* What can be done at once is done, so that its answer need not wait. */
static enum exchange_action respond_or_suspend(struct exchange *exchange)
{
    task_drain(exchange->context->runtime);
    if (exchange->state == STATE_READY)
        return EXCHANGE_RESPOND;
    exchange->state = STATE_SUSPENDED;
    return EXCHANGE_SUSPEND;
}

/* -- bodies that stream -------------------------------------------------------------------------------------------- */

static void exchange_on_upload(struct write_stream *upload, const struct err *e, void *user)
{
    struct exchange *exchange = user;
    if (exchange->state == STATE_RECEIVING_BODY) {
        exchange->context->resume(exchange, exchange->user);
        return;
    }
    struct file_version version = {0};
    bool created = false;
    if (e->rc == 0)
        write_stream_get_result(upload, &version, &created);
    api_upload_response(exchange->context->api, &exchange->request, exchange->path, &version, created, e,
                        &exchange->response);
    complete(exchange);
}

/* The route knows from the head alone where the body goes. */
static void open_upload(struct exchange *exchange)
{
    struct exchange_context *context = exchange->context;
    struct handler_result result;
    struct err e;
    api_handle(context->api, exchange->route, &exchange->request, &result);
    exchange->path = result.path;
    if (result.kind == RESULT_RESPONSE)
        exchange->response = result.response;
    else if (write_stream_open(context->runtime, result.path, result.condition, exchange_on_upload, exchange,
                               &exchange->upload, &e) != 0)
        response_error(&exchange->response, exchange->request.id, &e, runtime_limits(exchange->context->runtime));
    else
        task_drain(context->runtime);
    if (exchange->upload == NULL)
        exchange->route = NULL;
}

bool exchange_streams_body(const struct exchange *exchange)
{
    struct err e;
    return exchange->upload != NULL && !write_stream_failed(exchange->upload, &e);
}

/* Once it has failed, what comes is thrown away, as for any other body that was refused. */
static enum exchange_action exchange_write_body(struct exchange *exchange, const char *bytes, size_t *consumed)
{
    struct err e;
    size_t len = *consumed;
    *consumed = write_stream_write(exchange->upload, bytes, len);
    task_drain(exchange->context->runtime);
    if (*consumed < len)
        return EXCHANGE_SUSPEND;
    if (!write_stream_failed(exchange->upload, &e) || (exchange->discarded += (int64_t)len) <= MAX_DISCARDED_BODY)
        return EXCHANGE_CONTINUE;
    response_error(&exchange->response, exchange->request.id, &e, runtime_limits(exchange->context->runtime));
    return EXCHANGE_ABORT;
}

static enum exchange_action finish_upload(struct exchange *exchange)
{
    exchange->state = STATE_SUBMITTING;
    write_stream_finish(exchange->upload);
    return respond_or_suspend(exchange);
}

/* -- answers that stream ------------------------------------------------------------------------------------------- */

static void exchange_on_download(struct read_stream *download, const struct err *e, void *user)
{
    struct exchange *exchange = user;
    struct file_version version = {0};
    if (exchange->state == STATE_READY) {
        exchange->context->resume(exchange, exchange->user);
        return;
    }
    if (e->rc == 0)
        read_stream_get_version(download, &version);
    api_download_response(exchange->context->api, &exchange->request, exchange->path, &version, e, &exchange->response);
    complete(exchange);
}

static enum exchange_action open_download(struct exchange *exchange, struct str path)
{
    struct exchange_context *context = exchange->context;
    struct err e;
    exchange->path = path;
    exchange->state = STATE_SUBMITTING;
    if (read_stream_open(context->runtime, path, exchange_on_download, exchange, &exchange->download, &e) != 0) {
        response_error(&exchange->response, exchange->request.id, &e, runtime_limits(exchange->context->runtime));
        return EXCHANGE_RESPOND;
    }
    return respond_or_suspend(exchange);
}

ssize_t exchange_read(struct exchange *exchange, char *out, size_t max)
{
    ssize_t n = read_stream_read(exchange->download, out, max);
    task_drain(exchange->context->runtime);
    return n;
}

/* -- a request's way ----------------------------------------------------------------------------------------------- */

enum exchange_action exchange_receive_head(struct exchange *exchange, const struct request_head *head)
{
    struct request *request = &exchange->request;
    struct response *response = &exchange->response;
    struct err e;
    request->method = method_from_name(head->method);
    request->has_content_range = head->has_content_range;
    request->has_if_unmodified_since = head->has_if_unmodified_since;
    exchange->expects_body = request->has_body = head->chunked || head->content_length > 0;
    if (!assign_request_id(exchange, head->request_id) || !copy_field(request, head->method, &exchange->method) ||
        !copy_field(request, head->content_type, &request->content_type) ||
        !field_lines_join(&head->content_encoding, request->arena, &request->content_encoding) ||
        !field_lines_join(&head->if_match, request->arena, &request->if_match) ||
        !field_lines_join(&head->if_none_match, request->arena, &request->if_none_match)) {
        response_problem(response, request->id, ERR_OUT_OF_MEMORY,
                         "There is no memory for the request; try again later");
        return EXCHANGE_ABORT;
    }
    if (head->malformed != NULL) {
        response_problem(response, request->id, ERR_MALFORMED_HTTP, "%s", head->malformed);
        return EXCHANGE_ABORT;
    }
    if (origin_check(head, exchange->authority, request->path, &e) != 0)
        response_problem(response, request->id, e.rc, "%s", e.msg);
    else
        exchange->route = api_route(exchange->context->api, request, response);
    if (exchange->route != NULL && route_body_kind(exchange->route) == BODY_STREAM)
        open_upload(exchange);
    else if (head->content_length > exchange->context->limits->max_body_bytes) {
        if (exchange->route != NULL)
            reject_body_size(exchange);
        return EXCHANGE_ABORT;
    }
    return exchange->route == NULL && head->expects_continue ? EXCHANGE_ABORT : EXCHANGE_CONTINUE;
}

enum exchange_action exchange_receive_body(struct exchange *exchange, const char *bytes, size_t *consumed)
{
    size_t len = *consumed;
    if (exchange->upload != NULL) {
        return exchange_write_body(exchange, bytes, consumed);
    }
    if (exchange->route != NULL && exchange->body.len + len > (size_t)exchange->context->limits->max_body_bytes)
        reject_body_size(exchange);
    if (exchange->route != NULL && route_body_kind(exchange->route) != BODY_NONE) {
        json_writer_bytes(&exchange->body, bytes, len);
        return EXCHANGE_CONTINUE;
    }
    exchange->discarded += (int64_t)len;
    if (exchange->discarded <= MAX_DISCARDED_BODY)
        return EXCHANGE_CONTINUE;
    if (exchange->route != NULL)
        reject_body_size(exchange);
    return EXCHANGE_ABORT;
}

static bool task_failed(const struct task *task)
{
    struct task_info info;
    task_get_info(task, &info);
    return info.rc != 0;
}

static void exchange_on_task_done(struct task *task, void *user)
{
    struct exchange *exchange = user;
    log_task_finished(exchange->context->log, task, &exchange->identity, exchange->request.id);
    exchange->task_failed = task_failed(task);
    api_task_response(exchange->context->api, exchange->route, &exchange->request, task, &exchange->identity,
                      &exchange->response);
    task_release(task);
    exchange->task = NULL;
    complete(exchange);
}

static enum exchange_action exchange_submit(struct exchange *exchange, const struct task_spec *spec)
{
    struct exchange_context *context = exchange->context;
    struct request *request = &exchange->request;
    struct err e;
    exchange->state = STATE_SUBMITTING;
    if (task_submit(context->runtime, spec, request->arena, request->received_ns, exchange_on_task_done, exchange,
                    &exchange->task, &e) != 0) {
        response_error(&exchange->response, request->id, &e, runtime_limits(context->runtime));
        return EXCHANGE_RESPOND;
    }
    return respond_or_suspend(exchange);
}

enum exchange_action exchange_receive_end(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    if (exchange->route == NULL)
        return EXCHANGE_RESPOND;
    if (exchange->upload != NULL)
        return finish_upload(exchange);
    if (exchange->body.failed) {
        response_problem(&exchange->response, request->id, ERR_OUT_OF_MEMORY,
                         "There is no memory for the body; try again later");
        return EXCHANGE_RESPOND;
    }
    request->body = (struct str){exchange->body.data, exchange->body.len};
    struct handler_result result;
    api_handle(exchange->context->api, exchange->route, request, &result);
    request->body = (struct str){0};
    json_writer_free(&exchange->body);
    if (result.kind == RESULT_RESPONSE) {
        exchange->response = result.response;
        return EXCHANGE_RESPOND;
    }
    if (result.kind == RESULT_DOWNLOAD)
        return open_download(exchange, result.path);
    exchange->identity = result.identity;
    return exchange_submit(exchange, result.spec);
}

void exchange_disconnect(struct exchange *exchange)
{
    if (exchange->task == NULL)
        return;
    task_cancel(exchange->task, CANCEL_CLIENT);
    task_drain(exchange->context->runtime);
}

void exchange_response_queued(struct exchange *exchange, bool out_of_memory)
{
    int rc = out_of_memory ? ERR_OUT_OF_MEMORY : exchange->response.rc;
    if (rc != 0 && !exchange->task_failed)
        log_request_rejected(exchange->context->log, rc, exchange->method, exchange->request.path,
                             exchange->request.id);
}

void exchange_free(struct exchange *exchange)
{
    CHECK(exchange->task == NULL);
    if (exchange->download != NULL)
        read_stream_close(exchange->download);
    if (exchange->upload != NULL)
        write_stream_close(exchange->upload);
    json_writer_free(&exchange->body);
    response_free(&exchange->response);
    arena_unref(exchange->request.arena);
}
