"""The command `prefloop`: every management command, as `manage.py` in a checkout."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the management command that the command line names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
