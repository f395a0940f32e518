"""Coverage-guided, for as long as one likes: python -m tests.fuzz TARGET [CORPUS] [-max_total_time=SECONDS …]

Needs atheris, which is not among the development tools: pip install 'atheris>=3,<4'. What stands behind the
target goes to libFuzzer: https://llvm.org/docs/LibFuzzer.html#options
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main(arguments: list[str]) -> int:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: .venv/bin/pip install 'atheris>=3,<4'", file=sys.stderr)
        return 1
    with atheris.instrument_imports(include=["ironkv"]):
        from tests.fuzz.damage import good
        from tests.fuzz.targets import TARGETS
    if not arguments or arguments[0] not in TARGETS:
        print(f"{__doc__}\ntargets: {' '.join(TARGETS)}", file=sys.stderr)
        return 2
    target, *rest = arguments
    with tempfile.TemporaryDirectory() as seeds:
        for number, data in enumerate(good()[target]):
            (Path(seeds) / str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], *rest, seeds], TARGETS[target])
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
