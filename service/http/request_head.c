#include "service/http/request_head.h"

#include "runtime/lib/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void request_head_init(struct request_head *head, struct str method, struct str version)
{
    *head = (struct request_head){.method = method, .version = version, .content_length = -1};
}

static void set_malformed(struct request_head *head, const char *reason)
{
    if (head->malformed == NULL)
        head->malformed = reason;
}

/* Names are tokens (RFC 9110 section 5.6.2), values have no control characters but tabs (section 5.5). */
static void check_field_chars(struct request_head *head, struct str name, struct str value)
{
    if (name.len == 0)
        set_malformed(head, "A header has no name");
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            set_malformed(head, "A header's name has a character that is not allowed in one");
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 127)
            set_malformed(head, "A header's value has a control character");
    }
}

static void parse_content_length(struct request_head *head, struct str value)
{
    if (++head->content_length_count > 1)
        set_malformed(head, "There is more than one Content-Length");
    else if (value.len == 0 || strspn(value.data, "0123456789") != value.len)
        set_malformed(head, "The Content-Length is no decimal number");
    else
        head->content_length = strtoll(value.data, NULL, 10); /* INT64_MAX for all that is larger */
}

static void parse_transfer_encoding(struct request_head *head, struct str value)
{
    head->chunked = true;
    if (++head->transfer_encoding_count > 1 || strcasecmp(value.data, "chunked") != 0)
        set_malformed(head, "The only transfer coding that is taken is chunked, once");
}

static void add_field_line(struct request_head *head, struct field_lines *lines, struct str value)
{
    if (lines->count == MAX_FIELD_LINES)
        set_malformed(head, "A header that is a list comes in more than 8 lines");
    else
        lines->at[lines->count++] = value;
}

void request_head_add_field(struct request_head *head, struct str name, struct str value)
{
    const struct {
        const char *name;
        struct str *value;
    } simple_fields[] = {
        {"Content-Type", &head->content_type},
        {"X-Request-Id", &head->request_id},
        {"Origin", &head->origin},
        {"Host", &head->host},
        {"Sec-Fetch-Site", &head->fetch_site},
    };
    check_field_chars(head, name, value);
    for (size_t i = 0; i < COUNT_OF(simple_fields); i++)
        if (strcasecmp(name.data, simple_fields[i].name) == 0)
            *simple_fields[i].value = value;
    if (strcasecmp(name.data, "Host") == 0 && ++head->host_count > 1)
        set_malformed(head, "There is more than one Host");
    else if (strcasecmp(name.data, "Content-Length") == 0)
        parse_content_length(head, value);
    else if (strcasecmp(name.data, "Transfer-Encoding") == 0)
        parse_transfer_encoding(head, value);
    else if (strcasecmp(name.data, "Content-Encoding") == 0)
        add_field_line(head, &head->content_encoding, value);
    else if (strcasecmp(name.data, "If-Match") == 0)
        add_field_line(head, &head->if_match, value);
    else if (strcasecmp(name.data, "If-None-Match") == 0)
        add_field_line(head, &head->if_none_match, value);
    else if (strcasecmp(name.data, "Content-Range") == 0)
        head->has_content_range = true;
    else if (strcasecmp(name.data, "If-Unmodified-Since") == 0)
        head->has_if_unmodified_since = true;
    else if (strcasecmp(name.data, "Expect") == 0)
        head->expects_continue = strcasecmp(value.data, "100-continue") == 0;
}

void request_head_validate(struct request_head *head)
{
    bool http_1_0 = str_eq(head->version, "HTTP/1.0");
    if (head->host_count == 0 && !http_1_0)
        set_malformed(head, "There is no Host");
    if (head->content_length_count > 0 && head->transfer_encoding_count > 0)
        set_malformed(head, "There are both a Content-Length and a Transfer-Encoding");
    if (head->transfer_encoding_count > 0 && http_1_0)
        set_malformed(head, "HTTP/1.0 has no Transfer-Encoding");
}

bool field_lines_join(const struct field_lines *lines, struct arena *arena, struct str *out)
{
    size_t len = 0;
    for (int i = 0; i < lines->count; i++)
        len += lines->at[i].len + 2;
    char *joined = lines->count == 0 ? NULL : arena_alloc(arena, len + 1);
    *out = (struct str){0};
    if (joined == NULL)
        return lines->count == 0;
    size_t at = 0;
    for (int i = 0; i < lines->count; i++)
        at += (size_t)snprintf(joined + at, len + 1 - at, "%s%s", i == 0 ? "" : ", ", lines->at[i].data);
    *out = (struct str){joined, at};
    return true;
}
