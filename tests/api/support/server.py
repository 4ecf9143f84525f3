"""server - starts gatherd, reads where it listens and what it logs, and ends it properly.

Every server that a test starts has to end by SIGTERM with exit code 0, and without a word from a sanitizer.
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
# The tests' own variables are none of the service's options.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GATHERD_")}
RELEASE = os.environ.get("GATHERD_BUILD", "release") == "release"

LISTENING = re.compile(r"^gatherd \d+\.\d+\.\d+ listening on (\S+)$")
ERROR_REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:"
                     r"|^gatherd: bug:", re.MULTILINE)
TIMEOUT = 30  # seconds until a condition that must come is given up, with sanitizers and a busy machine in mind


def wait_until(condition, what, timeout_s=TIMEOUT):
    """Returns condition()'s first true value."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: did not come within {timeout_s} s")
        time.sleep(0.005)


class Server:
    def __init__(self, *flags, listen=("127.0.0.1:0",), log_level="debug", log_format="json", env=(), command_prefix=()):
        """`before` is a command that becomes the service: it gets its command line as arguments."""
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
            assert self.process.poll() is None, f"gatherd ended with {self.process.returncode}: {self.stderr()}"
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
                    event = json.loads(line)  # what looks like a line of the log has to be one
                    assert {"time", "level", "event"} <= event.keys(), line
                    self._events.append(event)
                self._changed.notify_all()

    def urls(self):
        """Where it listens, in the order of the flags."""
        return [m.group(1) for m in map(LISTENING.match, list(self.lines["stdout"])) if m]

    def port(self, i=0):
        return int(self.urls()[i].rsplit(":", 1)[1])

    def stderr(self):
        return "\n".join(self.lines["stderr"])

    def events(self, **members):
        """The lines of the log so far that have these members."""
        with self._changed:
            return [e for e in self._events if all(e.get(k) == v for k, v in members.items())]

    def wait_event(self, timeout_s=TIMEOUT, count=1, **members):
        """The last of the first `count` lines of the log that have these members, as soon as there are so many."""
        found = []

        def has_enough():
            found[:] = [e for e in self._events if all(e.get(k) == v for k, v in members.items())]
            return len(found) >= count

        with self._changed:
            complete = self._changed.wait_for(has_enough, timeout_s)
        assert complete, f"the log has {len(found)} of {count} lines with {members}; its last are {self._events[-5:]}"
        return found[count - 1]

    def memory(self, field):
        """A line of /proc/PID/status such as VmHWM, in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE).group(1)) * 1024

    def terminate(self):
        """Sends SIGTERM. To be followed by stop()."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=TIMEOUT):
        """Waits for the end of a server that was told to end, and judges it."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"gatherd did not end within {timeout_s} s of SIGTERM") from None
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
    """Runs gatherd to its end: for flags that don't start a service."""
    return subprocess.run([BINARY, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout_s, check=False, text=True,
                          env={**ENVIRONMENT, **dict(env)})
