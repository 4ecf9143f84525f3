#include "handlers/json/decode_internal.h"
#include "runtime/lib/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "...";

/* Lets a text that fills `size` bytes and would have gone on end with "...". */
static void cut(char *text, size_t size)
{
    size_t end = size - sizeof ellipsis;
    while (end > 0 && utf8_is_continuation(text[end])) /* inside a character */
        end--;
    memcpy(text + end, ellipsis, sizeof ellipsis);
}

void issue_add(struct validation_errors *issues, int rc, const struct field *limit, const char *where,
               const char *format, ...)
{
    CHECK(rc != 0);
    if (issues->rc == ERR_OUT_OF_MEMORY)
        return;
    if (rc == ERR_OUT_OF_MEMORY)
        *issues = (struct validation_errors){0};
    if (issues->rc == 0) {
        issues->rc = rc;
        issues->limit = limit;
    }
    if (issues->count == ISSUES_MOST) {
        issues->more++;
        return;
    }

    struct validation_error *issue = &issues->items[issues->count++];
    va_list args;
    va_start(args, format);
    int where_len = snprintf(issue->where, sizeof issue->where, "%s", where);
    int detail_len = vsnprintf(issue->detail, sizeof issue->detail, format, args);
    va_end(args);
    if (where_len >= (int)sizeof issue->where)
        cut(issue->where, sizeof issue->where);
    if (detail_len >= (int)sizeof issue->detail)
        cut(issue->detail, sizeof issue->detail);
    issue->parameter = false;
}

/* The length of the character that `text` begins with; 0 when it is no UTF-8. */
static size_t character(struct str text)
{
    for (size_t len = 1; len <= 4 && len <= text.len; len++)
        if (str_is_utf8((struct str){text.at, len}))
            return len;
    return 0;
}

const char *quoted(struct str text, char out[QUOTED])
{
    size_t len = 0;
    while (text.len > 0) {
        size_t step = character(text);
        bool shown = step > 1 || (step == 1 && text.at[0] >= 0x20 && text.at[0] != 0x7F);
        const char *bytes = shown ? text.at : "?";
        step = step == 0 ? 1 : step;
        if (len + step + sizeof ellipsis > QUOTED) { /* no room for it and for "..." */
            memcpy(out + len, ellipsis, sizeof ellipsis);
            return out;
        }
        memcpy(out + len, bytes, step);
        len += step;
        text = (struct str){text.at + step, text.len - step};
    }
    out[len] = '\0';
    return out;
}

static void write_place(struct pointer *p, const struct place *at)
{
    if (at->parent == NULL)
        return;
    write_place(p, at->parent);
    if (at->key.at != NULL)
        pointer_key(p, at->key);
    else
        pointer_index(p, at->index);
}

void decode_wrong(struct decoder *d, const struct place *at, const char *inside, int rc, const struct field *limit,
                  const char *format, ...)
{
    if (d->issues->count == ISSUES_MOST) { /* a list of wrong items should cost no more than one of right ones */
        d->issues->more++;
        return;
    }
    char where[sizeof d->issues->items[0].where];
    struct pointer p;
    pointer_start(&p, where, sizeof where);
    write_place(&p, at);
    pointer_bytes(&p, inside, strlen(inside));

    char detail[sizeof d->issues->items[0].detail + 1]; /* so that issue_add() sees what is too long */
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    issue_add(d->issues, rc, limit, where, "%s", detail);
}

bool decode_no_memory(struct decoder *d)
{
    issue_add(d->issues, ERR_OUT_OF_MEMORY, NULL, "", "there is no memory for this request now");
    return false;
}

bool decode_misfit(struct decoder *d, const struct place *at, const struct type *type, const struct err *e)
{
    if (e->rc == ERR_OUT_OF_MEMORY)
        return decode_no_memory(d);
    if (e->rc == ERR_LIMIT_EXCEEDED)
        decode_wrong(d, at, "", e->rc, type->limit, "%s (%s)", e->msg, type->limit->name);
    else
        decode_wrong(d, at, "", e->rc, NULL, "%s", e->msg);
    return true;
}

static const char *json_kind(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

bool decode_wrong_kind(struct decoder *d, const struct place *at, const char *wanted, const json_t *json)
{
    decode_wrong(d, at, "", ERR_INVALID, NULL, "must be %s, not %s", wanted, json_kind(json));
    return true;
}
