#include "handlers/json/json_pointer.h"

#include "runtime/lib/check.h"

#include <stdio.h>
#include <string.h>

/* -- writing a pointer ------------------------------------------------------------------------ */

static const char ellipsis[] = "...";

void json_pointer_init(struct json_pointer *p, char *out, size_t size)
{
    CHECK(size >= 2 * sizeof ellipsis);
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
    if (p->truncated) {
        p->len = p->size - sizeof ellipsis;
        while (p->len > 0 && utf8_is_continuation(p->data[p->len]))
            p->len--;
        memcpy(p->data + p->len, ellipsis, sizeof ellipsis - 1);
        p->len += sizeof ellipsis - 1;
    }
    p->data[p->len] = '\0';
}

/* What stands between two slashes. */
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

/* -- finding a place in a text ---------------------------------------------------------------- */

/* A pointer has no room for more levels than this: each takes a byte at least. */
enum { LEVELS_MAX = 256 };

struct level {
    bool is_array;
    size_t index;   /* of an array's item */
    struct str key; /* of an object's member, with its escapes; absent before the first */
};

struct scan {
    struct str body; /* up to the position */
    size_t at;
    size_t depth;    /* of open containers; levels beyond LEVELS_MAX are only counted */
    bool expect_key; /* a string that comes now is a member's name */
    struct level levels[LEVELS_MAX];
};

static struct level *current_level(struct scan *w)
{
    return w->depth > 0 && w->depth <= LEVELS_MAX ? &w->levels[w->depth - 1] : NULL;
}

static void push_level(struct scan *w, bool is_array)
{
    w->depth++;
    w->expect_key = !is_array;
    if (current_level(w) != NULL)
        *current_level(w) = (struct level){.is_array = is_array};
}

static void pop_level(struct scan *w)
{
    if (w->depth > 0)
        w->depth--;
    w->expect_key = false;
}

static void next_item(struct scan *w)
{
    if (current_level(w) == NULL)
        return;
    current_level(w)->index++;
    w->expect_key = !current_level(w)->is_array;
}

/* Walks over a string; w->at is behind its opening quote. */
static void skip_string(struct scan *w)
{
    size_t start = w->at;
    while (w->at < w->body.len && w->body.data[w->at] != '"')
        w->at += w->body.data[w->at] == '\\' ? 2 : 1;
    size_t end = w->at < w->body.len ? w->at : w->body.len;
    w->at = end < w->body.len ? end + 1 : end;
    if (w->expect_key && current_level(w) != NULL)
        current_level(w)->key = (struct str){w->body.data + start, end - start};
    w->expect_key = false;
}

static void scan(struct scan *w)
{
    while (w->at < w->body.len) {
        char c = w->body.data[w->at++];
        if (c == '"')
            skip_string(w);
        else if (c == '{' || c == '[')
            push_level(w, c == '[');
        else if (c == '}' || c == ']')
            pop_level(w);
        else if (c == ',')
            next_item(w);
    }
}

/* -- names as they are written ---------------------------------------------------------------- */

static unsigned json_pointer_hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 0x20) - 'a' + 10;
}

/* The code unit of a \uXXXX at `at`. */
static unsigned parse_code_unit(const char *at)
{
    return json_pointer_hex_digit(at[2]) << 12 | json_pointer_hex_digit(at[3]) << 8 |
           json_pointer_hex_digit(at[4]) << 4 | json_pointer_hex_digit(at[5]);
}

static size_t utf8_encode(unsigned c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t continuation_len = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[continuation_len] | c >> (6 * continuation_len));
    for (size_t i = 1; i <= continuation_len; i++)
        out[i] = (char)(0x80 | (c >> (6 * (continuation_len - i)) & 0x3F));
    return continuation_len + 1;
}

/* Decodes the escape that `rest` begins with. Returns its length; 0 when it isn't whole. */
static size_t unescape(struct str rest, char out[4], size_t *out_len)
{
    static const char escape_chars[] = "bfnrt", escape_values[] = "\b\f\n\r\t";
    if (rest.len < 2 || (rest.data[1] == 'u' && rest.len < 6))
        return 0;
    *out_len = 1;
    if (rest.data[1] != 'u') {
        const char *found = memchr(escape_chars, rest.data[1], sizeof escape_chars - 1);
        out[0] = found != NULL ? escape_values[found - escape_chars] : rest.data[1];
        return 2;
    }
    unsigned unit = parse_code_unit(rest.data);
    size_t len = 6;
    if (unit >= 0xD800 && unit < 0xDC00 && rest.len >= 12) {
        unit = 0x10000 + ((unit - 0xD800) << 10) + (parse_code_unit(rest.data + 6) - 0xDC00);
        len = 12;
    }
    *out_len = utf8_encode(unit, out);
    return len;
}

/* A name as it is written, escapes and all, onto the pointer. */
static void add_raw_key(struct json_pointer *p, struct str key)
{
    json_pointer_add_bytes(p, "/", 1);
    while (key.len > 0 && !p->truncated) {
        const char *escape = memchr(key.data, '\\', key.len);
        size_t plain = escape == NULL ? key.len : (size_t)(escape - key.data);
        add_token(p, (struct str){key.data, plain});
        key = (struct str){key.data + plain, key.len - plain};

        char decoded[4];
        size_t decoded_len;
        size_t len = unescape(key, decoded, &decoded_len);
        if (len == 0)
            break;
        if (decoded[0] == '\0')
            json_pointer_add_bytes(p, key.data, len);
        else
            add_token(p, (struct str){decoded, decoded_len});
        key = (struct str){key.data + len, key.len - len};
    }
}

void json_pointer_locate(struct str body, size_t position, char *out, size_t size)
{
    struct scan w = {.body = {body.data, position < body.len ? position : body.len}};
    scan(&w);

    struct json_pointer p;
    json_pointer_init(&p, out, size);
    for (size_t i = 0; i < w.depth && !p.truncated; i++) {
        if (i == LEVELS_MAX) {
            json_pointer_add_bytes(&p, ellipsis, sizeof ellipsis - 1);
            break;
        }
        if (w.levels[i].is_array)
            json_pointer_add_index(&p, w.levels[i].index);
        else if (w.levels[i].key.data != NULL)
            add_raw_key(&p, w.levels[i].key);
    }
}
