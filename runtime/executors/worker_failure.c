#include "runtime/executors/worker_failure.h"

#include <signal.h>
#include <string.h>

const char *const worker_fault_names[WORKER_FAULT_COUNT + 1] = {
    [WORKER_EXITED] = "exited",
    [WORKER_SPAWN_FAILED] = "spawn_failed",
    [WORKER_START_TIMEOUT] = "start_timeout",
    [WORKER_PROTOCOL_ERROR] = "protocol_error",
    [WORKER_OUT_OF_MEMORY] = "out_of_memory",
};

void worker_failure_set_error(struct job *job, const struct worker_process *proc)
{
    const char *message = proc->stderr_tail_len > 0 ? "; last line on stderr: " : "";
    int stderr_tail_len = (int)proc->stderr_tail_len;
    if (proc->fault == ERR_OUT_OF_MEMORY) {
        err_nomem(&job->e);
    } else if (proc->fault != 0 && proc->exit_signal == SIGKILL) {
        err_set(&job->e, ERR_WORKER_CRASHED, "Worker process %d violated the protocol and was killed%s%.*s", job->pid,
                message, stderr_tail_len, proc->stderr_tail);
    } else if (proc->exit_signal != 0) {
        job->exit_signal = proc->exit_signal;
        err_set(&job->e, ERR_WORKER_CRASHED, "Worker process %d was killed by signal %d (%s)%s%.*s", job->pid,
                proc->exit_signal, strsignal(proc->exit_signal), message, stderr_tail_len, proc->stderr_tail);
    } else {
        job->exit_code = proc->exit_code;
        err_set(&job->e, ERR_WORKER_CRASHED, "Worker process %d exited with status %d during the task%s%.*s", job->pid,
                proc->exit_code, message, stderr_tail_len, proc->stderr_tail);
    }
}

static enum worker_fault classify_fault(const struct worker_process *proc, bool start_timed_out)
{
    if (proc->spawn_error != 0)
        return WORKER_SPAWN_FAILED;
    if (proc->exit_signal != SIGKILL) /* if the service sent SIGKILL, the process had exited before */
        return WORKER_EXITED;
    if (proc->fault != 0)
        return proc->fault == ERR_OUT_OF_MEMORY ? WORKER_OUT_OF_MEMORY : WORKER_PROTOCOL_ERROR;
    return start_timed_out ? WORKER_START_TIMEOUT : WORKER_EXITED;
}

void worker_failure_fill_event(struct worker_event *event, const struct worker_process *proc, bool start_timed_out,
                               char buffer[WORKER_MESSAGE_SIZE])
{
    event->fault = classify_fault(proc, start_timed_out);
    event->exit_code = -1;
    if (proc->stderr_tail_len > 0)
        event->stderr_tail = (struct str){proc->stderr_tail, proc->stderr_tail_len};
    if (event->fault == WORKER_SPAWN_FAILED)
        event->spawn_message = uv_strerror_r(proc->spawn_error, buffer, WORKER_MESSAGE_SIZE);
    else
        event->pid = proc->handle.pid;
    if (event->fault == WORKER_EXITED && proc->exit_signal == 0)
        event->exit_code = proc->exit_code;
    else if (event->fault == WORKER_EXITED)
        event->exit_signal = proc->exit_signal;
}
