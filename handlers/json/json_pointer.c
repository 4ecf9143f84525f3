#include "handlers/json/json_pointer.h"

#include "runtime/lib/check.h"

#include <stdio.h>
#include <string.h>

void json_pointer_init(struct json_pointer *p, char *out, size_t size)
{
    CHECK(size >= 2 * sizeof STR_ELLIPSIS);
    *p = (struct json_pointer){.data = out, .size = size};
    out[0] = '\0';
}

void json_pointer_add_bytes(struct json_pointer *p, const char *bytes, size_t len)
{
    if (p->truncated)
        return;
    size_t available = p->size - 1 - p->len;
    p->truncated = len > available;
    if (p->truncated)
        len = available;
    memcpy(p->data + p->len, bytes, len);
    p->len += len;
    p->data[p->len] = '\0';
    if (p->truncated)
        p->len = str_ellipsize(p->data, p->size);
}

/* Appends a reference token, with '~' and '/' escaped. */
static void add_token(struct json_pointer *p, struct str key)
{
    size_t plain = 0;
    for (size_t i = 0; i < key.len && !p->truncated; i++) {
        if (key.data[i] != '~' && key.data[i] != '/')
            continue;
        json_pointer_add_bytes(p, key.data + plain, i - plain);
        json_pointer_add_bytes(p, key.data[i] == '~' ? "~0" : "~1", 2);
        plain = i + 1;
    }
    if (plain < key.len)
        json_pointer_add_bytes(p, key.data + plain, key.len - plain);
}

void json_pointer_add_key(struct json_pointer *p, struct str key)
{
    json_pointer_add_bytes(p, "/", 1);
    add_token(p, key);
}

void json_pointer_add_index(struct json_pointer *p, size_t index)
{
    char text[24];
    int len = snprintf(text, sizeof text, "/%zu", index);
    json_pointer_add_bytes(p, text, (size_t)len);
}
