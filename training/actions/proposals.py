"""Taking tasks from a file as proposals."""

from __future__ import annotations

import hashlib
from collections import Counter

from django.contrib.auth.models import User

from annotation.models import Project
from training.instructions.form import Written
from training.products.proposals import store


def take_file(*, project: Project, filename: str, content: bytes, tasks: list[Written], refused: int, by: User) -> bool:
    """Store the tasks of a file; return False where this very file was taken before."""
    origin = f"{filename[-80:]} {hashlib.sha256(content).hexdigest()[:12]}"
    if project.proposal_batches.filter(origin=origin).exists():
        return False
    unparsed = Counter({"refused_row": refused} if refused else {})
    store(project=project, origin=origin, proposed=len(tasks) + refused, unparsed=unparsed, tasks=tasks, by=by)
    return True
