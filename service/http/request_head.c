#include "service/http/request_head.h"

#include "runtime/lib/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_REQUEST_ID = 128 };

static const struct header_row {
    const char *name;
    size_t len;
    enum header_rule rule;
    const char *repeated; /* the error's detail if the header is repeated */
} rows[HEADER_COUNT] = {
#define X(id, text, header_rule) \
    [HEADER_##id] = {text, sizeof(text) - 1, header_rule, "The " text " header must not be repeated"},
    REQUEST_HEADERS(X)
#undef X
};

static void set_malformed(struct request_head *head, const char *reason)
{
    if (head->malformed == NULL)
        head->malformed = reason;
}

static void copy_str(struct request_head *head, struct str s, struct str *out)
{
    if (!arena_str(head->request.arena, s.data, s.len, out))
        head->out_of_memory = true;
}

/* -- the request line ---------------------------------------------------------------------------------------------- */

/* Servers must accept the absolute form (RFC 9112 section 3.2.2). */
bool request_head_init(struct request_head *head, const char *target)
{
    static const char scheme[] = "http://";
    struct request *request = &head->request;
    struct str rest;
    head->content_length = -1;
    if (!arena_str(request->arena, target, strlen(target), &rest))
        return false;
    if (strncmp(rest.data, scheme, sizeof scheme - 1) == 0) {
        rest.data += sizeof scheme - 1;
        rest.len -= sizeof scheme - 1;
        size_t len = strcspn(rest.data, "/?");
        if (!arena_str(request->arena, rest.data, len, &head->authority))
            return false;
        rest.data += len;
        rest.len -= len;
    }
    const char *question = memchr(rest.data, '?', rest.len);
    request->path = rest;
    if (question != NULL) {
        request->path.len = (size_t)(question - rest.data);
        request->query = (struct str){question + 1, rest.len - request->path.len - 1};
    }
    if (request->path.len == 0)
        request->path = STR("/");
    return true;
}

static enum method method_from_name(struct str name)
{
    static const struct {
        const char *name;
        enum method method;
    } names[] = {{"GET", METHOD_GET},
                 {"POST", METHOD_POST},
                 {"HEAD", METHOD_HEAD},
                 {"PUT", METHOD_PUT},
                 {"DELETE", METHOD_DELETE}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_eq(name, names[i].name))
            return names[i].method;
    return METHOD_OTHER;
}

void request_head_set_line(struct request_head *head, const char *method, const char *version)
{
    copy_str(head, str_from(method), &head->method);
    head->request.method = method_from_name(str_from(method));
    head->is_http_1_0 = strcmp(version, "HTTP/1.0") == 0;
}

/* -- fields -------------------------------------------------------------------------------------------------------- */

/* A tchar of RFC 9110 section 5.6.2. */
static bool is_token_char(unsigned char c)
{
    unsigned char lower = c | 0x20; /* of a letter */
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Names are tokens; values contain no control characters except tabs (section 5.5). */
static void check_field_chars(struct request_head *head, struct str name, struct str value)
{
    if (name.len == 0)
        set_malformed(head, "A header has no name");
    for (size_t i = 0; i < name.len; i++)
        if (!is_token_char((unsigned char)name.data[i]))
            set_malformed(head, "A header name contains an invalid character");
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 127)
            set_malformed(head, "A header value contains a control character");
    }
}

/* Appends a field line to the earlier ones with the same name (RFC 9110 section 5.3). */
static void join_line(struct request_head *head, struct str value, struct str *list)
{
    size_t size = list->len + value.len + sizeof ", ";
    char *joined = arena_alloc(head->request.arena, size);
    if (joined == NULL) {
        head->out_of_memory = true;
        return;
    }
    *list = (struct str){joined, (size_t)snprintf(joined, size, "%s, %s", list->data, value.data)};
}

static void add_line(struct request_head *head, enum header_name name, struct str value)
{
    const struct header_row *row = &rows[name];
    struct str *header = &head->request.headers[name];
    unsigned char count = ++head->line_counts[name];
    if (row->rule == HEADER_ONCE && count > 1)
        set_malformed(head, row->repeated);
    else if (row->rule == HEADER_LIST && count > HEADER_LINES_MAX)
        set_malformed(head, "A list header may be sent in at most 8 lines");
    else if (row->rule == HEADER_LIST && count > 1)
        join_line(head, value, header);
    else
        copy_str(head, value, header);
    if (count > HEADER_LINES_MAX)
        head->line_counts[name] = HEADER_LINES_MAX + 1;
}

void request_head_add_field(struct request_head *head, struct str name, struct str value)
{
    check_field_chars(head, name, value);
    for (int i = 0; i < HEADER_COUNT; i++)
        if (name.len == rows[i].len && strcasecmp(name.data, rows[i].name) == 0)
            add_line(head, (enum header_name)i, value);
}

/* -- validation ---------------------------------------------------------------------------------------------------- */

static void parse_content_length(struct request_head *head, struct str value)
{
    if (value.len == 0 || strspn(value.data, "0123456789") != value.len)
        set_malformed(head, "Content-Length must be a decimal number");
    else
        head->content_length = strtoll(value.data, NULL, 10); /* saturates */
}

static void check_framing(struct request_head *head)
{
    struct str length = head->request.headers[HEADER_CONTENT_LENGTH];
    struct str coding = head->request.headers[HEADER_TRANSFER_ENCODING];
    if (length.data != NULL)
        parse_content_length(head, length);
    if (coding.data == NULL)
        return;
    head->chunked = true;
    if (strcasecmp(coding.data, "chunked") != 0)
        set_malformed(head, "Transfer-Encoding must be chunked; no other coding is supported");
    if (length.data != NULL)
        set_malformed(head, "Content-Length and Transfer-Encoding must not be sent together");
    if (head->is_http_1_0)
        set_malformed(head, "An HTTP/1.0 request must not have a Transfer-Encoding");
}

/* A client's id is used if it needs no escaping in a header, a log line and a URN. */
static bool request_id_is_valid(struct str id)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return id.len > 0 && id.len <= MAX_REQUEST_ID && strspn(id.data, chars) == id.len;
}

void request_head_validate(struct request_head *head)
{
    struct request *request = &head->request;
    struct str expect = request->headers[HEADER_EXPECT];
    if (request->headers[HEADER_HOST].data == NULL && !head->is_http_1_0)
        set_malformed(head, "The Host header is missing");
    check_framing(head);
    head->expects_continue = expect.data != NULL && strcasecmp(expect.data, "100-continue") == 0;
    request->has_body = head->chunked || head->content_length > 0;
    if (request_id_is_valid(request->headers[HEADER_X_REQUEST_ID]))
        request->id = request->headers[HEADER_X_REQUEST_ID];
}
