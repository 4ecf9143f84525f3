#include "runtime/lib/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *code;
    const char *title;
    int status;
} errors[ERROR_COUNT] = {
#define X(name, code, status, title) [ERROR_INDEX_##name] = {code, title, status},
    ERROR_TABLE(X)
#undef X
};

static int error_row(int rc)
{
    PRE(rc < 0 && rc >= -ERROR_COUNT);
    return -1 - rc;
}

const char *error_code(int rc)
{
    return errors[error_row(rc)].code;
}

const char *error_title(int rc)
{
    return errors[error_row(rc)].title;
}

int error_status(int rc)
{
    return errors[error_row(rc)].status;
}

/* Drops the character that a text of `len` bytes was cut off in, if it was. */
static void drop_half(char *text, size_t len)
{
    size_t lead = len;
    while (lead > 0 && utf8_continues(text[lead - 1]))
        lead--;
    if (lead == 0)
        return;
    unsigned char byte = (unsigned char)text[--lead];
    size_t whole = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    if (len - lead < whole)
        text[lead] = '\0';
}

int err_set(struct err *e, int rc, const char *format, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        if (vsnprintf(e->msg, sizeof e->msg, format, args) >= (int)sizeof e->msg)
            drop_half(e->msg, sizeof e->msg - 1);
        va_end(args);
        e->rc = rc;
        e->pool = NULL;
        e->limit = NULL;
    }
    return rc;
}

struct text text_of(const char *s)
{
    return (struct text){s, s == NULL ? 0 : strlen(s)};
}

bool text_is(struct text t, const char *s)
{
    return t.at != NULL && t.len == strlen(s) && memcmp(t.at, s, t.len) == 0;
}

void name_list_add(struct name_list *list, const char *name)
{
    static const char rest[] = ", ...";
    const char *comma = list->len == 0 ? "" : ", ";
    size_t len = strlen(comma) + strlen(name);
    if (list->full)
        return;
    list->full = list->len + len + sizeof rest > sizeof list->text;
    if (list->full)
        memcpy(list->text + list->len, rest, sizeof rest);
    else
        list->len += (size_t)snprintf(list->text + list->len, sizeof list->text - list->len, "%s%s", comma, name);
}

size_t text_cut(struct text t, size_t most)
{
    if (t.len <= most)
        return t.len;
    while (most > 0 && utf8_continues(t.at[most]))
        most--;
    return most;
}

void assertion_failed(const char *kind, const char *condition, const char *file, int line)
{
    fprintf(stderr, "gatherd: bug: %s(%s) does not hold at %s:%d\n", kind, condition, file, line);
    abort();
}
