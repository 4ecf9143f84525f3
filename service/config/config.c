#include "service/config/config.h"

#include "gatherd_version.h"
#include "handlers/openapi/openapi.h"
#include "runtime/lib/decimal.h"
#include "runtime/types/type_parse.h"
#include "service/config/config_file.h"
#include "service/config/config_help.h"
#include "service/log/log.h"

#include <stdlib.h>
#include <string.h>

#define VARIABLE_PREFIX "GATHERD_"

static const struct type boolean_type = {.kind = TYPE_BOOLEAN};
static const struct type address_type = {.kind = TYPE_STRING, .name = "address", .min = 1, .max = 255};
static const struct type listen_type = {.kind = TYPE_ARRAY, .min = 1, .max = 16, .item = &address_type};
static const struct type log_format_type = {.kind = TYPE_ENUM, .names = log_format_names};
static const struct type log_level_type = {.kind = TYPE_ENUM, .names = log_level_names};
static const struct type drain_type = {.kind = TYPE_SECONDS, .max = 3600 * (int64_t)NS_PER_SECOND};

static const struct field service_fields[] = {
    {"listen", &listen_type, offsetof(struct service_options, listen), FIELD_DEFAULTED, "127.0.0.1:8080",
     "Address to listen on: HOST:PORT, [IPV6]:PORT or unix:/PATH", NULL},
    {"insecure", &boolean_type, offsetof(struct service_options, insecure), FIELD_DEFAULTED, "false",
     "Allow addresses other than loopback. gatherd has no authentication: anyone who can connect can run tasks. Host "
     "is still checked on loopback, and Origin everywhere",
     NULL},
    {"log_format", &log_format_type, offsetof(struct service_options, log_format), FIELD_DEFAULTED, "text",
     "Format of the log on stderr", NULL},
    {"log_level", &log_level_type, offsetof(struct service_options, log_level), FIELD_DEFAULTED, "info",
     "Least severe level to log", NULL},
    {"drain_seconds", &drain_type, offsetof(struct service_options, drain_seconds), FIELD_DEFAULTED, "8",
     "How long tasks may run after SIGTERM before they are canceled (docker stop waits 10 seconds)", NULL},
    {0},
};

const struct type service_options_type = {
    .kind = TYPE_RECORD,
    .fields = service_fields,
    .size = sizeof(struct service_options),
};

static const struct type openapi_type = {.kind = TYPE_ENUM, .names = openapi_format_names};
static const struct field openapi_field = {.name = "print_openapi", .type = &openapi_type};

enum action { ACTION_CONFIG, ACTION_PRINT_CONFIG, ACTION_PRINT_OPENAPI, ACTION_VERSION, ACTION_HELP, ACTION_COUNT };

static const struct config_action actions[ACTION_COUNT + 1] = {
    [ACTION_CONFIG] = {"config", "FILE", "Read options from a JSON file"},
    [ACTION_PRINT_CONFIG] = {"print_config", NULL, "Print the configuration in the format of --config and exit"},
    [ACTION_PRINT_OPENAPI] = {"print_openapi", "[json|yaml]",
                              "Print the OpenAPI document of this configuration (default: yaml) and exit"},
    [ACTION_VERSION] = {"version", NULL, "Print the version and exit"},
    [ACTION_HELP] = {"help", NULL, "Print this help and exit"},
    [ACTION_COUNT] = {0},
};

void config_records(struct config *config, struct record_ref records[CONFIG_RECORDS])
{
    records[0] = (struct record_ref){.type = &service_options_type, .value = &config->service};
    records[1] = (struct record_ref){.type = &http_limits_type, .value = &config->http};
    records[2] = (struct record_ref){.type = &pool_options_type, .value = &config->runtime};
    records[3] = (struct record_ref){.type = &limits_type, .value = &config->limits};
}

struct config_loader {
    struct record_ref records[CONFIG_RECORDS];
    struct arena *arena;
    int argc;
    char *const *argv;
    char *const *env;
    FILE *err;
    const char *file_path;        /* NULL: no file */
    const struct array *threads;  /* the option that set_default_sizes() validates after loading */
    struct str threads_source;    /* the flag or variable that set --threads; absent if neither did */
    bool requested[ACTION_COUNT]; /* the actions that flags request */
    int *openapi_format;          /* of config.print_openapi */
};

static bool name_matches(struct str given, const char *name, char (*map_char)(char))
{
    size_t i = 0;
    while (i < given.len && name[i] != '\0' && given.data[i] == map_char(name[i]))
        i++;
    return i == given.len && name[i] == '\0';
}

/* -- options ---------------------------------------------------------------------------------- */

struct option {
    const struct field *field; /* NULL if no option has this name */
    void *value;               /* its member of struct config */
};

static struct option find_option(const struct config_loader *l, struct str name, char (*map_char)(char))
{
    for (size_t i = 0; i < CONFIG_RECORDS; i++)
        for (const struct field *f = l->records[i].type->fields; f->name != NULL; f++)
            if (name_matches(name, f->name, map_char))
                return (struct option){f, (char *)l->records[i].value + f->offset};
    return (struct option){NULL, NULL};
}

/* `source` is the flag or variable that gave the value. Returns 0 or an exit code. */
static int set_option(struct config_loader *l, struct option option, struct str source, struct str given)
{
    struct err e;
    int rc = type_parse(option.field->type, given, l->arena, NULL, option.value, &e);
    if (option.value == l->threads)
        l->threads_source = source;
    if (rc == 0)
        return 0;
    if (rc == ERR_OUT_OF_MEMORY)
        return config_out_of_memory(l->err);
    char quote[SANITIZED_SIZE];
    return config_error(l->err, "%.*s %s (given: \"%s\")", (int)source.len, source.data, e.msg,
                        decode_sanitize(given, quote));
}

/* -- flags ------------------------------------------------------------------------------------ */

struct flag {
    struct str source; /* "--max-tasks" */
    struct str given;  /* the value; absent if none was given */
    unsigned action;   /* enum action; ACTION_COUNT if the flag sets an option */
    struct option option;
};

/* Splits "--name=value" and looks the name up. Returns 0 or an exit code. */
static int parse_flag(const struct config_loader *l, struct str arg, struct flag *flag)
{
    char quote[SANITIZED_SIZE];
    if (str_eq(arg, "-h"))
        arg = STR("--help");
    if (arg.len < 3 || memcmp(arg.data, "--", 2) != 0)
        return config_error(l->err, "unexpected argument \"%s\"; see gatherd --help", decode_sanitize(arg, quote));

    flag->source = arg;
    const char *equals = memchr(arg.data, '=', arg.len);
    if (equals != NULL) {
        flag->source.len = (size_t)(equals - arg.data);
        flag->given = str_from(equals + 1);
    }
    struct str name = {flag->source.data + 2, flag->source.len - 2};
    while (flag->action < ACTION_COUNT && !name_matches(name, actions[flag->action].name, config_flag_char))
        flag->action++;
    flag->option = find_option(l, name, config_flag_char);
    if (flag->action == ACTION_COUNT && flag->option.field == NULL)
        return config_error(l->err, "unknown option \"%s\"; see gatherd --help", decode_sanitize(flag->source, quote));
    return 0;
}

/* Reads the flag at argv[*i] and its value, and moves *i past them. Returns 0 or an exit code. */
static int next_flag(const struct config_loader *l, int *i, struct flag *flag)
{
    *flag = (struct flag){.action = 0};
    int code = parse_flag(l, str_from(l->argv[(*i)++]), flag);
    if (code != 0)
        return code;
    bool given = flag->given.data != NULL;
    if (flag->action < ACTION_COUNT && actions[flag->action].placeholder == NULL)
        return given ? config_error(l->err, "%.*s takes no value", (int)flag->source.len, flag->source.data) : 0;
    if (given)
        return 0;
    if (flag->option.field != NULL && flag->option.field->type->kind == TYPE_BOOLEAN)
        flag->given = STR("true");
    else if (*i < l->argc && strncmp(l->argv[*i], "--", 2) != 0)
        flag->given = str_from(l->argv[(*i)++]);
    else if (flag->action == ACTION_PRINT_OPENAPI)
        flag->given = STR("yaml");
    else
        return config_error(l->err, "%.*s needs a value", (int)flag->source.len, flag->source.data);
    return 0;
}

/* Checks the syntax of all flags, up to --help or --version, and records which actions they request. */
static int scan_actions(struct config_loader *l)
{
    struct flag flag;
    for (int i = 1; i < l->argc;) {
        int code = next_flag(l, &i, &flag);
        if (code != 0)
            return code;
        if (flag.action == ACTION_COUNT)
            continue;
        l->requested[flag.action] = true;
        if (flag.action == ACTION_CONFIG)
            l->file_path = flag.given.data;
        if (flag.action == ACTION_HELP || flag.action == ACTION_VERSION)
            return 0; /* even if invalid flags follow */
        struct option format = {&openapi_field, l->openapi_format};
        if (flag.action == ACTION_PRINT_OPENAPI && (code = set_option(l, format, flag.source, flag.given)) != 0)
            return code;
    }
    return 0;
}

static bool is_repeated(const struct config_loader *l, int end, const struct field *field)
{
    struct flag flag;
    for (int i = 1; i < end;)
        if (next_flag(l, &i, &flag) == 0 && flag.option.field == field)
            return true;
    return false;
}

/* Prepends `previous`, the items of earlier flags of the same name, to the items of this flag. */
static int append_items(const struct config_loader *l, const struct flag *flag, struct array previous)
{
    const struct type *type = flag->option.field->type;
    struct array *list = flag->option.value;
    size_t size = type_size(type->item);
    struct array combined = {.count = previous.count + list->count};
    struct err e;
    if (type_check(type, &combined, NULL, &e) != 0)
        return config_error(l->err, "%.*s %s", (int)flag->source.len, flag->source.data, e.msg);
    combined.items = arena_calloc(l->arena, combined.count, size);
    if (combined.items == NULL)
        return config_out_of_memory(l->err);
    memcpy(combined.items, previous.items, previous.count * size);
    memcpy((char *)combined.items + previous.count * size, list->items, list->count * size);
    *list = combined;
    return 0;
}

/* The last of repeated flags wins, except that the flags of a list accumulate. They replace a list from the file or
 * the environment. */
static int load_flags(struct config_loader *l)
{
    struct flag flag;
    for (int i = 1, start = 1; i < l->argc; start = i) {
        int code = next_flag(l, &i, &flag);
        if (code != 0)
            return code;
        if (flag.action != ACTION_COUNT)
            continue;
        struct array previous = {NULL, 0};
        if (flag.option.field->type->kind == TYPE_ARRAY && is_repeated(l, start, flag.option.field))
            previous = *(struct array *)flag.option.value;
        code = set_option(l, flag.option, flag.source, flag.given);
        if (code == 0 && previous.count > 0)
            code = append_items(l, &flag, previous);
        if (code != 0)
            return code;
    }
    return 0;
}

/* -- the environment -------------------------------------------------------------------------- */

/* Splits "GATHERD_NAME=value" into NAME and value. Returns false if the entry lacks the prefix. */
static bool parse_variable(const char *entry, struct str *name, struct str *value)
{
    const char *equals = strchr(entry, '=');
    size_t prefix = sizeof VARIABLE_PREFIX - 1;
    if (equals == NULL || strncmp(entry, VARIABLE_PREFIX, prefix) != 0)
        return false;
    *name = (struct str){entry + prefix, (size_t)(equals - entry) - prefix};
    *value = str_from(equals + 1);
    return true;
}

/* Kubernetes sets GATHERD_SERVICE_HOST, GATHERD_PORT, GATHERD_PORT_8080_TCP... in each container of a namespace
 * that has a service named gatherd. */
static bool is_service_link(struct str name)
{
    static const char service[] = "SERVICE_", port[] = "PORT_";
    return str_eq(name, "PORT") || strncmp(name.data, service, sizeof service - 1) == 0 ||
           strncmp(name.data, port, sizeof port - 1) == 0;
}

/* Uses GATHERD_CONFIG unless --config was given. */
static void find_config_file(struct config_loader *l)
{
    struct str name, value;
    for (char *const *entry = l->env; *entry != NULL && l->file_path == NULL; entry++)
        if (parse_variable(*entry, &name, &value) &&
            name_matches(name, actions[ACTION_CONFIG].name, config_variable_char))
            l->file_path = value.data;
}

static int load_environment(struct config_loader *l)
{
    struct str name, value;
    for (char *const *entry = l->env; *entry != NULL; entry++) {
        if (!parse_variable(*entry, &name, &value) || is_service_link(name) ||
            name_matches(name, actions[ACTION_CONFIG].name, config_variable_char))
            continue;
        struct str source = {*entry, sizeof VARIABLE_PREFIX - 1 + name.len};
        struct option option = find_option(l, name, config_variable_char);
        char quote[SANITIZED_SIZE];
        if (option.field == NULL)
            return config_error(l->err, "unknown variable \"%s\"; see gatherd --help", decode_sanitize(source, quote));
        int code = set_option(l, option, source, value);
        if (code != 0)
            return code;
    }
    return 0;
}

/* -- all sources ------------------------------------------------------------------------------ */

static int check_dependent_limits(const struct limits *limits, FILE *err)
{
    static const enum limit_index pairs[][2] = {
        {LIMIT_DEFAULT_TIMEOUT, LIMIT_TIMEOUT},
        {LIMIT_DEFAULT_DEADLINE, LIMIT_DEADLINE},
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        const struct field *lower = &limits_fields[pairs[i][0]], *upper = &limits_fields[pairs[i][1]];
        int64_t lower_value = limits_get(limits, lower), upper_value = limits_get(limits, upper);
        if (lower_value <= upper_value)
            continue;
        char lower_text[SECONDS_TEXT_SIZE], upper_text[SECONDS_TEXT_SIZE];
        seconds_format((uint64_t)lower_value, lower_text);
        seconds_format((uint64_t)upper_value, upper_text);
        return config_error(err, "%s (%s) must be at most %s (%s)", lower->name, lower_text, upper->name, upper_text);
    }
    return 0;
}

/* Parses --threads, and derives the sizes of pools from the CPU count unless an option sets them. */
static int set_default_sizes(const struct config_loader *l, struct config *config)
{
    struct cpus cpus = cpu_count_get("");
    struct err e;
    int rc = pool_options_parse(&config->runtime, cpus, config->arena, &config->limits.pools, &e);
    if (rc == ERR_OUT_OF_MEMORY)
        return config_out_of_memory(l->err);
    if (rc != 0 && l->threads_source.data == NULL)
        return config_error(l->err, "%s: /threads %s; see gatherd --help", l->file_path, e.msg);
    if (rc != 0)
        return config_error(l->err, "%.*s %s", (int)l->threads_source.len, l->threads_source.data, e.msg);
    pool_options_set_sizes(&config->runtime, cpus);
    return 0;
}

static int load_values(struct config_loader *l, struct config *config)
{
    find_config_file(l);
    int code = config_file_load(l->file_path, l->records, CONFIG_RECORDS, l->arena, l->err);
    if (code == 0)
        code = load_environment(l);
    if (code == 0)
        code = load_flags(l);
    if (code == 0)
        code = check_dependent_limits(&config->limits, l->err);
    return code == 0 && !l->requested[ACTION_PRINT_CONFIG] ? set_default_sizes(l, config) : code;
}

/* Reports write errors, such as a full disk. */
static int flush_output(FILE *out, FILE *err)
{
    if (fflush(out) == 0 && ferror(out) == 0)
        return 0;
    config_error(err, "cannot write to stdout");
    return EXIT_FAILURE;
}

int config_load(struct config *config, int argc, char *const argv[], char *const env[], FILE *out, FILE *err,
                bool *done)
{
    struct config_loader l = {.argc = argc,
                              .argv = argv,
                              .env = env,
                              .err = err,
                              .threads = &config->runtime.threads,
                              .openapi_format = &config->print_openapi};
    *config = (struct config){.print_openapi = ENUM_ABSENT};
    config_records(config, l.records);
    *done = true;

    int code = scan_actions(&l);
    if (code != 0)
        return code;
    if (l.requested[ACTION_HELP]) {
        config_print_help(out, actions, l.records, CONFIG_RECORDS);
        return flush_output(out, err);
    }
    if (l.requested[ACTION_VERSION]) {
        fputs("gatherd " GATHERD_VERSION "\n", out);
        return flush_output(out, err);
    }

    l.arena = config->arena = arena_new();
    code = config->arena == NULL ? config_out_of_memory(err) : load_values(&l, config);
    if (code == 0 && !l.requested[ACTION_PRINT_CONFIG]) {
        *done = false;
        return 0;
    }
    if (code == 0)
        code = config_print_json(out, l.records, CONFIG_RECORDS) ? flush_output(out, err) : config_out_of_memory(err);
    config_free(config);
    return code;
}

void config_free(struct config *config)
{
    arena_unref(config->arena);
    *config = (struct config){.arena = NULL};
}
