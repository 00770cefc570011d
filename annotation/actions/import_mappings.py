"""How a file is to be read: what is saved under a name, and over it what a person says now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import transaction

from annotation import audit
from annotation.imports import Reading, UnreadableFile
from annotation.models import AuditAction, ImportMapping, Project


def reading_of(
    project: Project,
    *,
    mapping: Mapping[str, str],
    labels: bool = False,
    shape: str = "",
    ignore: Iterable[str] = (),
    name: str = "",
    save_as: str = "",
) -> Reading:
    """Return how a file is to be read, saved under `save_as` where that is given.

    Raises UnreadableFile where no mapping has the name, or a shape or a field of the mapping is not known.
    """
    ignored = [field.strip() for field in ignore if field.strip()]
    if name:
        saved = project.import_mappings.filter(name=name).first()
        if saved is None:
            known = ", ".join(project.import_mappings.values_list("name", flat=True)) or "none yet"
            raise UnreadableFile(f"There is no mapping {name!r}. Mappings: {known}.")
        mapping, shape, ignored = saved.mapping | dict(mapping), shape or saved.shape, [*saved.ignore, *ignored]
    reading = Reading(mapping, labels, shape, tuple(dict.fromkeys(ignored))).checked()
    if save_as:
        with transaction.atomic():
            ImportMapping.objects.update_or_create(
                project=project,
                name=save_as[:100],
                defaults={"mapping": dict(reading.mapping), "shape": shape, "ignore": list(reading.ignore)},
            )
            audit.record(AuditAction.MAPPING_SAVED, project=project, what=save_as[:100])
    return reading
