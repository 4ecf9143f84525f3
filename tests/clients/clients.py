#!/usr/bin/python3
"""clients - generates TypeScript clients from the OpenAPI document of build/gatherd, compiles and calls them.

usage: clients.py [CLIENT]...           default: all; needs Node 20 or later, npm and a registry of packages

Lints the document (redocly.yaml), then for each client, with the generator's defaults:

  generate    build/clients/CLIENT/api
  compile     tsc --strict: calls.ts needs no cast, and each error in misspelled.ts is found
  call        run calls.ts against a service with an empty file root

CLIENT.ts exports the operations that calls.ts uses, with the types of that client. The packages of package.json are
installed in build/clients/.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api" / "support"))
from server import ROOT, Server  # noqa: E402

BUILD = ROOT / "build" / "clients"
DOCUMENT = BUILD / "openapi.yaml"
GENERATORS = {
    "openapi-fetch": ("openapi-typescript", DOCUMENT, "--output", "api.ts"),
    "orval": ("orval", "--input", DOCUMENT, "--output", "api.ts", "--client", "fetch"),
    "hey-api": ("openapi-ts", "--input", DOCUMENT, "--output", "api"),
}
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def run(stage, argv, cwd=BUILD, **env):
    """Runs a command, prints its output if it fails, and returns whether it succeeded."""
    done = subprocess.run([str(word) for word in argv], cwd=cwd, env={**os.environ, **QUIET, **env}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        print(done.stdout.rstrip())
    print(f"{stage}: {'failed' if done.returncode else 'passed'}", flush=True)
    return done.returncode == 0


def installed(name):
    return BUILD / "node_modules" / ".bin" / name


def install():
    """Installs the packages of package.json if it has changed; without their install scripts."""
    wanted = (HERE / "package.json").read_bytes()
    stamp = BUILD / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_bytes() == wanted:
        return True
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    (BUILD / "package.json").write_bytes(wanted)
    if not run("install", ("npm", "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund")):
        return False
    stamp.write_bytes(wanted)
    return True


@contextmanager
def service():
    """Runs build/gatherd with an empty file root; yields its URL."""
    with tempfile.TemporaryDirectory() as root:
        server = Server("--files-root", root, "--processes", "2", "--threads", "2")
        try:
            yield server.urls()[0]
        finally:
            server.stop()


def check(client):
    """Returns whether each stage passed. tsc writes JavaScript also after errors, so calls.js always runs."""
    folder = BUILD / client
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("tsconfig.json", "calls.ts", "misspelled.ts"):
        shutil.copy(HERE / name, folder)
    shutil.copy(HERE / f"{client}.ts", folder / "client.ts")
    program, *arguments = GENERATORS[client]
    if not run(f"{client}: generate", (installed(program), *arguments), folder):
        return [False]
    compiled = run(f"{client}: compile", (installed("tsc"), "--project", "."), folder)
    with service() as url:
        called = run(f"{client}: call", ("node", "--test-reporter=spec", "out/calls.js"), folder, GATHERD_URL=url)
    return [True, compiled, called]


def main(clients):
    unknown = [client for client in clients if client not in GENERATORS]
    if unknown:
        raise SystemExit(f"clients: unknown client {unknown[0]}; known are {', '.join(GENERATORS)}")
    if not install():
        raise SystemExit(1)
    shutil.copy(HERE / "tsconfig.json", BUILD)  # openapi-ts searches for it beside node_modules
    with service() as url, urllib.request.urlopen(f"{url}/openapi.yaml") as response:
        DOCUMENT.write_bytes(response.read())
    passed = [run("lint", (installed("redocly"), "lint", "--config", HERE / "redocly.yaml", DOCUMENT))]
    for client in clients or GENERATORS:
        passed += check(client)
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
