"""The command `prefloop`: every management command, as `manage.py` in a checkout; but `check` is `check_deployment`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the management command that the command line of `prefloop` names."""
    if sys.argv[1:2] == ["check"]:
        sys.argv[1] = "check_deployment"
    manage()


def manage() -> None:
    """Run the management command that the command line names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
