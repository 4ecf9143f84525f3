/* faulty_function - a function for threads and worker processes that does whatever the test asks for, however badly behaved.
 *
 * A test that starts worker processes is its own worker: its main() begins with
 *
 *     if (deed_is_worker(argc, argv))
 *         return deed_worker(argc, argv);
 *
 * Owns:     nothing.
 * Threads:  the deeds of threads meet in the struct stage that the test gives them.
 */
#ifndef GATHERD_TESTS_UNIT_SUPPORT_FAULTY_FUNCTION_H
#define GATHERD_TESTS_UNIT_SUPPORT_FAULTY_FUNCTION_H

#include "runtime/executors/run_context.h"
#include "tests/unit/support/runtime_fixture.h"

enum deed {
    /* anywhere */
    DEED_ECHO,  /* gives back its number and text, with the pid and tid that ran it */
    DEED_FAIL,  /* fails with the error code `number`, and the text as what there is to say */
    DEED_LARGE, /* gives back a text of `number` bytes */
    DEED_HOG,   /* allocates until there is no memory */
    DEED_SPIN,  /* runs until it is canceled; in a worker process for ever */
    DEED_NOTE,  /* appends its number to the file named `text`, then as DEED_ECHO */
    /* in worker processes */
    DEED_DIE,    /* of the signal `number`, with the text on stderr before */
    DEED_EXIT,   /* with the code `number`, with the text on stderr before */
    DEED_BABBLE, /* writes `number` bytes, all the text's first, to the service, then is as DEED_ECHO */
    DEED_FORGE,  /* writes `number` frames that look like answers to something else, then is as DEED_ECHO */
    DEED_CRAFT,  /* writes an answer of this kind (enum craft) to a worker's first request, then is as DEED_ECHO */
    DEED_DEAF,   /* takes nothing more from the service, then is as DEED_ECHO */
    DEED_MUTE,   /* closes its side of the socket, then is as DEED_SPIN */
    DEED_HUSH,   /* closes stderr, then is as DEED_ECHO */
    DEED_LEGACY, /* leaves a process behind that keeps socket and stderr open until the service
                   * hangs up, then is as DEED_EXIT */
    /* in threads */
    DEED_GATE, /* waits until the gate of its stage is open */
    DEED_MASK, /* gives back as its number whether SIGCHLD is blocked */
    DEEDS
};

enum craft {
    CRAFT_TOO_LONG, /* for any frame */
    CRAFT_RC_POSITIVE,
    CRAFT_RC_UNKNOWN,
    CRAFT_RC_LEAST,
    CRAFT_FAILED_WITH_OUTPUT,
    CRAFT_NO_OUTPUT,
    CRAFT_MORE_OUTPUT,
    CRAFT_ENDLESS_MESSAGE, /* without a NUL; from here on the answer is one that may be */
    CRAFT_MESSAGE_NO_UTF8,
    CRAFTS
};

/* Where the deeds of threads leave their traces. */
struct stage {
    uv_mutex_t mutex;
    uv_cond_t changed;
    bool open; /* the gate */
    size_t active, most_active, runs;
    size_t canceled_at_start; /* runs that began though they had been canceled */
    int64_t order[4096];      /* the numbers of the runs, in the order they began */
    int tids[64];             /* distinct ones */
    size_t tid_count;
};

struct stage *stage_new(void);
void stage_free(struct stage *s);
void stage_open(struct stage *s);
void stage_await_active(struct stage *s, size_t count); /* blocks until so many run at the same time */
size_t stage_runs(struct stage *s);

struct deed_output {
    int64_t number, pid, tid;
    struct str text;
};

extern const struct function function_deed; /* on processes unless the spec says otherwise */

struct task_spec deed_of(struct fixture *f, enum deed deed, int64_t number, const char *text);
struct task_spec thread_deed_of(struct fixture *f, struct stage *stage, enum deed deed, int64_t number);
const struct deed_output *deed_output(const struct watch *w); /* NULL when it has none */

#define DEED_WORKER "--worker"
bool deed_is_worker(int argc, char **argv);
int deed_worker(int argc, char **argv); /* with argv[2], if given, as its memory limit in bytes */
extern char *const deed_command[];      /* to start one */

#endif
