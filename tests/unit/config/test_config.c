/* config - where options come from and which source wins, and one clear line for each thing that can be wrong. */
#include "runtime/types/type_parse.h"
#include "service/config/config.h"
#include "service/log/log.h"
#include "tests/unit/support/alloc_fault.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define SECOND ((int64_t)NS_PER_SECOND)

enum { ARGS_MOST = 40 };

/* One call of config_load() and what came of it. */
struct load {
    char *argv[ARGS_MOST], *env[ARGS_MOST]; /* end with NULL */
    char path[64];                          /* of the file; "" for none */
    struct config config;
    int code;
    bool done;
    char *out, *err; /* what was printed */
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct load));
    return *state == NULL ? -1 : 0;
}

static void again(struct load *l)
{
    config_free(&l->config);
    free(l->out);
    free(l->err);
    l->out = l->err = NULL;
}

static int teardown(void **state)
{
    struct load *l = *state;
    again(l);
    if (l->path[0] != '\0')
        unlink(l->path);
    free(l);
    return 0;
}

/* Splits words at spaces into a list that ends with NULL, in `copy`. */
static void split(const char *words, char *first, char *out[ARGS_MOST], char *copy, size_t size)
{
    size_t n = 0;
    assert_true(strlen(words) < size);
    memcpy(copy, words, strlen(words) + 1);
    if (first != NULL)
        out[n++] = first;
    for (char *save, *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        assert_true(n < ARGS_MOST - 1);
        out[n++] = word;
    }
    out[n] = NULL;
}

static void load_split(struct load *l)
{
    int argc = 0;
    while (l->argv[argc] != NULL)
        argc++;
    size_t out_size, err_size;
    FILE *out = open_memstream(&l->out, &out_size), *err = open_memstream(&l->err, &err_size);
    assert_true(out != NULL && err != NULL);
    l->code = config_load(&l->config, argc, l->argv, l->env, out, err, &l->done);
    fclose(out);
    fclose(err);
}

/* `flags` and `variables` are separated by spaces. */
static void load(struct load *l, const char *flags, const char *variables)
{
    static char program[] = "gatherd";
    char flags_copy[4096], variables_copy[4096];
    again(l);
    split(flags, program, l->argv, flags_copy, sizeof flags_copy);
    split(variables, NULL, l->env, variables_copy, sizeof variables_copy);
    load_split(l);
}

static void loads(struct load *l, const char *flags, const char *variables)
{
    load(l, flags, variables);
    if (l->code != 0 || l->done)
        fail_msg("exit code %d: %s", l->code, l->err);
    assert_string_equal(l->out, "");
    assert_string_equal(l->err, "");
    assert_non_null(l->config.arena);
}

/* Refused with exactly this line. */
static void refused(struct load *l, const char *flags, const char *variables, const char *line)
{
    load(l, flags, variables);
    assert_string_equal(l->err, line);
    assert_string_equal(l->out, "");
    assert_int_equal(l->code, 2);
    assert_true(l->done);
    assert_null(l->config.arena);
}

/* Puts text into the file of this test, and its name into l->path. */
static void write_file(struct load *l, const char *text, size_t len)
{
    static const char pattern[] = "/tmp/gatherd_test_config_XXXXXX";
    int fd;
    if (l->path[0] == '\0') {
        memcpy(l->path, pattern, sizeof pattern);
        fd = mkstemp(l->path);
    } else {
        fd = open(l->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    }
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

/* --config with this file is refused with one line that names it and goes on with `start`. */
static void file_refused(struct load *l, const char *json, const char *start)
{
    char flags[128], line[256];
    write_file(l, json, strlen(json));
    snprintf(flags, sizeof flags, "--config %s", l->path);
    int len = snprintf(line, sizeof line, "gatherd: %s: %s", l->path, start);
    load(l, flags, "");
    assert_int_equal(l->code, 2);
    assert_true(l->done);
    assert_null(l->config.arena);
    assert_string_equal(l->out, "");
    if (strncmp(l->err, line, (size_t)len) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", l->err, line);
    assert_ptr_equal(strchr(l->err, '\n'), l->err + strlen(l->err) - 1);
}

static const char *address(const struct load *l, size_t i)
{
    assert_true(i < l->config.service.listen.count);
    return ((struct str *)l->config.service.listen.items)[i].at;
}

static void test_defaults(void **state)
{
    struct load *l = *state;
    loads(l, "", "PATH=/bin HOME=/ GATHERD=x XGATHERD_MAX_TASKS=3 gatherd_max_tasks=3 novalue");
    const struct config *c = &l->config;
    assert_int_equal(c->service.listen.count, 1);
    assert_string_equal(address(l, 0), "127.0.0.1:8080");
    assert_false(c->service.insecure);
    assert_int_equal(c->service.log_format, LOG_TEXT);
    assert_int_equal(c->service.log_level, LOG_INFO);
    assert_int_equal(c->service.drain_seconds, 8 * SECOND);
    assert_int_equal(c->http.max_connections, 8192);
    assert_int_equal(c->http.max_body_bytes, 1048576);
    assert_int_equal(c->http.header_timeout_seconds, 10 * SECOND);
    assert_int_equal(c->http.body_timeout_seconds, 30 * SECOND);
    assert_int_equal(c->http.idle_timeout_seconds, 60 * SECOND);
    struct limits limits;
    record_set_defaults(&limits_type, &limits);
    for (const struct field *row = limits_fields; row->name != NULL; row++)
        assert_int_equal(limits_get(&c->limits, row), limits_get(&limits, row));
    assert_true(c->limits.pools.count == 1 && c->runtime.processes > 0); /* as many as the machine has room for */
}

static void test_flags(void **state)
{
    struct load *l = *state;
    loads(l,
          "--max-tasks 5 --drain-seconds=0.25 --log-format json --log-level=debug --insecure --max-body-bytes 1024 "
          "--default-timeout-seconds=1e-3",
          "");
    assert_int_equal(l->config.limits.max_tasks, 5);
    assert_int_equal(l->config.service.drain_seconds, SECOND / 4);
    assert_int_equal(l->config.service.log_format, LOG_JSON);
    assert_int_equal(l->config.service.log_level, LOG_DEBUG);
    assert_true(l->config.service.insecure);
    assert_int_equal(l->config.http.max_body_bytes, 1024);
    assert_int_equal(l->config.limits.default_timeout_seconds, SECOND / 1000);

    loads(l, "--insecure=false --drain-seconds 0", "");
    assert_false(l->config.service.insecure);
    assert_int_equal(l->config.service.drain_seconds, 0);
    loads(l, "--max-tasks 5 --insecure --max-tasks=6 --insecure=false", ""); /* the last one counts */
    assert_int_equal(l->config.limits.max_tasks, 6);
    assert_false(l->config.service.insecure);
}

static void test_lists(void **state)
{
    struct load *l = *state;
    loads(l, "--listen [::1]:80 --max-tasks 1 --listen=unix:/run/g=1 --listen a,b", "GATHERD_LISTEN=gone:1,gone:2");
    assert_int_equal(l->config.service.listen.count, 4); /* the flags' list replaces the other */
    assert_string_equal(address(l, 0), "[::1]:80");
    assert_string_equal(address(l, 1), "unix:/run/g=1");
    assert_string_equal(address(l, 2), "a");
    assert_string_equal(address(l, 3), "b");
    loads(l, "", "GATHERD_LISTEN=one:1,two:2");
    assert_int_equal(l->config.service.listen.count, 2);
    assert_string_equal(address(l, 1), "two:2");

    refused(l, "--listen=", "", "gatherd: --listen must have at least 1 item (given: \"\")\n");
    refused(l, "", "GATHERD_LISTEN=", "gatherd: GATHERD_LISTEN must have at least 1 item (given: \"\")\n");
    refused(l, "--listen a,,b", "",
            "gatherd: --listen must be separated by commas, and item 2 must have at least 1 byte (given: \"a,,b\")\n");
    refused(l, "--listen 1,2,3,4,5,6,7,8,9 --listen 1,2,3,4,5,6,7,8", "",
            "gatherd: --listen must have at most 16 items\n");
}

static void test_precedence(void **state)
{
    struct load *l = *state;
    static const char json[] = "{\"max_tasks\": 10, \"max_gather_depth\": 3, \"idle_timeout_seconds\": 1.5,"
                               " \"log_level\": \"warn\", \"insecure\": true, \"listen\": [\"file:1\", \"file:2\"]}";
    char flags[256], variables[256];
    write_file(l, json, sizeof json - 1);
    snprintf(flags, sizeof flags, "--max-tasks 30 --config %s", l->path);
    loads(l, flags, "GATHERD_MAX_TASKS=20 GATHERD_LOG_LEVEL=debug GATHERD_INSECURE=false");
    assert_int_equal(l->config.limits.max_tasks, 30);                      /* flag over variable over file */
    assert_int_equal(l->config.service.log_level, LOG_DEBUG);              /* variable over file */
    assert_false(l->config.service.insecure);                              /* likewise */
    assert_int_equal(l->config.limits.max_gather_depth, 3);                /* file over default */
    assert_int_equal(l->config.http.idle_timeout_seconds, 3 * SECOND / 2); /* likewise */
    assert_int_equal(l->config.http.header_timeout_seconds, 10 * SECOND);  /* default */
    assert_int_equal(l->config.service.listen.count, 2);
    assert_string_equal(address(l, 1), "file:2");

    snprintf(variables, sizeof variables, "GATHERD_CONFIG=%s", l->path);
    loads(l, "", variables);
    assert_int_equal(l->config.limits.max_tasks, 10);
    loads(l, flags, "GATHERD_CONFIG=/nonexistent"); /* a flag names another */
    assert_int_equal(l->config.limits.max_tasks, 30);
    snprintf(flags, sizeof flags, "--config /nonexistent --config %s", l->path);
    loads(l, flags, "");
    assert_int_equal(l->config.limits.max_tasks, 10);
}

static void test_wrong_flags(void **state)
{
    struct load *l = *state;
    refused(l, "--max-tasks 0", "", "gatherd: --max-tasks must be at least 1 (given: \"0\")\n");
    refused(l, "--max-tasks=many", "", "gatherd: --max-tasks must be an integer (given: \"many\")\n");
    refused(l, "--max-tasks -1", "", "gatherd: --max-tasks must be at least 1 (given: \"-1\")\n");
    refused(l, "--max-tasks=", "", "gatherd: --max-tasks must be an integer (given: \"\")\n");
    refused(l, "--drain-seconds 3601", "", "gatherd: --drain-seconds must be at most 3600 (given: \"3601\")\n");
    refused(l, "--idle-timeout-seconds 0", "", "gatherd: --idle-timeout-seconds must be more than 0 (given: \"0\")\n");
    refused(l, "--idle-timeout-seconds 3600.1", "",
            "gatherd: --idle-timeout-seconds must be at most 3600 (given: \"3600.1\")\n");
    refused(l, "--max-body-bytes 1023", "", "gatherd: --max-body-bytes must be at least 1024 (given: \"1023\")\n");
    refused(l, "--max-body-bytes 67108865", "",
            "gatherd: --max-body-bytes must be at most 67108864 (given: \"67108865\")\n");
    refused(l, "--max-connections 1000001", "",
            "gatherd: --max-connections must be at most 1000000 (given: \"1000001\")\n");
    refused(l, "--threads default=2,a=0", "",
            "gatherd: --threads must be NAME=N or N for each pool, and N must be at least 1 (given: \"a=0\")\n");
    refused(l, "--log-format xml", "", "gatherd: --log-format must be one of text, json (given: \"xml\")\n");
    refused(l, "--log-level Info", "",
            "gatherd: --log-level must be one of error, warn, info, debug (given: \"Info\")\n");
    refused(l, "--insecure=yes", "", "gatherd: --insecure must be true or false (given: \"yes\")\n");
    refused(l, "--listen a\xFF", "",
            "gatherd: --listen must be separated by commas, and item 1 must be UTF-8"
            " (given: \"a?\")\n");

    refused(l, "--bogus", "", "gatherd: there is no option \"--bogus\"; see gatherd --help\n");
    refused(l, "--bogus=1 --version", "", "gatherd: there is no option \"--bogus\"; see gatherd --help\n");
    refused(l, "--max_tasks 1", "", "gatherd: there is no option \"--max_tasks\"; see gatherd --help\n");
    refused(l, "--max-task 1", "", "gatherd: there is no option \"--max-task\"; see gatherd --help\n");
    refused(l, "--max-tasksx 1", "", "gatherd: there is no option \"--max-tasksx\"; see gatherd --help\n");
    refused(l, "--=1", "", "gatherd: there is no option \"--\"; see gatherd --help\n");
    refused(l, "--x\n\x1B[31m", "", "gatherd: there is no option \"--x??[31m\"; see gatherd --help\n");
    refused(l, "-m 3", "", "gatherd: the argument \"-m\" is no option; see gatherd --help\n");
    refused(l, "serve", "", "gatherd: the argument \"serve\" is no option; see gatherd --help\n");
    refused(l, "--", "", "gatherd: the argument \"--\" is no option; see gatherd --help\n");
    refused(l, "--insecure false", "", "gatherd: the argument \"false\" is no option; see gatherd --help\n");
    refused(l, "--max-tasks", "", "gatherd: --max-tasks needs a value\n");
    refused(l, "--max-tasks --insecure", "", "gatherd: --max-tasks needs a value\n");
    refused(l, "--config", "", "gatherd: --config needs a value\n");
    refused(l, "--version=1", "", "gatherd: --version takes no value\n");
    refused(l, "--print-config=false", "", "gatherd: --print-config takes no value\n");
}

static void test_empty_arguments(void **state)
{
    struct load *l = *state;
    static char program[] = "gatherd", empty[] = "";
    l->argv[0] = program;
    l->argv[1] = empty;
    load_split(l);
    assert_int_equal(l->code, 2);
    assert_string_equal(l->err, "gatherd: the argument \"\" is no option; see gatherd --help\n");
    again(l);
    l->argv[0] = NULL; /* execve() allows it */
    load_split(l);
    assert_int_equal(l->code, 0);
    assert_false(l->done);
}

static void test_wrong_variables(void **state)
{
    struct load *l = *state;
    refused(l, "", "GATHERD_MAX_TASKS=0", "gatherd: GATHERD_MAX_TASKS must be at least 1 (given: \"0\")\n");
    refused(l, "--max-tasks 5", "GATHERD_MAX_TASKS=x", /* also when it would not count */
            "gatherd: GATHERD_MAX_TASKS must be an integer (given: \"x\")\n");
    refused(l, "", "GATHERD_INSECURE=1", "gatherd: GATHERD_INSECURE must be true or false (given: \"1\")\n");
    refused(l, "", "GATHERD_INSECURE=", "gatherd: GATHERD_INSECURE must be true or false (given: \"\")\n");
    refused(l, "", "GATHERD_MAX_TASK=1", "gatherd: there is no variable \"GATHERD_MAX_TASK\"; see gatherd --help\n");
    refused(l, "", "GATHERD_max_tasks=1", "gatherd: there is no variable \"GATHERD_max_tasks\"; see gatherd --help\n");
    refused(l, "", "GATHERD_=1", "gatherd: there is no variable \"GATHERD_\"; see gatherd --help\n");
    refused(l, "", "GATHERD_HELP=1", "gatherd: there is no variable \"GATHERD_HELP\"; see gatherd --help\n");
    refused(l, "", "GATHERD_PORTS=1", "gatherd: there is no variable \"GATHERD_PORTS\"; see gatherd --help\n");
    refused(l, "", "GATHERD_CONFIG=", "gatherd: the name of the configuration file is empty\n");
    refused(l, "", "GATHERD_CONFIG=/nonexistent", "gatherd: /nonexistent: No such file or directory\n");
    load(l, "--help", "GATHERD_MAX_TASK=1"); /* help is given to who needs it */
    assert_int_equal(l->code, 0);
}

/* What Kubernetes sets because of a service called gatherd is none of our business; and no option may ever be called so. */
static void test_service_links(void **state)
{
    struct load *l = *state;
    loads(l, "",
          "GATHERD_SERVICE_HOST=10.0.0.1 GATHERD_SERVICE_PORT=8080 GATHERD_SERVICE_PORT_HTTP=8080 "
          "GATHERD_PORT=tcp://10.0.0.1:8080 GATHERD_PORT_8080_TCP=tcp://10.0.0.1:8080 "
          "GATHERD_PORT_8080_TCP_PROTO=tcp GATHERD_PORT_8080_TCP_ADDR=10.0.0.1");
    struct record_ref parts[CONFIG_PARTS];
    config_parts(&l->config, parts);
    for (size_t i = 0; i < CONFIG_PARTS; i++)
        for (const struct field *f = parts[i].type->fields; f->name != NULL; f++)
            assert_true(strcmp(f->name, "port") != 0 && strncmp(f->name, "port_", 5) != 0 &&
                        strncmp(f->name, "service_", 8) != 0);
}

static void test_wrong_files(void **state)
{
    struct load *l = *state;
    file_refused(l, "{\"max_tasks\": 0}", "/max_tasks must be at least 1");
    file_refused(l, "{\"max_tasks\": \"5\"}", "/max_tasks must be an integer");
    file_refused(l, "{\"max_tasks\": null}", "/max_tasks ");
    file_refused(l, "{\"listen\": []}", "/listen must have at least 1 item");
    file_refused(l, "{\"listen\": [\"a\", \"\"]}", "/listen/1 must have at least 1 byte");
    file_refused(l, "{\"listen\": \"a\"}", "/listen must be an array");
    file_refused(l, "{\"drain_seconds\": -1}", "/drain_seconds must be at least 0");
    file_refused(l, "{\"log_level\": \"all\"}", "/log_level must be one of error, warn, info, debug");
    file_refused(l, "{\"max-tasks\": 1}", "/max-tasks is not a known member");
    file_refused(l, "{\"max_tasks\": 1, \"max_tasks\": 2}", "");
    file_refused(l, "{\"max_tasks\": 1,", "");
    file_refused(l, "[]", "");
    file_refused(l, "", "");
    file_refused(l, "{\"listen\": [\"a\xFF\"]}", "");

    static char large[1024 * 1024 + 2];
    memset(large, ' ', sizeof large - 1);
    large[0] = '{', large[sizeof large - 2] = '}';
    file_refused(l, large, "must have at most 1048576 bytes");
    large[sizeof large - 3] = '}', large[sizeof large - 2] = '\0';
    write_file(l, large, strlen(large));
    char flags[128];
    snprintf(flags, sizeof flags, "--config %s", l->path);
    loads(l, flags, "");
    write_file(l, "{}\0", 3);
    load(l, flags, "");
    assert_int_equal(l->code, 2);
    refused(l, "--config /", "", "gatherd: /: Is a directory\n");
    refused(l, "--config /nonexistent", "", "gatherd: /nonexistent: No such file or directory\n");
}

static void test_options_that_depend(void **state)
{
    struct load *l = *state;
    refused(l, "--default-timeout-seconds 7200 --max-timeout-seconds 3600.5", "",
            "gatherd: default_timeout_seconds (7200) must be at most max_timeout_seconds (3600.5)\n");
    refused(l, "--max-deadline-seconds 60", "GATHERD_DEFAULT_DEADLINE_SECONDS=61",
            "gatherd: default_deadline_seconds (61) must be at most max_deadline_seconds (60)\n");
    loads(l, "--default-timeout-seconds 7 --max-timeout-seconds 7", "");
    assert_int_equal(l->config.limits.max_timeout_seconds, 7 * SECOND);
}

static void test_version(void **state)
{
    struct load *l = *state;
    load(l, "--max-tasks 0 --version --bogus", "GATHERD_BOGUS=1");
    assert_int_equal(l->code, 0);
    assert_true(l->done);
    assert_string_equal(l->err, "");
    assert_memory_equal(l->out, "gatherd ", 8);
    assert_ptr_equal(strchr(l->out, '\n'), l->out + strlen(l->out) - 1);
}

/* Every option is there, with its default; and nobody needs a wide terminal. */
static void test_help(void **state)
{
    struct load *l = *state;
    static const char *const spellings[] = {"--help", "-h"};
    for (size_t i = 0; i < COUNT_OF(spellings); i++) {
        load(l, spellings[i], "");
        assert_int_equal(l->code, 0);
        assert_true(l->done);
        assert_string_equal(l->err, "");
    }

    struct record_ref parts[CONFIG_PARTS];
    config_parts(&l->config, parts);
    for (size_t i = 0; i < CONFIG_PARTS; i++) {
        for (const struct field *f = parts[i].type->fields; f->name != NULL; f++) {
            char flag[64], default_text[64];
            int len = snprintf(flag, sizeof flag, "\n  --%s ", f->name);
            for (int at = 0; at < len; at++)
                flag[at] = flag[at] == '_' ? '-' : flag[at];
            const char *option = strstr(l->out, flag);
            assert_non_null(option);
            if (f->presence != FIELD_DEFAULTED)
                continue;
            snprintf(default_text, sizeof default_text, "default %s\n", f->default_text);
            assert_non_null(strstr(option, default_text));
        }
    }
    static const char *const parts_of_it[] = {
        "--listen ADDRESS ",
        "--max-tasks N ",
        "--max-body-bytes BYTES ",
        "--drain-seconds SECONDS ",
        "--log-level LEVEL ",
        "--insecure  ",
        "--config FILE ",
        "--print-config ",
        "--version ",
        "--help ",
        "1024 to 67108864; ",
        "0 to 3600; ",
        "more than 0, at most 3600; ",
        "error, warn, info, debug; ",
        "GATHERD_MAX_TASKS",
        "{\"max_tasks\": N}",
    };
    for (size_t i = 0; i < COUNT_OF(parts_of_it); i++)
        if (strstr(l->out, parts_of_it[i]) == NULL)
            fail_msg("\"%s\" is missing in:\n%s", parts_of_it[i], l->out);
    for (const char *line = l->out; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 100);
}

/* What is printed is what is in force, and loading it gives the same. */
static void test_print_config(void **state)
{
    struct load *l = *state;
    load(l, "--listen a:1 --listen b\"\\:2 --insecure --drain-seconds 1.000000001 --max-tasks 77 --print-config",
         "GATHERD_LOG_LEVEL=debug");
    assert_int_equal(l->code, 0);
    assert_true(l->done);
    assert_string_equal(l->err, "");
    assert_null(l->config.arena);
    json_malloc_t take;
    json_free_t give_back;
    json_get_alloc_funcs(&take, &give_back);
    json_set_alloc_funcs(malloc, free); /* gatherd has jansson take memory for its own decoding only */
    json_t *json = json_loads(l->out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    struct record_ref parts[CONFIG_PARTS];
    size_t fields = 0;
    config_parts(&l->config, parts);
    for (size_t i = 0; i < CONFIG_PARTS; i++)
        for (const struct field *f = parts[i].type->fields; f->name != NULL; f++) {
            if (f->presence != FIELD_DEFAULTED) /* and nobody gave it */
                continue;
            fields++;
            assert_non_null(json_object_get(json, f->name));
        }
    assert_int_equal(json_object_size(json), fields);
    json_decref(json);
    json_set_alloc_funcs(take, give_back);

    char *printed = l->out, flags[128];
    l->out = NULL;
    write_file(l, printed, strlen(printed));
    snprintf(flags, sizeof flags, "--config %s", l->path);
    loads(l, flags, "");
    assert_string_equal(address(l, 1), "b\"\\:2");
    assert_int_equal(l->config.service.drain_seconds, SECOND + 1);
    assert_int_equal(l->config.limits.max_tasks, 77);
    assert_int_equal(l->config.service.log_level, LOG_DEBUG);
    snprintf(flags, sizeof flags, "--print-config --config %s", l->path);
    load(l, flags, "");
    assert_string_equal(l->out, printed);
    free(printed);

    refused(l, "--print-config --max-tasks 0", "", "gatherd: --max-tasks must be at least 1 (given: \"0\")\n");
}

static void test_output_that_fails(void **state)
{
    (void)state;
    static char program[] = "gatherd", help[] = "--help", print[] = "--print-config", version[] = "--version";
    char *const none[] = {NULL};
    char *const asks[][3] = {{program, help, NULL}, {program, print, NULL}, {program, version, NULL}};
    for (size_t i = 0; i < COUNT_OF(asks); i++) {
        struct config config;
        bool done;
        char *text;
        size_t size;
        FILE *full = fopen("/dev/full", "w"), *err = open_memstream(&text, &size);
        assert_true(full != NULL && err != NULL);
        assert_int_equal(config_load(&config, 2, asks[i], none, full, err, &done), 1);
        assert_true(done);
        fclose(full);
        fclose(err);
        assert_string_equal(text, "gatherd: the output can't be written\n");
        free(text);
        config_free(&config);
    }
}

/* Each allocation fails once: one line says so, and nothing is left behind. */
static void test_no_memory(void **state)
{
    struct load *l = *state;
    static const char json[] =
        "{\"max_tasks\": 10, \"listen\": [\"some.example.org:8080\", \"other.example.org:8080\"]}";
    char flags[512], variables[8 * 256];
    write_file(l, json, sizeof json - 1);
    size_t len = (size_t)snprintf(flags, sizeof flags, "--print-config --config %s --listen ", l->path);
    memset(flags + len, 'x', 255);
    len += 255;
    for (size_t i = 1; i < 16; i++)
        len += (size_t)snprintf(flags + len, sizeof flags - len, " --listen y");
    len = (size_t)snprintf(variables, sizeof variables, "GATHERD_LISTEN=");
    for (size_t i = 0; i < 6; i++) { /* enough to fill the arena's first block */
        memset(variables + len, 'z', 250);
        memcpy(variables + len + 250, ",y", 3);
        len += 251;
    }
    unsigned long n = 0;
    bool failed;
    do {
        alloc_fail_at(++n);
        load(l, flags, variables);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_true(l->done);
        if (failed) {
            assert_string_equal(l->err, "gatherd: there is no memory for the configuration\n");
            assert_int_equal(l->code, 1);
            assert_string_equal(l->out, "");
            assert_null(l->config.arena);
        } else {
            assert_int_equal(l->code, 0);
            assert_string_equal(l->err, "");
        }
    } while (failed);
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_precedence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_variables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_service_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_that_depend, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_help, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_config, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_that_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
