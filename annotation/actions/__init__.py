"""Writes that touch more than one row, or more than one table. Page, API and command call the same function.

Each module is a noun: projects, prompts, tasks, queue, seats, coverage, checks, practice, judgments, flags, presence,
quality, snapshots, tokens, webhooks.
"""


class NotPossible(Exception):
    """Something a person asked for cannot be done; the message is for them."""
