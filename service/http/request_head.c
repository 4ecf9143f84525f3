#include "service/http/request_head.h"

#include "runtime/lib/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void head_begin(struct head *head, struct str method, struct str version)
{
    *head = (struct head){.method = method, .version = version, .content_length = -1};
}

static void fault(struct head *head, const char *rule)
{
    if (head->malformed == NULL)
        head->malformed = rule;
}

/* Names are tokens (RFC 9110 section 5.6.2), values have no control characters but tabs (section 5.5). */
static void check_characters(struct head *head, struct str name, struct str value)
{
    if (name.len == 0)
        fault(head, "A header has no name");
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.at[i];
        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            fault(head, "A header's name has a character that is not allowed in one");
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < ' ' && c != '\t') || c == 127)
            fault(head, "A header's value has a control character");
    }
}

static void take_length(struct head *head, struct str value)
{
    if (++head->lengths > 1)
        fault(head, "There is more than one Content-Length");
    else if (value.len == 0 || strspn(value.at, "0123456789") != value.len)
        fault(head, "The Content-Length is no decimal number");
    else
        head->content_length = strtoll(value.at, NULL, 10); /* INT64_MAX for all that is larger */
}

static void take_coding(struct head *head, struct str value)
{
    head->chunked = true;
    if (++head->codings > 1 || strcasecmp(value.at, "chunked") != 0)
        fault(head, "The only transfer coding that is taken is chunked, once");
}

static void take_line(struct head *head, struct head_lines *lines, struct str value)
{
    if (lines->count == HEAD_LINES)
        fault(head, "A header that is a list comes in more than 8 lines");
    else
        lines->at[lines->count++] = value;
}

void head_field(struct head *head, struct str name, struct str value)
{
    const struct {
        const char *name;
        struct str *value;
    } plain[] = {
        {"Content-Type", &head->content_type},
        {"X-Request-Id", &head->request_id},
        {"Origin", &head->origin},
        {"Host", &head->host},
        {"Sec-Fetch-Site", &head->fetch_site},
    };
    check_characters(head, name, value);
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (strcasecmp(name.at, plain[i].name) == 0)
            *plain[i].value = value;
    if (strcasecmp(name.at, "Host") == 0 && ++head->hosts > 1)
        fault(head, "There is more than one Host");
    else if (strcasecmp(name.at, "Content-Length") == 0)
        take_length(head, value);
    else if (strcasecmp(name.at, "Transfer-Encoding") == 0)
        take_coding(head, value);
    else if (strcasecmp(name.at, "Content-Encoding") == 0)
        take_line(head, &head->content_encoding, value);
    else if (strcasecmp(name.at, "If-Match") == 0)
        take_line(head, &head->if_match, value);
    else if (strcasecmp(name.at, "If-None-Match") == 0)
        take_line(head, &head->if_none_match, value);
    else if (strcasecmp(name.at, "Content-Range") == 0)
        head->has_content_range = true;
    else if (strcasecmp(name.at, "If-Unmodified-Since") == 0)
        head->has_if_unmodified_since = true;
    else if (strcasecmp(name.at, "Expect") == 0)
        head->expects_continue = strcasecmp(value.at, "100-continue") == 0;
}

void head_end(struct head *head)
{
    bool http_1_0 = str_eq(head->version, "HTTP/1.0");
    if (head->hosts == 0 && !http_1_0)
        fault(head, "There is no Host");
    if (head->lengths > 0 && head->codings > 0)
        fault(head, "There are both a Content-Length and a Transfer-Encoding");
    if (head->codings > 0 && http_1_0)
        fault(head, "HTTP/1.0 has no Transfer-Encoding");
}

bool head_join(const struct head_lines *lines, struct arena *arena, struct str *out)
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
        at += (size_t)snprintf(joined + at, len + 1 - at, "%s%s", i == 0 ? "" : ", ", lines->at[i].at);
    *out = (struct str){joined, at};
    return true;
}
