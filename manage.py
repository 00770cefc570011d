#!/usr/bin/env python
from frontend.cli import main

if __name__ == "__main__":
    main()
