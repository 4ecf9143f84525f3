/* test_type_serialize - serialized values are deserialized unchanged, and malformed bytes are rejected. */
#include "runtime/types/limits.h"
#include "runtime/types/type_serialize.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/runtime_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* -- a record of all serializable kinds ---------------------------------------------------------------------------- */

struct inner {
    struct str text;
    int choice;
    bool flag;
};

/* A record with variants: the first member selects which others it has. */
struct action {
    int choice;
    int64_t number;
    struct str text;
};

struct outer {
    bool flag;
    int64_t integer, optional_integer, time, pool;
    uint64_t seconds;
    int choice;
    struct str text, optional_text;
    struct array texts, inners, lists, numbers, actions;
    struct inner inner;
};

static const char *const choices[] = {"one", "two", "three", NULL};
static const struct type flag_type = {.kind = TYPE_BOOLEAN};
static const struct type integer_type = {.kind = TYPE_INTEGER, .min = INT64_MIN + 1, .max = INT64_MAX};
static const struct type pool_index_type = {.kind = TYPE_POOL};
static const struct type seconds_type = {.kind = TYPE_SECONDS, .min = 0, .max = INT64_MAX};
static const struct type choice_type = {.kind = TYPE_ENUM, .names = choices};
static const struct type text_type = {.kind = TYPE_STRING, .min = 0, .max = 100000};
static const struct type strings_type = {.kind = TYPE_ARRAY, .item = &text_type, .min = 0, .max = 20};
static const struct type numbers_type = {.kind = TYPE_ARRAY, .item = &integer_type, .min = 0, .max = 20};
static const struct type lists_type = {.kind = TYPE_ARRAY, .item = &strings_type, .min = 0, .max = 20};

static const struct field inner_fields[] = {
    {"text", &text_type, offsetof(struct inner, text), FIELD_OPTIONAL, NULL, "A text", NULL},
    {"choice", &choice_type, offsetof(struct inner, choice), FIELD_OPTIONAL, NULL, "A choice", NULL},
    {"configured", &flag_type, offsetof(struct inner, flag), FIELD_REQUIRED, NULL, "A flag", NULL},
    {0},
};
static const struct type inner_type = {.kind = TYPE_RECORD, .fields = inner_fields, .size = sizeof(struct inner)};
static const struct type inners_type = {.kind = TYPE_ARRAY, .item = &inner_type, .min = 0, .max = 20};

static const struct field no_fields[] = {{0}};
static const struct field number_fields[] = {
    {"number", &integer_type, offsetof(struct action, number), FIELD_OPTIONAL, NULL, "A number", NULL},
    {0},
};
static const struct field number_and_text_fields[] = {
    {"number", &integer_type, offsetof(struct action, number), FIELD_REQUIRED, NULL, "A number", NULL},
    {"text", &text_type, offsetof(struct action, text), FIELD_REQUIRED, NULL, "A text", NULL},
    {0},
};
static const struct type no_fields_type = {.kind = TYPE_RECORD, .fields = no_fields, .size = sizeof(struct action)};
static const struct type number_type = {.kind = TYPE_RECORD, .fields = number_fields, .size = sizeof(struct action)};
static const struct type number_and_text_type = {
    .kind = TYPE_RECORD, .fields = number_and_text_fields, .size = sizeof(struct action)};
static const struct type *const action_variants[] = {&no_fields_type, &number_type, &number_and_text_type};
static const struct field action_fields[] = {
    {"choice", &choice_type, offsetof(struct action, choice), FIELD_REQUIRED, NULL, "The variant", NULL},
    {0},
};
static const struct type action_type = {
    .kind = TYPE_RECORD, .fields = action_fields, .size = sizeof(struct action), .variants = action_variants};
static const struct type actions_type = {.kind = TYPE_ARRAY, .item = &action_type, .min = 0, .max = 20};

static const struct field outer_fields[] = {
    {"configured", &flag_type, offsetof(struct outer, flag), FIELD_REQUIRED, NULL, "A flag", NULL},
    {"integer", &integer_type, offsetof(struct outer, integer), FIELD_REQUIRED, NULL, "A number", NULL},
    {"optional_integer", &integer_type, offsetof(struct outer, optional_integer), FIELD_OPTIONAL, NULL, "One", NULL},
    {"time", &time_type, offsetof(struct outer, time), FIELD_OPTIONAL, NULL, "A time", NULL},
    {"pool", &pool_index_type, offsetof(struct outer, pool), FIELD_OPTIONAL, NULL, "A pool", NULL},
    {"seconds", &seconds_type, offsetof(struct outer, seconds), FIELD_OPTIONAL, NULL, "Seconds", NULL},
    {"choice", &choice_type, offsetof(struct outer, choice), FIELD_OPTIONAL, NULL, "A choice", NULL},
    {"text", &text_type, offsetof(struct outer, text), FIELD_REQUIRED, NULL, "A text", NULL},
    {"optional_text", &text_type, offsetof(struct outer, optional_text), FIELD_OPTIONAL, NULL, "A text", NULL},
    {"texts", &strings_type, offsetof(struct outer, texts), FIELD_OPTIONAL, NULL, "Texts", NULL},
    {"inners", &inners_type, offsetof(struct outer, inners), FIELD_OPTIONAL, NULL, "Records", NULL},
    {"lists", &lists_type, offsetof(struct outer, lists), FIELD_OPTIONAL, NULL, "Lists of texts", NULL},
    {"numbers", &numbers_type, offsetof(struct outer, numbers), FIELD_OPTIONAL, NULL, "Numbers", NULL},
    {"actions", &actions_type, offsetof(struct outer, actions), FIELD_OPTIONAL, NULL, "Records with variants", NULL},
    {"inner", &inner_type, offsetof(struct outer, inner), FIELD_REQUIRED, NULL, "A record", NULL},
    {0},
};
static const struct type outer_type = {.kind = TYPE_RECORD, .fields = outer_fields, .size = sizeof(struct outer)};

/* -- random values ------------------------------------------------------------------------------------------------- */

struct generator {
    struct prng prng;
    struct arena *arena;
};

static bool random_bool(struct generator *g)
{
    return prng_below(&g->prng, 2) == 0;
}

static void random_string(struct generator *g, struct str *out)
{
    static const char *const pieces[] = {"a", "\n", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\""};
    char bytes[200];
    size_t len = 0;
    for (uint64_t n = prng_below(&g->prng, 40); n > 0; n--) {
        const char *piece = pieces[prng_below(&g->prng, COUNT_OF(pieces))];
        memcpy(bytes + len, piece, strlen(piece) + 1);
        len += strlen(piece);
    }
    assert_true(arena_str(g->arena, bytes, len, out));
}

static void random_value(struct generator *g, const struct type *type, void *value);

static void random_array(struct generator *g, const struct type *type, struct array *out)
{
    size_t size = type_size(type->item);
    out->count = prng_below(&g->prng, 6);
    out->items = arena_calloc(g->arena, out->count + 1, size);
    assert_non_null(out->items);
    for (size_t i = 0; i < out->count; i++)
        random_value(g, type->item, (char *)out->items + i * size);
}

static void random_record(struct generator *g, const struct type *type, void *value)
{
    for (const struct field *f = type->fields; f->name != NULL; f++) {
        char *field = (char *)value + f->offset;
        if (f->presence == FIELD_OPTIONAL && random_bool(g))
            type_set_absent(f->type, field);
        else
            random_value(g, f->type, field);
    }
    if (type->variants != NULL)
        random_record(g, type->variants[((const struct action *)value)->choice], value);
}

static void random_value(struct generator *g, const struct type *type, void *value)
{
    int64_t number = (int64_t)prng_below(&g->prng, UINT32_MAX) - (random_bool(g) ? INT32_MAX : 0);
    switch (type->kind) {
    case TYPE_BOOLEAN:
        *(bool *)value = random_bool(g);
        break;
    case TYPE_INTEGER:
    case TYPE_TIME:
    case TYPE_POOL:
        *(int64_t *)value = random_bool(g) ? number : number * 2000000000;
        break;
    case TYPE_SECONDS:
        *(uint64_t *)value = (uint64_t)number;
        break;
    case TYPE_ENUM:
        *(int *)value = (int)prng_below(&g->prng, 3);
        break;
    case TYPE_STRING:
        random_string(g, value);
        break;
    case TYPE_ARRAY:
        random_array(g, type, value);
        break;
    case TYPE_RECORD:
        random_record(g, type, value);
        break;
    case TYPE_FUNCTION:
    case TYPE_INPUT:
    case TYPE_OUTPUT:
    case TYPE_CHILD:
    case TYPE_REFERENCE:
        fail();
    }
}

static bool values_equal(const struct type *type, const void *a, const void *b);

static bool arrays_equal(const struct type *type, const struct array *a, const struct array *b)
{
    size_t size = type_size(type->item);
    bool equal = a->count == b->count && (a->items == NULL) == (b->items == NULL);
    for (size_t i = 0; equal && i < a->count; i++)
        equal = values_equal(type->item, (const char *)a->items + i * size, (const char *)b->items + i * size);
    return equal;
}

static bool strings_equal(const struct str *a, const struct str *b)
{
    if (a->data == NULL || b->data == NULL)
        return a->data == b->data && a->len == b->len;
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0 && b->data[b->len] == '\0';
}

static bool values_equal(const struct type *type, const void *a, const void *b)
{
    if (type->kind == TYPE_STRING)
        return strings_equal(a, b);
    if (type->kind == TYPE_ARRAY)
        return arrays_equal(type, a, b);
    if (type->kind != TYPE_RECORD)
        return memcmp(a, b, type_size(type)) == 0;
    bool equal = true;
    for (const struct field *f = type->fields; equal && f->name != NULL; f++)
        equal = values_equal(f->type, (const char *)a + f->offset, (const char *)b + f->offset);
    if (equal && type->variants != NULL)
        equal = values_equal(type->variants[((const struct action *)a)->choice], a, b);
    return equal;
}

/* Serializes into a buffer of the exact size, so that a sanitizer detects writes beyond it; the caller frees it. */
static char *serialize(const void *value, size_t *len)
{
    *len = type_serialized_size(&outer_type, value);
    char *bytes = malloc(*len);
    assert_non_null(bytes);
    assert_ptr_equal(type_serialize(&outer_type, value, bytes), bytes + *len);
    return bytes;
}

static int deserialize(const char *bytes, size_t len, struct arena *arena, struct outer *out, size_t *remaining)
{
    char *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    struct reader reader = {copy, copy + len};
    memset(out, 0, sizeof *out);
    int rc = type_deserialize(&outer_type, &reader, arena, out);
    *remaining = (size_t)(reader.end - reader.at);
    memset(copy, 0x55, len); /* detects a value that points into the bytes */
    free(copy);
    return rc;
}

/* -- the tests ----------------------------------------------------------------------------------------------------- */

static void round_trip_preserves_values(void **state)
{
    (void)state;
    struct generator g = {.prng = {11}};
    for (int i = 0; i < 3000; i++) {
        struct outer value = {0}, decoded;
        size_t len, remaining;
        g.arena = arena_new();
        random_value(&g, &outer_type, &value);
        char *bytes = serialize(&value, &len);
        assert_int_equal(deserialize(bytes, len, g.arena, &decoded, &remaining), 0);
        assert_int_equal(remaining, 0);
        assert_true(values_equal(&outer_type, &value, &decoded));
        free(bytes);
        arena_unref(g.arena);
    }
}

static void trailing_bytes_are_not_consumed(void **state)
{
    (void)state;
    struct generator g = {.prng = {12}, .arena = arena_new()};
    struct outer value = {0}, decoded;
    size_t len, remaining;
    random_value(&g, &outer_type, &value);
    char *bytes = serialize(&value, &len);
    bytes = realloc(bytes, len + 5);
    assert_non_null(bytes);
    memset(bytes + len, 0, 5);
    assert_int_equal(deserialize(bytes, len + 5, g.arena, &decoded, &remaining), 0);
    assert_int_equal(remaining, 5);
    assert_true(values_equal(&outer_type, &value, &decoded));
    free(bytes);
    arena_unref(g.arena);
}

static void truncated_input_is_rejected(void **state)
{
    (void)state;
    struct generator g = {.prng = {13}};
    for (int i = 0; i < 40; i++) {
        struct outer value = {0}, decoded;
        size_t len, remaining;
        g.arena = arena_new();
        random_value(&g, &outer_type, &value);
        char *bytes = serialize(&value, &len);
        for (size_t prefix_len = 0; prefix_len < len; prefix_len++)
            assert_int_equal(deserialize(bytes, prefix_len, g.arena, &decoded, &remaining), ERR_INVALID);
        free(bytes);
        arena_unref(g.arena);
    }
}

/* If corrupted bytes are accepted, the value is valid: it can be serialized, and its strings are UTF-8. */
static void corrupted_input_yields_valid_value_or_error(void **state)
{
    (void)state;
    struct generator g = {.prng = {14}};
    size_t accepted = 0;
    for (int i = 0; i < 20000; i++) {
        struct outer value = {0}, decoded, decoded_again;
        size_t len, remaining;
        g.arena = arena_new();
        random_value(&g, &outer_type, &value);
        char *bytes = serialize(&value, &len);
        for (uint64_t n = 1 + prng_below(&g.prng, 4); n > 0; n--) {
            size_t at = prng_below(&g.prng, len);
            if (random_bool(&g))
                bytes[at] = (char)prng_below(&g.prng, 256);
            else
                bytes[at] = (char)(bytes[at] ^ 1 << prng_below(&g.prng, 8));
            if (prng_below(&g.prng, 8) == 0)
                memset(bytes + at, 0xFF, len - at < 4 ? len - at : 4);
        }
        int rc = deserialize(bytes, len, g.arena, &decoded, &remaining);
        assert_true(rc == 0 || rc == ERR_INVALID);
        free(bytes);
        if (rc == 0) {
            accepted++;
            bytes = serialize(&decoded, &len);
            assert_int_equal(deserialize(bytes, len, g.arena, &decoded_again, &remaining), 0);
            assert_true(values_equal(&outer_type, &decoded, &decoded_again));
            free(bytes);
        }
        arena_unref(g.arena);
    }
    assert_true(accepted > 1000 && accepted < 19000);
}

static void random_bytes_yield_valid_value_or_error(void **state)
{
    (void)state;
    struct generator g = {.prng = {15}};
    for (int i = 0; i < 20000; i++) {
        char bytes[300];
        size_t len = prng_below(&g.prng, sizeof bytes), remaining;
        for (size_t j = 0; j < len; j++)
            bytes[j] = (char)(prng_below(&g.prng, 3) == 0 ? prng_below(&g.prng, 256) : 0);
        struct outer decoded;
        struct arena *arena = arena_new();
        int rc = deserialize(bytes, len, arena, &decoded, &remaining);
        assert_true(rc == 0 || rc == ERR_INVALID);
        arena_unref(arena);
    }
}

static void values_outside_the_type_are_rejected(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct str text;
    bool flag;
    int choice;
    struct array list;
    static const struct {
        const struct type *type;
        const char *bytes;
        size_t len;
        int rc;
    } rows[] = {
        {&flag_type, "\x00", 1, 0},
        {&flag_type, "\x01", 1, 0},
        {&flag_type, "\x02", 1, ERR_INVALID},
        {&flag_type, "\xFF", 1, ERR_INVALID},
        {&choice_type, "\x02\0\0\0", 4, 0},
        {&choice_type, "\x03\0\0\0", 4, ERR_INVALID},
        {&choice_type, "\xFF\xFF\xFF\xFF", 4, 0}, /* absent */
        {&choice_type, "\xFE\xFF\xFF\xFF", 4, ERR_INVALID},
        {&text_type, "\0\0\0\0", 4, 0},
        {&text_type, "\x02\0\0\0\xC3\xA9", 6, 0},
        {&text_type, "\x02\0\0\0\xC3\x29", 6, ERR_INVALID},
        {&text_type, "\x01\0\0\0\xC3", 5, ERR_INVALID},
        {&text_type, "\xFF\xFF\xFF\xFF", 4, 0}, /* absent */
        {&text_type, "\xFE\xFF\xFF\xFF", 4, ERR_INVALID},
        {&text_type,
         "\xFE\xFF\xFF\x7F"
         "abc",
         7, ERR_INVALID},
        {&numbers_type, "\0\0\0\0", 4, 0},
        {&numbers_type,
         "\x01\0\0\0"
         "12345678",
         12, 0},
        {&numbers_type,
         "\x02\0\0\0"
         "12345678",
         12, ERR_INVALID},
        {&numbers_type, "\xFF\xFF\xFF\xFF", 4, 0}, /* absent */
        {&function_parts_type, "\xFF\xFF\xFF\xFF", 4, 0},
        {&function_parts_type, "\0\0\0\0", 4, ERR_INVALID}, /* children have no serialized form */
        {&function_parts_type,
         "\x01\0\0\0"
         "12345678",
         12, ERR_INVALID},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reader reader = {rows[i].bytes, rows[i].bytes + rows[i].len};
        void *value = rows[i].type == &flag_type     ? (void *)&flag
                      : rows[i].type == &choice_type ? (void *)&choice
                      : rows[i].type == &text_type   ? (void *)&text
                                                     : (void *)&list;
        assert_int_equal(type_deserialize(rows[i].type, &reader, arena, value), rows[i].rc);
        assert_true(rows[i].rc != 0 || reader.at == reader.end);
    }
    arena_unref(arena);
}

/* A large count in a frame cannot cause large allocations or long loops: the maximum of the type bounds both. */
static void variant_is_selected_by_its_field(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct action value = {.choice = 1, .number = 7, .text = STR("left out")}, decoded = {0};
    char bytes[64];
    size_t len = type_serialized_size(&action_type, &value);
    assert_int_equal(len, sizeof(int) + sizeof(int64_t));
    assert_ptr_equal(type_serialize(&action_type, &value, bytes), bytes + len);
    struct reader reader = {bytes, bytes + len};
    assert_int_equal(type_deserialize(&action_type, &reader, arena, &decoded), 0);
    assert_int_equal(decoded.choice, 1);
    assert_int_equal(decoded.number, 7);
    assert_null(decoded.text.data);

    static const int invalid[] = {ENUM_ABSENT, 3, -2};
    for (size_t i = 0; i < COUNT_OF(invalid); i++) {
        memcpy(bytes, &invalid[i], sizeof invalid[i]);
        reader = (struct reader){bytes, bytes + len};
        assert_int_equal(type_deserialize(&action_type, &reader, arena, &decoded), ERR_INVALID);
    }
    arena_unref(arena);
}

static void array_count_is_limited_by_type(void **state)
{
    (void)state;
    enum { ITEMS = 1000000 };
    char *bytes = calloc(4 + ITEMS, 4);
    assert_non_null(bytes);
    static const uint32_t counts[] = {0, 20, 21, 1000, ITEMS};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        memcpy(bytes, &counts[i], sizeof counts[i]);
        struct array list = {0};
        struct arena *arena = arena_new();
        struct reader reader = {bytes, bytes + 4 + 4 * (size_t)ITEMS}; /* ITEMS empty strings */
        assert_int_equal(type_deserialize(&strings_type, &reader, arena, &list), counts[i] <= 20 ? 0 : ERR_INVALID);
        arena_unref(arena);
    }
    free(bytes);
}

static void deserialize_fails_when_out_of_memory(void **state)
{
    (void)state;
    struct generator g = {.prng = {16}};
    for (int i = 0; i < 30; i++) {
        struct outer value = {0}, decoded;
        size_t len;
        g.arena = arena_new();
        random_value(&g, &outer_type, &value);
        char *long_text = malloc(5000);
        assert_non_null(long_text);
        memset(long_text, 'l', 5000);
        value.text = (struct str){long_text, 5000};
        char *bytes = serialize(&value, &len);
        unsigned long n = 0;
        int rc;
        do {
            struct arena *arena = arena_new();
            struct reader reader = {bytes, bytes + len};
            alloc_fail_at(++n);
            rc = type_deserialize(&outer_type, &reader, arena, &decoded);
            bool failed = alloc_count() >= n;
            alloc_fail_at(0);
            assert_int_equal(rc, failed ? ERR_OUT_OF_MEMORY : 0);
            arena_unref(arena);
        } while (rc != 0);
        assert_true(n > 1);
        free(bytes);
        free(long_text);
        arena_unref(g.arena);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_preserves_values),
        cmocka_unit_test(trailing_bytes_are_not_consumed),
        cmocka_unit_test(truncated_input_is_rejected),
        cmocka_unit_test(corrupted_input_yields_valid_value_or_error),
        cmocka_unit_test(random_bytes_yield_valid_value_or_error),
        cmocka_unit_test(values_outside_the_type_are_rejected),
        cmocka_unit_test(variant_is_selected_by_its_field),
        cmocka_unit_test(array_count_is_limited_by_type),
        cmocka_unit_test(deserialize_fails_when_out_of_memory),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
