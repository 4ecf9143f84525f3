/* faulty_function - a function for threads and worker processes that misbehaves as the test requests.
 *
 * A test that starts worker processes is its own worker: its main() begins with
 *
 *     if (faulty_is_worker(argc, argv))
 *         return faulty_worker_main(argc, argv);
 *
 * Owns:     nothing.
 * Threads:  actions in threads share the struct gate of the test.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_FAULTY_FUNCTION_H
#define GATHERD_TESTS_UNIT_SUPPORT_FAULTY_FUNCTION_H

#include "runtime/executors/run_context.h"
#include "tests/unit/support/runtime_fixture.h"

enum action {
    /* on any executor */
    ACTION_ECHO,           /* returns its number and text, and the pid and tid that ran it */
    ACTION_FAIL,           /* fails with error code `number` and the text as detail */
    ACTION_LARGE_OUTPUT,   /* returns a text of `number` bytes */
    ACTION_EXHAUST_MEMORY, /* allocates until memory is exhausted */
    ACTION_SPIN,           /* runs until canceled; in a worker process forever */
    ACTION_APPEND,         /* appends its number to the file named `text`, then echoes */
    /* only in worker processes */
    ACTION_SIGNAL,             /* writes the text to stderr and raises signal `number` */
    ACTION_EXIT,               /* writes the text to stderr and exits with status `number` */
    ACTION_UNSOLICITED_OUTPUT, /* sends `number` bytes, the first one of the text, then echoes */
    ACTION_BAD_SEQUENCE,       /* sends `number` frames with other sequence numbers, then echoes */
    ACTION_BAD_FRAME,          /* sends an enum bad_frame as response to the first request, then echoes */
    ACTION_STOP_READING,       /* stops reading requests, then echoes */
    ACTION_CLOSE_SOCKET,       /* closes the socket, then spins */
    ACTION_CLOSE_STDERR,       /* closes stderr, then echoes */
    ACTION_ORPHAN_CHILD,       /* leaves a child that keeps socket and stderr open, then exits */
    /* only in threads */
    ACTION_WAIT_GATE,   /* waits until the gate is open */
    ACTION_SIGNAL_MASK, /* returns as number whether SIGCHLD is blocked */
    ACTION_COUNT
};

enum bad_frame {
    BAD_FRAME_TOO_LONG, /* longer than any valid frame */
    BAD_FRAME_RC_POSITIVE,
    BAD_FRAME_RC_UNKNOWN,
    BAD_FRAME_RC_MIN,
    BAD_FRAME_ERROR_WITH_OUTPUT,
    BAD_FRAME_NO_OUTPUT,
    BAD_FRAME_TRAILING_BYTES,
    BAD_FRAME_UNTERMINATED_MESSAGE, /* this one and the following are accepted */
    BAD_FRAME_INVALID_UTF8,
    BAD_FRAME_COUNT
};

/* Shared state of actions in threads. */
struct gate {
    uv_mutex_t mutex;
    uv_cond_t changed;
    bool open; /* the gate */
    size_t active, max_active, runs;
    size_t canceled_at_start; /* runs that were canceled before they began */
    int64_t order[4096];      /* numbers of the runs, in starting order */
    int tids[64];             /* distinct ones */
    size_t tid_count;
};

struct gate *gate_new(void);
void gate_free(struct gate *s);
void gate_open(struct gate *s);
void gate_await_active(struct gate *s, size_t count); /* blocks until `count` runs are active */
size_t gate_run_count(struct gate *s);

struct faulty_output {
    int64_t number, pid, tid;
    struct str text;
};

extern const struct function function_faulty; /* default executor: processes */

struct task_spec faulty_spec(struct fixture *f, enum action action, int64_t number, const char *text);
struct task_spec faulty_thread_spec(struct fixture *f, struct gate *gate, enum action action, int64_t number);
const struct faulty_output *faulty_output(const struct waiter *w); /* NULL: no output */

#define FAULTY_WORKER_FLAG "--worker"
bool faulty_is_worker(int argc, char **argv);
int faulty_worker_main(int argc, char **argv); /* argv[2], if given: memory limit in bytes */
extern char *const faulty_worker_command[];    /* argv of a worker */

#endif
