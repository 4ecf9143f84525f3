/* fs - the bytes of files as they are, streamed out and in. */
#include "handlers/routes.h"
#include "runtime/jail.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The path behind /v1/fs/. Here a slash that came encoded is one like any other: clients that are made from the contract
 * encode those of a parameter, and no file's name has one. Where the path leads to is the jail's affair. */
static bool file_path(const struct request *request, struct outcome *out)
{
    bool out_of_memory = false;
    struct text raw = request->path;
    size_t from = 0; /* behind the third slash: "v1" and "fs" may have come percent-encoded */
    for (int slashes = 0; slashes < 3; from++)
        slashes += raw.at[from] == '/';
    struct text rest = {raw.at + from, raw.len - from};
    if (!decode_percent(rest, false, request->arena, &out->path, &out_of_memory)) {
        refuse(request, out, out_of_memory ? ERR_OUT_OF_MEMORY : ERR_MALFORMED_HTTP,
               out_of_memory ? "There is no memory for the path"
                             : "The path is not percent-encoded UTF-8 without NUL (RFC 3986)");
        return false;
    }
    if (out->path.len <= PATH_MOST)
        return true;
    refuse(request, out, ERR_INVALID, "The path must have at most %d bytes", PATH_MOST);
    return false;
}

void parse_download(struct api *api, const struct request *request, struct outcome *out)
{
    if (no_query(api, request, out) && file_path(request, out))
        out->kind = OUTCOME_SOURCE;
}

void parse_upload(struct api *api, const struct request *request, struct outcome *out)
{
    if (no_query(api, request, out) && file_path(request, out))
        out->kind = OUTCOME_SINK;
}

/* Strong: what changes a file without changing these three would have to set its clock back (RFC 9110 section 8.8.3). */
static void make_etag(const struct file_stamp *stamp, char out[64])
{
    snprintf(out, 64, "\"%llx-%llx-%llx\"", (unsigned long long)stamp->inode, (unsigned long long)stamp->size_bytes,
             (unsigned long long)stamp->modified_us);
}

/* If-None-Match is "*" or a list of tags; a weak one matches too (RFC 9110 section 13.1.2). */
static bool has_tag(struct text list, const char *tag)
{
    return list.at != NULL && (text_is(list, "*") || strstr(list.at, tag) != NULL);
}

void api_source_reply(struct api *api, const struct request *request, const struct file_stamp *stamp,
                      const struct err *e, struct reply *reply)
{
    if (e->rc != 0) {
        reply_error(reply, request->id, e, runtime_limits(api->config.runtime));
        return;
    }
    char tag[64], date[40];
    time_t seconds = (time_t)(stamp->modified_us / 1000000);
    struct tm tm;
    make_etag(stamp, tag);
    reply_header(reply, "ETag", "%s", tag);
    if (gmtime_r(&seconds, &tm) != NULL && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        reply_header(reply, "Last-Modified", "%s", date);
    reply->streams = true; /* a 304 has the length that a 200 would have, and no body (RFC 9110 section 15.4.5) */
    reply->body_len = stamp->size_bytes;
    if (has_tag(request->if_none_match, tag)) {
        reply->status = 304;
        return;
    }
    reply->status = 200;
    reply->content_type = "application/octet-stream";
    reply_header(reply, "X-Content-Type-Options", "nosniff");
}

void api_sink_reply(struct api *api, const struct request *request, struct text path, const struct file_stamp *stamp,
                    bool created, const struct err *e, struct reply *reply)
{
    if (e->rc != 0) {
        reply_error(reply, request->id, e, runtime_limits(api->config.runtime));
        return;
    }
    struct writer w = {0};
    writer_raw(&w, "{\"path\":");
    writer_string(&w, path);
    writer_raw(&w, ",\"size_bytes\":");
    writer_integer(&w, (int64_t)stamp->size_bytes);
    writer_raw(&w, created ? ",\"created\":true}" : ",\"created\":false}");
    reply_json(reply, created ? 201 : 200, &w);
}
