#include "runtime/executors/worker_main.h"

#include "runtime/executors/run_context.h"
#include "runtime/lib/check.h"
#include "runtime/types/type_serialize.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static bool read_all(void *out, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = read(WORKER_FD, (char *)out + have, len - have);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        have += n < 0 ? 0 : (size_t)n;
    }
    return true;
}

static bool write_all(const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(WORKER_FD, (const char *)bytes + done, len - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n < 0 ? 0 : (size_t)n;
    }
    return true;
}

static const struct function *find(const struct function *const *table, const char *name)
{
    for (; *table != NULL; table++)
        if (strcmp((*table)->name, name) == 0)
            return *table;
    return NULL;
}

static int out_of_memory(struct err *e)
{
    return err_set(e, ERR_WORKER_OUT_OF_MEMORY, "The task needed more memory than its worker process may take");
}

/* Decodes the input, runs the function, and leaves its output in the arena. */
static int run(const struct function *function, const char *bytes, size_t len, struct arena *arena, void **output,
               struct err *e)
{
    static const atomic_bool never;
    struct reader reader = {bytes, bytes + len};
    void *input = arena_alloc(arena, function->input->size);
    *output = arena_alloc(arena, function->output->size);
    int rc =
        input == NULL || *output == NULL ? ERR_OUT_OF_MEMORY : type_deserialize(function->input, &reader, arena, input);
    if (rc == ERR_OUT_OF_MEMORY)
        return out_of_memory(e);
    CHECK(rc == 0 && reader.at == reader.end); /* the service wrote it */
    struct run_context context = {.arena = arena, .canceled = &never, .e = e};
    rc = function->run(input, *output, &context);
    return rc == ERR_OUT_OF_MEMORY ? out_of_memory(e) : rc;
}

/* Takes in an input that there is no memory for. */
static bool skip(size_t len)
{
    char bytes[4096];
    for (; len > sizeof bytes; len -= sizeof bytes)
        if (!read_all(bytes, sizeof bytes))
            return false;
    return read_all(bytes, len);
}

/* Raises *peak to the most memory the process has had, in bytes. What getrusage(2) calls ru_maxrss begins with that of the
 * process it was forked from; VmHWM (proc(5)) is this program's own, but inexact: it may fall again a little. */
static void raise_peak(int64_t *peak, const struct rusage *usage)
{
    char status[4096]; /* no stdio: there may be no memory left */
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
    if (fd >= 0)
        close(fd);
    status[n < 0 ? 0 : n] = '\0';
    const char *line = strstr(status, "VmHWM:");
    int64_t kibibytes = line == NULL ? usage->ru_maxrss : strtoll(line + strlen("VmHWM:"), NULL, 10);
    if (*peak < kibibytes * 1024)
        *peak = kibibytes * 1024;
}

static bool answer(const struct request_frame *request, const struct function *function, int rc, const void *output,
                   const struct err *e, const struct rusage *before, int64_t *peak)
{
    struct rusage after;
    getrusage(RUSAGE_SELF, &after);
    raise_peak(peak, &after);
    struct answer_frame frame = {
        .number = request->number,
        .rc = rc,
        .user_ns = timeval_ns(after.ru_utime) - timeval_ns(before->ru_utime),
        .system_ns = timeval_ns(after.ru_stime) - timeval_ns(before->ru_stime),
        .peak_rss_bytes = *peak,
    };
    if (rc != 0) {
        memcpy(frame.msg, e->msg, sizeof frame.msg);
        return write_all(&frame, sizeof frame);
    }
    size_t len = type_serialized_size(function->output, output);
    char *bytes = len > FRAME_MOST ? NULL : malloc(sizeof frame + len);
    if (bytes == NULL) {
        frame.rc = ERR_WORKER_OUT_OF_MEMORY;
        snprintf(frame.msg, sizeof frame.msg, "The result is too large for a worker process");
        return write_all(&frame, sizeof frame);
    }
    frame.len = (uint32_t)len;
    memcpy(bytes, &frame, sizeof frame);
    type_serialize(function->output, output, bytes + sizeof frame);
    bool ok = write_all(bytes, sizeof frame + len);
    free(bytes);
    return ok;
}

static bool serve(const struct function *const *table, int64_t *peak)
{
    struct request_frame request;
    if (!read_all(&request, sizeof request))
        return false;
    CHECK(request.len <= FRAME_MOST && memchr(request.function, '\0', sizeof request.function) != NULL);
    const struct function *function = find(table, request.function);
    CHECK(function != NULL);
    struct err e = {0};
    struct rusage before;
    getrusage(RUSAGE_SELF, &before);
    struct arena *arena = arena_new();
    char *bytes = arena == NULL ? NULL : arena_alloc(arena, request.len + 1);
    void *output = NULL;
    bool ok = bytes == NULL ? skip(request.len) : read_all(bytes, request.len);
    if (ok) {
        int rc = bytes == NULL ? out_of_memory(&e) : run(function, bytes, request.len, arena, &output, &e);
        ok = answer(&request, function, rc, output, &e, &before, peak);
    }
    arena_unref(arena);
    return ok;
}

/* The address space the process has now, in bytes (proc(5)). */
static int64_t address_space(void)
{
    char line[128] = "";
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        if (fgets(line, sizeof line, statm) == NULL)
            line[0] = '\0';
        fclose(statm);
    }
    return strtoll(line, NULL, 10) * sysconf(_SC_PAGESIZE); /* the first number is pages */
}

/* What a task does must not outlive the service, nor gain what the service lacks, nor leave files behind when it dies. */
static void confine(int64_t memory_bytes)
{
    signal(SIGINT, SIG_IGN); /* a terminal or a supervisor sends them to all processes at once; the service decides */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (memory_bytes != INTEGER_ABSENT) {
        rlim_t most = (rlim_t)(address_space() + memory_bytes);
        setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
    }
}

int worker_run(const struct function *const *table, int64_t memory_bytes)
{
    int64_t peak = 0;
    confine(memory_bytes);
    /* That it is up. A service that went before the kernel was asked to tell us has closed its side: then this fails. */
    bool ok = write_all(&(struct answer_frame){0}, sizeof(struct answer_frame));
    while (ok)
        ok = serve(table, &peak);
    return 0;
}
