/* test_render - values and tasks rendered as JSON, which is compared literally or parsed by jansson. */
#include "handlers/json/render.h"
#include "handlers/resources/task_object.h"
#include "tests/unit/support/alloc_fault.h"
#include "tests/unit/support/builtins.h"
#include "tests/unit/support/loop_function.h"
#include "tests/unit/support/task_asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* -- values -------------------------------------------------------------------------------------------------------- */

struct inner {
    int64_t depth;
};

struct sample {
    bool flag;
    int64_t count;
    uint64_t pause;
    int mode;
    struct str word;
    int64_t at;
    struct array numbers, inners;
    struct inner inner;
    const struct inner *other;
    const struct function *function;
    void *input;
    const void *output;
};

static const char *const mode_names[] = {"slow", "fast", NULL};
static const struct type flag_type = {.kind = TYPE_BOOLEAN};
static const struct type count_type = {.kind = TYPE_INTEGER, .min = INT64_MIN + 1, .max = INT64_MAX};
static const struct type pause_type = {.kind = TYPE_SECONDS, .max = INT64_MAX};
static const struct type mode_type = {.kind = TYPE_ENUM, .names = mode_names};
static const struct type word_type = {.kind = TYPE_STRING, .max = 100};
static const struct type numbers_type = {.kind = TYPE_ARRAY, .max = 4, .item = &count_type};
static const struct type function_type = {.kind = TYPE_FUNCTION};
static const struct type input_type = {.kind = TYPE_INPUT};
static const struct type output_type = {.kind = TYPE_OUTPUT};

static const struct field inner_fields[] = {
    {"depth", &count_type, offsetof(struct inner, depth), FIELD_OPTIONAL, NULL, NULL, NULL},
    {0},
};
static const struct type inner_type = {.kind = TYPE_RECORD, .fields = inner_fields, .size = sizeof(struct inner)};
static const struct type inners_type = {.kind = TYPE_ARRAY, .max = 4, .item = &inner_type};
static const struct type inner_reference = {.kind = TYPE_REFERENCE, .item = &inner_type};

#define FIELD(name, type) \
    { \
#name, type, offsetof(struct sample, name), FIELD_OPTIONAL, NULL, NULL, NULL \
    }
static const struct field sample_fields[] = {
    FIELD(flag, &flag_type),         FIELD(count, &count_type),
    FIELD(pause, &pause_type),       FIELD(mode, &mode_type),
    FIELD(word, &word_type),         FIELD(at, &time_type),
    FIELD(numbers, &numbers_type),   FIELD(inners, &inners_type),
    FIELD(inner, &inner_type),       FIELD(other, &inner_reference),
    FIELD(function, &function_type), FIELD(input, &input_type),
    FIELD(output, &output_type),     {0},
};
static const struct type sample_type = {.kind = TYPE_RECORD, .fields = sample_fields, .size = sizeof(struct sample)};
static const struct type nulls_type = {
    .kind = TYPE_RECORD, .fields = sample_fields, .size = sizeof(struct sample), .render_nulls = true};

static struct sample absent_sample(void)
{
    struct sample s = {0};
    for (const struct field *f = sample_fields; f->name != NULL; f++)
        if (f->type->kind != TYPE_BOOLEAN && f->type->kind != TYPE_RECORD)
            type_set_absent(f->type, (char *)&s + f->offset);
    type_set_absent(&count_type, &s.inner.depth);
    return s;
}

static void expect_json(const struct type *type, const void *value, const char *json)
{
    struct json_writer w = {0};
    render_value(&w, type, value, &task_object_child_codec);
    size_t len;
    char *text = json_writer_take(&w, &len);
    assert_non_null(text);
    text = realloc(text, len + 1);
    assert_non_null(text);
    text[len] = '\0';
    assert_string_equal(text, json);
    free(text);
}

static void each_type_is_rendered(void **state)
{
    (void)state;
    int64_t numbers[] = {1, -2};
    struct inner inners[] = {{3}, {INT64_MIN}};
    const struct function *sleep = builtins_find("sleep");
    uint64_t seconds = 250 * NS_PER_MS; /* serves as input and output of sleep, which have only this field */
    struct sample s = {
        .flag = true,
        .count = 7,
        .pause = 1500 * NS_PER_MS,
        .mode = 1,
        .word = STR("a\"b"),
        .at = 1,
        .numbers = {numbers, 2},
        .inners = {inners, 2},
        .inner = {5},
        .other = &inners[0],
        .function = sleep,
        .input = &seconds,
        .output = &seconds,
    };
    expect_json(&sample_type, &s,
                "{\"flag\":true,\"count\":7,\"pause\":1.5,\"mode\":\"fast\",\"word\":\"a\\\"b\","
                "\"at\":\"1970-01-01T00:00:00.000001Z\",\"numbers\":[1,-2],\"inners\":[{\"depth\":3},{}],"
                "\"inner\":{\"depth\":5},\"other\":{\"depth\":3},\"function\":\"sleep\",\"input\":{\"seconds\":0.25},"
                "\"output\":{\"slept_seconds\":0.25}}");
}

static void absent_is_omitted_or_null(void **state)
{
    (void)state;
    struct sample s = absent_sample();
    expect_json(&sample_type, &s, "{\"flag\":false,\"inner\":{}}");
    expect_json(
        &nulls_type, &s,
        "{\"flag\":false,\"count\":null,\"pause\":null,\"mode\":null,\"word\":null,\"at\":null,\"numbers\":null,"
        "\"inners\":null,\"inner\":{},\"other\":null,\"function\":null,\"input\":null,\"output\":null}");
    s.numbers = (struct array){&s, 0};
    s.word = STR("");
    expect_json(&sample_type, &s, "{\"flag\":false,\"word\":\"\",\"numbers\":[],\"inner\":{}}");
}

static void unsafe_integers_are_strings(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *json;
    } rows[] = {
        {INT64_C(9007199254740992), "9007199254740992"},
        {INT64_C(9007199254740993), "\"9007199254740993\""},
        {-INT64_C(9007199254740992), "-9007199254740992"},
        {-INT64_C(9007199254740993), "\"-9007199254740993\""},
        {INT64_MAX, "\"9223372036854775807\""},
        {0, "0"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_json(&count_type, &rows[i].value, rows[i].json);
}

static void times_are_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *json;
    } rows[] = {
        {0, "\"1970-01-01T00:00:00.000000Z\""},
        {-1, "\"1969-12-31T23:59:59.999999Z\""},
        {-1000000, "\"1969-12-31T23:59:59.000000Z\""},
        {INT64_C(1795349146123456), "\"2026-11-22T12:05:46.123456Z\""},
        {INT64_C(1709210096999999), "\"2024-02-29T12:34:56.999999Z\""},
        {INT64_C(253402300799999999), "\"9999-12-31T23:59:59.999999Z\""},
    };
    setenv("TZ", "America/New_York", 1);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_json(&time_type, &rows[i].us, rows[i].json);
    unsetenv("TZ");
    struct json_writer w = {0};
    int64_t extremes[] = {INT64_MIN + 1, INT64_MAX};
    render_value(&w, &time_type, &extremes[0], NULL);
    render_value(&w, &time_type, &extremes[1], NULL);
    json_writer_free(&w);
}

static void members_append_to_open_object(void **state)
{
    (void)state;
    struct inner inner = {1};
    struct json_writer w = {0};
    bool first = true;
    render_members(&w, &inner_type, &inner, &first);
    assert_false(first);
    render_members(&w, &inner_type, &inner, &first);
    assert_int_equal(w.len, strlen("\"depth\":1,\"depth\":1"));
    assert_memory_equal(w.data, "\"depth\":1,\"depth\":1", w.len);
    json_writer_free(&w);
}

/* -- tasks --------------------------------------------------------------------------------------------------------- */

static const char id[] = "0123456789ABCDEFGHJKMNPQRS";

static void render_object(struct json_writer *w, const struct task *task)
{
    struct task_snapshot snapshot = {.info = task_info_of(task), .created_us = INT64_C(1795349146123456)};
    memcpy(snapshot.id, id, sizeof id);
    task_object_render(w, &snapshot);
}

static bool drain_until_idle(struct fixture *f)
{
    task_drain(f->runtime);
    return run_until_idle(f);
}

static json_t *rendered_task(const struct task *task)
{
    struct json_writer w = {0};
    render_object(&w, task);
    size_t len;
    char *text = json_writer_take(&w, &len);
    assert_non_null(text);
    json_error_t error;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(json);
    free(text);
    return json;
}

static const char *get_string(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static void expect_members(json_t *object, const char *expected)
{
    char names[512] = "";
    size_t len = 0;
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i))
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len == 0 ? "" : " ", json_object_iter_key(i));
    assert_string_equal(names, expected);
}

/* The member `name`, an RFC 3339 time, in microseconds since midnight. */
static int64_t time_of_day_us(const json_t *object, const char *name)
{
    static const char day[] = "2026-11-22T";
    const char *text = get_string(object, name);
    assert_non_null(text);
    assert_memory_equal(text, day, sizeof day - 1);
    text += sizeof day - 1;
    assert_int_equal(strlen(text), strlen("12:05:46.123456Z"));
    int64_t hour = strtoll(text, NULL, 10), minute = strtoll(text + 3, NULL, 10), second = strtoll(text + 6, NULL, 10);
    return ((hour * 60 + minute) * 60 + second) * 1000000 + strtoll(text + 9, NULL, 10);
}

static void task_is_rendered_in_each_state(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    struct task_spec spec = mock_manual(f, &mock_counts);
    spec.options.name = STR("the name");
    assert_int_equal(submit(f, &spec, &w), 0);

    json_t *queued = rendered_task(w.task);
    expect_members(queued,
                   "id name function executor pool state done result error pid tid created_at started_at finished_at "
                   "queued_seconds duration_seconds usage cancel");
    assert_string_equal(get_string(queued, "id"), id);
    assert_string_equal(get_string(queued, "name"), "the name");
    assert_string_equal(get_string(queued, "function"), function_mock.name);
    assert_string_equal(get_string(queued, "executor"), "loop");
    assert_string_equal(get_string(queued, "state"), "queued");
    assert_string_equal(get_string(queued, "created_at"), "2026-11-22T12:05:46.123456Z");
    assert_true(json_is_false(json_object_get(queued, "done")));
    static const char *const null_members[] = {
        "result", "error", "pid", "tid", "started_at", "finished_at", "queued_seconds", "duration_seconds", "cancel"};
    for (size_t i = 0; i < COUNT_OF(null_members); i++)
        assert_true(json_is_null(json_object_get(queued, null_members[i])));
    json_decref(queued);

    task_drain(f->runtime);
    json_t *running = rendered_task(w.task);
    assert_string_equal(get_string(running, "state"), "running");
    assert_true(json_integer_value(json_object_get(running, "pid")) > 0);
    assert_true(json_integer_value(json_object_get(running, "tid")) > 0);
    double queued_seconds = json_real_value(json_object_get(running, "queued_seconds"));
    int64_t started = time_of_day_us(running, "started_at") - time_of_day_us(running, "created_at");
    assert_int_equal(started, (int64_t)(queued_seconds * 1e6));
    assert_true(json_is_null(json_object_get(running, "finished_at")));
    json_decref(running);

    mock_end(w.task, 0);
    assert_true(drain_until_idle(f));
    json_t *done = rendered_task(w.task);
    assert_string_equal(get_string(done, "state"), "succeeded");
    assert_true(json_is_true(json_object_get(done, "done")));
    assert_true(json_is_object(json_object_get(done, "result")));
    assert_true(json_is_null(json_object_get(done, "error")));
    uint64_t total_ns = w.info.queued_ns + w.info.duration_ns;
    assert_int_equal(time_of_day_us(done, "finished_at") - time_of_day_us(done, "created_at"), total_ns / 1000);
    json_decref(done);
    task_release(w.task);
}

static void expect_task_error(const struct task *task, const char *state, const char *code, const char *detail,
                              const char *reason, const char *effect)
{
    json_t *json = rendered_task(task);
    const json_t *error = json_object_get(json, "error"), *cancel_info = json_object_get(json, "cancel");
    assert_string_equal(get_string(json, "state"), state);
    assert_string_equal(get_string(error, "code"), code);
    assert_string_equal(get_string(error, "detail"), detail);
    assert_string_equal(get_string(cancel_info, "reason"), reason);
    assert_string_equal(get_string(cancel_info, "effect"), effect);
    assert_true(json_integer_value(json_object_get(error, "status")) >= 400);
    char error_detail[TASK_DETAIL_SIZE];
    struct task_info info = task_info_of(task);
    task_object_error_detail(&info, error_detail);
    assert_string_equal(error_detail, detail);
    json_decref(json);
}

static void task_errors_are_described(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter timeout = {0}, deadline = {0}, late = {0}, canceled = {0}, failed = {0};

    struct task_spec spec = mock_manual(f, &mock_counts);
    spec.options.timeout_ns = MS(2);
    assert_int_equal(submit(f, &spec, &timeout), 0);
    spec = mock_manual(f, &mock_counts);
    spec.options.deadline_ns = NS_PER_SECOND; /* passes after the task has started */
    assert_int_equal(submit(f, &spec, &deadline), 0);
    spec = mock_manual(f, &mock_counts);
    spec.options.deadline_ns = 1;
    assert_int_equal(submit_received(f, &spec, uv_hrtime() - MS(5), &late), 0);
    spec = mock_manual(f, &mock_counts);
    assert_int_equal(submit(f, &spec, &canceled), 0);
    spec = mock_timed(f, &mock_counts, 0, ERR_INTERNAL);
    submit_and_drain(f, &spec, &failed);
    cancel(f, canceled.task, CANCEL_CLIENT);
    assert_true(drain_until_idle(f));

    expect_task_error(timeout.task, "failed", "timeout", "The task did not end within its timeout_seconds, 0.002 s",
                      "timeout", "stopped");
    expect_task_error(deadline.task, "failed", "deadline_exceeded",
                      "The task did not end within its deadline_seconds, 1 s, including time in the queue", "deadline",
                      "stopped");
    expect_task_error(late.task, "failed", "deadline_exceeded",
                      "The task did not start within its deadline_seconds, 0.000000001 s, including time in the queue",
                      "deadline", "prevented");
    expect_task_error(canceled.task, "canceled", "canceled", "The client disconnected", "client", "stopped");
    json_t *json = rendered_task(failed.task);
    assert_string_equal(get_string(json_object_get(json, "error"), "code"), "internal");
    assert_true(json_is_null(json_object_get(json, "cancel")));
    json_decref(json);
    char empty[TASK_DETAIL_SIZE];
    struct waiter succeeded = {0};
    spec = sleep_of(f, 0);
    assert_int_equal(submit(f, &spec, &succeeded), 0);
    assert_true(drain_until_idle(f));
    struct task_info info = task_info_of(succeeded.task);
    task_object_error_detail(&info, empty);
    assert_string_equal(empty, "");

    struct waiter *all[] = {&timeout, &deadline, &late, &canceled, &failed, &succeeded};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        task_release(all[i]->task);
}

static void gather_result_lists_children(void **state)
{
    struct fixture *f = *state;
    struct mock_counts mock_counts = {0};
    struct waiter w = {0};
    struct task_spec inner[] = {sleep_of(f, 0)};
    struct task_spec children[] = {gather_of(f, "all", 1, inner), mock_timed(f, &mock_counts, MS(2), ERR_INTERNAL),
                                   mock_manual(f, &mock_counts)};
    children[0].options.name = STR("inner");
    struct task_spec spec = gather_of(f, "all", COUNT_OF(children), children);
    assert_int_equal(submit(f, &spec, &w), 0);
    assert_true(drain_until_idle(f));

    json_t *json = rendered_task(w.task);
    assert_string_equal(get_string(json, "state"), "failed");
    assert_string_equal(get_string(json_object_get(json, "error"), "code"), "child_failed");
    json_t *tasks = json_object_get(json_object_get(json, "result"), "tasks");
    assert_int_equal(json_array_size(tasks), COUNT_OF(children));

    json_t *child = json_array_get(tasks, 0);
    expect_members(child, "index name function executor state result pid tid queued_seconds duration_seconds");
    assert_string_equal(get_string(child, "name"), "inner");
    const json_t *grandchildren = json_object_get(json_object_get(child, "result"), "tasks");
    assert_string_equal(get_string(json_array_get(grandchildren, 0), "function"), "sleep");
    child = json_array_get(tasks, 1);
    expect_members(child, "index function executor state error pid tid queued_seconds duration_seconds");
    assert_int_equal(json_integer_value(json_object_get(child, "index")), 1);
    child = json_array_get(tasks, 2);
    assert_string_equal(get_string(child, "state"), "canceled");
    assert_string_equal(get_string(json_object_get(child, "error"), "detail"),
                        "The outcome of the gather was decided before this task ended");
    assert_string_equal(get_string(json_object_get(child, "cancel"), "reason"), "sibling");
    json_decref(json);
    task_release(w.task);
}

static void oom_in_render_at_each_allocation(void **state)
{
    struct fixture *f = *state;
    struct waiter w = {0};
    struct task_spec child = sleep_of(f, 0);
    struct task_spec spec = gather_of_copies(f, "all", 50, &child);
    assert_int_equal(submit(f, &spec, &w), 0);
    assert_true(drain_until_idle(f));
    unsigned long n = 0;
    bool failed;
    do {
        struct json_writer writer = {0};
        alloc_fail_at(++n);
        render_object(&writer, w.task);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_int_equal(writer.failed, failed);
        json_writer_free(&writer);
    } while (failed);
    assert_true(n > 2);
    task_release(w.task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_is_rendered),
        cmocka_unit_test(absent_is_omitted_or_null),
        cmocka_unit_test(unsafe_integers_are_strings),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(members_append_to_open_object),
        cmocka_unit_test_setup_teardown(task_is_rendered_in_each_state, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(task_errors_are_described, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(gather_result_lists_children, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(oom_in_render_at_each_allocation, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
