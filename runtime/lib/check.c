#include "runtime/lib/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "gatherd: bug: %s:%d: check failed: %s\n", file, line, condition);
    abort();
}
