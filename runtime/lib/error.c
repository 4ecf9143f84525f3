#include "runtime/lib/error.h"

#include "runtime/lib/check.h"
#include "runtime/lib/str.h"

#include <stdarg.h>
#include <stdio.h>

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
    CHECK(rc < 0 && rc >= -ERROR_COUNT);
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
static void trim_partial_char(char *text, size_t len)
{
    size_t lead = len;
    while (lead > 0 && utf8_is_continuation(text[lead - 1]))
        lead--;
    if (lead == 0)
        return;
    unsigned char byte = (unsigned char)text[--lead];
    size_t char_len = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    if (len - lead < char_len)
        text[lead] = '\0';
}

int err_set(struct err *e, int rc, const char *format, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        if (vsnprintf(e->msg, sizeof e->msg, format, args) >= (int)sizeof e->msg)
            trim_partial_char(e->msg, sizeof e->msg - 1);
        va_end(args);
        e->rc = rc;
        e->pool = NULL;
        e->limit = NULL;
    }
    return rc;
}

int err_nomem(struct err *e)
{
    return err_set(e, ERR_OUT_OF_MEMORY, "Out of memory; try again later");
}
