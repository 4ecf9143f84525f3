"""openapi.yaml is what the program prints: check_openapi.py GATHERD OPENAPI_YAML"""

import difflib
import subprocess
import sys
from pathlib import Path

LINES_SHOWN = 40


def main(gatherd, path):
    committed = Path(path).read_bytes()
    printed = subprocess.run([gatherd, "--print-openapi", "yaml"], stdout=subprocess.PIPE, check=True, env={}).stdout
    if printed == committed:
        print(f"{path}: {committed.count(bytes([10]))} lines, as printed")
        return 0
    lines = [text.decode("utf-8").splitlines() for text in (committed, printed)]
    difference = list(difflib.unified_diff(*lines, "openapi.yaml", "printed", n=1, lineterm=""))
    print("\n".join(difference[:LINES_SHOWN]))
    print("openapi.yaml differs from gatherd --print-openapi yaml: run ./dev openapi")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
