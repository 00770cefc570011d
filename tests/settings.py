"""Settings of the tests: those of the app, with a data folder of their own that is gone afterwards.

A process that a test starts finds the same folder by PREFLOOP_HOME, and otherwise the settings of the app.
"""

import atexit
import os
import shutil
import tempfile

os.environ["PREFLOOP_HOME"] = tempfile.mkdtemp(prefix="prefloop-tests-")
atexit.register(shutil.rmtree, os.environ["PREFLOOP_HOME"], ignore_errors=True)
os.environ["DJANGO_SETTINGS_MODULE"] = "frontend.settings"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy tensors gain nothing from a second thread, and it is another test's

from frontend.settings import *
from frontend.settings import CHANNEL_LAYERS, DATABASES, STORAGES

if DATABASES["default"]["ENGINE"] == "frontend.sqlite":
    options = DATABASES["default"]["OPTIONS"]
    options["init_command"] = options["init_command"].replace("synchronous=NORMAL", "synchronous=OFF")
if "CONFIG" in CHANNEL_LAYERS["default"]:  # one Redis for all processes of a test run
    CHANNEL_LAYERS["default"]["CONFIG"]["prefix"] = os.environ.get("PYTEST_XDIST_WORKER", "alone")

TRAINING_POLL_SECONDS = 0.05
TRAINING_HEARTBEAT_SECONDS = 0.2
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # hashing slowly proves nothing here
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
