#include "handlers/json/render.h"

#include "runtime/lib/check.h"
#include "runtime/lib/wall_clock.h"
#include "runtime/task/function.h"

#include <string.h>

static void render_integer(struct json_writer *w, int64_t value)
{
    bool is_safe = value >= -SAFE_INTEGER_MAX && value <= SAFE_INTEGER_MAX;
    if (!is_safe)
        json_writer_raw(w, "\"");
    json_writer_integer(w, value);
    if (!is_safe)
        json_writer_raw(w, "\"");
}

static void render_time(struct json_writer *w, int64_t us)
{
    char text[RFC3339_SIZE];
    json_writer_bytes(w, "\"", 1);
    json_writer_bytes(w, text, rfc3339_format(us, text));
    json_writer_bytes(w, "\"", 1);
}

static void render_array(struct json_writer *w, const struct type *item_type, const struct array *array,
                         const struct child_codec *child)
{
    size_t size = type_size(item_type);
    const char *item = array->items;
    json_writer_raw(w, "[");
    for (size_t i = 0; i < array->count; i++, item += size) {
        if (i > 0)
            json_writer_raw(w, ",");
        render_value(w, item_type, item, child);
    }
    json_writer_raw(w, "]");
}

/* Loads a value whose kind is a pointer. */
static const void *load_pointer(const void *value)
{
    const void *pointer;
    memcpy(&pointer, value, sizeof pointer);
    return pointer;
}

static void render_fields(struct json_writer *w, const struct type *record, const void *value, bool *first,
                          const struct child_codec *child);

void render_value(struct json_writer *w, const struct type *type, const void *value, const struct child_codec *child)
{
    bool first = true;
    switch (type->kind) {
    case TYPE_BOOLEAN:
        json_writer_raw(w, *(const bool *)value ? "true" : "false");
        return;
    case TYPE_INTEGER:
        render_integer(w, *(const int64_t *)value);
        return;
    case TYPE_SECONDS:
        json_writer_seconds(w, *(const uint64_t *)value);
        return;
    case TYPE_ENUM:
        json_writer_string(w, str_from(type->names[*(const int *)value]));
        return;
    case TYPE_STRING:
        json_writer_string(w, *(const struct str *)value);
        return;
    case TYPE_TIME:
        render_time(w, *(const int64_t *)value);
        return;
    case TYPE_ARRAY:
        render_array(w, type->item, value, child);
        return;
    case TYPE_RECORD:
        json_writer_raw(w, "{");
        render_fields(w, type, value, &first, child);
        json_writer_raw(w, "}");
        return;
    case TYPE_FUNCTION:
        json_writer_string(w, str_from(((const struct function *)load_pointer(value))->name));
        return;
    case TYPE_CHILD:
        CHECK(child != NULL);
        child->render(w, load_pointer(value));
        return;
    case TYPE_REFERENCE:
        render_value(w, type->item, load_pointer(value), child);
        return;
    case TYPE_POOL:  /* inputs only */
    case TYPE_INPUT: /* handled by render_fields(), which knows the function */
    case TYPE_OUTPUT:
        break;
    }
    UNREACHABLE();
}

static void render_fields(struct json_writer *w, const struct type *record, const void *value, bool *first,
                          const struct child_codec *child)
{
    const struct function *function = NULL;
    for (const struct field *f = record->fields; f->name != NULL; f++) {
        const char *member = (const char *)value + f->offset;
        bool absent = type_is_absent(f->type, member);
        if (f->type->kind == TYPE_FUNCTION)
            function = load_pointer(member);
        if (absent && !record->render_nulls)
            continue;

        json_writer_bytes(w, *first ? "\"" : ",\"", *first ? 1 : 2);
        json_writer_raw(w, f->name); /* names need no escapes */
        json_writer_raw(w, "\":");
        *first = false;
        if (absent) {
            json_writer_raw(w, "null");
        } else if (f->type->kind == TYPE_INPUT || f->type->kind == TYPE_OUTPUT) {
            CHECK(function != NULL);
            render_value(w, f->type->kind == TYPE_INPUT ? function->input : function->output, load_pointer(member),
                         child);
        } else {
            render_value(w, f->type, member, child);
        }
    }
}

void render_members(struct json_writer *w, const struct type *record, const void *value, bool *first)
{
    render_fields(w, record, value, first, NULL);
}
