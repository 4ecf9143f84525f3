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
TROUBLE = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:"
                     r"|^gatherd: bug:", re.MULTILINE)
PATIENCE = 30  # seconds until a condition that must come is given up, with sanitizers and a busy machine in mind


def wait_until(condition, what, patience=PATIENCE):
    """Returns condition()'s first true value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: did not come within {patience} s")
        time.sleep(0.005)


class Server:
    def __init__(self, *flags, listen=("127.0.0.1:0",), log_level="debug", log_format="json", env=(), before=()):
        """`before` is a command that becomes the service: it gets its command line as arguments."""
        argv = [*before, BINARY, "--log-format", log_format, "--log-level", log_level]
        for address in listen:
            argv += ["--listen", address]
        self.process = subprocess.Popen([*argv, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={**ENVIRONMENT, **dict(env)})
        self.pid = self.process.pid
        self.lines = {"stdout": [], "stderr": []}
        self._events = []
        self._news = threading.Condition()
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
            with self._news:
                self.lines[name].append(line)
                if line.startswith("{"):
                    event = json.loads(line)  # what looks like a line of the log has to be one
                    assert {"time", "level", "event"} <= event.keys(), line
                    self._events.append(event)
                self._news.notify_all()

    def urls(self):
        """Where it listens, in the order of the flags."""
        return [m.group(1) for m in map(LISTENING.match, list(self.lines["stdout"])) if m]

    def port(self, i=0):
        return int(self.urls()[i].rsplit(":", 1)[1])

    def stderr(self):
        return "\n".join(self.lines["stderr"])

    def events(self, **wanted):
        """The lines of the log so far that have these members."""
        with self._news:
            return [e for e in self._events if all(e.get(k) == v for k, v in wanted.items())]

    def wait_event(self, patience=PATIENCE, count=1, **wanted):
        """The last of the first `count` lines of the log that have these members, as soon as there are so many."""
        found = []

        def enough():
            found[:] = [e for e in self._events if all(e.get(k) == v for k, v in wanted.items())]
            return len(found) >= count

        with self._news:
            came = self._news.wait_for(enough, patience)
        assert came, f"the log has {len(found)} of {count} lines with {wanted}; its last are {self._events[-5:]}"
        return found[count - 1]

    def memory(self, field):
        """A line of /proc/PID/status such as VmHWM, in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE).group(1)) * 1024

    def terminate(self):
        """Sends SIGTERM. To be followed by stop()."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, patience=PATIENCE):
        """Waits for the end of a server that was told to end, and judges it."""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"gatherd did not end within {patience} s of SIGTERM") from None
        for reader in self._readers:
            reader.join(PATIENCE)
        trouble = TROUBLE.search(self.stderr())
        assert not trouble, self.stderr()
        assert code == 0, f"exit code {code}: {self.stderr()[-2000:]}"

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
        self.wait()


def run(*flags, patience=PATIENCE, env=()):
    """Runs gatherd to its end: for flags that don't start a service."""
    return subprocess.run([BINARY, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=patience, check=False, text=True,
                          env={**ENVIRONMENT, **dict(env)})
