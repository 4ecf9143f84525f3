#include "handlers/http/etag.h"

#include <stdio.h>
#include <string.h>

void etag_make(const struct file_version *stamp, char out[ETAG_SIZE])
{
    snprintf(out, ETAG_SIZE, "\"%llx-%llx-%llx\"", (unsigned long long)stamp->inode,
             (unsigned long long)stamp->size_bytes, (unsigned long long)stamp->modified_us);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trim(struct str t)
{
    while (t.len > 0 && is_space(t.at[0])) {
        t.at++;
        t.len--;
    }
    while (t.len > 0 && is_space(t.at[t.len - 1]))
        t.len--;
    return t;
}

/* How long the quoted part of a tag is that the text begins with; 0 when it begins with none. */
static size_t quoted_len(struct str t)
{
    if (t.len == 0 || t.at[0] != '"')
        return 0;
    for (size_t i = 1; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        if (c == '"')
            return i + 1;
        if (c <= ' ' || c == 127)
            return 0;
    }
    return 0;
}

/* Elements may be empty (section 5.6.1.2). */
enum etag_verdict etag_look_up(struct str list, const char *tag, bool weak)
{
    struct str rest = trim(list);
    enum etag_verdict verdict = ETAG_MALFORMED;
    if (rest.len == 1 && rest.at[0] == '*')
        return ETAG_LISTED;
    while (rest.len > 0) {
        bool is_weak = rest.len > 2 && memcmp(rest.at, "W/", 2) == 0;
        struct str quoted = {rest.at + (is_weak ? 2 : 0), rest.len - (is_weak ? 2 : 0)};
        size_t len = quoted_len(quoted);
        if (len == 0 && (is_weak || rest.at[0] != ','))
            return ETAG_MALFORMED;
        if (len > 0 && verdict == ETAG_MALFORMED)
            verdict = ETAG_NOT_LISTED;
        if (len > 0 && (weak || !is_weak) && len == strlen(tag) && memcmp(quoted.at, tag, len) == 0)
            verdict = ETAG_LISTED;
        rest = trim((struct str){quoted.at + len, quoted.len - len});
        if (rest.len == 0)
            break;
        if (rest.at[0] != ',')
            return ETAG_MALFORMED;
        rest = trim((struct str){rest.at + 1, rest.len - 1});
    }
    return verdict;
}
