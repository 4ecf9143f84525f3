#include "handlers/json/yaml.h"

#include "handlers/json/json_parse.h"
#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LINE_MAX_LEN = 100, /* of folded text */
    INDENT_STEP = 2,
};

static void write_node(struct json_writer *out, json_t *node, int indent, size_t line_max);

static void write_indent(struct json_writer *out, int indent)
{
    for (int i = 0; i < indent; i++)
        json_writer_raw(out, " ");
}

/* -- characters ---------------------------------------------------------------------------------------------------- */

/* Removes the first character of the text, which is UTF-8 and not empty, and returns its code point. */
static uint32_t next_character(struct str *text)
{
    const unsigned char *at = (const unsigned char *)text->data;
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    CHECK(len <= text->len);
    uint32_t character = len == 1 ? at[0] : at[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++)
        character = character << 6 | (at[i] & 0x3fU);
    *text = (struct str){text->data + len, text->len - len};
    return character;
}

/* Whether the character needs an escape: a control character, a line break of YAML 1.1, or one that YAML does not
 * allow. */
static bool is_special(uint32_t character)
{
    return character < ' ' || (character >= 0x7f && character < 0xa0) || character == 0x2028 || character == 0x2029 ||
           character == 0xfeff || character == 0xfffe || character == 0xffff;
}

static bool has_special(struct str text)
{
    while (text.len > 0) {
        if (text.data[0] >= ' ' && text.data[0] < 0x7f) /* most characters */
            text = (struct str){text.data + 1, text.len - 1};
        else if (is_special(next_character(&text)))
            return true;
    }
    return false;
}

/* -- scalars ------------------------------------------------------------------------------------------------------- */

/* Plain words that YAML 1.1 or 1.2 parsers take for something else than a string. */
static bool is_reserved(struct str text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (text.len == strlen(words[i]) && strncasecmp(text.data, words[i], text.len) == 0)
            return true;
    return false;
}

/* Whether the text is a string without quotes. Stricter than YAML: it begins with a letter, '/', '_' or '$'. */
static bool is_plain(struct str text)
{
    if (text.len == 0 || is_reserved(text))
        return false;
    char first = text.data[0], last = text.data[text.len - 1];
    if (!isalpha((unsigned char)first) && first != '/' && first != '_' && first != '$')
        return false;
    for (size_t i = 0; i + 1 < text.len; i++)
        if ((text.data[i] == ':' && text.data[i + 1] == ' ') || (text.data[i] == ' ' && text.data[i + 1] == '#'))
            return false;
    return last != ':' && last != ' ';
}

static void write_double_quoted(struct json_writer *out, struct str text)
{
    json_writer_raw(out, "\"");
    while (text.len > 0) {
        const char *at = text.data;
        uint32_t character = next_character(&text);
        if (character == '\n')
            json_writer_raw(out, "\\n");
        else if (character == '\t')
            json_writer_raw(out, "\\t");
        else if (character == '"' || character == '\\')
            json_writer_format(out, "\\%c", (char)character);
        else if (is_special(character))
            json_writer_format(out, "\\u%04x", (unsigned)character);
        else
            json_writer_bytes(out, at, (size_t)(text.data - at));
    }
    json_writer_raw(out, "\"");
}

static void write_single_quoted(struct json_writer *out, struct str text)
{
    json_writer_raw(out, "'");
    while (text.len > 0) {
        const char *quote = memchr(text.data, '\'', text.len);
        size_t len = quote == NULL ? text.len : (size_t)(quote - text.data) + 1;
        json_writer_bytes(out, text.data, len);
        if (quote != NULL)
            json_writer_raw(out, "'"); /* doubled */
        text = (struct str){text.data + len, text.len - len};
    }
    json_writer_raw(out, "'");
}

/* A string on one line. */
static void write_flow_string(struct json_writer *out, struct str text)
{
    if (has_special(text))
        write_double_quoted(out, text);
    else if (is_plain(text))
        json_writer_bytes(out, text.data, text.len);
    else
        write_single_quoted(out, text);
}

/* Several lines: none ends with a blank, the first is neither empty nor indented, and the last is not empty. */
static bool is_literal_block(struct str text)
{
    if (text.len < 2 || memchr(text.data, '\n', text.len) == NULL || text.data[0] == ' ' || text.data[0] == '\n' ||
        memcmp(text.data + text.len - 2, "\n\n", 2) == 0)
        return false;
    uint32_t last = 0;
    while (text.len > 0) {
        uint32_t character = next_character(&text);
        if ((character == '\n' && last == ' ') || (character != '\n' && is_special(character)))
            return false;
        last = character;
    }
    return last != ' ';
}

static void write_literal_block(struct json_writer *out, struct str text, int indent)
{
    json_writer_raw(out, text.data[text.len - 1] == '\n' ? "|\n" : "|-\n");
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        if (len > 0)
            write_indent(out, indent);
        json_writer_bytes(out, text.data, len);
        json_writer_raw(out, "\n");
        len += end != NULL;
        text = (struct str){text.data + len, text.len - len};
    }
}

/* One long line of words, each separated by one blank. */
static bool is_foldable(struct str text)
{
    return text.len > LINE_MAX_LEN && !has_special(text) && text.data[0] != ' ' && text.data[text.len - 1] != ' ' &&
           memchr(text.data, ' ', text.len) != NULL && memmem(text.data, text.len, "  ", 2) == NULL;
}

static void write_folded_block(struct json_writer *out, struct str text, int indent)
{
    json_writer_raw(out, ">-\n");
    while (text.len > 0) {
        size_t width = indent < LINE_MAX_LEN / 2 ? (size_t)(LINE_MAX_LEN - indent) : LINE_MAX_LEN / 2;
        size_t len = text.len;
        if (len > width) {
            len = width;
            while (len > 0 && text.data[len] != ' ')
                len--;
            while (len == 0 || (len < text.len && text.data[len] != ' ')) /* a word that is longer than the line */
                len++;
        }
        write_indent(out, indent);
        json_writer_bytes(out, text.data, len);
        json_writer_raw(out, "\n");
        len += len < text.len;
        text = (struct str){text.data + len, text.len - len};
    }
}

/* Without an exponent. False, and nothing is written, if nine decimals do not give the same number. */
static bool write_fixed(struct json_writer *out, double real)
{
    char text[40];
    if (real >= 1e15 || real <= -1e15)
        return false;
    int len = snprintf(text, sizeof text, "%.9f", real);
    if (strtod(text, NULL) != real)
        return false;
    while (text[len - 1] == '0' && text[len - 2] != '.')
        len--;
    json_writer_bytes(out, text, (size_t)len);
    return true;
}

/* Always with a fraction: YAML 1.1 parsers read 1e+22 as a string. */
static void write_real(struct json_writer *out, double real)
{
    if (write_fixed(out, real))
        return;
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    size_t mantissa = strcspn(text, "e");
    json_writer_bytes(out, text, mantissa);
    if (memchr(text, '.', mantissa) == NULL)
        json_writer_raw(out, ".0");
    json_writer_raw(out, text + mantissa);
}

static void write_string(struct json_writer *out, struct str text, int indent)
{
    if (is_literal_block(text)) {
        write_literal_block(out, text, indent);
    } else if (is_foldable(text)) {
        write_folded_block(out, text, indent);
    } else {
        write_flow_string(out, text);
        json_writer_raw(out, "\n");
    }
}

/* Any scalar but a string. */
static void write_plain_scalar(struct json_writer *out, const json_t *node)
{
    switch (json_typeof(node)) {
    case JSON_INTEGER:
        json_writer_integer(out, json_integer_value(node));
        break;
    case JSON_REAL:
        write_real(out, json_real_value(node));
        break;
    case JSON_TRUE:
        json_writer_raw(out, "true");
        break;
    case JSON_FALSE:
        json_writer_raw(out, "false");
        break;
    case JSON_NULL:
        json_writer_raw(out, "null");
        break;
    case JSON_STRING:
    case JSON_OBJECT:
    case JSON_ARRAY:
        UNREACHABLE();
    }
}

static void write_scalar(struct json_writer *out, const json_t *node, int indent)
{
    if (json_is_string(node)) {
        write_string(out, (struct str){json_string_value(node), json_string_length(node)}, indent);
    } else {
        write_plain_scalar(out, node);
        json_writer_raw(out, "\n");
    }
}

/* -- flow style ---------------------------------------------------------------------------------------------------- */

static bool write_flow(struct json_writer *out, json_t *node, size_t end);

/* In a flow collection, some characters end a plain string; '?' only for parsers of YAML 1.1. */
static void write_string_in_flow(struct json_writer *out, struct str text)
{
    static const char ends[] = {',', '[', ']', '{', '}', '?'};
    bool ends_plain = false;
    for (size_t i = 0; i < text.len && !ends_plain; i++)
        ends_plain = memchr(ends, text.data[i], sizeof ends) != NULL;
    if (ends_plain && !has_special(text))
        write_single_quoted(out, text);
    else
        write_flow_string(out, text);
}

static bool write_flow_object(struct json_writer *out, json_t *node, size_t end)
{
    void *first = json_object_iter(node);
    json_writer_raw(out, "{");
    for (void *iter = first; iter != NULL; iter = json_object_iter_next(node, iter)) {
        json_writer_raw(out, iter == first ? "" : ", ");
        write_string_in_flow(out, (struct str){json_object_iter_key(iter), json_object_iter_key_len(iter)});
        json_writer_raw(out, ": ");
        if (!write_flow(out, json_object_iter_value(iter), end))
            return false;
    }
    json_writer_raw(out, "}");
    return true;
}

static bool write_flow_array(struct json_writer *out, json_t *node, size_t end)
{
    json_writer_raw(out, "[");
    for (size_t i = 0; i < json_array_size(node); i++) {
        json_writer_raw(out, i == 0 ? "" : ", ");
        if (!write_flow(out, json_array_get(node, i), end))
            return false;
    }
    json_writer_raw(out, "]");
    return true;
}

/* Writes a value on one line. False if the text would go beyond the offset `end`; it is then incomplete. */
static bool write_flow(struct json_writer *out, json_t *node, size_t end)
{
    bool written = true;
    if (json_is_string(node) && out->len + json_string_length(node) > end)
        return false;
    if (json_is_string(node))
        write_string_in_flow(out, (struct str){json_string_value(node), json_string_length(node)});
    else if (json_is_object(node))
        written = write_flow_object(out, node, end);
    else if (json_is_array(node))
        written = write_flow_array(out, node, end);
    else
        write_plain_scalar(out, node);
    return written && out->len <= end;
}

/* The offset at which the current line of `out` would have `line_max` bytes. */
static size_t line_end(const struct json_writer *out, size_t line_max)
{
    size_t start = out->len;
    while (start > 0 && out->data[start - 1] != '\n')
        start--;
    return start + line_max;
}

/* Writes a collection that fits in the current line. False: it does not, and `out` is unchanged. */
static bool write_short(struct json_writer *out, json_t *node, size_t line_max)
{
    size_t len = out->len;
    if (line_max == 0)
        return false;
    if (write_flow(out, node, line_end(out, line_max)) || out->failed) {
        json_writer_raw(out, "\n");
        return true;
    }
    out->len = len;
    return false;
}

/* -- collections --------------------------------------------------------------------------------------------------- */

static bool has_items(const json_t *node)
{
    return json_object_size(node) > 0 || json_array_size(node) > 0;
}

/* A scalar or an empty collection. */
static void write_leaf(struct json_writer *out, const json_t *node, int indent)
{
    if (json_is_object(node))
        json_writer_raw(out, "{}\n");
    else if (json_is_array(node))
        json_writer_raw(out, "[]\n");
    else
        write_scalar(out, node, indent);
}

static void write_object(struct json_writer *out, json_t *node, int indent, size_t line_max)
{
    void *first = json_object_iter(node);
    for (void *iter = first; iter != NULL; iter = json_object_iter_next(node, iter)) {
        json_t *value = json_object_iter_value(iter);
        if (iter != first)
            write_indent(out, indent);
        write_flow_string(out, (struct str){json_object_iter_key(iter), json_object_iter_key_len(iter)});
        json_writer_raw(out, ": ");
        if (!has_items(value)) {
            write_leaf(out, value, indent + INDENT_STEP);
        } else if (!write_short(out, value, line_max)) {
            out->len -= out->failed ? 0 : 1; /* no blank before the line break */
            json_writer_raw(out, "\n");
            write_indent(out, indent + INDENT_STEP);
            write_node(out, value, indent + INDENT_STEP, line_max);
        }
    }
}

static void write_array(struct json_writer *out, json_t *node, int indent, size_t line_max)
{
    for (size_t i = 0; i < json_array_size(node); i++) {
        if (i > 0)
            write_indent(out, indent);
        json_t *item = json_array_get(node, i);
        json_writer_raw(out, "- ");
        if (!has_items(item) || !write_short(out, item, line_max))
            write_node(out, item, indent + INDENT_STEP, line_max);
    }
}

/* The first line is indented already; the others get `indent`. Ends with a newline. Recursion is bounded by jansson's
 * nesting limit. */
static void write_node(struct json_writer *out, json_t *node, int indent, size_t line_max)
{
    if (!has_items(node))
        write_leaf(out, node, indent);
    else if (json_is_object(node))
        write_object(out, node, indent, line_max);
    else
        write_array(out, node, indent, line_max);
}

void yaml_write_json(struct json_writer *out, struct str json, size_t line_max)
{
    struct arena *arena = arena_new();
    json_t *tree;
    json_error_t error;
    if (arena == NULL || !json_parse(json, arena, &tree, &error)) {
        out->failed = true;
    } else {
        CHECK(json_is_object(tree) || json_is_array(tree));
        write_node(out, tree, 0, line_max);
    }
    arena_unref(arena);
}
