"""Tests of all parts. PREFLOOP_TESTS=nightly asks for their longer forms."""

import os

NIGHTLY = os.environ.get("PREFLOOP_TESTS") == "nightly"
