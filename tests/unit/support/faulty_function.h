/* faulty_function - a function for threads and worker processes that misbehaves as its input says.
 *
 * The executable of a test is also the program of its worker processes: its main() begins with
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
    ACTION_ECHO,           /* returns `number` and `text`, and the pid and tid that ran the action */
    ACTION_FAIL,           /* fails with the error code `number` and the detail `text` */
    ACTION_LARGE_OUTPUT,   /* returns a text of `number` bytes */
    ACTION_EXHAUST_MEMORY, /* allocates until memory is exhausted */
    ACTION_SPIN,           /* runs until canceled; in a worker process forever */
    ACTION_APPEND,         /* appends `number` to the file with the path `text`, then echoes */
    /* only in worker processes */
    ACTION_SIGNAL,             /* writes `text` to stderr and raises the signal `number` */
    ACTION_EXIT,               /* writes `text` to stderr and exits with the status `number` */
    ACTION_UNSOLICITED_OUTPUT, /* sends the first byte of `text` `number` times, then echoes */
    ACTION_BAD_SEQUENCE,       /* sends `number` responses with a wrong request number, then echoes */
    ACTION_BAD_FRAME,          /* sends a bad response, of kind `number` (enum bad_frame), then echoes */
    ACTION_STOP_READING,       /* shuts down the socket for reading, then echoes */
    ACTION_CLOSE_SOCKET,       /* closes the socket, then spins */
    ACTION_CLOSE_STDERR,       /* closes stderr, then echoes */
    ACTION_ORPHAN_CHILD,       /* forks a child that keeps the socket and stderr open, then exits */
    /* only in threads */
    ACTION_WAIT_GATE,   /* waits until the gate is open, then echoes */
    ACTION_SIGNAL_MASK, /* sets the output's number to 1 if SIGCHLD is blocked and SIGSEGV is not */
    ACTION_COUNT
};

enum bad_frame {
    BAD_FRAME_TOO_LONG, /* len exceeds FRAME_MAX_LEN */
    BAD_FRAME_RC_POSITIVE,
    BAD_FRAME_RC_UNKNOWN,
    BAD_FRAME_RC_MIN,
    BAD_FRAME_ERROR_WITH_OUTPUT,
    BAD_FRAME_NO_OUTPUT,
    BAD_FRAME_TRAILING_BYTES,
    BAD_FRAME_UNTERMINATED_MESSAGE, /* this and the next are not protocol errors */
    BAD_FRAME_INVALID_UTF8,
    BAD_FRAME_COUNT
};

/* Shared by actions in threads: counts their runs, and holds those of ACTION_WAIT_GATE until it is opened. */
struct gate {
    uv_mutex_t mutex; /* guards the other members */
    uv_cond_t changed;
    bool open;
    size_t active, max_active; /* runs that have begun and not ended, and their maximum */
    size_t runs;               /* runs that have begun */
    size_t canceled_at_start;  /* runs whose task was canceled before they began */
    int64_t order[4096];       /* input->number of each run, in the order in which they began */
    int tids[64];              /* the threads that ran them, without duplicates */
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
int faulty_worker_main(int argc, char **argv); /* argv[2], if present: memory limit in bytes */
extern char *const faulty_worker_command[];    /* argv of a worker process; ends with NULL */

#endif
