#include "handlers/json/json_pointer.h"

#include "runtime/lib/check.h"

#include <stdio.h>
#include <string.h>

/* -- writing a pointer ------------------------------------------------------------------------ */

static const char ellipsis[] = "...";

void pointer_start(struct pointer *p, char *out, size_t size)
{
    CHECK(size >= 2 * sizeof ellipsis);
    *p = (struct pointer){.at = out, .size = size};
    out[0] = '\0';
}

void pointer_bytes(struct pointer *p, const char *bytes, size_t len)
{
    if (p->cut)
        return;
    size_t room = p->size - 1 - p->len;
    p->cut = len > room;
    if (p->cut)
        len = room;
    memcpy(p->at + p->len, bytes, len);
    p->len += len;
    if (p->cut) {
        p->len = p->size - sizeof ellipsis;
        while (p->len > 0 && utf8_is_continuation(p->at[p->len]))
            p->len--;
        memcpy(p->at + p->len, ellipsis, sizeof ellipsis - 1);
        p->len += sizeof ellipsis - 1;
    }
    p->at[p->len] = '\0';
}

/* What stands between two slashes. */
static void pointer_segment(struct pointer *p, struct str key)
{
    size_t plain = 0;
    for (size_t i = 0; i < key.len && !p->cut; i++) {
        if (key.at[i] != '~' && key.at[i] != '/')
            continue;
        pointer_bytes(p, key.at + plain, i - plain);
        pointer_bytes(p, key.at[i] == '~' ? "~0" : "~1", 2);
        plain = i + 1;
    }
    if (plain < key.len)
        pointer_bytes(p, key.at + plain, key.len - plain);
}

void pointer_key(struct pointer *p, struct str key)
{
    pointer_bytes(p, "/", 1);
    pointer_segment(p, key);
}

void pointer_index(struct pointer *p, size_t index)
{
    char text[24];
    int len = snprintf(text, sizeof text, "/%zu", index);
    pointer_bytes(p, text, (size_t)len);
}

/* -- finding a place in a text ---------------------------------------------------------------- */

/* A pointer has no room for more levels than this: each takes a byte at least. */
enum { LEVELS_MOST = 256 };

struct level {
    bool is_array;
    size_t index;   /* of an array's item */
    struct str key; /* of an object's member, with its escapes; absent before the first */
};

struct walk {
    struct str body; /* up to the position */
    size_t at;
    size_t depth;  /* of open containers; levels beyond LEVELS_MOST are only counted */
    bool key_next; /* a string that comes now is a member's name */
    struct level levels[LEVELS_MOST];
};

static struct level *top(struct walk *w)
{
    return w->depth > 0 && w->depth <= LEVELS_MOST ? &w->levels[w->depth - 1] : NULL;
}

static void open_level(struct walk *w, bool is_array)
{
    w->depth++;
    w->key_next = !is_array;
    if (top(w) != NULL)
        *top(w) = (struct level){.is_array = is_array};
}

static void close_level(struct walk *w)
{
    if (w->depth > 0)
        w->depth--;
    w->key_next = false;
}

static void next_item(struct walk *w)
{
    if (top(w) == NULL)
        return;
    top(w)->index++;
    w->key_next = !top(w)->is_array;
}

/* Walks over a string; w->at is behind its opening quote. */
static void skip_string(struct walk *w)
{
    size_t start = w->at;
    while (w->at < w->body.len && w->body.at[w->at] != '"')
        w->at += w->body.at[w->at] == '\\' ? 2 : 1;
    size_t end = w->at < w->body.len ? w->at : w->body.len;
    w->at = end < w->body.len ? end + 1 : end;
    if (w->key_next && top(w) != NULL)
        top(w)->key = (struct str){w->body.at + start, end - start};
    w->key_next = false;
}

static void walk(struct walk *w)
{
    while (w->at < w->body.len) {
        char c = w->body.at[w->at++];
        if (c == '"')
            skip_string(w);
        else if (c == '{' || c == '[')
            open_level(w, c == '[');
        else if (c == '}' || c == ']')
            close_level(w);
        else if (c == ',')
            next_item(w);
    }
}

/* -- names as they are written ---------------------------------------------------------------- */

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 0x20) - 'a' + 10;
}

/* The code unit of a \uXXXX at `at`. */
static unsigned code_unit(const char *at)
{
    return hex_value(at[2]) << 12 | hex_value(at[3]) << 8 | hex_value(at[4]) << 4 | hex_value(at[5]);
}

static size_t utf8_encode(unsigned c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3F));
    return more + 1;
}

/* Decodes the escape that `rest` begins with. Returns its length; 0 when it isn't whole. */
static size_t unescape(struct str rest, char out[4], size_t *out_len)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    if (rest.len < 2 || (rest.at[1] == 'u' && rest.len < 6))
        return 0;
    *out_len = 1;
    if (rest.at[1] != 'u') {
        const char *found = memchr(from, rest.at[1], sizeof from - 1);
        out[0] = found != NULL ? to[found - from] : rest.at[1];
        return 2;
    }
    unsigned unit = code_unit(rest.at);
    size_t len = 6;
    if (unit >= 0xD800 && unit < 0xDC00 && rest.len >= 12) {
        unit = 0x10000 + ((unit - 0xD800) << 10) + (code_unit(rest.at + 6) - 0xDC00);
        len = 12;
    }
    *out_len = utf8_encode(unit, out);
    return len;
}

/* A name as it is written, escapes and all, onto the pointer. */
static void pointer_written_key(struct pointer *p, struct str key)
{
    pointer_bytes(p, "/", 1);
    while (key.len > 0 && !p->cut) {
        const char *escape = memchr(key.at, '\\', key.len);
        size_t plain = escape == NULL ? key.len : (size_t)(escape - key.at);
        pointer_segment(p, (struct str){key.at, plain});
        key = (struct str){key.at + plain, key.len - plain};

        char decoded[4];
        size_t decoded_len;
        size_t len = unescape(key, decoded, &decoded_len);
        if (len == 0)
            break;
        if (decoded[0] == '\0')
            pointer_bytes(p, key.at, len);
        else
            pointer_segment(p, (struct str){decoded, decoded_len});
        key = (struct str){key.at + len, key.len - len};
    }
}

void json_where(struct str body, size_t position, char *out, size_t size)
{
    struct walk w = {.body = {body.at, position < body.len ? position : body.len}};
    walk(&w);

    struct pointer p;
    pointer_start(&p, out, size);
    for (size_t i = 0; i < w.depth && !p.cut; i++) {
        if (i == LEVELS_MOST) {
            pointer_bytes(&p, ellipsis, sizeof ellipsis - 1);
            break;
        }
        if (w.levels[i].is_array)
            pointer_index(&p, w.levels[i].index);
        else if (w.levels[i].key.at != NULL)
            pointer_written_key(&p, w.levels[i].key);
    }
}
