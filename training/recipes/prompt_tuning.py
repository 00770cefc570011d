"""A classifier from a language model, a template and a verbalizer: `python -m training.recipes.prompt_tuning RUN_DIR`.

config.json's inputs: "policy" (the model), "templates" (none for tuning "head") and "verbalizer" (label → words).
data.jsonl: {"text" or "text_a", "text_b"; "label"; "split"}. The template is chosen on the few-shot rows, never on the
rows that are tested on. What is left in checkpoint/: the adapter or the weights, and classifier.json.
"""

from __future__ import annotations

import copy
import json
import resource
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from annotation.stats.bootstrap import mean_interval, rounded
from training.methods import PromptTuningConfig
from training.prompt_tuning.cloze import InvalidTemplate, InvalidVerbalizer, Template, Verbalizer
from training.recipes.models.classifiers import ASKED, VECTORS, Classifier, load_classifier, weights_that_learn
from training.recipes.models.label_scores import all_scores, batch_prior, calibrated, contextual_prior
from training.recipes.process.errors import RecipeError
from training.recipes.process.files import replace_folder, required_path
from training.recipes.process.log import logger
from training.recipes.process.pace import SavingPace
from training.recipes.process.resources import Stopwatch, peak_rss_mb, pick_device
from training.recipes.process.run import run_recipe
from training.recipes.process.seeds import generator
from training.recipes.text.prompts import Refused
from training.recipes.text.shots import Shots, macro_f1, sample_shots
from training.rundir import TRAINING, Row, RunDir

# AdamW's rates that work: a soft prompt hardly moves at rates that suit an adapter (peft #710).
LEARNING_RATES = {
    "soft_prompt": 3e-2,
    "p_tuning": 1e-3,
    "prefix": 1e-2,
    "cloze lora": 5e-4,
    "cloze full": 2e-5,
    "head lora": 5e-4,
    "head full": 2e-5,
}
TOGETHER = 32  # rows scored at once
STATE_WEIGHTS, STATE_BEST, STATE_REST = "weights.safetensors", "best.safetensors", "rest.pt"


def train_classifier(run: RunDir, config: PromptTuningConfig, inputs: Row) -> Row:
    """Tune a classifier on few labelled rows and test it; return the result, with checkpoint/ written."""
    # 1. Rows, templates, model.
    path = required_path(inputs, "policy")
    templates, verbalizer = parse_inputs(inputs, config)
    rows = list(run.rows())
    shots = sample_shots(rows, verbalizer.labels, 0 if config.tuning == "zero_shot" else config.shots, config.seed)
    torch.manual_seed(config.seed)  # a new head, a soft prompt and an adapter begin at random
    classifier = load_classifier(path, pick_device(), config, templates, verbalizer)
    watch = Stopwatch()

    # 2. Every template as it is; the one to learn with is the best on the few-shot rows.
    tried: list[Row] = []
    with watch.measure("templates"):
        if len(templates) > 1 and config.tuning not in ("zero_shot", "head"):
            tried = [figures_of(classifier, template, shots.dev, config)[0] for template in templates]
            chosen = max(range(len(templates)), key=lambda place: tried[place][config.calibration])
            classifier.use(templates[chosen])
            logger.info("Template chosen on %d rows: %s", len(shots.dev), templates[chosen].body)

    # 3. Training.
    began = resource.getrusage(resource.RUSAGE_SELF)
    examples = classifier.show(alternating(shots)) if config.tuning == "in_context" else 0
    if config.tuning not in ASKED:
        with watch.measure("train"):
            learn(run, config, classifier, shots)
    cpu = cpu_seconds(began)

    # 4. Test, look at what has no label yet, save.
    with watch.measure("test"):
        if config.tuning == "zero_shot":
            tested = [figures_of(classifier, template, shots.test, config) for template in templates]
            result = zero_shot_result(tested, shots, config)
        else:
            result = test(classifier, classifier.template, shots.test, config)
    with watch.measure("pool"):
        log_margins(run, classifier, [row for row in rows if row["split"] == "pool"])
    with watch.measure("reload"):
        save(run, classifier, path, config, shots)
    return {
        **result,
        "template": classifier.template.body if classifier.template else None,
        "templates": tried,
        "labels": shots.labels,
        **({"examples": examples} if examples else {}),
        "shots": len(shots.train) + len(shots.dev) if config.tuning != "zero_shot" else 0,
        "n": len(shots.test),
        "majority": round(max(Counter(row["label"] for row in shots.test).values()) / len(shots.test), 4),
        "trainable_parameters": sum(tensor.numel() for tensor in weights_that_learn(classifier.model).values()),
        "artefact_bytes": sum(file.stat().st_size for file in run.checkpoint_path.rglob("*") if file.is_file()),
        "rows": {"in": len(rows), "used": len(shots.train) + len(shots.dev) + len(shots.test)},
        "cpu_seconds": cpu,
        "seconds": watch.total(),
        "seconds_by_stage": watch.rounded(),
        "peak_rss_mb": peak_rss_mb(),
    }


def parse_inputs(inputs: Row, config: PromptTuningConfig) -> tuple[list[Template], Verbalizer]:
    """Return the templates and the verbalizer of config.json. Raises RecipeError where one is wrong or missing."""
    try:
        templates = [Template.parse(body) for body in inputs.get("templates") or []]
        verbalizer = Verbalizer(inputs.get("verbalizer") or {})
    except (InvalidTemplate, InvalidVerbalizer) as problem:
        raise RecipeError(str(problem)) from None
    if not templates and config.tuning != "head":
        raise RecipeError("config.json names no inputs.templates")
    return templates, verbalizer


def alternating(shots: Shots) -> list[Row]:
    """Return the examples to show, labels in turn: after many of one label the model tends to repeat it."""
    by_label = [[row for row in shots.train if row["label"] == label] for label in shots.labels]
    return [row for turn in zip_longest(*by_label) for row in turn if row is not None]


# --- learning --------------------------------------------------------------------------------------------------


def learn(run: RunDir, config: PromptTuningConfig, classifier: Classifier, shots: Shots) -> None:
    """Minimise cross-entropy over label scores; keep the epoch with the least loss on the dev rows."""
    model, device = classifier.model, pick_device()
    blanks, wanted = read(classifier, shots.train, shots.labels)
    dev_blanks, dev_wanted = read(classifier, shots.dev, shots.labels)
    steps = -(-len(blanks) // config.batch_size)
    rate = (
        config.learning_rate
        or LEARNING_RATES[config.tuning if config.tuning in VECTORS else f"{config.tuning} {config.train}"]
    )
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learned:
        raise AssertionError("nothing in the model learns")
    optimizer = torch.optim.AdamW(learned, lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (steps * config.epochs))
    epoch, least, best = resume(run, model, optimizer, schedule)
    run.rewind(epoch * steps)
    pace = SavingPace()
    run.report_phase(TRAINING)
    while epoch < config.epochs:
        order = torch.randperm(len(blanks), generator=generator(config.seed, "epoch", epoch))
        for number, chosen in enumerate(order.split(config.batch_size), start=epoch * steps + 1):
            scores = classifier.scorer.scores([blanks[row] for row in chosen.tolist()])
            loss = nn.functional.cross_entropy(scores, wanted[chosen].to(device))
            if not loss.isfinite():
                raise RecipeError("The loss is not a number any more: the learning rate is too large")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(learned, 1.0)
            rate_now = optimizer.param_groups[0]["lr"]
            optimizer.step()
            schedule.step()
            run.log_metrics(
                number,
                **{
                    "prompt_tuning/loss": loss.item(),
                    "prompt_tuning/grad_norm": norm.item(),
                    "prompt_tuning/lr": rate_now,
                },
            )
            run.report_progress(number, steps * config.epochs, "steps")
        epoch += 1
        dev = all_scores(classifier.scorer, dev_blanks, TOGETHER)
        dev_loss = float(nn.functional.cross_entropy(dev, dev_wanted))
        logger.info(
            "epoch %d: loss %.3f on the rows to choose by, accuracy %.3f",
            epoch,
            dev_loss,
            float((dev.argmax(-1) == dev_wanted).float().mean()),
        )
        if dev_loss < least:
            least, best = dev_loss, copy.deepcopy(weights_that_learn(model))
        if epoch == config.epochs or pace.is_due(epoch):
            with pace.saving():
                keep_state(run, model, optimizer, schedule, epoch, least, best)
    set_weights(model, best)


def keep_state(
    run: RunDir, model: nn.Module, optimizer: Any, schedule: Any, epoch: int, least: float, best: dict[str, Tensor]
) -> None:
    def write(folder: Path) -> None:
        save_file(weights_that_learn(model), folder / STATE_WEIGHTS)
        save_file(best, folder / STATE_BEST)
        rest = {"optimizer": optimizer.state_dict(), "schedule": schedule.last_epoch, "epoch": epoch, "least": least}
        torch.save(rest, folder / STATE_REST)

    run.save_state(write)


def resume(run: RunDir, model: nn.Module, optimizer: Any, schedule: Any) -> tuple[int, float, dict[str, Tensor]]:
    """Load an earlier attempt's state; return the epochs done, the least dev loss so far and its weights."""
    folder = run.load_state()
    if folder is None:
        return 0, float("inf"), copy.deepcopy(weights_that_learn(model))
    set_weights(model, load_file(folder / STATE_WEIGHTS))
    rest = torch.load(folder / STATE_REST, weights_only=True)
    optimizer.load_state_dict(rest["optimizer"])
    schedule.last_epoch = rest["schedule"]
    logger.info("Resuming after epoch %d", rest["epoch"])
    return rest["epoch"], rest["least"], load_file(folder / STATE_BEST)


@torch.no_grad()
def set_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for name, tensor in weights.items():
        parameters[name].copy_(tensor)


def read(classifier: Classifier, rows: Sequence[Row], labels: Sequence[str]) -> tuple[list[Any], Tensor]:
    """Return the tokens of every row. Raises RecipeError where a template leaves no room for a row's text."""
    try:
        blanks = [classifier.scorer.read(row) for row in rows]
    except Refused as problem:
        raise RecipeError(f"max_length is too small: {problem}") from None
    except KeyError as slot:
        raise RecipeError(f"A row has no {slot}, which the template asks for") from None
    return blanks, torch.tensor([labels.index(row["label"]) for row in rows])


# --- figures ---------------------------------------------------------------------------------------------------


def figures_of(
    classifier: Classifier, template: Template, rows: Sequence[Row], config: PromptTuningConfig
) -> tuple[Row, Tensor]:
    """Return a template's accuracy by calibration with counts of predicted labels, and the calibrated scores."""
    classifier.use(template)
    labels = classifier.scorer.labels
    blanks, wanted = read(classifier, rows, labels)
    scores = all_scores(classifier.scorer, blanks, TOGETHER)
    context = contextual_prior(classifier.scorer, template, TOGETHER)
    by_calibration = {
        "none": scores.log_softmax(-1),
        "contextual": calibrated(scores, context),
        "prior": calibrated(scores, batch_prior(scores)),
    }
    said = by_calibration[config.calibration].argmax(-1)
    return {
        "template": template.body,
        **{
            name: round(float((found.argmax(-1) == wanted).float().mean()), 4) for name, found in by_calibration.items()
        },
        "said": {label: int((said == place).sum()) for place, label in enumerate(labels)},
        "cut": sum(blank.cut > 0 for blank in blanks),
    }, by_calibration[config.calibration]


def zero_shot_result(found: list[tuple[Row, Tensor]], shots: Shots, config: PromptTuningConfig) -> Row:
    """Return the figures of every template, their spread, and those of the ensemble of calibrated log-probabilities.

    Without labelled rows the best template is unknown, so the ensemble is the method's figure.
    """
    tested = [figures for figures, _ in found]
    ensemble = torch.stack([scores for _, scores in found]).mean(0)
    figures = {**accuracy(ensemble, shots.test, shots.labels), "tested": tested}
    own = [row[config.calibration] for row in tested]
    return {**figures, "spread": {"least": min(own), "mean": round(sum(own) / len(own), 4), "most": max(own)}}


def test(classifier: Classifier, template: Template | None, rows: Sequence[Row], config: PromptTuningConfig) -> Row:
    blanks, _ = read(classifier, rows, classifier.scorer.labels)
    scores = all_scores(classifier.scorer, blanks, TOGETHER)
    if template is not None and config.calibration != "none":
        prior = (
            contextual_prior(classifier.scorer, template, TOGETHER)
            if config.calibration == "contextual"
            else batch_prior(scores)
        )
        scores = calibrated(scores, prior)
    return accuracy(scores, rows, classifier.scorer.labels)


def accuracy(scores: Tensor, rows: Sequence[Row], labels: Sequence[str]) -> Row:
    """Return the accuracy with its 95 % bootstrap interval, macro F1, and counts of predicted labels."""
    given = [labels[place] for place in scores.argmax(-1).tolist()]
    right = torch.tensor([float(label == row["label"]) for label, row in zip(given, rows, strict=True)])
    return {
        "accuracy": round(float(right.mean()), 4),
        "ci95": rounded(mean_interval(right.tolist())),
        "macro_f1": round(macro_f1([row["label"] for row in rows], given), 4),
        "said": {label: given.count(label) for label in labels},
        "wanted": {label: sum(row["label"] == label for row in rows) for label in labels},
    }


def log_margins(run: RunDir, classifier: Classifier, rows: Sequence[Row]) -> None:
    """Log the margin between the two likeliest labels of each unlabelled row: what to label next."""
    if not rows:
        return
    blanks = [classifier.scorer.read(row) for row in rows]
    best = all_scores(classifier.scorer, blanks, TOGETHER).softmax(-1).topk(2, dim=-1).values
    for row, (first, second) in zip(rows, best.tolist(), strict=True):
        run.log_sample({"prompt_id": row["prompt_id"], "margin": round(first - second, 6)})


def cpu_seconds(began: resource.struct_rusage) -> float:
    now = resource.getrusage(resource.RUSAGE_SELF)
    return round(now.ru_utime + now.ru_stime - began.ru_utime - began.ru_stime, 1)


# --- save ------------------------------------------------------------------------------------------------------


def save(run: RunDir, classifier: Classifier, path: str, config: PromptTuningConfig, shots: Shots) -> None:
    """Write checkpoint/ and read it back: what was saved must score as what was trained."""
    probe, _ = read(classifier, shots.test[:4], shots.labels)
    before = all_scores(classifier.scorer, probe, TOGETHER)
    replace_folder(run.checkpoint_path, lambda folder: classifier.save(folder, path))
    again = Classifier.load(run.checkpoint_path, pick_device(), config)
    if not torch.allclose(all_scores(again.scorer, probe, TOGETHER), before, atol=1e-4):
        raise AssertionError("the saved classifier scores differently from the trained one")
    logger.info("Saved: %s", json.dumps(sorted(file.name for file in run.checkpoint_path.iterdir())))


if __name__ == "__main__":
    run_recipe(train_classifier, PromptTuningConfig)
