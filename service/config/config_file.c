#include "service/config/config_file.h"

#include "handlers/json/json_writer.h"
#include "runtime/lib/io.h"
#include "runtime/types/type_parse.h"
#include "service/config/config_help.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE_SIZE = 1024 * 1024 }; /* bytes */

/* Reads until end of file: `path` may be a pipe. Returns 0 or an errno. */
static int load_file(const char *path, struct json_writer *w)
{
    char chunk[4096];
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = 0;
    while (error == 0 && (n = io_read_full(fd, chunk, sizeof chunk)) > 0) {
        json_writer_bytes(w, chunk, (size_t)n);
        if (w->failed)
            error = ENOMEM;
        else if (w->len > MAX_FILE_SIZE)
            error = EFBIG;
    }
    if (n < 0)
        error = errno;
    close(fd);
    return error;
}

static int decode_config(const char *path, struct str body, const struct record_ref records[], size_t record_count,
                         struct arena *arena, FILE *err)
{
    struct limits limits; /* unused: no option's range depends on a limit */
    record_set_defaults(&limits_type, &limits);
    struct validation_errors errors;
    int rc = decode_body(body, records, record_count, arena, &(struct decode_context){.limits = &limits}, &errors);
    if (rc == 0)
        return 0;
    if (rc == ERR_OUT_OF_MEMORY)
        return config_out_of_memory(err);
    const struct validation_error *first_error = &errors.items[0];
    return config_error(err, "%s: %s%s%s; see gatherd --help", path, first_error->location,
                        first_error->location[0] == '\0' ? "" : " ", first_error->detail);
}

int config_file_load(const char *path, const struct record_ref records[], size_t record_count, struct arena *arena,
                     FILE *err)
{
    if (path == NULL)
        return decode_config("", STR("{}"), records, record_count, arena, err);
    if (path[0] == '\0')
        return config_error(err, "the configuration file's name is empty");

    struct json_writer w = {0};
    int code;
    int error = load_file(path, &w);
    json_writer_bytes(&w, "", 1); /* struct str is NUL-terminated */
    if (error == ENOMEM || w.failed)
        code = config_out_of_memory(err);
    else if (error == EFBIG)
        code = config_error(err, "%s: must have at most %d bytes", path, MAX_FILE_SIZE);
    else if (error != 0)
        code = config_error(err, "%s: %s", path, strerror(error));
    else
        code = decode_config(path, (struct str){w.data, w.len - 1}, records, record_count, arena, err);
    json_writer_free(&w);
    return code;
}
