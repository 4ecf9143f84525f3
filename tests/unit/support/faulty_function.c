#include "tests/unit/support/faulty_function.h"

#include "runtime/executors/worker_main.h"
#include "runtime/types/type_serialize.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct faulty_input {
    int action;
    int64_t number;
    struct str text;
    int64_t gate; /* a struct gate *, valid in this process; absent in worker processes */
};

static const char *const action_names[] = {"echo",
                                           "fail",
                                           "large",
                                           "exhaust_memory",
                                           "spin",
                                           "note",
                                           "die",
                                           "exit",
                                           "unsolicited_output",
                                           "forge",
                                           "bad_frame",
                                           "stop_reading",
                                           "close_socket",
                                           "close_stderr",
                                           "orphan_child",
                                           "gate",
                                           "mask",
                                           NULL};
_Static_assert(COUNT_OF(action_names) == ACTION_COUNT + 1, "a name for each action");

static const struct type action_type = {.kind = TYPE_ENUM, .names = action_names};
static const struct type number_type = {.kind = TYPE_INTEGER, .min = INT64_MIN + 1, .max = INT64_MAX};
static const struct type text_type = {.kind = TYPE_STRING, .min = 0, .max = INT64_MAX};
static const struct field input_fields[] = {
    {"action", &action_type, offsetof(struct faulty_input, action), FIELD_REQUIRED, NULL, "What to do", NULL},
    {"number", &number_type, offsetof(struct faulty_input, number), FIELD_REQUIRED, NULL, "A number", NULL},
    {"text", &text_type, offsetof(struct faulty_input, text), FIELD_OPTIONAL, NULL, "A text", NULL},
    {"gate", &number_type, offsetof(struct faulty_input, gate), FIELD_OPTIONAL, NULL, "Where", NULL},
    {0},
};
static const struct field output_fields[] = {
    {"number", &number_type, offsetof(struct faulty_output, number), FIELD_REQUIRED, NULL, "The number", NULL},
    {"pid", &number_type, offsetof(struct faulty_output, pid), FIELD_REQUIRED, NULL, "Who", NULL},
    {"tid", &number_type, offsetof(struct faulty_output, tid), FIELD_REQUIRED, NULL, "Who", NULL},
    {"text", &text_type, offsetof(struct faulty_output, text), FIELD_OPTIONAL, NULL, "The text", NULL},
    {0},
};
static const struct type input_type = {
    .kind = TYPE_RECORD, .name = "FaultyInput", .fields = input_fields, .size = sizeof(struct faulty_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .name = "FaultyResult", .fields = output_fields, .size = sizeof(struct faulty_output)};

/* -- gate ---------------------------------------------------------------------------------------------------------- */

struct gate *gate_new(void)
{
    struct gate *s = calloc(1, sizeof *s);
    if (s == NULL || uv_mutex_init(&s->mutex) != 0 || uv_cond_init(&s->changed) != 0)
        abort();
    return s;
}

void gate_free(struct gate *s)
{
    uv_cond_destroy(&s->changed);
    uv_mutex_destroy(&s->mutex);
    free(s);
}

void gate_open(struct gate *s)
{
    uv_mutex_lock(&s->mutex);
    s->open = true;
    uv_cond_broadcast(&s->changed);
    uv_mutex_unlock(&s->mutex);
}

void gate_await_active(struct gate *s, size_t count)
{
    uv_mutex_lock(&s->mutex);
    while (s->active < count)
        uv_cond_wait(&s->changed, &s->mutex);
    uv_mutex_unlock(&s->mutex);
}

size_t gate_run_count(struct gate *s)
{
    uv_mutex_lock(&s->mutex);
    size_t runs = s->runs;
    uv_mutex_unlock(&s->mutex);
    return runs;
}

static struct gate *gate_of(const struct faulty_input *input)
{
    struct gate *gate;
    memcpy(&gate, &input->gate, sizeof(void *));
    return input->gate == INTEGER_ABSENT ? NULL : gate;
}

static void record_tid(struct gate *s, int tid)
{
    for (size_t i = 0; i < s->tid_count; i++)
        if (s->tids[i] == tid)
            return;
    if (s->tid_count < COUNT_OF(s->tids))
        s->tids[s->tid_count++] = tid;
}

static void gate_enter(struct gate *s, int64_t number, bool canceled)
{
    uv_mutex_lock(&s->mutex);
    if (s->runs < COUNT_OF(s->order))
        s->order[s->runs] = number;
    s->runs++;
    s->canceled_at_start += canceled;
    if (++s->active > s->max_active)
        s->max_active = s->active;
    record_tid(s, gettid());
    uv_cond_broadcast(&s->changed);
    uv_mutex_unlock(&s->mutex);
}

static void gate_wait(struct gate *s)
{
    uv_mutex_lock(&s->mutex);
    while (!s->open)
        uv_cond_wait(&s->changed, &s->mutex);
    uv_mutex_unlock(&s->mutex);
}

static void gate_exit(struct gate *s)
{
    uv_mutex_lock(&s->mutex);
    s->active--;
    uv_cond_broadcast(&s->changed);
    uv_mutex_unlock(&s->mutex);
}

/* -- actions ------------------------------------------------------------------------------------------------------- */

static void write_bytes(int fd, const void *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0)
            return;
        bytes = (const char *)bytes + n;
        len -= (size_t)n;
    }
}

static void unsolicited_output(const struct faulty_input *input)
{
    char bytes[4096];
    memset(bytes, input->text.len > 0 ? input->text.data[0] : 0, sizeof bytes);
    for (size_t remaining = (size_t)input->number; remaining > 0;) {
        size_t n = remaining < sizeof bytes ? remaining : sizeof bytes;
        write_bytes(WORKER_FD, bytes, n);
        remaining -= n;
    }
}

static void bad_sequence(const struct faulty_input *input)
{
    const struct faulty_output fake_output = {.number = -1, .pid = -1, .tid = -1};
    char bytes[sizeof(struct response_frame) + 64];
    struct response_frame frame = {.len = (uint32_t)type_serialized_size(&output_type, &fake_output)};
    memcpy(bytes, &frame, sizeof frame);
    type_serialize(&output_type, &fake_output, bytes + sizeof frame);
    for (int64_t i = 0; i < input->number; i++)
        write_bytes(WORKER_FD, bytes, sizeof frame + frame.len);
}

static void bad_frame(enum bad_frame kind)
{
    static const int rcs[BAD_FRAME_COUNT] = {
        [BAD_FRAME_RC_POSITIVE] = 1,
        [BAD_FRAME_RC_UNKNOWN] = -ERROR_COUNT - 1,
        [BAD_FRAME_RC_MIN] = INT32_MIN,
        [BAD_FRAME_ERROR_WITH_OUTPUT] = ERR_INTERNAL,
        [BAD_FRAME_UNTERMINATED_MESSAGE] = ERR_INTERNAL,
        [BAD_FRAME_INVALID_UTF8] = ERR_INTERNAL,
    };
    struct faulty_output fake_output = {.number = -1, .pid = -1, .tid = -1};
    char bytes[sizeof(struct response_frame) + 64] = {0};
    size_t len = type_serialized_size(&output_type, &fake_output);
    struct response_frame frame = {.number = 1, .rc = rcs[kind]};
    if (kind == BAD_FRAME_ERROR_WITH_OUTPUT || kind == BAD_FRAME_TRAILING_BYTES)
        frame.len = (uint32_t)len + (kind == BAD_FRAME_TRAILING_BYTES);
    memset(frame.msg, kind == BAD_FRAME_INVALID_UTF8 ? 0xFF : 'm', sizeof frame.msg - (kind == BAD_FRAME_INVALID_UTF8));
    type_serialize(&output_type, &fake_output, bytes + sizeof frame);
    len = sizeof frame + frame.len;
    if (kind == BAD_FRAME_TOO_LONG)
        frame.len = FRAME_MAX_LEN + 1;
    memcpy(bytes, &frame, sizeof frame);
    write_bytes(WORKER_FD, bytes, len);
}

static int is_blocked(int signum)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return sigismember(&blocked, signum);
}

static int echo(const struct faulty_input *input, struct faulty_output *output, struct run_context *run)
{
    output->number = input->number;
    output->pid = getpid();
    output->tid = gettid();
    if (input->text.data == NULL || arena_str(run->arena, input->text.data, input->text.len, &output->text))
        return 0;
    return err_set(run->e, ERR_OUT_OF_MEMORY, "Out of memory for the echo");
}

static int large_output(const struct faulty_input *input, struct faulty_output *output, struct run_context *run)
{
    char *text = arena_alloc(run->arena, (size_t)input->number + 1);
    if (text == NULL)
        return err_set(run->e, ERR_OUT_OF_MEMORY, "Out of memory for the output");
    memset(text, 'x', (size_t)input->number);
    output->text = (struct str){text, (size_t)input->number};
    return 0;
}

static int exhaust_memory(struct run_context *run)
{
    while (arena_alloc(run->arena, 1 << 20) != NULL)
        ;
    return err_set(run->e, ERR_OUT_OF_MEMORY, "Out of memory in the arena");
}

static int spin(const struct run_context *run)
{
    while (!run_canceled(run))
        sched_yield();
    return err_set(run->e, ERR_CANCELED, "The task was canceled");
}

static int append_number(const struct faulty_input *input)
{
    int fd = open(input->text.data, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return ERR_INTERNAL;
    write_bytes(fd, &input->number, sizeof input->number);
    close(fd);
    return 0;
}

_Noreturn static void raise_signal(const struct faulty_input *input)
{
    signal((int)input->number, SIG_DFL);
    for (;;)
        kill(getpid(), (int)input->number);
}

static void orphan_child(void)
{
    if (fork() != 0)
        return;
    struct pollfd service = {.fd = WORKER_FD};
    poll(&service, 1, -1); /* returns when the service closes its end of the socket */
    _exit(0);
}

static int run_action(const struct faulty_input *input, struct faulty_output *output, struct run_context *run)
{
    switch ((enum action)input->action) {
    case ACTION_FAIL:
        return err_set(run->e, (int)input->number, "%s", input->text.data);
    case ACTION_LARGE_OUTPUT:
        return large_output(input, output, run);
    case ACTION_EXHAUST_MEMORY:
        return exhaust_memory(run);
    case ACTION_CLOSE_SOCKET:
        close(WORKER_FD);
        return spin(run);
    case ACTION_SPIN:
        return spin(run);
    case ACTION_SIGNAL:
        write_bytes(STDERR_FILENO, input->text.data, input->text.len);
        raise_signal(input);
    case ACTION_ORPHAN_CHILD:
        orphan_child();
        _exit((int)input->number);
    case ACTION_EXIT:
        write_bytes(STDERR_FILENO, input->text.data, input->text.len);
        _exit((int)input->number);
    case ACTION_APPEND:
        if (append_number(input) != 0)
            return err_set(run->e, ERR_INTERNAL, "The number could not be written");
        break;
    case ACTION_UNSOLICITED_OUTPUT:
        unsolicited_output(input);
        break;
    case ACTION_BAD_SEQUENCE:
        bad_sequence(input);
        break;
    case ACTION_BAD_FRAME:
        bad_frame((enum bad_frame)input->number);
        break;
    case ACTION_SIGNAL_MASK:
        output->number = is_blocked(SIGCHLD) - is_blocked(SIGSEGV);
        return 0;
    case ACTION_STOP_READING:
        shutdown(WORKER_FD, SHUT_RD);
        break;
    case ACTION_CLOSE_STDERR:
        close(STDERR_FILENO);
        break;
    case ACTION_WAIT_GATE:
        gate_wait(gate_of(input));
        break;
    case ACTION_ECHO:
    case ACTION_COUNT:
        break;
    }
    return echo(input, output, run);
}

static int faulty_run(const void *in, void *out, struct run_context *run)
{
    const struct faulty_input *input = in;
    struct gate *gate = gate_of(input);
    if (gate != NULL)
        gate_enter(gate, input->number, run_canceled(run));
    int rc = run_action(input, out, run);
    if (gate != NULL)
        gate_exit(gate);
    return rc;
}

const struct function function_faulty = {
    .name = "action",
    .doc = "Misbehaves as its input says",
    .executor = EXECUTOR_PROCESSES,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &input_type,
    .output = &output_type,
    .run = faulty_run,
};

/* -- helpers ------------------------------------------------------------------------------------------------------- */

struct task_spec faulty_spec(struct fixture *f, enum action action, int64_t number, const char *text)
{
    struct task_spec spec = spec_of(f, &function_faulty);
    struct faulty_input *input = spec.input;
    input->action = (int)action;
    input->number = number;
    if (text != NULL && !arena_str(f->arena, text, strlen(text), &input->text))
        abort();
    return spec;
}

struct task_spec faulty_thread_spec(struct fixture *f, struct gate *gate, enum action action, int64_t number)
{
    struct task_spec spec = faulty_spec(f, action, number, "a text that lives in the arena");
    ((struct faulty_input *)spec.input)->gate = (int64_t)(uintptr_t)gate;
    spec.options.executor = EXECUTOR_THREADS;
    return spec;
}

const struct faulty_output *faulty_output(const struct waiter *w)
{
    return w->info.output;
}

bool faulty_is_worker(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], FAULTY_WORKER_FLAG) == 0;
}

int faulty_worker_main(int argc, char **argv)
{
    const struct function *function = &function_faulty;
    struct registry *registry;
    if (registry_new(&function, 1, &registry, NULL) != 0)
        return EXIT_FAILURE;
    int rc = worker_serve(registry, argc > 2 ? strtoll(argv[2], NULL, 10) : INTEGER_ABSENT);
    registry_unref(registry);
    return rc;
}

char *const faulty_worker_command[] = {(char[]){"/proc/self/exe"}, (char[]){FAULTY_WORKER_FLAG}, NULL};
