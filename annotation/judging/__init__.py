"""Asking an AI judge: what it is shown, and what its verdict says. No database: a worker's threads do it."""
