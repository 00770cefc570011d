"""One file of settings; everything that differs between machines comes from the environment.

PREFLOOP_HOME   folder of the database, snapshots, run directories, prepared models and collected static files
                (default: var/ in a checkout, otherwise the user's data folder, such as ~/.local/share/prefloop)
DATABASE_URL    e.g. postgres://user:password@host/name (default: SQLite in PREFLOOP_HOME)
REDIS_URL       channel layer and cache for several processes (default: in-process)
HF_ENDPOINT     the Hugging Face hub that data sets go to and come from (default: huggingface.co)
EMAIL_HOST      mail server (default: none, so no mail); with EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD,
                EMAIL_USE_TLS, EMAIL_USE_SSL, DEFAULT_FROM_EMAIL and EMAIL_BACKEND as Django has them
PREFLOOP_URL    where people reach this server, such as https://prefloop.example.org: mail links to it
PREFLOOP_WEBHOOK_PRIVATE  1: webhooks may go to addresses inside the own network
PREFLOOP_EXECUTOR  where runs run: the name of a module in training/executors/ or of an installed executor
                (default: local)
PREFLOOP_OIDC_ISSUER  address of the OpenID Connect provider that people sign in with; with PREFLOOP_OIDC_CLIENT_ID,
                PREFLOOP_OIDC_SECRET_FILE, PREFLOOP_OIDC_LABEL (on the button), PREFLOOP_OIDC_DOMAINS and
                PREFLOOP_OIDC_CLAIM (who gets in), PREFLOOP_OIDC_NEW_ACCOUNTS (invited, all or none) and
                PREFLOOP_OIDC_HOSTS (further hosts of the provider); docs/guides/sign-in.md
PREFLOOP_PASSWORDS  off: nobody signs in with a password
PREFLOOP_AUDIT_DAYS  days for which entries of the audit log are kept (default: for ever)
PREFLOOP_ROUND_RESPONSES, PREFLOOP_ROUND_TOKENS  what one round may generate (default: 2 million, 2,000 million)
PREFLOOP_MESSAGE_DAYS  days for which deliveries of webhooks and mails are kept (default: 30; 0: for ever)
PREFLOOP_METRICS_TOKEN  what Prometheus sends as a bearer token to read /metrics (default: there is no such address)
PREFLOOP_LOG    json: each line of the log is a JSON object, and each request has one (default: line)
PREFLOOP_MODEL_FOLDERS  folders, separated by commas, whose models project admins may name as base models
PREFLOOP_PROJECT_CREATORS  "permitted": who has the permission "Can add project" makes projects; "all": everybody
PREFLOOP_SECRET_KEY, PREFLOOP_HOSTS (comma-separated), PREFLOOP_DEBUG, PREFLOOP_HTTPS (1: cookies need TLS, and
                addresses without it lead to those with it)
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from django.conf.locale import LANG_INFO
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject
from django.utils.translation import to_language
from platformdirs import user_data_path

from annotation.outgoing import NotAllowed, checked_url
from frontend import secret_key
from frontend.accounts.single_sign_on import configuration

BASE_DIR = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (BASE_DIR / "manage.py").exists()
_default_home = BASE_DIR / "var" if IS_CHECKOUT else user_data_path("prefloop", appauthor=False)
HOME = Path(os.environ.get("PREFLOOP_HOME") or _default_home).expanduser().resolve()
DOCS_DIR = BASE_DIR / "docs" if IS_CHECKOUT else BASE_DIR / "frontend" / "docs"  # shown under Help


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


# Made at its first use: reading the settings writes nothing.
SECRET_KEY = os.environ.get("PREFLOOP_SECRET_KEY") or SimpleLazyObject(
    lambda: secret_key.read_or_make(HOME / "secret_key")
)
DEBUG = _flag("PREFLOOP_DEBUG")
ALLOWED_HOSTS = os.environ.get("PREFLOOP_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if "." in host and "*" not in host]

INSTALLED_APPS = [
    "frontend",
    "training",
    "annotation",
    "frontend.apps.RecordedAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "template_partials",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
]

MIDDLEWARE = [
    "frontend.serving.observed.observe",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "frontend.middleware.content_security_policy",
    "frontend.middleware.no_store",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "frontend.languages.AccountLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "frontend.middleware.origin_of_request",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "frontend.urls"
WSGI_APPLICATION = "frontend.wsgi.application"
ASGI_APPLICATION = "frontend.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"] if IS_CHECKOUT else [],  # a wheel has them in the app frontend
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["django.templatetags.i18n"],  # every page has texts to translate
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# Persistent connections: opening one costs about a millisecond, and pages run in a fixed set of threads.
DATABASES = {"default": dj_database_url.config(default=f"sqlite:///{HOME / 'db.sqlite3'}", conn_max_age=None)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # FULL syncs each commit: with NORMAL a loss of power may take back what people were told is stored.
    # IMMEDIATE takes the write lock when a transaction begins, so none dies half-way of "database is locked".
    DATABASES["default"]["ENGINE"] = "frontend.sqlite"
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

REDIS_URL = os.environ.get("REDIS_URL", "")
if REDIS_URL:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL]},
        }
    }
    CACHE: dict[str, Any] = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CACHE = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    CACHE["OPTIONS"] = {"MAX_ENTRIES": 20_000}  # counters of addresses are among them
CACHES = {"default": CACHE}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUTH_PASSWORD_VALIDATORS.append({"NAME": "annotation.actions.sign_ins.TokensEnd"})
PASSWORD_SIGN_IN = os.environ.get("PREFLOOP_PASSWORDS", "on").lower() not in ("off", "0", "no", "false")
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend" if PASSWORD_SIGN_IN else "frontend.accounts.backend.WithoutPasswords",
]
OIDC = configuration.from_environment(os.environ)
if not (PASSWORD_SIGN_IN or OIDC):
    raise ImproperlyConfigured("PREFLOOP_PASSWORDS=off leaves no way to sign in: set PREFLOOP_OIDC_ISSUER as well.")
ACCOUNT_ADAPTER = "frontend.accounts.single_sign_on.adapters.Accounts"
SOCIALACCOUNT_ADAPTER = "frontend.accounts.single_sign_on.adapters.People"
ACCOUNT_EMAIL_VERIFICATION = SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
# Ten wrong passwords for an account from one address: that address waits, and the account's owner elsewhere does not.
AXES_HANDLER = "frontend.accounts.limits.SignInAttempts"
AXES_CLIENT_IP_CALLABLE = "frontend.accounts.limits.client_network"
AXES_FAILURE_LIMIT = 10
SIGN_IN_FAILURES_PER_ADDRESS = 100  # over all accounts
UNKNOWN_TOKENS_PER_MINUTE = 30  # of one address
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "frontend.accounts.limits.locked_response"
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # the audit log has it
AXES_VERBOSE = False
PASSWORD_RESET_TIMEOUT = 3600  # seconds
PROJECT_CREATORS = os.environ.get("PREFLOOP_PROJECT_CREATORS") or "permitted"
if PROJECT_CREATORS not in ("all", "permitted"):
    raise ImproperlyConfigured("PREFLOOP_PROJECT_CREATORS is either 'all' or 'permitted'.")
AUDIT_DAYS = int(os.environ.get("PREFLOOP_AUDIT_DAYS") or 0)  # 0: entries are never deleted
if AUDIT_DAYS < 0:
    raise ImproperlyConfigured("PREFLOOP_AUDIT_DAYS is a number of days, or 0 to keep all entries.")
MESSAGE_DAYS = int(os.environ.get("PREFLOOP_MESSAGE_DAYS") or 30)  # 0: messages are never deleted
if MESSAGE_DAYS < 0:
    raise ImproperlyConfigured("PREFLOOP_MESSAGE_DAYS is a number of days, or 0 to keep all messages.")


def _most(variable: str, default: int) -> int:
    """Return a bound from the environment; empty means the default."""
    given = os.environ.get(variable, "").strip() or str(default)
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:20]) < 10**18):
        raise ImproperlyConfigured(f"{variable} is a whole number from 1 on, not {given[:40]!r}.")
    return int(given)


ROUND_MOST_RESPONSES = _most("PREFLOOP_ROUND_RESPONSES", 2_000_000)
ROUND_MOST_TOKENS = _most("PREFLOOP_ROUND_TOKENS", 2_000_000_000)
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
# English is in the code; each other language is a folder that `make messages` has compiled.
_translated = [folder.parent.parent.name for folder in Path(__file__).parent.glob("locale/*/LC_MESSAGES/django.mo")]
LANGUAGES = [(code, LANG_INFO[code]["name_local"]) for code in ("en", *sorted(map(to_language, _translated)))]
LANGUAGE_COOKIE_SAMESITE = "Lax"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"  # collected by `serve`, whenever the code has other files
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "frontend.storage.HashedStaticFiles"},
}
WHITENOISE_USE_FINDERS = DEBUG

# The rules themselves are in frontend/middleware.py.
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _flag("PREFLOOP_HTTPS")
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_SSL_REDIRECT else 0
# Rules for other addresses of the same domain are the operator's, and belong into the proxy.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotation.api.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "annotation.api.authentication.HasScope",
    ],
    "DEFAULT_PARSER_CLASSES": [
        "annotation.api.parsers.CleanedJSON",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "frontend.api.schema.Described",
    "DEFAULT_PAGINATION_CLASS": "annotation.api.pagination.OldestFirst",
    "EXCEPTION_HANDLER": "frontend.api.errors.explain",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Prefloop",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "frontend.api.schema.with_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "RunStatus": "training.models.RunStatus",
        "RoundStatus": "training.models.RoundStatus",
        "SeatStatus": "annotation.models.SeatStatus",
        "AIJudgeRunStatus": "annotation.models.AIJudgeRunStatus",
        "FlagReason": "annotation.models.FlagReason",
        "RejectReason": "annotation.models.RejectReason",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 60 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 1000  # of a folder; as many as an archive may have
SNAPSHOT_DIR = HOME / "snapshots"
RUN_DIR = HOME / "runs"
MODEL_DIR = HOME / "models"
# Of base models that project admins may name by path; others of the machine are for the operator alone.
MODEL_FOLDERS = [Path(each.strip()) for each in os.environ.get("PREFLOOP_MODEL_FOLDERS", "").split(",") if each.strip()]
WEBHOOK_ATTEMPTS = 8  # over about three hours
WEBHOOK_FIRST_WAIT_SECONDS = 10
WEBHOOK_PRIVATE_ADDRESSES = _flag("PREFLOOP_WEBHOOK_PRIVATE")
HUB_ENDPOINT = os.environ.get("HF_ENDPOINT") or None  # None: huggingface.co; the operator alone names it
try:  # training processes get the same address from the environment
    checked_url(HUB_ENDPOINT or "https://huggingface.co")
except NotAllowed as why:
    raise ImproperlyConfigured(f"HF_ENDPOINT: {why}") from why
PUBLIC_URL = os.environ.get("PREFLOOP_URL", "").rstrip("/")  # mail links to it
EMAIL_HOST = os.environ.get("EMAIL_HOST", "")  # empty: no mail is sent
EMAIL_USE_TLS, EMAIL_USE_SSL = _flag("EMAIL_USE_TLS"), _flag("EMAIL_USE_SSL")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT") or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25))
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_BACKEND = os.environ.get("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "prefloop@localhost")
TRAINING_EXECUTOR = os.environ.get("PREFLOOP_EXECUTOR") or "local"
TRAINING_POLL_SECONDS = 1.0
TRAINING_HEARTBEAT_SECONDS = 5.0  # how often a worker says that it is alive, and looks for a cancel or an alarm
# A worker that has given no sign of life for so long is gone, and another one takes its run.
TRAINING_HEARTBEAT_TIMEOUT_SECONDS = float(os.environ.get("PREFLOOP_LOST_AFTER_SECONDS", "60"))
# An engine says that a job runs while its node still fetches the image, for minutes, and without any sign of life.
TRAINING_BEGIN_SECONDS = float(os.environ.get("PREFLOOP_BEGIN_SECONDS") or 900)
TRAINING_MAX_ATTEMPTS = 3
TRAINING_ENGINE_POLL_SECONDS = 3.0  # how often Slurm or Ray is asked about a job
# From asking a run to stop to killing it: longer than an update of PPO takes, for what it saves at the end of one.
TRAINING_STOP_GRACE_SECONDS = float(os.environ.get("PREFLOOP_STOP_GRACE_SECONDS") or 30)
RAY_ADDRESS = os.environ.get("PREFLOOP_RAY", "").rstrip(
    "/"
)  # of its dashboard; whoever reaches that runs programs there
RAY_TOKEN = os.environ.get("PREFLOOP_RAY_TOKEN", "")
try:
    checked_url(RAY_ADDRESS or "http://127.0.0.1:8265")
except NotAllowed as why:
    raise ImproperlyConfigured(f"PREFLOOP_RAY: {why}") from why
# What an image runs, it runs under the worker's account: project admins choose among those that the operator lists.
EXECUTOR_IMAGES = [name.strip() for name in os.environ.get("PREFLOOP_IMAGES", "").split(",") if name.strip()]
SLURM_CONTAINER = os.environ.get("PREFLOOP_SLURM_CONTAINER", "")  # such as: apptainer exec --nv {image}
RECIPE_PYTHON = os.environ.get("PREFLOOP_RECIPE_PYTHON", "")  # on the machines of an engine; empty: the worker's own

LOG_FORMAT = os.environ.get("PREFLOOP_LOG") or "line"
if LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured("PREFLOOP_LOG is either 'line' or 'json'.")
METRICS_TOKEN = os.environ.get("PREFLOOP_METRICS_TOKEN", "")  # empty: no /metrics
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "frontend.serving.log_lines.Lines",
            "format": "{asctime} {levelname} {name}{of_request}: {message}",
            "style": "{",
        },
        "json": {"()": "frontend.serving.log_lines.JsonLines"},
        "bare": {"format": "{message}", "style": "{"},
    },
    "filters": {"without_stack": {"()": "frontend.serving.log_lines.WithoutStack"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["without_stack"]},
        "audit": {"class": "logging.StreamHandler", "formatter": "bare"},  # each line is one JSON object
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "axes": {"level": "WARNING"},  # the audit log has what it would say of each sign-in
        "prefloop.requests": {"level": "INFO" if LOG_FORMAT == "json" else "WARNING"},
        "prefloop.audit": {"handlers": ["audit"], "propagate": False},
    },
}
