#!/usr/bin/env python
from frontend.cli import manage

if __name__ == "__main__":
    manage()
