/* main - runs the service, configured by arguments and environment, or one of its worker processes. */
#include "runtime/executors/worker_main.h"
#include "runtime/functions/builtin.h"
#include "runtime/types/type_parse.h"
#include "service/print_openapi.h"
#include "service/service.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run_worker(struct str memory_limit)
{
    static const struct type bytes_type = {.kind = TYPE_INTEGER, .min = 1, .max = INT64_MAX};
    int64_t bytes = INTEGER_ABSENT;
    if (memory_limit.len > 0 && type_parse(&bytes_type, memory_limit, NULL, NULL, &bytes, NULL) != 0)
        return EXIT_FAILURE;
    struct registry *registry;
    if (builtin_registry(&registry, NULL) != 0)
        return EXIT_FAILURE;
    int rc = worker_serve(registry, bytes);
    registry_unref(registry);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], WORKER_FLAG) == 0)
        return run_worker(str_from(argv[2]));
    struct config config;
    bool done;
    int rc = config_load(&config, argc, argv, environ, stdout, stderr, &done);
    if (done)
        return rc;
    if (config.print_openapi != ENUM_ABSENT)
        rc = print_openapi(&config, stdout, stderr);
    else
        rc = service_run(&config, stdout, stderr);
    config_free(&config);
    return rc;
}
