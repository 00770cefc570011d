"""The environment of a recipe: what programs, tensor libraries and trackers need, and no key that is not for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.outgoing import SERVERS_VARIABLE, NotAllowed, model_server

MORE_VARIABLE = "PREFLOOP_RECIPE_ENVIRONMENT"  # names, separated by commas, that the operator adds
TRACKERS_VARIABLE = "PREFLOOP_REPORT_TO"
PRECISION_VARIABLE = "PREFLOOP_PRECISION"

NAMES = {
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "XDG_CACHE_HOME"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TOKENIZERS_PARALLELISM"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *(TRACKERS_VARIABLE, "PREFLOOP_PLUGINS", PRECISION_VARIABLE, "RECIPE_OUTLIVES_PARENT", "SystemRoot"),
}
# Settings of the C library, Python, tensor libraries and accelerators. HF_TOKEN is not among them: models are prepared
# before a run.
BEGINNINGS = (
    *("LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "MALLOC_"),
    *("TORCH", "PYTORCH_", "TRANSFORMERS_", "ACCELERATE_", "TRITON_", "XLA_", "GLOO_", "NCCL_"),
    *("CUDA_", "CUBLAS_", "NVIDIA_", "ROCR_", "HIP_", "HSA_"),
)
OF_TRACKERS = {"wandb": "WANDB_", "trackio": "TRACKIO_"}


def environment_of_download(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the worker's environment for the recipe that fetches a base model: the hub's settings, too."""
    hub = {name: value for name, value in environment.items() if name.startswith(("HF_", "HUGGING_FACE_"))}
    return {**environment_of_recipe(environment, {}), **hub}


def environment_of_recipe(environment: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the part of the worker's environment that a recipe with these settings gets.

    Of the model servers and their keys it gets the one that its settings name.
    """
    names = NAMES | {name.strip() for name in environment.get(MORE_VARIABLE, "").split(",")}
    wanted = [name.strip() for name in environment.get(TRACKERS_VARIABLE, "").split(",")]
    beginnings = (*BEGINNINGS, *(OF_TRACKERS[name] for name in wanted if name in OF_TRACKERS))
    given = {name: value for name, value in environment.items() if name in names or name.startswith(beginnings)}
    given.pop(SERVERS_VARIABLE, None)
    if address := settings.get("server"):
        try:
            server = model_server(str(address), environment)
        except NotAllowed:
            return given  # the recipe says so in words
        given[SERVERS_VARIABLE] = f"{server.url}={server.key_variable}" if server.key_variable else server.url
        if server.key_variable in environment:
            given[server.key_variable] = environment[server.key_variable]
    return given
