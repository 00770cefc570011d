"""What templates need and views should not have to pass: the project's navigation, and figures in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from django import template
from django.conf import settings
from django.contrib.auth.models import User
from django.forms import BoundField, IntegerField
from django.template import Context
from django.utils import timezone
from django.utils.html import json_script
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, gettext_noop

from annotation import pseudonyms, stored
from annotation.actions import notifications
from annotation.models import BadReason, Membership, Project
from frontend import languages
from frontend.navigation import entries
from training.methods import METHODS
from training.methods.inherited import inherited
from training.methods.labels import label_of
from training.models import TrainingRound, TrainingRun
from training.phrases import in_language
from training.products import is_chance
from training.products.chat import inherited_settings
from training.reports.failure import Failure, failure_of
from training.reports.ladder import signed as with_sign

register = template.Library()

# What is worth a line on the page of a round, in this order. Anything else that a recipe reports is in result.json.
FIGURES: dict[str, str] = {
    "accuracy": gettext_noop("Held-out accuracy"),
    "ci95": gettext_noop("95% CI"),
    "length_baseline": gettext_noop("Longer-response baseline"),
    "baselines": gettext_noop("Length-only baseline"),
    "people": gettext_noop("One annotator against the others"),
    "train_accuracy": gettext_noop("Train accuracy"),
    "n": gettext_noop("Eval pairs"),
    "calibration": gettext_noop("Calibration error (ECE)"),
    "score_reference": gettext_noop("Score of the base model"),
    "score_before": gettext_noop("Score before"),
    "score_after": gettext_noop("Score after"),
    "judge_reference": gettext_noop("Held-out judge, base model"),
    "judge_before": gettext_noop("Held-out judge before"),
    "judge_after": gettext_noop("Held-out judge after"),
    "kl": gettext_noop("KL to the reference policy, nats per response"),
    "kl_round_start": gettext_noop("KL to initial policy, nats per response"),
    "instructions": gettext_noop("Training instructions"),
    "tasks": gettext_noop("Training tasks"),
    "episodes": gettext_noop("Episodes"),
    "stopped": gettext_noop("Stopped early"),
    "selected": gettext_noop("Best checkpoint"),
    "completions": gettext_noop("Responses"),
    "finished_share": gettext_noop("Finished (EOS)"),
    "mean_tokens": gettext_noop("Mean length, tokens"),
    "proposed": gettext_noop("Proposed"),
    "parsed": gettext_noop("Parsed"),
    "sources": gettext_noop("Learned from"),
    "refused": gettext_noop("Left out"),
    "peak_rss_mb": gettext_noop("Peak memory"),
}
# Their value, and what a line below it says.
EXPLAINED: dict[str, Callable[[Any], tuple[str, str]]] = {
    "baselines": lambda value: (f"{value['length']['accuracy']:.1%}", _baselines_in_words(value)),
    "people": lambda value: (f"{value['accuracy']:.1%}", _people_in_words(value)),
    "calibration": lambda value: (f"{value['ece']:.3f}", gettext("expected calibration error")),
    "stopped": lambda value: (gettext("yes"), _sentence(value)),
    "selected": lambda value: (
        gettext("step %(number)s") % {"number": f"{value['step']:,}"},
        _sentence(value["reason"]),
    ),
    "refused": lambda value: _left_out(value),
    "sources": lambda value: _sources(value),
}
# Where a recipe's labels come from, by the names in its result.
SOURCES = {
    "unary": gettext_noop("good or bad"),
    "ranking": gettext_noop("from rankings"),
    "imported": gettext_noop("imported"),
}
LONGER_WINS = gettext_noop("the longer response wins")
MOST_TRUNCATED = 0.2  # share of responses; more are worth a warning
SHARES = {"accuracy", "length_baseline", "train_accuracy", "finished_share"}


@register.inclusion_tag("_ui/project_nav.html", takes_context=True)
def project_nav(context: Context) -> dict[str, Any]:
    """Return the pages of this project that the person's role opens; none outside a project."""
    request, project = context.get("request"), context.get("project")
    if request is None or not isinstance(project, Project) or project.pk is None:
        return {}
    membership = context.get("membership") or Membership.objects.filter(user=request.user, project=project).first()
    if membership is None:
        return {}
    match = request.resolver_match
    first, second = entries(project, membership, match.url_name if match else "")
    return {"first": first, "second": second}


@register.inclusion_tag("_ui/bell.html", takes_context=True)
def bell(context: Context) -> dict[str, Any]:
    """Return how many notifications wait for the person who is signed in."""
    return {"unread": notifications.unread(context["user"]), "most": notifications.COUNTED}


@register.simple_tag
def script_words() -> str:
    """Return the scripts' words in the language of the page, as data; nothing in English, which the scripts have."""
    words = languages.script_words(get_language() or settings.LANGUAGE_CODE)
    return json_script(words, "script-words") if words else ""


# Names of the code that pages show.
KINDS = (
    gettext_noop("ranking"),
    gettext_noop("unary"),
    gettext_noop("reference"),
    gettext_noop("label"),
    gettext_noop("proposal"),
)


@register.filter
def bad_reason(value: str) -> str:
    """Return a reason why a response is bad, in the language of the page."""
    return str(BadReason(value).label)


@register.filter
def translated(text: str) -> str:
    """Return a text of the code, or a stored sentence, in the language of the page; `translate` reaches neither."""
    return stored.translated(text) if text else ""


@register.filter
def phrased(text: str) -> str:
    """Return a text of a method, which may have values in it, in the language of the page."""
    return in_language(text, gettext) if text else ""


@register.filter
def known_as(person: User | None, project: Project) -> str:
    """Return the name under which the reader of the page knows a person of a project."""
    return pseudonyms.known_as(project.pk, person)


@register.filter
def speaker(role: str) -> str:
    """Return who says a message of a conversation."""
    return {"user": gettext("User"), "assistant": gettext("Assistant"), "system": gettext("System")}.get(
        role, role.capitalize()
    )


@register.filter
def figures(run: TrainingRun) -> list[dict[str, Any]]:
    """Return a run's result as lines of label and value, some with a note."""
    given = {name: run.result.get(name) for name in FIGURES}
    if rows := run.result.get("rows"):
        given["refused"] = rows.get("refused", {})
    if (given["baselines"] or {}).get("length", {}).get("accuracy") is not None:
        given["length_baseline"] = None  # the same figure, without its interval
    else:
        given["baselines"] = None
    lines = [_line(name, value) for name, value in given.items() if value not in (None, "", {}, [])]
    if is_chance(run):
        lines[0] |= {"is_bad": True, "note": gettext("No better than chance.")}  # the accuracy comes first
    return lines


def _line(name: str, value: Any) -> dict[str, Any]:
    if name not in EXPLAINED:
        return {"label": gettext(FIGURES[name]), "value": _figure(name, value)}
    figure, note = EXPLAINED[name](value)
    return {"label": gettext(FIGURES[name]), "value": figure, "note": note}


def _baselines_in_words(baselines: dict[str, Any]) -> str:
    length, rule = baselines["length"], _sentence(baselines["length"].get("rule", LONGER_WINS))
    chance = gettext("Chance: %(share)s.") % {"share": f"{baselines.get('random', 0.5):.0%}"}
    if not length.get("ci95"):
        return f"{rule} {chance}"
    interval = gettext("95%% CI: %(interval)s.") % {"interval": _figure("ci95", length["ci95"])}
    return f"{rule} {interval} {chance}"


def _people_in_words(people: dict[str, Any]) -> str:
    words = gettext("Agreement with the majority of the others, %(count)s pairs.") % {"count": f"{people['n']:,}"}
    if people.get("ci95"):
        words += " " + gettext("95%% CI: %(interval)s.") % {"interval": _figure("ci95", people["ci95"])}
    return words


def _left_out(refused: dict[str, int] | list[dict[str, Any]]) -> tuple[str, str]:
    """Return how many rows were left out by reason, as a recipe counted or listed them."""
    reasons = Counter(refused) if isinstance(refused, dict) else Counter(row["reason"] for row in refused)
    most = {stored.translated(reason): f"{count:,}" for reason, count in reasons.most_common(5)}
    return f"{reasons.total():,}", stored.counted_reasons(most)


def _sources(counts: dict[str, int]) -> tuple[str, str]:
    """Return how many responses were learned from, with the share of each source of their labels."""
    total = sum(counts.values())
    shares = (f"{gettext(SOURCES.get(name, name))} {count / total:.0%} ({count:,})" for name, count in counts.items())
    return f"{total:,}", "; ".join(shares)


@register.filter
def failure(run: TrainingRun) -> Failure:
    """Return why a run failed."""
    return failure_of(run)


def _sentence(text: str) -> str:
    """Return a stored sentence in the language of the page, with a capital letter and its full stop."""
    text = stored.translated(text)
    whole = f"{text[:1].upper()}{text[1:].rstrip('.。')}"
    return whole if whole.endswith(("?", "!", "？", "！")) else whole + gettext(".")


register.filter("sentence", _sentence)


def _figure(name: str, value: Any) -> str:
    if name == "ci95":
        return gettext("%(low)s to %(high)s") % {"low": f"{100 * value[0]:.1f}", "high": f"{value[1]:.1%}"}
    if name in SHARES:
        return f"{value:.1%}"
    if name == "peak_rss_mb":
        return f"{value:,.0f} MB"
    if isinstance(value, dict):
        return ", ".join(f"{part} {_figure(name, each)}" for part, each in value.items())
    if isinstance(value, float):
        return f"{value:,.2f}".replace("-", "−")
    return f"{value:,}" if isinstance(value, int) else str(value)


@register.filter
def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


@register.filter
def signed(number: float) -> str:
    return with_sign(number)


@register.filter
def interval(ends: list[float] | None) -> str:
    return "–" if ends is None else _figure("ci95", ends)


@register.filter
def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return gettext("%(hours)s h %(minutes)s min") % {"hours": minutes // 60, "minutes": f"{minutes % 60:02}"}
    if minutes:
        return gettext("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": f"{rest:02}"}
    return gettext("%(seconds)s s") % {"seconds": f"{seconds:.1f}"}


@register.filter
def round_time(round: TrainingRound) -> str:
    """Return the time since the first stage of a round started, up to its end; empty before it starts."""
    seconds = _round_seconds(round)
    return "" if seconds is None else duration(seconds)


@register.filter
def round_seconds(round: TrainingRound) -> str:
    """Return the same time in whole seconds, to sort by."""
    seconds = _round_seconds(round)
    return "" if seconds is None else f"{seconds:.0f}"


def _round_seconds(round: TrainingRound) -> float | None:
    started = [run.started_at for run in round.runs.all() if run.started_at]
    if not started:
        return None
    return ((round.finished_at or timezone.now()) - min(started)).total_seconds()


@register.filter
def below_chance(run: TrainingRun) -> bool:
    """Return whether the accuracy of what a run made is no better than guessing."""
    return is_chance(run)


@register.filter
def many_truncated(run: TrainingRun) -> str:
    """Return the share of a run's responses that were truncated, where it is too large; otherwise nothing."""
    finished = run.result.get("finished_share")
    return share(1 - finished) if isinstance(finished, float) and 1 - finished > MOST_TRUNCATED else ""


@register.filter
def settings_shown(run: TrainingRun) -> list[dict[str, Any]]:
    """Return a run's settings with labels, and whether each differs from its default."""
    known = {setting.name: setting for setting in fields(run.spec.config)}
    defaults = {name: setting.default for name, setting in known.items()}
    if run.method in METHODS:
        defaults |= inherited(run.method, inherited_settings(run.round.project))
    return [
        {
            "label": gettext(label_of(known[name]).text) if name in known else name,
            "value": _setting_value(value),
            "default": _setting_value(defaults.get(name)),
            "is_changed": name in known and value != defaults[name],
        }
        for name, value in run.config.items()
    ]


def _setting_value(value: Any) -> Any:
    """Return a setting's value as pages show it."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return "–" if value == "" else value


@register.filter
def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


@register.filter
def plus(number: int, other: int) -> int:
    return number + other


@register.filter
def range_of(field: BoundField) -> str:
    """Return the range of a number's field in words; empty for other fields, and for percentages, which have a mark."""
    asked = field.field
    if not isinstance(asked, IntegerField) or asked.min_value is None or asked.max_value is None:
        return ""
    if field.is_hidden or "percent" in asked.widget.attrs.get("class", ""):
        return ""
    ends = {"least": f"{asked.min_value:,.12g}", "most": f"{asked.max_value:,.12g}"}
    return gettext("%(least)s to %(most)s") % ends


@register.filter
def control(field: BoundField) -> SafeString:
    """Return a field's input. Django says that help and errors describe it, but knows of no range."""
    if field.help_text or not range_of(field):
        return field.as_widget()
    described = f"{field.auto_id}_helptext {field.aria_describedby or ''}"
    return field.as_widget(attrs={"aria-describedby": described.strip()})


@register.filter
def any_errors(fields: list[BoundField]) -> bool:
    return any(field.errors for field in fields)


@register.filter
def of(errors: dict[str, Any] | None, field: str) -> Any:
    """Return the errors of one field, or with "" those of no field."""
    return (errors or {}).get(field, [])
