"""Templates, verbalizers, and rounds that make classifiers of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext

from annotation import audit
from annotation.actions import snapshots
from annotation.errors import NotPossible
from annotation.models import AuditAction, DatasetSnapshot, Project, SnapshotType
from training.actions import rounds
from training.methods import PromptTuningConfig
from training.methods.settings import check_effective
from training.models import TemplateVersion, TrainingRound, VerbalizerVersion
from training.prompt_tuning.cloze import Template, Verbalizer

METHOD = "prompt_tuning"
WITHOUT_TEMPLATE = ("head",)


@transaction.atomic
def save_template(
    *, project: Project, name: str, body: str, by: User, language: str = "", notes: str = ""
) -> TemplateVersion:
    """Return the next version of this name, or the current one where nothing differs. Raises InvalidTemplate."""
    Template.parse(body)
    _number_one_at_a_time(project)
    last = project.templates.filter(name=name).order_by("-version").first()
    if last and (last.body, last.language, last.notes) == (body, language, notes):
        return last
    saved = TemplateVersion.objects.create(
        project=project,
        name=name,
        version=last.version + 1 if last else 1,
        body=body,
        language=language,
        notes=notes,
        created_by_id=by.pk,
    )
    audit.record(AuditAction.TEMPLATE, by=by, project=project, what=f"{name} {saved.version}")
    return saved


@transaction.atomic
def save_verbalizer(*, project: Project, name: str, words: Mapping[str, Sequence[str]], by: User) -> VerbalizerVersion:
    """Return the next version of this name, or the current one where nothing differs. Raises InvalidVerbalizer."""
    tidy = {label: list(own) for label, own in Verbalizer(words).words.items()}
    _number_one_at_a_time(project)
    last = project.verbalizers.filter(name=name).order_by("-version").first()
    if last and last.words == tidy:
        return last
    saved = VerbalizerVersion.objects.create(
        project=project, name=name, version=last.version + 1 if last else 1, words=tidy, created_by_id=by.pk
    )
    audit.record(AuditAction.VERBALIZER, by=by, project=project, what=f"{name} {saved.version}")
    return saved


def _number_one_at_a_time(project: Project) -> None:
    Project.objects.select_for_update().get(pk=project.pk)


def start_prompt_tuning(
    *,
    project: Project,
    by: User | None,
    verbalizer: VerbalizerVersion,
    templates: Sequence[TemplateVersion],
    settings: Sequence[Mapping[str, Any]],
    snapshot: DatasetSnapshot | None = None,
) -> TrainingRound:
    """Queue and return a round with a run for each of `settings`, all on the texts of `snapshot` or of a new one.

    Raises InvalidConfig, and NotPossible where labelled texts are missing.
    """
    wanted = [PromptTuningConfig(**each) for each in settings]
    check_effective(*wanted)
    configs = [each.as_json() for each in wanted]
    if why_not := rounds.refusal(project, [METHOD] * len(configs), configs, with_inputs=True):
        raise NotPossible(why_not)
    if not templates and any(config["tuning"] not in WITHOUT_TEMPLATE for config in configs):
        raise NotPossible(gettext("Choose at least one template: only fine-tuning with a new head needs none."))
    snapshot = snapshot or snapshots.take_snapshot(project=project, by=by, type=SnapshotType.CLASSIFICATION)
    check_rows(snapshot, verbalizer.verbalizer, max(_needed(config) for config in configs), templates)
    inputs = {
        "templates": [template.as_input() for template in templates],
        "verbalizer": verbalizer.as_input(),
    }
    return rounds.queue_round(
        project=project, by=by, planned=[(METHOD, config, snapshot, inputs) for config in configs]
    )


def _needed(config: Mapping[str, Any]) -> int:
    """Return how many labelled rows per label are trained on or used for selection."""
    return 0 if config["tuning"] == "zero_shot" else max(2, 2 * config["shots"])


def labelled(snapshot: DatasetSnapshot) -> Iterator[dict[str, Any]]:
    with snapshot.path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file)


def counts_by_label(snapshot: DatasetSnapshot) -> dict[str, Counter[str]]:
    """Return the number of rows by label, to learn from ("train") and to test on ("eval")."""
    found: dict[str, Counter[str]] = {"train": Counter(), "eval": Counter()}
    for row in labelled(snapshot):
        found[row["split"]][row["label"]] += 1
    return found


def check_rows(
    snapshot: DatasetSnapshot, verbalizer: Verbalizer, needed: int, templates: Sequence[TemplateVersion]
) -> None:
    """Raise NotPossible for too few rows of a label, no row to test on, or a template with other text slots."""
    counts = counts_by_label(snapshot)
    known = set(counts["train"]) | set(counts["eval"])
    if strangers := [label for label in verbalizer.labels if label not in known]:
        raise NotPossible(
            gettext("No text has the label %(strangers)s. The labels of the data are %(names)s.")
            % {"strangers": f"{strangers[0]!r}", "names": ", ".join(sorted(known))}
        )
    if not sum(counts["eval"][label] for label in verbalizer.labels):
        raise NotPossible(
            gettext("None of the labelled texts is held out for testing (about 20% are). Label or import more.")
        )
    for label in verbalizer.labels:
        if counts["train"][label] < needed:
            raise NotPossible(
                gettext(
                    "Label %(label)s has %(counts)s training texts; %(needed)s are needed, half of them for "
                    "model selection. Label or import more, or ask for fewer shots."
                )
                % {"label": f"{label!r}", "counts": counts["train"][label], "needed": needed}
            )
    for template in templates:
        if set(template.template.text_slots) != {"text"}:
            raise NotPossible(
                gettext("%(template)s asks for {text_a}; the labelled texts of this project have one text each.")
                % {"template": template}
            )
