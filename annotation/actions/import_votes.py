"""What people said in a file, as rows of ImportedJudgment."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from annotation.imports import PromptRow, VoteRow
from annotation.models import Completion, ImportedJudgment, Prompt, PromptUpload

AT_ONCE = 500


def by_digest(row: PromptRow) -> dict[str, VoteRow]:
    """Return the votes of a row by what they say and who says it.

    Equal votes of people without a name are different people where one row has them, and the same vote in two rows.
    """
    seen: Counter[str] = Counter()
    found = {}
    for vote in row.votes:
        text = row.completions
        said = json.dumps(
            [
                [sorted(text[place] for place in tier) for tier in vote.tiers],
                *(sorted(text[place] for place in places) for places in (vote.unacceptable, vote.unranked)),
                [[text[place], name, value] for place, name, value in vote.ratings],
                [vote.margin, vote.strength, vote.annotator],
            ],
            ensure_ascii=False,
        )
        seen[said] += 1
        found[hashlib.sha256(f"{seen[said]} {said}".encode()).hexdigest()] = vote
    return found


def known(prompts: list[int]) -> Iterator[tuple[int, str]]:
    """Yield the prompt and the digest of every stored vote on these prompts."""
    yield from ImportedJudgment.objects.filter(prompt__in=prompts).values_list("prompt_id", "digest")


def store(
    rows: Iterable[tuple[Prompt, PromptRow, dict[str, VoteRow], dict[str, Completion]]], upload: PromptUpload | None
) -> None:
    """Store new votes: each with its prompt, its row, its digest and the stored answers by their texts."""
    judgments = [
        _judgment(prompt, row, digest, vote, answers, upload)
        for prompt, row, votes, answers in rows
        for digest, vote in votes.items()
    ]
    ImportedJudgment.objects.bulk_create(judgments, batch_size=AT_ONCE)


def _judgment(
    prompt: Prompt,
    row: PromptRow,
    digest: str,
    vote: VoteRow,
    answers: dict[str, Completion],
    upload: PromptUpload | None,
) -> ImportedJudgment:
    pk = [answers[text].pk for text in row.completions]
    ratings: dict[str, dict[str, float]] = {}
    for place, name, value in vote.ratings:
        ratings.setdefault(str(pk[place]), {})[name] = value
    return ImportedJudgment(
        prompt_id=prompt.pk,
        upload_id=upload.pk if upload else None,
        group=ImportedJudgment.group_of(pk[place] for tier in vote.tiers for place in tier),
        digest=digest,
        tiers=[[pk[place] for place in tier] for tier in vote.tiers],
        unacceptable=[pk[place] for place in vote.unacceptable],
        unranked=[pk[place] for place in vote.unranked],
        ratings=ratings,
        strength=vote.strength,
        margin=vote.margin,
        annotator=vote.annotator,
        weight=vote.weight,
        rationale=vote.rationale,
        judged_at=datetime.fromisoformat(vote.at) if vote.at else None,
    )
