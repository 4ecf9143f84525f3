#include "handlers/http/etag.h"

#include <stdio.h>
#include <string.h>

void etag_format(const struct file_version *version, char out[ETAG_SIZE])
{
    snprintf(out, ETAG_SIZE, "\"%llx-%llx-%llx\"", (unsigned long long)version->inode,
             (unsigned long long)version->size_bytes, (unsigned long long)version->modified_us);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trim(struct str t)
{
    while (t.len > 0 && is_space(t.data[0])) {
        t.data++;
        t.len--;
    }
    while (t.len > 0 && is_space(t.data[t.len - 1]))
        t.len--;
    return t;
}

/* The length of the opaque-tag, with its quotes, that the text begins with; 0 if it does not begin with one. */
static size_t opaque_tag_len(struct str t)
{
    if (t.len == 0 || t.data[0] != '"')
        return 0;
    for (size_t i = 1; i < t.len; i++) {
        unsigned char c = (unsigned char)t.data[i];
        if (c == '"')
            return i + 1;
        if (c <= ' ' || c == 127)
            return 0;
    }
    return 0;
}

/* List elements may be empty (RFC 9110 section 5.6.1.2). */
enum etag_result etag_match_list(struct str list, const char *tag, bool weak_comparison)
{
    struct str rest = trim(list);
    enum etag_result result = ETAG_MALFORMED;
    if (rest.len == 1 && rest.data[0] == '*')
        return ETAG_MATCH;
    while (rest.len > 0) {
        bool is_weak = rest.len > 2 && memcmp(rest.data, "W/", 2) == 0;
        struct str opaque_tag = {rest.data + (is_weak ? 2 : 0), rest.len - (is_weak ? 2 : 0)};
        size_t len = opaque_tag_len(opaque_tag);
        if (len == 0 && (is_weak || rest.data[0] != ','))
            return ETAG_MALFORMED;
        if (len > 0 && result == ETAG_MALFORMED)
            result = ETAG_NO_MATCH;
        if (len > 0 && (weak_comparison || !is_weak) && len == strlen(tag) && memcmp(opaque_tag.data, tag, len) == 0)
            result = ETAG_MATCH;
        rest = trim((struct str){opaque_tag.data + len, opaque_tag.len - len});
        if (rest.len == 0)
            break;
        if (rest.data[0] != ',')
            return ETAG_MALFORMED;
        rest = trim((struct str){rest.data + 1, rest.len - 1});
    }
    return result;
}
