#include "handlers/responders/download_responder.h"

#include "handlers/http/etag.h"
#include "handlers/http/preconditions.h"
#include "runtime/files/file_lookup.h"
#include "runtime/files/read_stream.h"
#include "runtime/lib/check.h"
#include "runtime/lib/state.h"
#include "runtime/lib/util.h"

#include <time.h>

/*
 *     LOOKUP -> OPENING -> STREAMING   the preconditions hold
 *       |          |
 *       +----------+--> COMPLETE       HEAD, 304, 412, and every error: no bytes follow
 *
 * A GET without preconditions begins in OPENING.
 */
enum download_state { DOWNLOAD_LOOKUP, DOWNLOAD_OPENING, DOWNLOAD_STREAMING, DOWNLOAD_COMPLETE, DOWNLOAD_STATE_COUNT };

/* allowed transitions */
static const state_set moves[DOWNLOAD_STATE_COUNT] = {
    [DOWNLOAD_LOOKUP] = STATE_BIT(DOWNLOAD_OPENING) | STATE_BIT(DOWNLOAD_COMPLETE),
    [DOWNLOAD_OPENING] = STATE_BIT(DOWNLOAD_STREAMING) | STATE_BIT(DOWNLOAD_COMPLETE),
};

struct download {
    struct responder base;
    struct runtime *runtime;       /* borrowed */
    const struct request *request; /* borrowed */
    struct str path;               /* in the request's arena */
    enum download_state state;
    struct file_lookup *lookup; /* owned; NULL except in LOOKUP */
    struct read_stream *stream; /* owned; NULL except in OPENING and STREAMING */
};

static struct download *download_of(struct responder *base)
{
    return container_of(base, struct download, base);
}

static void download_move(struct download *download, enum download_state to)
{
    download->state = STATE_MOVE(moves, download->state, to);
}

static void release_file(struct download *download)
{
    if (download->lookup != NULL)
        file_lookup_close(download->lookup);
    if (download->stream != NULL)
        read_stream_close(download->stream);
    download->lookup = NULL;
    download->stream = NULL;
}

static void complete(struct download *download)
{
    release_file(download);
    download_move(download, DOWNLOAD_COMPLETE);
    responder_wake(&download->base);
}

static void fail(struct download *download, const struct err *e)
{
    response_error(download->base.response, download->request->id, e, download->request->limits);
    complete(download);
}

/* Writes the status and headers, after If-Match was checked. HEAD and 304 have the Content-Length of the 200, and no
 * bytes (RFC 9110 sections 9.3.2 and 15.4.5). */
static void write_head(const struct file_version *version, bool not_modified, struct response *response)
{
    char tag[ETAG_SIZE], date[40];
    time_t seconds = (time_t)(version->modified_us / 1000000);
    struct tm tm;
    etag_format(version, tag);
    response_header(response, "ETag", "%s", tag);
    if (gmtime_r(&seconds, &tm) != NULL && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        response_header(response, "Last-Modified", "%s", date);
    response->is_stream = true;
    response->body_len = version->size_bytes;
    response->status = not_modified ? 304 : 200;
    if (not_modified)
        return;
    response->content_type = "application/octet-stream";
    response_header(response, "X-Content-Type-Options", "nosniff");
}

static int open_stream(struct download *download, bool continuation, struct err *e);

/* To be called with the version from the lookup, or that of the open stream. Writes the head of the response, or opens
 * the stream first if one is needed. */
static void on_version(struct download *download, const struct file_version *version)
{
    struct preconditions preconditions = preconditions_of(download->request);
    struct err e;
    if (preconditions_check_if_match(&preconditions, version, download->path, &e) != 0) {
        fail(download, &e);
        return;
    }
    bool not_modified = preconditions_not_modified(&preconditions, version);
    bool has_bytes = !not_modified && download->request->method != METHOD_HEAD;
    if (has_bytes && download->state == DOWNLOAD_LOOKUP) {
        release_file(download);
        download_move(download, DOWNLOAD_OPENING);
        if (open_stream(download, true, &e) != 0)
            fail(download, &e);
        return;
    }
    write_head(version, not_modified, download->base.response);
    if (!has_bytes) {
        complete(download);
        return;
    }
    download_move(download, DOWNLOAD_STREAMING);
    responder_wake(&download->base);
}

static void on_lookup_done(struct file_lookup *lookup, const struct file_version *version, const struct err *e,
                           void *user)
{
    struct download *download = user;
    (void)lookup;
    if (e->rc != 0) { /* *version may still be written to (runtime/files/file_work.h) */
        fail(download, e);
        return;
    }
    struct file_version copy = *version; /* on_version() closes the lookup */
    on_version(download, &copy);
}

static void on_stream_ready(struct read_stream *stream, const struct err *e, void *user)
{
    struct download *download = user;
    struct file_version version;
    if (download->state == DOWNLOAD_STREAMING) {
        responder_wake(&download->base);
    } else if (e->rc != 0) {
        fail(download, e);
    } else {
        read_stream_get_version(stream, &version);
        on_version(download, &version);
    }
}

static int open_stream(struct download *download, bool continuation, struct err *e)
{
    return read_stream_open(download->runtime, download->path, continuation, on_stream_ready, download,
                            &download->stream, e);
}

static enum responder_result download_finish(struct responder *base)
{
    struct download *download = download_of(base);
    if (download->state < DOWNLOAD_STREAMING)
        task_drain(download->runtime);
    return download->state < DOWNLOAD_STREAMING ? RESPONDER_WAIT : RESPONDER_READY;
}

static ssize_t download_read(struct responder *base, char *out, size_t max)
{
    struct download *download = download_of(base);
    CHECK(download->state == DOWNLOAD_STREAMING);
    ssize_t n = read_stream_read(download->stream, out, max);
    task_drain(download->runtime);
    return n == READ_STREAM_EMPTY ? RESPONDER_READ_WAIT : n == READ_STREAM_FAILED ? RESPONDER_READ_FAILED : n;
}

static void download_close(struct responder *base)
{
    release_file(download_of(base));
}

static const struct responder_ops download_ops = {
    .finish = download_finish,
    .read = download_read,
    .close = download_close,
};

struct responder *download_responder_new(struct runtime *runtime, const struct request *request, struct str path,
                                         struct response *response)
{
    struct err e;
    struct download *download = arena_alloc(request->arena, sizeof *download);
    if (download == NULL) {
        err_nomem(&e);
        goto fail;
    }
    responder_init(&download->base, &download_ops, response);
    download->runtime = runtime;
    download->request = request;
    download->path = path;
    bool look_up = request->method == METHOD_HEAD || request->headers[HEADER_IF_MATCH].data != NULL ||
                   request->headers[HEADER_IF_NONE_MATCH].data != NULL;
    download->state = look_up ? DOWNLOAD_LOOKUP : DOWNLOAD_OPENING;
    if ((look_up ? file_lookup_start(runtime, path, on_lookup_done, download, &download->lookup, &e)
                 : open_stream(download, false, &e)) == 0)
        return &download->base;

fail:
    response_error(response, request->id, &e, request->limits);
    return NULL;
}
