/* test_config - the sources of options, their precedence, and the error line of each invalid configuration. */
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

enum { MAX_ARGS = 40 };

/* A call of config_load() and its results. */
struct load_result {
    char *argv[MAX_ARGS], *env[MAX_ARGS]; /* end with NULL */
    char path[64];                        /* of the configuration file; "": none */
    struct config config;
    int code;
    bool done;
    char *out, *err; /* output on stdout and stderr, NUL-terminated */
};

static int setup_config(void **state)
{
    *state = calloc(1, sizeof(struct load_result));
    return *state == NULL ? -1 : 0;
}

static void reset(struct load_result *l)
{
    config_free(&l->config);
    free(l->out);
    free(l->err);
    l->out = l->err = NULL;
}

static int teardown_config(void **state)
{
    struct load_result *l = *state;
    reset(l);
    if (l->path[0] != '\0')
        unlink(l->path);
    free(l);
    return 0;
}

/* Splits `list` at spaces. `out` gets `first`, unless that is NULL, then the words, which are in `copy`, then NULL. */
static void split_words(const char *list, char *first, char *out[MAX_ARGS], char *copy, size_t size)
{
    size_t n = 0;
    assert_true(strlen(list) < size);
    memcpy(copy, list, strlen(list) + 1);
    if (first != NULL)
        out[n++] = first;
    for (char *save, *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        assert_true(n < MAX_ARGS - 1);
        out[n++] = word;
    }
    out[n] = NULL;
}

static void load_argv(struct load_result *l)
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

/* Calls config_load(). `flags` and `variables` are lists separated by spaces. */
static void load_config(struct load_result *l, const char *flags, const char *variables)
{
    static char program[] = "gatherd";
    char flags_copy[4096], variables_copy[4096];
    reset(l);
    split_words(flags, program, l->argv, flags_copy, sizeof flags_copy);
    split_words(variables, NULL, l->env, variables_copy, sizeof variables_copy);
    load_argv(l);
}

static void expect_loaded(struct load_result *l, const char *flags, const char *variables)
{
    load_config(l, flags, variables);
    if (l->code != 0 || l->done)
        fail_msg("exit code %d: %s", l->code, l->err);
    assert_string_equal(l->out, "");
    assert_string_equal(l->err, "");
    assert_non_null(l->config.arena);
}

/* Asserts that loading fails, and that `line` is the only output on stderr. */
static void expect_rejected(struct load_result *l, const char *flags, const char *variables, const char *line)
{
    load_config(l, flags, variables);
    assert_string_equal(l->err, line);
    assert_string_equal(l->out, "");
    assert_int_equal(l->code, 2);
    assert_true(l->done);
    assert_null(l->config.arena);
}

/* Writes the test's configuration file; creates it and sets l->path on the first call. */
static void write_config_file(struct load_result *l, const char *text, size_t len)
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

/* Asserts that loading fails, and that the error is one line: the file's name, then `prefix`, then any text. */
static void expect_file_rejected(struct load_result *l, const char *json, const char *prefix)
{
    char flags[128], line[256];
    write_config_file(l, json, strlen(json));
    snprintf(flags, sizeof flags, "--config %s", l->path);
    int len = snprintf(line, sizeof line, "gatherd: %s: %s", l->path, prefix);
    load_config(l, flags, "");
    assert_int_equal(l->code, 2);
    assert_true(l->done);
    assert_null(l->config.arena);
    assert_string_equal(l->out, "");
    if (strncmp(l->err, line, (size_t)len) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", l->err, line);
    assert_ptr_equal(strchr(l->err, '\n'), l->err + strlen(l->err) - 1);
}

static const char *listen_address(const struct load_result *l, size_t i)
{
    assert_true(i < l->config.service.listen.count);
    return ((struct str *)l->config.service.listen.items)[i].data;
}

static void defaults_apply_without_options(void **state)
{
    struct load_result *l = *state;
    expect_loaded(l, "", "PATH=/bin HOME=/ GATHERD=x XGATHERD_MAX_TASKS=3 gatherd_max_tasks=3 novalue");
    const struct config *c = &l->config;
    assert_int_equal(c->service.listen.count, 1);
    assert_string_equal(listen_address(l, 0), "127.0.0.1:8080");
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
    assert_true(c->limits.pools.count == 1 && c->runtime.processes > 0); /* the sizes depend on the CPUs */
}

static void flags_set_options(void **state)
{
    struct load_result *l = *state;
    expect_loaded(
        l,
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

    expect_loaded(l, "--insecure=false --drain-seconds 0", "");
    assert_false(l->config.service.insecure);
    assert_int_equal(l->config.service.drain_seconds, 0);
    expect_loaded(l, "--max-tasks 5 --insecure --max-tasks=6 --insecure=false", ""); /* the last one wins */
    assert_int_equal(l->config.limits.max_tasks, 6);
    assert_false(l->config.service.insecure);
}

static void repeated_list_flags_accumulate(void **state)
{
    struct load_result *l = *state;
    expect_loaded(l, "--listen [::1]:80 --max-tasks 1 --listen=unix:/run/g=1 --listen a,b",
                  "GATHERD_LISTEN=gone:1,gone:2");
    assert_int_equal(l->config.service.listen.count, 4); /* the flags replace the variable's list */
    assert_string_equal(listen_address(l, 0), "[::1]:80");
    assert_string_equal(listen_address(l, 1), "unix:/run/g=1");
    assert_string_equal(listen_address(l, 2), "a");
    assert_string_equal(listen_address(l, 3), "b");
    expect_loaded(l, "", "GATHERD_LISTEN=one:1,two:2");
    assert_int_equal(l->config.service.listen.count, 2);
    assert_string_equal(listen_address(l, 1), "two:2");

    expect_rejected(l, "--listen=", "", "gatherd: --listen must have at least 1 item (given: \"\")\n");
    expect_rejected(l, "", "GATHERD_LISTEN=", "gatherd: GATHERD_LISTEN must have at least 1 item (given: \"\")\n");
    expect_rejected(
        l, "--listen a,,b", "",
        "gatherd: --listen must be a comma-separated list: item 2 must have at least 1 character (given: \"a,,b\")\n");
    expect_rejected(l, "--listen 1,2,3,4,5,6,7,8,9 --listen 1,2,3,4,5,6,7,8", "",
                    "gatherd: --listen must have at most 16 items\n");
}

static void flags_override_environment_overrides_file(void **state)
{
    struct load_result *l = *state;
    static const char json[] = "{\"max_tasks\": 10, \"max_gather_depth\": 3, \"idle_timeout_seconds\": 1.5,"
                               " \"log_level\": \"warn\", \"insecure\": true, \"listen\": [\"file:1\", \"file:2\"]}";
    char flags[256], variables[256];
    write_config_file(l, json, sizeof json - 1);
    snprintf(flags, sizeof flags, "--max-tasks 30 --config %s", l->path);
    expect_loaded(l, flags, "GATHERD_MAX_TASKS=20 GATHERD_LOG_LEVEL=debug GATHERD_INSECURE=false");
    assert_int_equal(l->config.limits.max_tasks, 30);                      /* flag over variable over file */
    assert_int_equal(l->config.service.log_level, LOG_DEBUG);              /* variable over file */
    assert_false(l->config.service.insecure);                              /* variable over file */
    assert_int_equal(l->config.limits.max_gather_depth, 3);                /* file over default */
    assert_int_equal(l->config.http.idle_timeout_seconds, 3 * SECOND / 2); /* file over default */
    assert_int_equal(l->config.http.header_timeout_seconds, 10 * SECOND);  /* default */
    assert_int_equal(l->config.service.listen.count, 2);
    assert_string_equal(listen_address(l, 1), "file:2");

    snprintf(variables, sizeof variables, "GATHERD_CONFIG=%s", l->path);
    expect_loaded(l, "", variables);
    assert_int_equal(l->config.limits.max_tasks, 10);
    expect_loaded(l, flags, "GATHERD_CONFIG=/nonexistent"); /* overridden by the flag */
    assert_int_equal(l->config.limits.max_tasks, 30);
    snprintf(flags, sizeof flags, "--config /nonexistent --config %s", l->path);
    expect_loaded(l, flags, "");
    assert_int_equal(l->config.limits.max_tasks, 10);
}

static void invalid_flags_are_rejected(void **state)
{
    struct load_result *l = *state;
    expect_rejected(l, "--max-tasks 0", "", "gatherd: --max-tasks must be at least 1 (given: \"0\")\n");
    expect_rejected(l, "--max-tasks=many", "", "gatherd: --max-tasks must be an integer (given: \"many\")\n");
    expect_rejected(l, "--max-tasks -1", "", "gatherd: --max-tasks must be at least 1 (given: \"-1\")\n");
    expect_rejected(l, "--max-tasks=", "", "gatherd: --max-tasks must be an integer (given: \"\")\n");
    expect_rejected(l, "--drain-seconds 3601", "", "gatherd: --drain-seconds must be at most 3600 (given: \"3601\")\n");
    expect_rejected(l, "--idle-timeout-seconds 0", "",
                    "gatherd: --idle-timeout-seconds must be more than 0 (given: \"0\")\n");
    expect_rejected(l, "--idle-timeout-seconds 3600.1", "",
                    "gatherd: --idle-timeout-seconds must be at most 3600 (given: \"3600.1\")\n");
    expect_rejected(l, "--max-body-bytes 1023", "",
                    "gatherd: --max-body-bytes must be at least 1024 (given: \"1023\")\n");
    expect_rejected(l, "--max-body-bytes 67108865", "",
                    "gatherd: --max-body-bytes must be at most 67108864 (given: \"67108865\")\n");
    expect_rejected(l, "--max-connections 1000001", "",
                    "gatherd: --max-connections must be at most 1000000 (given: \"1000001\")\n");
    expect_rejected(l, "--threads default=2,a=0", "",
                    "gatherd: --threads must be NAME=N or N for each pool: N must be at least 1 (given: \"a=0\")\n");
    expect_rejected(l, "--log-format xml", "", "gatherd: --log-format must be one of: text, json (given: \"xml\")\n");
    expect_rejected(l, "--log-level Info", "",
                    "gatherd: --log-level must be one of: error, warn, info, debug (given: \"Info\")\n");
    expect_rejected(l, "--insecure=yes", "", "gatherd: --insecure must be true or false (given: \"yes\")\n");
    expect_rejected(l, "--listen a\xFF", "",
                    "gatherd: --listen must be a comma-separated list: item 1 must be UTF-8"
                    " (given: \"a?\")\n");

    expect_rejected(l, "--bogus", "", "gatherd: unknown option \"--bogus\"; see gatherd --help\n");
    expect_rejected(l, "--bogus=1 --version", "", "gatherd: unknown option \"--bogus\"; see gatherd --help\n");
    expect_rejected(l, "--max_tasks 1", "", "gatherd: unknown option \"--max_tasks\"; see gatherd --help\n");
    expect_rejected(l, "--max-task 1", "", "gatherd: unknown option \"--max-task\"; see gatherd --help\n");
    expect_rejected(l, "--max-tasksx 1", "", "gatherd: unknown option \"--max-tasksx\"; see gatherd --help\n");
    expect_rejected(l, "--=1", "", "gatherd: unknown option \"--\"; see gatherd --help\n");
    expect_rejected(l, "--x\n\x1B[31m", "", "gatherd: unknown option \"--x??[31m\"; see gatherd --help\n");
    expect_rejected(l, "-m 3", "", "gatherd: unexpected argument \"-m\"; see gatherd --help\n");
    expect_rejected(l, "serve", "", "gatherd: unexpected argument \"serve\"; see gatherd --help\n");
    expect_rejected(l, "--", "", "gatherd: unexpected argument \"--\"; see gatherd --help\n");
    expect_rejected(l, "--insecure false", "", "gatherd: unexpected argument \"false\"; see gatherd --help\n");
    expect_rejected(l, "--max-tasks", "", "gatherd: --max-tasks needs a value\n");
    expect_rejected(l, "--max-tasks --insecure", "", "gatherd: --max-tasks needs a value\n");
    expect_rejected(l, "--config", "", "gatherd: --config needs a value\n");
    expect_rejected(l, "--version=1", "", "gatherd: --version takes no value\n");
    expect_rejected(l, "--print-config=false", "", "gatherd: --print-config takes no value\n");
}

static void empty_argument_is_rejected(void **state)
{
    struct load_result *l = *state;
    static char program[] = "gatherd", empty[] = "";
    l->argv[0] = program;
    l->argv[1] = empty;
    load_argv(l);
    assert_int_equal(l->code, 2);
    assert_string_equal(l->err, "gatherd: unexpected argument \"\"; see gatherd --help\n");
    reset(l);
    l->argv[0] = NULL; /* execve(2) allows an empty argv */
    load_argv(l);
    assert_int_equal(l->code, 0);
    assert_false(l->done);
}

static void invalid_variables_are_rejected(void **state)
{
    struct load_result *l = *state;
    expect_rejected(l, "", "GATHERD_MAX_TASKS=0", "gatherd: GATHERD_MAX_TASKS must be at least 1 (given: \"0\")\n");
    expect_rejected(l, "--max-tasks 5", "GATHERD_MAX_TASKS=x", /* invalid, although overridden */
                    "gatherd: GATHERD_MAX_TASKS must be an integer (given: \"x\")\n");
    expect_rejected(l, "", "GATHERD_INSECURE=1", "gatherd: GATHERD_INSECURE must be true or false (given: \"1\")\n");
    expect_rejected(l, "", "GATHERD_INSECURE=", "gatherd: GATHERD_INSECURE must be true or false (given: \"\")\n");
    expect_rejected(l, "", "GATHERD_MAX_TASK=1",
                    "gatherd: unknown variable \"GATHERD_MAX_TASK\"; see gatherd --help\n");
    expect_rejected(l, "", "GATHERD_max_tasks=1",
                    "gatherd: unknown variable \"GATHERD_max_tasks\"; see gatherd --help\n");
    expect_rejected(l, "", "GATHERD_=1", "gatherd: unknown variable \"GATHERD_\"; see gatherd --help\n");
    expect_rejected(l, "", "GATHERD_HELP=1", "gatherd: unknown variable \"GATHERD_HELP\"; see gatherd --help\n");
    expect_rejected(l, "", "GATHERD_PORTS=1", "gatherd: unknown variable \"GATHERD_PORTS\"; see gatherd --help\n");
    expect_rejected(l, "", "GATHERD_CONFIG=", "gatherd: the configuration file's name is empty\n");
    expect_rejected(l, "", "GATHERD_CONFIG=/nonexistent", "gatherd: /nonexistent: No such file or directory\n");
    load_config(l, "--help", "GATHERD_MAX_TASK=1");
    assert_int_equal(l->code, 0);
}

/* Kubernetes sets these variables for a service named gatherd; they must not be taken for options. */
static void kubernetes_service_links_are_ignored(void **state)
{
    struct load_result *l = *state;
    expect_loaded(l, "",
                  "GATHERD_SERVICE_HOST=10.0.0.1 GATHERD_SERVICE_PORT=8080 GATHERD_SERVICE_PORT_HTTP=8080 "
                  "GATHERD_PORT=tcp://10.0.0.1:8080 GATHERD_PORT_8080_TCP=tcp://10.0.0.1:8080 "
                  "GATHERD_PORT_8080_TCP_PROTO=tcp GATHERD_PORT_8080_TCP_ADDR=10.0.0.1");
    struct record_ref records[CONFIG_RECORDS];
    config_records(&l->config, records);
    for (size_t i = 0; i < CONFIG_RECORDS; i++)
        for (const struct field *f = records[i].type->fields; f->name != NULL; f++)
            assert_true(strcmp(f->name, "port") != 0 && strncmp(f->name, "port_", 5) != 0 &&
                        strncmp(f->name, "service_", 8) != 0);
}

static void invalid_files_are_rejected(void **state)
{
    struct load_result *l = *state;
    expect_file_rejected(l, "{\"max_tasks\": 0}", "/max_tasks must be at least 1");
    expect_file_rejected(l, "{\"max_tasks\": \"5\"}", "/max_tasks must be an integer");
    expect_file_rejected(l, "{\"max_tasks\": null}", "/max_tasks ");
    expect_file_rejected(l, "{\"listen\": []}", "/listen must have at least 1 item");
    expect_file_rejected(l, "{\"listen\": [\"a\", \"\"]}", "/listen/1 must have at least 1 character");
    expect_file_rejected(l, "{\"listen\": \"a\"}", "/listen must be an array");
    expect_file_rejected(l, "{\"drain_seconds\": -1}", "/drain_seconds must be at least 0");
    expect_file_rejected(l, "{\"log_level\": \"all\"}", "/log_level must be one of: error, warn, info, debug");
    expect_file_rejected(l, "{\"max-tasks\": 1}", "/max-tasks is not a known member");
    expect_file_rejected(l, "{\"max_tasks\": 1, \"max_tasks\": 2}", "");
    expect_file_rejected(l, "{\"max_tasks\": 1,", "");
    expect_file_rejected(l, "[]", "");
    expect_file_rejected(l, "", "");
    expect_file_rejected(l, "{\"listen\": [\"a\xFF\"]}", "");

    static char large[1024 * 1024 + 2];
    memset(large, ' ', sizeof large - 1);
    large[0] = '{', large[sizeof large - 2] = '}';
    expect_file_rejected(l, large, "must have at most 1048576 bytes");
    large[sizeof large - 3] = '}', large[sizeof large - 2] = '\0';
    write_config_file(l, large, strlen(large));
    char flags[128];
    snprintf(flags, sizeof flags, "--config %s", l->path);
    expect_loaded(l, flags, "");
    write_config_file(l, "{}\0", 3);
    load_config(l, flags, "");
    assert_int_equal(l->code, 2);
    expect_rejected(l, "--config /", "", "gatherd: /: Is a directory\n");
    expect_rejected(l, "--config /nonexistent", "", "gatherd: /nonexistent: No such file or directory\n");
}

/* Pools are validated only after all sources are read, but their errors name the source. */
static void pool_errors_name_their_source(void **state)
{
    struct load_result *l = *state;
    static const char json[] = "{\"threads\": [\"file=0\"]}";
    static const char detail[] = "must be NAME=N or N for each pool: N must be at least 1";
    char flags[128], line[256];
    snprintf(line, sizeof line, "gatherd: GATHERD_THREADS %s (given: \"env=0\")\n", detail);
    expect_rejected(l, "", "GATHERD_THREADS=env=0", line);

    write_config_file(l, json, sizeof json - 1);
    snprintf(flags, sizeof flags, "--config %s", l->path);
    snprintf(line, sizeof line, "gatherd: %s: /threads %s (given: \"file=0\"); see gatherd --help\n", l->path, detail);
    expect_rejected(l, flags, "", line);
    snprintf(line, sizeof line, "gatherd: GATHERD_THREADS %s (given: \"env=0\")\n", detail);
    expect_rejected(l, flags, "GATHERD_THREADS=env=0", line);

    snprintf(flags, sizeof flags, "--config %s --threads flag=0", l->path);
    snprintf(line, sizeof line, "gatherd: --threads %s (given: \"flag=0\")\n", detail);
    expect_rejected(l, flags, "GATHERD_THREADS=env=0", line);
}

static void default_above_maximum_is_rejected(void **state)
{
    struct load_result *l = *state;
    expect_rejected(l, "--default-timeout-seconds 7200 --max-timeout-seconds 3600.5", "",
                    "gatherd: default_timeout_seconds (7200) must be at most max_timeout_seconds (3600.5)\n");
    expect_rejected(l, "--max-deadline-seconds 60", "GATHERD_DEFAULT_DEADLINE_SECONDS=61",
                    "gatherd: default_deadline_seconds (61) must be at most max_deadline_seconds (60)\n");
    expect_loaded(l, "--default-timeout-seconds 7 --max-timeout-seconds 7", "");
    assert_int_equal(l->config.limits.max_timeout_seconds, 7 * SECOND);
}

static void version_flag_prints_version(void **state)
{
    struct load_result *l = *state;
    load_config(l, "--max-tasks 0 --version --bogus", "GATHERD_BOGUS=1");
    assert_int_equal(l->code, 0);
    assert_true(l->done);
    assert_string_equal(l->err, "");
    assert_memory_equal(l->out, "gatherd ", 8);
    assert_ptr_equal(strchr(l->out, '\n'), l->out + strlen(l->out) - 1);
}

/* --help lists each option with its default, in lines of up to 100 columns. */
static void help_lists_every_option(void **state)
{
    struct load_result *l = *state;
    static const char *const spellings[] = {"--help", "-h"};
    for (size_t i = 0; i < COUNT_OF(spellings); i++) {
        load_config(l, spellings[i], "");
        assert_int_equal(l->code, 0);
        assert_true(l->done);
        assert_string_equal(l->err, "");
    }

    struct record_ref records[CONFIG_RECORDS];
    config_records(&l->config, records);
    for (size_t i = 0; i < CONFIG_RECORDS; i++) {
        for (const struct field *f = records[i].type->fields; f->name != NULL; f++) {
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
    static const char *const snippets[] = {
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
    for (size_t i = 0; i < COUNT_OF(snippets); i++)
        if (strstr(l->out, snippets[i]) == NULL)
            fail_msg("\"%s\" is missing in:\n%s", snippets[i], l->out);
    for (const char *line = l->out; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 100);
}

/* --print-config prints the effective values, and --config loads them. */
static void printed_config_loads_back(void **state)
{
    struct load_result *l = *state;
    load_config(l, "--listen a:1 --listen b\"\\:2 --insecure --drain-seconds 1.000000001 --max-tasks 77 --print-config",
                "GATHERD_LOG_LEVEL=debug");
    assert_int_equal(l->code, 0);
    assert_true(l->done);
    assert_string_equal(l->err, "");
    assert_null(l->config.arena);
    json_malloc_t old_malloc;
    json_free_t old_free;
    json_get_alloc_funcs(&old_malloc, &old_free);
    json_set_alloc_funcs(malloc, free); /* gatherd's allocators work only inside json_parse() */
    json_t *json = json_loads(l->out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    struct record_ref records[CONFIG_RECORDS];
    size_t fields = 0;
    config_records(&l->config, records);
    for (size_t i = 0; i < CONFIG_RECORDS; i++)
        for (const struct field *f = records[i].type->fields; f->name != NULL; f++) {
            if (f->presence != FIELD_DEFAULTED)
                continue;
            fields++;
            assert_non_null(json_object_get(json, f->name));
        }
    assert_int_equal(json_object_size(json), fields);
    json_decref(json);
    json_set_alloc_funcs(old_malloc, old_free);

    char *printed = l->out, flags[128];
    l->out = NULL;
    write_config_file(l, printed, strlen(printed));
    snprintf(flags, sizeof flags, "--config %s", l->path);
    expect_loaded(l, flags, "");
    assert_string_equal(listen_address(l, 1), "b\"\\:2");
    assert_int_equal(l->config.service.drain_seconds, SECOND + 1);
    assert_int_equal(l->config.limits.max_tasks, 77);
    assert_int_equal(l->config.service.log_level, LOG_DEBUG);
    snprintf(flags, sizeof flags, "--print-config --config %s", l->path);
    load_config(l, flags, "");
    assert_string_equal(l->out, printed);
    free(printed);

    expect_rejected(l, "--print-config --max-tasks 0", "", "gatherd: --max-tasks must be at least 1 (given: \"0\")\n");
}

static void output_error_exits_with_1(void **state)
{
    (void)state;
    static char program[] = "gatherd", help[] = "--help", print_config[] = "--print-config", version[] = "--version";
    char *const no_variables[] = {NULL};
    char *const commands[][3] = {{program, help, NULL}, {program, print_config, NULL}, {program, version, NULL}};
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        struct config config;
        bool done;
        char *text;
        size_t size;
        FILE *full_device = fopen("/dev/full", "w"), *err = open_memstream(&text, &size);
        assert_true(full_device != NULL && err != NULL);
        assert_int_equal(config_load(&config, 2, commands[i], no_variables, full_device, err, &done), 1);
        assert_true(done);
        fclose(full_device);
        fclose(err);
        assert_string_equal(text, "gatherd: cannot write to stdout\n");
        free(text);
        config_free(&config);
    }
}

/* Each allocation of config_load() fails in turn. */
static void config_load_reports_out_of_memory(void **state)
{
    struct load_result *l = *state;
    static const char json[] =
        "{\"max_tasks\": 10, \"listen\": [\"some.example.org:8080\", \"other.example.org:8080\"]}";
    char flags[512], variables[8 * 256];
    write_config_file(l, json, sizeof json - 1);
    size_t len = (size_t)snprintf(flags, sizeof flags, "--print-config --config %s --listen ", l->path);
    memset(flags + len, 'x', 255);
    len += 255;
    for (size_t i = 1; i < 16; i++)
        len += (size_t)snprintf(flags + len, sizeof flags - len, " --listen y");
    len = (size_t)snprintf(variables, sizeof variables, "GATHERD_LISTEN=");
    for (size_t i = 0; i < 6; i++) { /* exceeds the arena's first block */
        memset(variables + len, 'z', 250);
        memcpy(variables + len + 250, ",y", 3);
        len += 251;
    }
    unsigned long n = 0;
    bool failed;
    do {
        alloc_fail_at(++n);
        load_config(l, flags, variables);
        failed = alloc_count() >= n;
        alloc_fail_at(0);
        assert_true(l->done);
        if (failed) {
            assert_string_equal(l->err, "gatherd: out of memory\n");
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
        cmocka_unit_test_setup_teardown(defaults_apply_without_options, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(flags_set_options, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(repeated_list_flags_accumulate, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(flags_override_environment_overrides_file, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(invalid_flags_are_rejected, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(empty_argument_is_rejected, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(invalid_variables_are_rejected, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(kubernetes_service_links_are_ignored, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(invalid_files_are_rejected, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(pool_errors_name_their_source, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(default_above_maximum_is_rejected, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(version_flag_prints_version, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(help_lists_every_option, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(printed_config_loads_back, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(output_error_exits_with_1, setup_config, teardown_config),
        cmocka_unit_test_setup_teardown(config_load_reports_out_of_memory, setup_config, teardown_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
