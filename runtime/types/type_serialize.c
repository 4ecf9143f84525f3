#include "runtime/types/type_serialize.h"

#include "runtime/lib/check.h"
#include "runtime/lib/util.h"

#include <string.h>

#define ABSENT_LENGTH UINT32_MAX /* the length of an absent string or array */

/* The serialized size of a kind that has a fixed one; 0: of variable size, or not serializable. */
static size_t scalar_size(const struct type *type)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
    case TYPE_INTEGER:
    case TYPE_SECONDS:
    case TYPE_ENUM:
    case TYPE_TIME:
    case TYPE_POOL:
        return type_size(type);
    case TYPE_STRING:
    case TYPE_ARRAY:
    case TYPE_RECORD:
    case TYPE_FUNCTION:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        break;
    }
    return 0;
}

/* The record that a valid record's selector selects; NULL if it has no variants. */
static const struct type *find_variant(const struct type *record, const void *value)
{
    if (record->variants == NULL)
        return NULL;
    int selected = *(const int *)(const void *)((const char *)value + record->fields->offset);
    CHECK(selected >= 0);
    return record->variants[selected];
}

size_t type_serialized_size(const struct type *type, const void *value)
{
    size_t size = scalar_size(type);
    if (size > 0)
        return size;
    if (type->kind == TYPE_RECORD) {
        for (const struct field *f = type->fields; f->name != NULL; f++)
            size += type_serialized_size(f->type, (const char *)value + f->offset);
        const struct type *variant = find_variant(type, value);
        return variant == NULL ? size : size + type_serialized_size(variant, value);
    }
    CHECK(type->kind == TYPE_STRING || type->kind == TYPE_ARRAY);
    size = sizeof(uint32_t);
    if (type_is_absent(type, value))
        return size;
    if (type->kind == TYPE_STRING)
        return size + ((const struct str *)value)->len;
    const struct array *list = value;
    size_t item_size = type_size(type->item);
    for (size_t i = 0; i < list->count; i++)
        size += type_serialized_size(type->item, (const char *)list->items + i * item_size);
    return size;
}

static char *write_bytes(char *out, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(out, bytes, len);
    return out + len;
}

static char *write_length(char *out, size_t length, bool absent)
{
    CHECK(length < ABSENT_LENGTH);
    uint32_t value = absent ? ABSENT_LENGTH : (uint32_t)length;
    return write_bytes(out, &value, sizeof value);
}

char *type_serialize(const struct type *type, const void *value, char *out)
{
    size_t size = scalar_size(type);
    if (size > 0)
        return write_bytes(out, value, size);
    if (type->kind == TYPE_RECORD) {
        for (const struct field *f = type->fields; f->name != NULL; f++)
            out = type_serialize(f->type, (const char *)value + f->offset, out);
        const struct type *variant = find_variant(type, value);
        return variant == NULL ? out : type_serialize(variant, value, out);
    }
    CHECK(type->kind == TYPE_STRING || type->kind == TYPE_ARRAY);
    bool absent = type_is_absent(type, value);
    if (type->kind == TYPE_STRING) {
        const struct str *text = value;
        out = write_length(out, absent ? 0 : text->len, absent);
        return absent ? out : write_bytes(out, text->data, text->len);
    }
    const struct array *list = value;
    out = write_length(out, absent ? 0 : list->count, absent);
    size_t item_size = type_size(type->item);
    for (size_t i = 0; !absent && i < list->count; i++)
        out = type_serialize(type->item, (const char *)list->items + i * item_size, out);
    return out;
}

static bool read_bytes(struct reader *reader, void *out, size_t len)
{
    if ((size_t)(reader->end - reader->at) < len)
        return false;
    memcpy(out, reader->at, len);
    reader->at += len;
    return true;
}

static int read_str(struct reader *reader, uint32_t len, struct arena *arena, struct str *out)
{
    if ((size_t)(reader->end - reader->at) < len)
        return ERR_INVALID;
    if (!arena_str(arena, reader->at, len, out))
        return ERR_OUT_OF_MEMORY;
    reader->at += len;
    return str_is_utf8(*out) ? 0 : ERR_INVALID;
}

static int read_array(const struct type *type, struct reader *reader, uint32_t count, struct arena *arena,
                      struct array *out)
{
    if ((size_t)(reader->end - reader->at) < count) /* an item has at least one byte */
        return ERR_INVALID;
    if (type->limit == NULL && count > (uint64_t)type->max) /* bounds the allocation of the items below */
        return ERR_INVALID;
    size_t item_size = type_size(type->item);
    struct array list = {arena_calloc(arena, count, item_size), count};
    if (list.items == NULL)
        return ERR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        int rc = type_deserialize(type->item, reader, arena, (char *)list.items + i * item_size);
        if (rc != 0)
            return rc;
    }
    *out = list;
    return 0;
}

static int read_scalar(const struct type *type, struct reader *reader, size_t size, void *value)
{
    if (type->kind == TYPE_BOOLEAN) { /* a bool must hold 0 or 1: other values are undefined behavior */
        unsigned char byte;
        if (!read_bytes(reader, &byte, 1) || byte > 1)
            return ERR_INVALID;
        *(bool *)value = byte == 1;
        return 0;
    }
    if (!read_bytes(reader, value, size))
        return ERR_INVALID;
    if (type->kind != TYPE_ENUM)
        return 0;
    int names = 0, ordinal = *(const int *)value;
    while (type->names[names] != NULL)
        names++;
    return ordinal == ENUM_ABSENT || (ordinal >= 0 && ordinal < names) ? 0 : ERR_INVALID;
}

static int read_record(const struct type *type, struct reader *reader, struct arena *arena, void *value)
{
    for (const struct field *f = type->fields; f->name != NULL; f++) {
        int rc = type_deserialize(f->type, reader, arena, (char *)value + f->offset);
        if (rc != 0)
            return rc;
    }
    if (type->variants == NULL)
        return 0;
    if (type_is_absent(type->fields->type, (const char *)value + type->fields->offset))
        return ERR_INVALID;
    return type_deserialize(find_variant(type, value), reader, arena, value);
}

int type_deserialize(const struct type *type, struct reader *reader, struct arena *arena, void *value)
{
    size_t size = scalar_size(type);
    if (size > 0)
        return read_scalar(type, reader, size, value);
    if (type->kind == TYPE_RECORD)
        return read_record(type, reader, arena, value);
    CHECK(type->kind == TYPE_STRING || type->kind == TYPE_ARRAY);
    uint32_t length;
    if (!read_bytes(reader, &length, sizeof length))
        return ERR_INVALID;
    if (length == ABSENT_LENGTH) {
        type_set_absent(type, value);
        return 0;
    }
    if (type->kind == TYPE_STRING)
        return read_str(reader, length, arena, value);
    if (type->item->kind == TYPE_CHILD)
        return ERR_INVALID;
    return read_array(type, reader, length, arena, value);
}
