"""A script that is forked (forked.py): `command("tests.forked_script", FILE, …)` runs it as `python FILE …` would."""

import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
