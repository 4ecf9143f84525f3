#include "runtime/lib/error.h"

#include "runtime/lib/check.h"
#include "runtime/lib/str.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *code;
    const char *title;
    const char *doc;
    int status;
} errors[ERROR_COUNT] = {
#define X(name, code, status, title, doc) [ERROR_INDEX_##name] = {code, title, doc, status},
    ERROR_TABLE(X)
#undef X
};

const char *const error_codes[ERROR_COUNT + 1] = {
#define X(name, code, status, title, doc) [ERROR_INDEX_##name] = (code),
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

const char *error_doc(int rc)
{
    return errors[error_row(rc)].doc;
}

int error_status(int rc)
{
    return errors[error_row(rc)].status;
}

int err_set(struct err *e, int rc, const char *format, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        if (vsnprintf(e->msg, sizeof e->msg, format, args) >= (int)sizeof e->msg)
            str_ellipsize(e->msg, sizeof e->msg);
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
