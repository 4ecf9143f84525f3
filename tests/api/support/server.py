"""server - starts gatherd, reads its addresses and log lines, and stops it.

Every server must exit with code 0 after SIGTERM, without a sanitizer report.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("GATHERD_BINARY") or str(ROOT / "build" / "gatherd")
# The environment without the tests' own GATHERD_* variables, which the service would reject.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GATHERD_")}
RELEASE = os.environ.get("GATHERD_BUILD", "release") == "release"

LISTENING = re.compile(r"^gatherd \d+\.\d+\.\d+ listening on (\S+)$")
ERROR_REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:"
                     r"|^gatherd: bug:", re.MULTILINE)
TIMEOUT = 60  # seconds; enough for a sanitizer build on a busy machine


def wait_until(condition, what, timeout_s=TIMEOUT):
    """Calls condition() until it returns a true value, and returns that value."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out after {timeout_s} s: {what}")
        time.sleep(0.005)


class Server:
    def __init__(self, *flags, listen=("127.0.0.1:0",), log_level="debug", log_format="json", env=(),
                 command_prefix=()):
        """Starts gatherd. command_prefix is a command that executes its arguments, such as ("prlimit", ...)."""
        argv = [*command_prefix, BINARY, "--log-format", log_format, "--log-level", log_level]
        for address in listen:
            argv += ["--listen", address]
        self.process = subprocess.Popen([*argv, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={**ENVIRONMENT, **dict(env)})
        self.pid = self.process.pid
        self.lines = {"stdout": [], "stderr": []}
        self._events = []
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self.lines]
        for reader in self._readers:
            reader.start()
        try:
            wait_until(lambda: len(self.urls()) == len(listen) or self.process.poll() is not None, "the listeners")
            assert self.process.poll() is None, f"gatherd exited with {self.process.returncode}: {self.stderr()}"
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _read(self, name):
        for raw in getattr(self.process, name):
            line = raw.decode("utf-8", "backslashreplace").rstrip("\n")
            with self._changed:
                self.lines[name].append(line)
                if line.startswith("{"):
                    event = json.loads(line)  # must be a log line in JSON format
                    assert {"time", "level", "event"} <= event.keys(), line
                    self._events.append(event)
                self._changed.notify_all()

    def urls(self):
        """The URLs of the listeners, in the order of the flags."""
        return [m.group(1) for m in map(LISTENING.match, list(self.lines["stdout"])) if m]

    def port(self, i=0):
        return int(self.urls()[i].rsplit(":", 1)[1])

    def stderr(self):
        return "\n".join(self.lines["stderr"])

    def events(self, **members):
        """The log lines written so far that have these members."""
        with self._changed:
            return [e for e in self._events if all(e.get(k) == v for k, v in members.items())]

    def wait_event(self, timeout_s=TIMEOUT, count=1, **members):
        """Waits for `count` log lines with these members, and returns the last of them."""
        found = []

        def has_enough():
            found[:] = [e for e in self._events if all(e.get(k) == v for k, v in members.items())]
            return len(found) >= count

        with self._changed:
            complete = self._changed.wait_for(has_enough, timeout_s)
        assert complete, f"{len(found)} of {count} log lines with {members}; the last lines: {self._events[-5:]}"
        return found[count - 1]

    def memory(self, field):
        """A field of /proc/PID/status, such as VmHWM, in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE).group(1)) * 1024

    def terminate(self):
        """Sends SIGTERM; call wait() or stop() afterwards."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=TIMEOUT):
        """Waits for a server to exit after a signal, and checks its exit code and stderr."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"gatherd did not exit within {timeout_s} s of SIGTERM") from None
        for reader in self._readers:
            reader.join(TIMEOUT)
        error_report = ERROR_REPORT.search(self.stderr())
        assert not error_report, self.stderr()
        assert code == 0, f"exit code {code}: {self.stderr()[-2000:]}"

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
        self.wait()


def run(*flags, timeout_s=TIMEOUT, env=()):
    """Runs gatherd until it exits, with flags that do not start the service."""
    return subprocess.run([BINARY, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout_s, check=False, text=True,
                          env={**ENVIRONMENT, **dict(env)})
