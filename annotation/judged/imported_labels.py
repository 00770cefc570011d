"""Labels out of files: every vote on a text, and the label that most of them give."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db.models import Min, QuerySet

from annotation.models import ImportedLabel, Project

TEXTS_AT_ONCE = 2000


@dataclass(frozen=True)
class LabelledText:
    """A text out of files with every vote on it, in the order of the files."""

    text: str
    split: str
    votes: list[ImportedLabel]

    @property
    def label(self) -> str | None:
        """Return the label with the most votes; None where two have as many."""
        return majority(vote.label for vote in self.votes)

    @property
    def share(self) -> float:
        """Return the share of the votes for the most frequent label."""
        return max(Counter(vote.label for vote in self.votes).values()) / len(self.votes)


def majority(labels: Iterable[str]) -> str | None:
    """Return the most frequent of labels; None where two are as frequent."""
    (label, most), *others = Counter(labels).most_common(2)
    return None if others and others[0][1] == most else label


def labelled_texts(project: Project, until: datetime | None = None) -> Iterator[LabelledText]:
    """Yield every text in the order in which files brought it, with all votes that were there at a moment."""
    votes = ImportedLabel.objects.filter(project=project)
    if until is not None:
        votes = votes.filter(created_at__lte=until)
    by_text = votes.order_by().values("digest").annotate(first=Min("pk")).order_by("first")
    digests = iter(by_text.values_list("digest", flat=True).iterator(TEXTS_AT_ONCE))
    while part := list(islice(digests, TEXTS_AT_ONCE)):
        said = _votes(votes, part)
        for digest in part:
            first = said[digest][0]
            yield LabelledText(first.text, first.split, said[digest])


def _votes(votes: QuerySet[ImportedLabel], digests: list[str]) -> dict[str, list[ImportedLabel]]:
    found: dict[str, list[ImportedLabel]] = defaultdict(list)
    for vote in votes.filter(digest__in=digests).order_by("pk"):
        found[vote.digest].append(vote)
    return found
