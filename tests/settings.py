"""Settings of the tests: those of the app, with a data folder of their own that is gone afterwards.

A process that a test starts finds the same folder by PREFLOOP_HOME, and otherwise the settings of the app.
"""

import atexit
import os
import shutil
import tempfile

if "PREFLOOP_TEST_FOLDER" not in os.environ:  # the processes of pytest-xdist share that of the first
    os.environ["PREFLOOP_TEST_FOLDER"] = tempfile.mkdtemp(prefix="prefloop-tests-")
    os.environ["PREFLOOP_TEST_PROCESS"] = str(os.getpid())
    atexit.register(shutil.rmtree, os.environ["PREFLOOP_TEST_FOLDER"], ignore_errors=True)
os.environ["PREFLOOP_HOME"] = os.path.join(os.environ["PREFLOOP_TEST_FOLDER"], f"home-{os.getpid()}")
os.environ["DJANGO_SETTINGS_MODULE"] = "frontend.settings"
os.environ["PREFLOOP_PRECISION"] = "float32"  # what a test finds does not depend on this processor
os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy tensors gain nothing from a second thread, and it is another test's
if "REDIS_URL" in os.environ and (worker := os.environ.get("PYTEST_XDIST_WORKER", "")):
    # A database of Redis for each process of a test run: emptying a cache empties its whole database.
    server, _, number = os.environ["REDIS_URL"].rpartition("/")
    if number == "0":
        os.environ["REDIS_URL"] = f"{server}/{1 + int(worker.removeprefix('gw')) % 15}"

from frontend.settings import *
from frontend.settings import CHANNEL_LAYERS, DATABASES, STORAGES

if DATABASES["default"]["ENGINE"] == "frontend.sqlite":
    options = DATABASES["default"]["OPTIONS"]
    options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")
    # A file: an in-memory database locks its tables in ways that a real one does not.
    file = os.path.join(os.environ["PREFLOOP_TEST_FOLDER"], f"{os.getpid()}.sqlite3")
    DATABASES["default"]["TEST"] = {"NAME": file}
if "CONFIG" in CHANNEL_LAYERS["default"]:  # messages go through one Redis, whatever the database
    CHANNEL_LAYERS["default"]["CONFIG"]["prefix"] = os.environ.get("PYTEST_XDIST_WORKER", "alone")

SECRET_KEY = "the same in every run, since chance is drawn with it"
UNKNOWN_TOKENS_PER_MINUTE = 10_000  # all tests come from one address
TRAINING_POLL_SECONDS = 0.05
TRAINING_HEARTBEAT_SECONDS = 0.2
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # hashing slowly proves nothing here
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
