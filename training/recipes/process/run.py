"""The entry point of every recipe."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from training.methods import InvalidConfig, MethodConfig
from training.recipes.process import failures, precision, tracking
from training.recipes.process.errors import RecipeError
from training.recipes.process.fits import refuse_what_cannot_fit
from training.recipes.process.log import log_to_stdout, logger, remarks
from training.recipes.process.parent import die_with_parent
from training.recipes.process.resources import give_back_large_blocks, pick_device, use_all_cores, used
from training.recipes.process.seeds import seed_everything
from training.recipes.text.formats import chat_settings
from training.rundir import LOADING, Row, RunDir, TakenOver

_Config = TypeVar("_Config", bound=MethodConfig)


class _Terminated(BaseException):
    """SIGTERM arrived. Not an Exception, so that no `except Exception` on the way out swallows it."""


Recipe = Callable[[RunDir, _Config, Row], Row]


def run_recipe(recipe: Recipe[_Config], config_class: type[_Config]) -> NoReturn:
    """The program `python -m training.recipes.<recipe> RUN_DIR`.

    Exit code 0: result.json is there. 1, or NO_SPACE: failed for a reason that another attempt would meet again. Ended
    by a signal: worth another attempt, which resumes from the state of the last finished step.
    """
    log_to_stdout()
    if len(sys.argv) != 2:
        _leave("usage: python -m training.recipes.<recipe> RUN_DIR")
    signal.signal(signal.SIGTERM, _terminate)
    die_with_parent()
    give_back_large_blocks()
    use_all_cores()
    try:
        execute(recipe, config_class, RunDir(sys.argv[1]))
    except _Terminated:
        logger.info("Stopped by SIGTERM; the next attempt goes on from the last saved state")
        _end_by_signal()
    except TakenOver as other:
        _give_way(other)
    except (RecipeError, InvalidConfig) as problem:
        _end(str(problem))
        _leave(str(problem))
    except Exception as problem:
        reason = failures.in_words(problem, RunDir(sys.argv[1]))
        if not failures.is_lost_neighbour(problem):
            _end(str(problem) if reason is None else reason[0])
        if reason is None:
            raise
        _leave(*reason)
    raise SystemExit(0)


def execute(recipe: Recipe[_Config], config_class: type[_Config], run: RunDir) -> None:
    """Read config.json, run the recipe, write result.json last of all. A finished run is left alone.

    Of several processes of one run, the first writes the result; they all come to the same one.
    """
    if run.result() is not None:
        logger.info("Already finished: %s", run.result_path)
        return
    try:
        given = run.config()
        config = config_class(**given.get("settings", {}))
    except (FileNotFoundError, TypeError) as problem:
        raise RecipeError(str(problem)) from None
    tracking.attach(run)
    seed_everything(getattr(config, "seed", 0))
    remarks.clear()
    run.report_phase(LOADING)
    inputs = given.get("inputs", {})
    whole = getattr(config, "train", "") == "full"
    with chat_settings(inputs.get("chat")), precision.of_run(run, pick_device(), learns_whole=whole) as format:
        memory = refuse_what_cannot_fit(run, config, pick_device(), format)
        result = recipe(run, config, inputs)
    if "reference" in inputs.get("versions", {}):
        result["started_from"] = inputs["versions"]
    if int(os.environ.get("RANK", "0")) == 0:
        run.finish(
            {
                **result,
                "precision": str(format),
                **({"memory_forecast_mb": memory["total"]} if memory else {}),
                **({"remarks": list(remarks)} if remarks else {}),
                **used(),
            }
        )


def _end(reason: str) -> None:
    try:
        RunDir(sys.argv[1]).end(reason)
    except TakenOver as other:  # its successor's files are why it failed
        _give_way(other)


def _give_way(other: TakenOver) -> None:
    logger.info("Stopped: %s", other)
    _end_by_signal()


def _end_by_signal() -> None:
    """End as the system's SIGTERM ends a process: whoever started it may try again."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(message: str, exit_code: int = 1) -> NoReturn:
    logger.error("error: %s", message)
    raise SystemExit(exit_code)


def _terminate(signum: int, frame: object) -> None:
    raise _Terminated
