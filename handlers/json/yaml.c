#include "handlers/json/yaml.h"

#include "handlers/json/json_parse.h"
#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    LINE_MAX_LEN = 100, /* of folded text */
    INDENT_STEP = 2,
};

static void write_node(struct json_writer *out, const json_t *node, int indent);

static void write_indent(struct json_writer *out, int indent)
{
    for (int i = 0; i < indent; i++)
        json_writer_raw(out, " ");
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

static bool has_control_character(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            return true;
    return false;
}

static void write_short_string(struct json_writer *out, struct str text)
{
    if (has_control_character(text)) {
        json_writer_string(out, text); /* JSON's escapes are YAML's */
    } else if (is_plain(text)) {
        json_writer_bytes(out, text.data, text.len);
    } else {
        json_writer_raw(out, "'");
        for (size_t i = 0; i < text.len; i++)
            json_writer_bytes(out, text.data[i] == '\'' ? "''" : &text.data[i], text.data[i] == '\'' ? 2 : 1);
        json_writer_raw(out, "'");
    }
}

/* Lines without trailing blanks, the first not indented; all of them printable. */
static bool is_block(struct str text)
{
    if (memchr(text.data, '\n', text.len) == NULL || text.data[0] == ' ' || text.data[0] == '\n')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < ' ' && c != '\n') || (c == ' ' && (i + 1 == text.len || text.data[i + 1] == '\n')))
            return false;
    }
    return text.len < 2 || text.data[text.len - 1] != '\n' || text.data[text.len - 2] != '\n';
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

/* One line of words, each separated by one blank. */
static bool is_foldable(struct str text)
{
    if (text.len <= LINE_MAX_LEN || has_control_character(text) || text.data[0] == ' ' ||
        text.data[text.len - 1] == ' ')
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (text.data[i] == ' ' && text.data[i - 1] == ' ')
            return false;
    return memchr(text.data, ' ', text.len) != NULL;
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

static void write_real(struct json_writer *out, double real)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    json_writer_raw(out, text);
}

static struct str text_of(const json_t *node)
{
    return (struct str){json_string_value(node), json_string_length(node)};
}

static void write_scalar(struct json_writer *out, const json_t *node, int indent)
{
    switch (json_typeof(node)) {
    case JSON_STRING:
        if (is_block(text_of(node))) {
            write_literal_block(out, text_of(node), indent);
            return;
        }
        if (is_foldable(text_of(node))) {
            write_folded_block(out, text_of(node), indent);
            return;
        }
        write_short_string(out, text_of(node));
        break;
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
    case JSON_OBJECT:
    case JSON_ARRAY:
        UNREACHABLE();
    }
    json_writer_raw(out, "\n");
}

/* -- collections --------------------------------------------------------------------------------------------------- */

static bool is_collection(const json_t *node)
{
    return json_object_size(node) > 0 || json_array_size(node) > 0;
}

/* A value after its key or "-": a scalar on the same line. */
static void write_value(struct json_writer *out, const json_t *node, int indent)
{
    if (is_collection(node)) {
        json_writer_raw(out, "\n");
        write_indent(out, indent);
        write_node(out, node, indent);
    } else if (json_is_object(node)) {
        json_writer_raw(out, " {}\n");
    } else if (json_is_array(node)) {
        json_writer_raw(out, " []\n");
    } else {
        json_writer_raw(out, " ");
        write_scalar(out, node, indent);
    }
}

/* The first line is indented already. Recursion is bounded by jansson's nesting limit. */
static void write_object(struct json_writer *out, const json_t *node, int indent)
{
    bool first = true;
    for (void *iter = json_object_iter((json_t *)(uintptr_t)node); iter != NULL;
         iter = json_object_iter_next((json_t *)(uintptr_t)node, iter)) {
        if (!first)
            write_indent(out, indent);
        first = false;
        write_short_string(out, (struct str){json_object_iter_key(iter), json_object_iter_key_len(iter)});
        json_writer_raw(out, ":");
        write_value(out, json_object_iter_value(iter), indent + INDENT_STEP);
    }
}

static void write_array(struct json_writer *out, const json_t *node, int indent)
{
    for (size_t i = 0; i < json_array_size(node); i++) {
        const json_t *item = json_array_get(node, i);
        if (i > 0)
            write_indent(out, indent);
        json_writer_raw(out, "-");
        if (is_collection(item)) { /* its first line follows the "- " */
            json_writer_raw(out, " ");
            write_node(out, item, indent + INDENT_STEP);
        } else {
            write_value(out, item, indent + INDENT_STEP);
        }
    }
}

static void write_node(struct json_writer *out, const json_t *node, int indent)
{
    if (json_is_object(node))
        write_object(out, node, indent);
    else
        write_array(out, node, indent);
}

void yaml_write_json(struct json_writer *out, struct str json)
{
    struct arena *arena = arena_new();
    json_t *tree;
    json_error_t error;
    if (arena == NULL || !json_parse(json, arena, &tree, &error)) {
        out->failed = true;
    } else {
        CHECK(tree != NULL && json_is_object(tree));
        write_node(out, tree, 0);
    }
    arena_unref(arena);
}
