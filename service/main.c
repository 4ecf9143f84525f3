/* main - the way in: argv and environment become a configuration, and that a service. */
#include "service/service.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    struct config config;
    bool done;
    int rc = config_load(&config, argc, argv, environ, stdout, stderr, &done);
    if (done)
        return rc;
    rc = service_run(&config, stdout, stderr);
    config_free(&config);
    return rc;
}
