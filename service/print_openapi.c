#include "service/print_openapi.h"

#include "handlers/api.h"
#include "handlers/openapi/openapi.h"
#include "runtime/functions/builtin.h"
#include "service/config/config_help.h"

#include <stdlib.h>

int print_openapi(const struct config *config, FILE *out, FILE *err)
{
    struct registry *registry;
    if (builtin_registry(&registry, NULL) != 0)
        return config_out_of_memory(err);
    const struct record_ref limits[] = {
        {.type = &limits_type, .value = (void *)(uintptr_t)&config->limits},
        {.type = &http_limits_type, .value = (void *)(uintptr_t)&config->http},
    };
    const struct openapi_source source = {
        .routes = api_routes,
        .functions = registry_functions(registry),
        .limits = &config->limits,
        .limit_records = limits,
        .limit_record_count = COUNT_OF(limits),
    };
    struct json_writer w = {0};
    size_t len;
    openapi_write(&w, &source, (enum openapi_format)config->print_openapi);
    registry_unref(registry);
    char *text = json_writer_take(&w, &len);
    if (text == NULL)
        return config_out_of_memory(err);
    bool printed = fwrite(text, 1, len, out) == len && fflush(out) == 0;
    free(text);
    if (printed)
        return EXIT_SUCCESS;
    config_error(err, "cannot write the output");
    return EXIT_FAILURE;
}
