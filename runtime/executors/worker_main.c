#include "runtime/executors/worker_main.h"

#include "runtime/executors/run_context.h"
#include "runtime/lib/check.h"
#include "runtime/lib/io.h"
#include "runtime/types/type_serialize.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static bool worker_read_all(void *out, size_t len)
{
    return io_read_full(WORKER_FD, out, len) == (ssize_t)len;
}

static bool worker_write_all(const void *bytes, size_t len)
{
    return io_write_full(WORKER_FD, bytes, len, NULL) == 0;
}

static int worker_out_of_memory(struct err *e)
{
    return err_set(e, ERR_WORKER_OUT_OF_MEMORY, "The task exceeded the memory limit of its worker process");
}

/* Decodes the input and runs the function; *output is in the arena. */
static int run_function(const struct function *function, const char *bytes, size_t len, struct arena *arena,
                        void **output, struct err *e)
{
    static const atomic_bool never_canceled;
    struct reader reader = {bytes, bytes + len};
    void *input = arena_alloc(arena, function->input->size);
    *output = arena_alloc(arena, function->output->size);
    int rc =
        input == NULL || *output == NULL ? ERR_OUT_OF_MEMORY : type_deserialize(function->input, &reader, arena, input);
    if (rc == ERR_OUT_OF_MEMORY)
        return worker_out_of_memory(e);
    CHECK(rc == 0 && reader.at == reader.end); /* the service writes valid requests */
    struct run_context context = {.arena = arena, .canceled = &never_canceled, .e = e};
    rc = function->run(input, *output, &context);
    return rc == ERR_OUT_OF_MEMORY ? worker_out_of_memory(e) : rc;
}

/* Skips an input for which memory could not be allocated. */
static bool discard_input(size_t len)
{
    char bytes[4096];
    for (; len > sizeof bytes; len -= sizeof bytes)
        if (!worker_read_all(bytes, sizeof bytes))
            return false;
    return worker_read_all(bytes, len);
}

/* Raises *peak_rss to the peak resident set size in bytes. It is VmHWM (proc(5)), which is inexact and can decrease
 * slightly. ru_maxrss of getrusage(2) would include the memory of the process that forked this one. */
static void update_peak_rss(int64_t *peak_rss, const struct rusage *usage)
{
    char status[4096]; /* read without stdio, which allocates: memory may be exhausted */
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
    if (fd >= 0)
        close(fd);
    status[n < 0 ? 0 : n] = '\0';
    const char *line = strstr(status, "VmHWM:");
    int64_t kibibytes = line == NULL ? usage->ru_maxrss : strtoll(line + strlen("VmHWM:"), NULL, 10);
    if (*peak_rss < kibibytes * 1024)
        *peak_rss = kibibytes * 1024;
}

static bool send_response(const struct request_frame *request, const struct function *function, int rc,
                          const void *output, const struct err *e, const struct rusage *before, int64_t *peak_rss)
{
    struct rusage after;
    getrusage(RUSAGE_SELF, &after);
    update_peak_rss(peak_rss, &after);
    struct response_frame frame = {
        .number = request->number,
        .rc = rc,
        .user_ns = timeval_ns(after.ru_utime) - timeval_ns(before->ru_utime),
        .system_ns = timeval_ns(after.ru_stime) - timeval_ns(before->ru_stime),
        .peak_rss_bytes = *peak_rss,
    };
    if (rc != 0) {
        memcpy(frame.msg, e->msg, sizeof frame.msg);
        return worker_write_all(&frame, sizeof frame);
    }
    size_t len = type_serialized_size(function->output, output);
    char *bytes = len > FRAME_MAX_LEN ? NULL : malloc(sizeof frame + len);
    if (bytes == NULL) {
        frame.rc = ERR_WORKER_OUT_OF_MEMORY;
        snprintf(frame.msg, sizeof frame.msg, "The result is too large for the worker process");
        return worker_write_all(&frame, sizeof frame);
    }
    frame.len = (uint32_t)len;
    memcpy(bytes, &frame, sizeof frame);
    type_serialize(function->output, output, bytes + sizeof frame);
    bool ok = worker_write_all(bytes, sizeof frame + len);
    free(bytes);
    return ok;
}

static bool serve_request(const struct registry *registry, int64_t *peak_rss)
{
    struct request_frame request;
    if (!worker_read_all(&request, sizeof request))
        return false;
    CHECK(request.len <= FRAME_MAX_LEN && memchr(request.function, '\0', sizeof request.function) != NULL);
    const struct function *function = registry_find(registry, str_from(request.function));
    CHECK(function != NULL);
    struct err e = {0};
    struct rusage before;
    getrusage(RUSAGE_SELF, &before);
    struct arena *arena = arena_new();
    char *bytes = arena == NULL ? NULL : arena_alloc(arena, request.len + 1);
    void *output = NULL;
    bool ok = bytes == NULL ? discard_input(request.len) : worker_read_all(bytes, request.len);
    if (ok) {
        int rc =
            bytes == NULL ? worker_out_of_memory(&e) : run_function(function, bytes, request.len, arena, &output, &e);
        ok = send_response(&request, function, rc, output, &e, &before, peak_rss);
    }
    arena_unref(arena);
    return ok;
}

/* Size of the address space in bytes (proc(5)). */
static int64_t address_space(void)
{
    char line[128] = "";
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        if (fgets(line, sizeof line, statm) == NULL)
            line[0] = '\0';
        fclose(statm);
    }
    return strtoll(line, NULL, 10) * sysconf(_SC_PAGESIZE); /* the first number, in pages */
}

/* A worker must not outlive the service, gain privileges or leave core files. */
static void sandbox_self(int64_t memory_bytes)
{
    /* Terminals and supervisors send these to the whole process group; the service decides when its workers end. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (memory_bytes != INTEGER_ABSENT) {
        rlim_t max_address_space = (rlim_t)(address_space() + memory_bytes);
        setrlimit(RLIMIT_AS, &(struct rlimit){max_address_space, max_address_space});
    }
}

int worker_serve(const struct registry *registry, int64_t memory_bytes)
{
    int64_t peak_rss = 0;
    sandbox_self(memory_bytes);
    /* Reports that the worker is ready. Fails if the service exited before PR_SET_PDEATHSIG was set. */
    bool ok = worker_write_all(&(struct response_frame){0}, sizeof(struct response_frame));
    while (ok)
        ok = serve_request(registry, &peak_rss);
    return 0;
}
