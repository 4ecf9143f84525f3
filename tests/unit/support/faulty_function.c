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

struct deed_input {
    int deed;
    int64_t number;
    struct str text;
    int64_t stage; /* a struct stage *, of this process; absent in others */
};

static const char *const deed_names[] = {"echo",  "fail",  "large", "hog",  "spin", "note",   "die",  "exit", "babble",
                                         "forge", "craft", "deaf",  "mute", "hush", "legacy", "gate", "mask", NULL};
_Static_assert(COUNT_OF(deed_names) == DEEDS + 1, "a name for each deed");

static const struct type deed_type = {.kind = TYPE_ENUM, .names = deed_names};
static const struct type number_type = {.kind = TYPE_INTEGER, .min = INT64_MIN + 1, .max = INT64_MAX};
static const struct type text_type = {.kind = TYPE_STRING, .min = 0, .max = INT64_MAX};
static const struct field input_fields[] = {
    {"deed", &deed_type, offsetof(struct deed_input, deed), FIELD_REQUIRED, NULL, "What to do", NULL},
    {"number", &number_type, offsetof(struct deed_input, number), FIELD_REQUIRED, NULL, "A number", NULL},
    {"text", &text_type, offsetof(struct deed_input, text), FIELD_OPTIONAL, NULL, "A text", NULL},
    {"stage", &number_type, offsetof(struct deed_input, stage), FIELD_OPTIONAL, NULL, "Where", NULL},
    {0},
};
static const struct field output_fields[] = {
    {"number", &number_type, offsetof(struct deed_output, number), FIELD_REQUIRED, NULL, "The number", NULL},
    {"pid", &number_type, offsetof(struct deed_output, pid), FIELD_REQUIRED, NULL, "Who", NULL},
    {"tid", &number_type, offsetof(struct deed_output, tid), FIELD_REQUIRED, NULL, "Who", NULL},
    {"text", &text_type, offsetof(struct deed_output, text), FIELD_OPTIONAL, NULL, "The text", NULL},
    {0},
};
static const struct type input_type = {
    .kind = TYPE_RECORD, .name = "DeedInput", .fields = input_fields, .size = sizeof(struct deed_input)};
static const struct type output_type = {
    .kind = TYPE_RECORD, .name = "DeedResult", .fields = output_fields, .size = sizeof(struct deed_output)};

/* -- the stage of threads ------------------------------------------------------------------------------------------ */

struct stage *stage_new(void)
{
    struct stage *s = calloc(1, sizeof *s);
    if (s == NULL || uv_mutex_init(&s->mutex) != 0 || uv_cond_init(&s->changed) != 0)
        abort();
    return s;
}

void stage_free(struct stage *s)
{
    uv_cond_destroy(&s->changed);
    uv_mutex_destroy(&s->mutex);
    free(s);
}

void stage_open(struct stage *s)
{
    uv_mutex_lock(&s->mutex);
    s->open = true;
    uv_cond_broadcast(&s->changed);
    uv_mutex_unlock(&s->mutex);
}

void stage_await_active(struct stage *s, size_t count)
{
    uv_mutex_lock(&s->mutex);
    while (s->active < count)
        uv_cond_wait(&s->changed, &s->mutex);
    uv_mutex_unlock(&s->mutex);
}

size_t stage_runs(struct stage *s)
{
    uv_mutex_lock(&s->mutex);
    size_t runs = s->runs;
    uv_mutex_unlock(&s->mutex);
    return runs;
}

static struct stage *stage_of(const struct deed_input *input)
{
    struct stage *stage;
    memcpy(&stage, &input->stage, sizeof(void *));
    return input->stage == INTEGER_ABSENT ? NULL : stage;
}

static void note_tid(struct stage *s, int tid)
{
    for (size_t i = 0; i < s->tid_count; i++)
        if (s->tids[i] == tid)
            return;
    if (s->tid_count < COUNT_OF(s->tids))
        s->tids[s->tid_count++] = tid;
}

static void enter(struct stage *s, int64_t number, bool canceled)
{
    uv_mutex_lock(&s->mutex);
    if (s->runs < COUNT_OF(s->order))
        s->order[s->runs] = number;
    s->runs++;
    s->canceled_at_start += canceled;
    if (++s->active > s->most_active)
        s->most_active = s->active;
    note_tid(s, gettid());
    uv_cond_broadcast(&s->changed);
    uv_mutex_unlock(&s->mutex);
}

static void pass_gate(struct stage *s)
{
    uv_mutex_lock(&s->mutex);
    while (!s->open)
        uv_cond_wait(&s->changed, &s->mutex);
    uv_mutex_unlock(&s->mutex);
}

static void leave(struct stage *s)
{
    uv_mutex_lock(&s->mutex);
    s->active--;
    uv_cond_broadcast(&s->changed);
    uv_mutex_unlock(&s->mutex);
}

/* -- the deeds ----------------------------------------------------------------------------------------------------- */

static void write_fully(int fd, const void *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0)
            return;
        bytes = (const char *)bytes + n;
        len -= (size_t)n;
    }
}

static void babble(const struct deed_input *input)
{
    char bytes[4096];
    memset(bytes, input->text.len > 0 ? input->text.at[0] : 0, sizeof bytes);
    for (size_t left = (size_t)input->number; left > 0;) {
        size_t n = left < sizeof bytes ? left : sizeof bytes;
        write_fully(WORKER_FD, bytes, n);
        left -= n;
    }
}

static void forge(const struct deed_input *input)
{
    const struct deed_output forged = {.number = -1, .pid = -1, .tid = -1};
    char bytes[sizeof(struct answer_frame) + 64];
    struct answer_frame frame = {.len = (uint32_t)type_serialized_size(&output_type, &forged)};
    memcpy(bytes, &frame, sizeof frame);
    type_serialize(&output_type, &forged, bytes + sizeof frame);
    for (int64_t i = 0; i < input->number; i++)
        write_fully(WORKER_FD, bytes, sizeof frame + frame.len);
}

static void craft(enum craft kind)
{
    static const int rcs[CRAFTS] = {
        [CRAFT_RC_POSITIVE] = 1,
        [CRAFT_RC_UNKNOWN] = -ERROR_COUNT - 1,
        [CRAFT_RC_LEAST] = INT32_MIN,
        [CRAFT_FAILED_WITH_OUTPUT] = ERR_INTERNAL,
        [CRAFT_ENDLESS_MESSAGE] = ERR_INTERNAL,
        [CRAFT_MESSAGE_NO_UTF8] = ERR_INTERNAL,
    };
    struct deed_output forged = {.number = -1, .pid = -1, .tid = -1};
    char bytes[sizeof(struct answer_frame) + 64] = {0};
    size_t len = type_serialized_size(&output_type, &forged);
    struct answer_frame frame = {.number = 1, .rc = rcs[kind]};
    if (kind == CRAFT_FAILED_WITH_OUTPUT || kind == CRAFT_MORE_OUTPUT)
        frame.len = (uint32_t)len + (kind == CRAFT_MORE_OUTPUT);
    memset(frame.msg, kind == CRAFT_MESSAGE_NO_UTF8 ? 0xFF : 'm', sizeof frame.msg - (kind == CRAFT_MESSAGE_NO_UTF8));
    type_serialize(&output_type, &forged, bytes + sizeof frame);
    len = sizeof frame + frame.len;
    if (kind == CRAFT_TOO_LONG)
        frame.len = FRAME_MOST + 1;
    memcpy(bytes, &frame, sizeof frame);
    write_fully(WORKER_FD, bytes, len);
}

static int is_blocked(int signum)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return sigismember(&blocked, signum);
}

static int echo(const struct deed_input *input, struct deed_output *output, struct run_context *run)
{
    output->number = input->number;
    output->pid = getpid();
    output->tid = gettid();
    if (input->text.at == NULL || arena_str(run->arena, input->text.at, input->text.len, &output->text))
        return 0;
    return err_set(run->e, ERR_OUT_OF_MEMORY, "There is no memory for the echo");
}

static int large(const struct deed_input *input, struct deed_output *output, struct run_context *run)
{
    char *text = arena_alloc(run->arena, (size_t)input->number + 1);
    if (text == NULL)
        return err_set(run->e, ERR_OUT_OF_MEMORY, "There is no memory for so much");
    memset(text, 'x', (size_t)input->number);
    output->text = (struct str){text, (size_t)input->number};
    return 0;
}

static int hog(struct run_context *run)
{
    while (arena_alloc(run->arena, 1 << 20) != NULL)
        ;
    return err_set(run->e, ERR_OUT_OF_MEMORY, "There is no more");
}

static int spin(const struct run_context *run)
{
    while (!run_canceled(run))
        sched_yield();
    return err_set(run->e, ERR_CANCELED, "Nobody waits any more");
}

static int note(const struct deed_input *input)
{
    int fd = open(input->text.at, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return ERR_INTERNAL;
    write_fully(fd, &input->number, sizeof input->number);
    close(fd);
    return 0;
}

_Noreturn static void die(const struct deed_input *input)
{
    signal((int)input->number, SIG_DFL);
    for (;;)
        kill(getpid(), (int)input->number);
}

static void leave_legacy(void)
{
    if (fork() != 0)
        return;
    struct pollfd service = {.fd = WORKER_FD};
    poll(&service, 1, -1); /* until it hangs up */
    _exit(0);
}

static int perform(const struct deed_input *input, struct deed_output *output, struct run_context *run)
{
    switch ((enum deed)input->deed) {
    case DEED_FAIL:
        return err_set(run->e, (int)input->number, "%s", input->text.at);
    case DEED_LARGE:
        return large(input, output, run);
    case DEED_HOG:
        return hog(run);
    case DEED_MUTE:
        close(WORKER_FD);
        return spin(run);
    case DEED_SPIN:
        return spin(run);
    case DEED_DIE:
        write_fully(STDERR_FILENO, input->text.at, input->text.len);
        die(input);
    case DEED_LEGACY:
        leave_legacy();
        _exit((int)input->number);
    case DEED_EXIT:
        write_fully(STDERR_FILENO, input->text.at, input->text.len);
        _exit((int)input->number);
    case DEED_NOTE:
        if (note(input) != 0)
            return err_set(run->e, ERR_INTERNAL, "The note could not be written");
        break;
    case DEED_BABBLE:
        babble(input);
        break;
    case DEED_FORGE:
        forge(input);
        break;
    case DEED_CRAFT:
        craft((enum craft)input->number);
        break;
    case DEED_MASK:
        output->number = is_blocked(SIGCHLD) - is_blocked(SIGSEGV);
        return 0;
    case DEED_DEAF:
        shutdown(WORKER_FD, SHUT_RD);
        break;
    case DEED_HUSH:
        close(STDERR_FILENO);
        break;
    case DEED_GATE:
        pass_gate(stage_of(input));
        break;
    case DEED_ECHO:
    case DEEDS:
        break;
    }
    return echo(input, output, run);
}

static int deed_run(const void *in, void *out, struct run_context *run)
{
    const struct deed_input *input = in;
    struct stage *stage = stage_of(input);
    if (stage != NULL)
        enter(stage, input->number, run_canceled(run));
    int rc = perform(input, out, run);
    if (stage != NULL)
        leave(stage);
    return rc;
}

const struct function function_deed = {
    .name = "deed",
    .doc = "Does as the test says",
    .executor = EXECUTOR_PROCESSES,
    .executors = EXECUTOR_BIT(EXECUTOR_THREADS) | EXECUTOR_BIT(EXECUTOR_PROCESSES),
    .input = &input_type,
    .output = &output_type,
    .run = deed_run,
};

/* -- for tests ----------------------------------------------------------------------------------------------------- */

struct task_spec deed_of(struct fixture *f, enum deed deed, int64_t number, const char *text)
{
    struct task_spec spec = spec_of(f, &function_deed);
    struct deed_input *input = spec.input;
    input->deed = (int)deed;
    input->number = number;
    if (text != NULL && !arena_str(f->arena, text, strlen(text), &input->text))
        abort();
    return spec;
}

struct task_spec thread_deed_of(struct fixture *f, struct stage *stage, enum deed deed, int64_t number)
{
    struct task_spec spec = deed_of(f, deed, number, "a text that lives in the arena");
    ((struct deed_input *)spec.input)->stage = (int64_t)(uintptr_t)stage;
    spec.options.executor = EXECUTOR_THREADS;
    return spec;
}

const struct deed_output *deed_output(const struct watch *w)
{
    return w->view.output;
}

bool deed_is_worker(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], DEED_WORKER) == 0;
}

int deed_worker(int argc, char **argv)
{
    const struct function *const table[] = {&function_deed, NULL};
    return worker_run(table, argc > 2 ? strtoll(argv[2], NULL, 10) : INTEGER_ABSENT);
}

char *const deed_command[] = {(char[]){"/proc/self/exe"}, (char[]){DEED_WORKER}, NULL};
