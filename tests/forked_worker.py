"""A process of pytest-xdist that is forked (forked.py): runs what its parent sends first, as `python -c` would."""

import sys

if __name__ == "__main__":
    exec(eval(sys.stdin.readline()))
