"""Writes that touch more than one row or table. Page, API and command call the same function."""
