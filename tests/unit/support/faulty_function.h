/* faulty_function - a function for threads and worker processes that does whatever the test asks for, however badly behaved.
 *
 * A test that starts worker processes is its own worker: its main() begins with
 *
 *     if (faulty_is_worker(argc, argv))
 *         return faulty_worker_main(argc, argv);
 *
 * Owns:     nothing.
 * Threads:  the deeds of threads meet in the struct stage that the test gives them.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_FAULTY_FUNCTION_H
#define GATHERD_TESTS_UNIT_SUPPORT_FAULTY_FUNCTION_H

#include "runtime/executors/run_context.h"
#include "tests/unit/support/runtime_fixture.h"

enum action {
    /* anywhere */
    ACTION_ECHO,           /* gives back its number and text, with the pid and tid that ran it */
    ACTION_FAIL,           /* fails with the error code `number`, and the text as what there is to say */
    ACTION_LARGE_OUTPUT,   /* gives back a text of `number` bytes */
    ACTION_EXHAUST_MEMORY, /* allocates until there is no memory */
    ACTION_SPIN,           /* runs until it is canceled; in a worker process for ever */
    ACTION_APPEND,         /* appends its number to the file named `text`, then as ACTION_ECHO */
    /* in worker processes */
    ACTION_SIGNAL,             /* of the signal `number`, with the text on stderr before */
    ACTION_EXIT,               /* with the code `number`, with the text on stderr before */
    ACTION_UNSOLICITED_OUTPUT, /* writes `number` bytes, all the text's first, to the service, then is as ACTION_ECHO */
    ACTION_BAD_SEQUENCE, /* writes `number` frames that look like answers to something else, then is as ACTION_ECHO */
    ACTION_BAD_FRAME, /* writes an answer of this kind (enum bad_frame) to a worker's first request, then is as ACTION_ECHO */
    ACTION_STOP_READING, /* takes nothing more from the service, then is as ACTION_ECHO */
    ACTION_CLOSE_SOCKET, /* closes its side of the socket, then is as ACTION_SPIN */
    ACTION_CLOSE_STDERR, /* closes stderr, then is as ACTION_ECHO */
    ACTION_ORPHAN_CHILD, /* leaves a process behind that keeps socket and stderr open until the service
                   * hangs up, then is as ACTION_EXIT */
    /* in threads */
    ACTION_WAIT_GATE,   /* waits until the gate of its stage is open */
    ACTION_SIGNAL_MASK, /* gives back as its number whether SIGCHLD is blocked */
    ACTION_COUNT
};

enum bad_frame {
    BAD_FRAME_TOO_LONG, /* for any frame */
    BAD_FRAME_RC_POSITIVE,
    BAD_FRAME_RC_UNKNOWN,
    BAD_FRAME_RC_MIN,
    BAD_FRAME_ERROR_WITH_OUTPUT,
    BAD_FRAME_NO_OUTPUT,
    BAD_FRAME_TRAILING_BYTES,
    BAD_FRAME_UNTERMINATED_MESSAGE, /* without a NUL; from here on the answer is one that may be */
    BAD_FRAME_INVALID_UTF8,
    BAD_FRAME_COUNT
};

/* Where the deeds of threads leave their traces. */
struct gate {
    uv_mutex_t mutex;
    uv_cond_t changed;
    bool open; /* the gate */
    size_t active, max_active, runs;
    size_t canceled_at_start; /* runs that began though they had been canceled */
    int64_t order[4096];      /* the numbers of the runs, in the order they began */
    int tids[64];             /* distinct ones */
    size_t tid_count;
};

struct gate *gate_new(void);
void gate_free(struct gate *s);
void gate_open(struct gate *s);
void gate_await_active(struct gate *s, size_t count); /* blocks until so many run at the same time */
size_t gate_run_count(struct gate *s);

struct faulty_output {
    int64_t number, pid, tid;
    struct str text;
};

extern const struct function function_faulty; /* on processes unless the spec says otherwise */

struct task_spec faulty_spec(struct fixture *f, enum action action, int64_t number, const char *text);
struct task_spec faulty_thread_spec(struct fixture *f, struct gate *gate, enum action action, int64_t number);
const struct faulty_output *faulty_output(const struct waiter *w); /* NULL when it has none */

#define FAULTY_WORKER_FLAG "--worker"
bool faulty_is_worker(int argc, char **argv);
int faulty_worker_main(int argc, char **argv); /* with argv[2], if given, as its memory limit in bytes */
extern char *const faulty_worker_command[];    /* to start one */

#endif
