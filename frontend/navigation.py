"""The pages of a project, as its navigation shows them: what everybody uses, then groups with pages below each."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext_noop

from annotation.models import Membership, Project, Role


@dataclass(frozen=True)
class Page:
    name: str  # of its address
    label: str
    role: Role
    argument: str = ""  # of its address, after the project


@dataclass(frozen=True)
class Group:
    label: str
    pages: tuple[Page, ...]


FOR_ALL = (
    Page("project", gettext_noop("Overview"), Role.ANNOTATOR),
    Page("annotate", gettext_noop("Annotate"), Role.ANNOTATOR),
    Page("own_work", gettext_noop("My work"), Role.ANNOTATOR),
    Page("guidelines", gettext_noop("Guidelines"), Role.ANNOTATOR),
)
GROUPS = (
    Group(
        gettext_noop("Data"),
        (
            Page("records", gettext_noop("Records"), Role.REVIEWER, "prompts"),
            Page("prompts", gettext_noop("Import"), Role.ADMIN),
            Page("quality", gettext_noop("Quality"), Role.REVIEWER),
            Page("review", gettext_noop("Review"), Role.REVIEWER),
            Page("flags", gettext_noop("Flags"), Role.REVIEWER),
            Page("feedback", gettext_noop("Feedback"), Role.ADMIN),
            Page("judges", gettext_noop("Judges"), Role.ADMIN),
            Page("snapshots", gettext_noop("Snapshots"), Role.REVIEWER),
        ),
    ),
    Group(
        gettext_noop("Training"),
        (
            Page("rounds", gettext_noop("Rounds"), Role.REVIEWER),
            Page("policies", gettext_noop("Policies"), Role.REVIEWER),
            Page("playground", gettext_noop("Playground"), Role.REVIEWER),
            Page("evaluations", gettext_noop("Evaluation"), Role.REVIEWER),
            Page("costs", gettext_noop("Costs"), Role.REVIEWER),
            Page("methods", gettext_noop("Methods"), Role.REVIEWER),
            Page("prompt_tuning", gettext_noop("Prompt tuning"), Role.REVIEWER),
            Page("proposals", gettext_noop("Instructions"), Role.REVIEWER),
        ),
    ),
    Group(
        gettext_noop("Settings"),
        (
            Page("project_edit", gettext_noop("Project"), Role.ADMIN),
            Page("members", gettext_noop("Members"), Role.ADMIN),
            Page("webhooks", gettext_noop("Webhooks"), Role.ADMIN),
            Page("audit", gettext_noop("Audit log"), Role.ADMIN),
        ),
    ),
)
# Pages that no entry leads to, and the one that they belong to.
UNDER = {
    "invitations": "members",
    "project_delete": "project_edit",
    "assignment": "annotate",
    "practice": "annotate",
    "own_annotation": "own_work",
    "record_prompt": "records",
    "record_response": "records",
    "record_annotation": "records",
    "record_task": "records",
    "prompt_add": "records",
    "prompt_edit": "records",
    "upload": "prompts",
    "take_upload": "prompts",
    "upload_job": "prompts",
    "review_task": "review",
    "known": "review",
    "judge": "judges",
    "snapshot": "snapshots",
    "snapshot_changes": "snapshots",
    "withdraw": "snapshots",
    "round": "rounds",
    "round_new": "rounds",
    "rounds_compare": "rounds",
    "round_describe": "rounds",
    "round_curves": "rounds",
    "round_samples": "rounds",
    "round_slices": "rounds",
    "round_log": "rounds",
    "instruction_tokens": "rounds",
    "round_tokens": "rounds",
    "autopilot": "rounds",
    "compute": "rounds",
    "model": "policies",
    "policy": "policies",
    "exchange": "playground",
    "evaluation": "evaluations",
    "template": "prompt_tuning",
    "template_new": "prompt_tuning",
    "verbalizer": "prompt_tuning",
    "verbalizer_new": "prompt_tuning",
    "proposal": "proposals",
    "webhook": "webhooks",
}


@dataclass(frozen=True)
class Entry:
    label: str
    url: str
    is_here: bool  # the page itself, or one of its group


def pages_of(project: Project, membership: Membership) -> list[tuple[str, str, str]]:
    """Return the label, the group and the address of every page of a project that the role opens."""
    groups = ((project.name, FOR_ALL), *((f"{project.name} · {group.label}", group.pages) for group in GROUPS))
    return [
        (page.label, label, reverse(page.name, args=[project.slug, *filter(None, [page.argument])]))
        for label, pages in groups
        for page in pages
        if membership.may_act_as(page.role)
    ]


def entries(project: Project, membership: Membership, url_name: str) -> tuple[list[Entry], list[Entry]]:
    """Return the menu of the project, and the group of this page, as far as the role may open them."""
    here = UNDER.get(url_name, url_name)

    def entry(page: Page) -> Entry:
        arguments = [project.slug, *filter(None, [page.argument])]
        return Entry(page.label, reverse(page.name, args=arguments), page.name == here)

    first, second = [entry(page) for page in FOR_ALL if membership.may_act_as(page.role)], []
    for group in GROUPS:
        below = [entry(page) for page in group.pages if membership.may_act_as(page.role)]
        if not below:
            continue
        is_here = any(each.is_here for each in below)
        first.append(Entry(group.label, below[0].url, is_here))
        if is_here:
            second = below
    return first, second
