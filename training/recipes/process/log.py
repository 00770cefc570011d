"""The log of a run: plain lines on standard output."""

from __future__ import annotations

import logging
import sys
import warnings

import transformers

logger = logging.getLogger("recipe")
remarks: list[str] = []  # of this run, for its result and its page


def remark(text: str) -> None:
    """Log what the person who started the run should know, and keep it for result.json; each text once."""
    if text not in remarks:
        remarks.append(text)
        logger.info("%s", text)


def log_to_stdout() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("httpx", "filelock", "peft", "huggingface_hub", "bitsandbytes"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    # PEFT and TRL ask transformers by a name that it is giving up; the reader of a log can do nothing about it.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    # Progress bars are for terminals; a log file has lines.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
