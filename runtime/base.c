#include "runtime/base.h"

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

int err_set(struct err *e, int rc, const char *format, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->msg, sizeof e->msg, format, args);
        va_end(args);
        e->rc = rc;
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

void assertion_failed(const char *kind, const char *condition, const char *file, int line)
{
    fprintf(stderr, "gatherd: bug: %s(%s) does not hold at %s:%d\n", kind, condition, file, line);
    abort();
}
