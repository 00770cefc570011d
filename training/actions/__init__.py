"""What admins and the worker do to rounds and runs. Page, API, command and worker call the same functions."""
