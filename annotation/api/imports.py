"""/api/v1/: prompts, and the files that bring them."""

from __future__ import annotations

from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.actions import import_jobs, prompts, upload_contents
from annotation.actions.import_mappings import reading_of
from annotation.api.pagination import NUMBER
from annotation.api.projects import signed_in
from annotation.imports import SHAPES
from annotation.imports.batches import parse_first
from annotation.imports.packed import size_of
from annotation.imports.reading import LARGEST_FILE
from annotation.models import ImportStatus, Project, Prompt, PromptUpload, Role, Scope
from annotation.uploads import takes_uploads

NOT_READ = "Of several files sent together those that hold no data, such as licences; only in the answer to them."


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    class Meta:
        model = Prompt
        fields = ["id", "messages", "external_id", "category", "split", "created_at"]


@extend_schema_field(OpenApiTypes.BINARY)
class UploadedFileField(serializers.FileField):
    """A file field, documented as what is sent; DRF would document the URL that it answers with."""


class PromptFileSerializer(serializers.Serializer[Any]):
    file = serializers.ListField(
        child=UploadedFileField(allow_empty_file=True),
        allow_empty=False,
        help_text="JSONL, JSON, CSV, TSV, Parquet or plain text, as .gz or .zip, too; as on the page, at most 1 GB. "
        "Several files, as of a folder, are one import: only its data files are read.",
    )
    labels = serializers.BooleanField(default=False, help_text="The rows are texts with labels instead of prompts.")
    mapping = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="Columns by field: mapping.text=question.",
    )
    shape = serializers.ChoiceField(
        choices=list(SHAPES), required=False, help_text="Format of the rows; detected if omitted."
    )
    ignore = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Fields of the file to leave out."
    )
    mapping_name = serializers.CharField(
        required=False, help_text="Columns, shape and ignored fields as saved under this name."
    )
    save_mapping = serializers.CharField(
        required=False, max_length=100, help_text="Save columns, shape and ignored fields under this name."
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Only the report, of a large file on its first rows; nothing is imported."
    )

    def validate_file(self, files: list[Any]) -> list[Any]:
        if sum(file.size for file in files) > LARGEST_FILE:
            what = "The file is" if len(files) == 1 else "Together the files are"
            raise serializers.ValidationError(f"{what} larger than {size_of(LARGEST_FILE)}. Split it.")
        return files


class RefusedRowSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    reason = serializers.CharField()


class ImportReportSerializer(serializers.Serializer[Any]):
    """Counts of what an import did with every row, and the fields that were not read."""

    shape = serializers.CharField(help_text="Formats of the rows, the most common first.")
    rows = serializers.IntegerField()
    whole = serializers.BooleanField(help_text="False where only the first rows of a large file were read.")
    taken = serializers.IntegerField()
    answers = serializers.IntegerField()
    pairs = serializers.IntegerField(help_text="Pairs of responses ordered by the votes.")
    votes = serializers.IntegerField(help_text="Votes of people in the file.")
    labels = serializers.IntegerField()
    tasks = serializers.IntegerField()
    held_back = serializers.IntegerField(help_text="Responses that name their model or vendor and are in no task.")
    duplicate_count = serializers.IntegerField()
    refused_count = serializers.IntegerField()
    duplicates = RefusedRowSerializer(many=True, help_text="At most the first 5,000.")
    refused = RefusedRowSerializer(many=True, help_text="At most the first 5,000.")
    not_used = serializers.DictField(
        child=serializers.IntegerField(), help_text="Unused fields, with the number of their rows."
    )
    stopping = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Unused fields that look like responses, votes, labels or a conversation: their rows are rejected.",
    )
    not_read = serializers.ListField(child=serializers.CharField(), required=False, help_text=NOT_READ)


class ImportJobSerializer(serializers.ModelSerializer[PromptUpload]):
    """A file of many rows on its way: `so_far` is what became of the rows that are done, `report` of all of them."""

    url = serializers.SerializerMethodField()
    percent = serializers.IntegerField(read_only=True, help_text="Of the rows, how many are done.")
    is_read = serializers.SerializerMethodField(
        help_text="False while the file is read for the first time: `rows` counts what is read, nothing is imported."
    )
    so_far = serializers.SerializerMethodField()
    report = serializers.SerializerMethodField()
    can_pause = serializers.SerializerMethodField()
    can_resume = serializers.SerializerMethodField()
    can_undo = serializers.SerializerMethodField()
    not_read = serializers.ListField(child=serializers.CharField(), required=False, help_text=NOT_READ)

    class Meta:
        model = PromptUpload
        fields = (
            *("id", "filename", "status", "rows", "done", "percent", "is_read", "error", "so_far", "report"),
            *("can_pause", "can_resume", "can_undo", "not_read", "url"),
        )

    def get_is_read(self, upload: PromptUpload) -> bool:
        """Return whether the whole file was read."""
        return not upload.chunks.exists()

    def get_can_pause(self, upload: PromptUpload) -> bool:
        """Return whether it can be paused now."""
        return import_jobs.can_pause(upload)

    def get_can_resume(self, upload: PromptUpload) -> bool:
        """Return whether it can go on now."""
        return import_jobs.can_resume(upload)

    def get_can_undo(self, upload: PromptUpload) -> bool:
        """Return whether there is anything to undo; that somebody judged it is said by the attempt."""
        return import_jobs.can_undo(upload)

    def get_url(self, upload: PromptUpload) -> str:
        """Return the address of the job in the API."""
        return reverse(
            "api_project:import-detail", args=[upload.project.slug, upload.pk], request=self.context.get("request")
        )

    @extend_schema_field(ImportReportSerializer(allow_null=True))
    def get_report(self, upload: PromptUpload) -> dict[str, Any] | None:
        """Return what became of the rows; null before they are all taken."""
        return _report(upload.report)

    @extend_schema_field(ImportReportSerializer(allow_null=True))
    def get_so_far(self, upload: PromptUpload) -> dict[str, Any] | None:
        """Return what became of the rows that are done; null before the first and once they are all taken."""
        return _report(upload.so_far)


def _report(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    return dict(ImportReportSerializer(prompts.ImportReport.from_json(stored)).data) if stored else None


@takes_uploads
class PromptViewSet(mixins.ListModelMixin, GenericViewSet[Prompt]):
    scopes = {"list": Scope.READ, "create": Scope.DATA}
    serializer_class = PromptSerializer
    queryset = Prompt.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return project.prompts.all()

    @extend_schema(
        request={"multipart/form-data": PromptFileSerializer},
        responses={200: ImportReportSerializer, 201: ImportReportSerializer, 202: ImportJobSerializer},
    )
    def create(self, request: Request, slug: str) -> Response:
        """Import a file of prompts: new ones are taken, the report names every other row and why.

        Several files are one import. One of many rows is done by a worker: the answer is 202 with the address that says
        how far it is.
        """
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        upload = PromptFileSerializer(data=request.data)
        upload.is_valid(raise_exception=True)
        wanted = upload.validated_data
        files = [(each.name, each.file) for each in wanted["file"]]
        with TemporaryFile() as archive:
            name, content, left = upload_contents.as_one(files, archive)
            answer = self._imported(project, name, content, wanted)
        answer.data["not_read"] = left
        return answer

    def _imported(self, project: Project, name: str, content: BinaryIO, wanted: dict[str, Any]) -> Response:
        """Return what became of a file: its report, or where a worker imports it."""
        reading = reading_of(
            project,
            mapping=wanted.get("mapping", {}),
            labels=wanted["labels"],
            shape=wanted.get("shape", ""),
            ignore=wanted.get("ignore", []),
            name=wanted.get("mapping_name", ""),
            save_as=wanted.get("save_mapping", ""),
        )
        parsed = parse_first(content, name, reading)
        if wanted["dry_run"]:
            return Response(dict(ImportReportSerializer(prompts.dry_run(project, parsed)).data))
        by = signed_in(self.request)
        pending = PromptUpload(
            project=project,
            uploaded_by=by,
            filename=name[-255:],
            content=b"",
            labels=wanted["labels"],
            mapping=dict(reading.mapping),
            shape=reading.shape,
            ignore=list(reading.ignore),
        )
        if parsed.is_whole:
            pending.save()
        else:
            upload_contents.keep(pending, content)
        if import_jobs.is_large(parsed):
            import_jobs.queue(upload=pending, parsed=parsed)
            pending.refresh_from_db()
            job = dict(ImportJobSerializer(pending, context={"request": self.request}).data)
            return Response(job, status=status.HTTP_202_ACCEPTED, headers={"Location": job["url"]})
        report = prompts.take_upload(upload=pending, parsed=parsed, by=by)
        return Response(dict(ImportReportSerializer(report).data), status=status.HTTP_201_CREATED)


class ImportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[PromptUpload]):
    """Files that were imported, or that a worker imports: each can be paused, go on, and be undone."""

    scopes = {
        **dict.fromkeys(["list", "retrieve"], Scope.READ),
        **dict.fromkeys(["pause", "resume", "undo"], Scope.DATA),
    }
    serializer_class = ImportJobSerializer
    lookup_value_regex = NUMBER
    queryset = PromptUpload.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.ADMIN)
        return access.uploads(signed_in(self.request), project).exclude(status=ImportStatus.PREVIEW)

    @extend_schema(request=None, responses={200: ImportJobSerializer})
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, slug: str, pk: str) -> Response:  # noqa: ARG002 -- from the address
        """Stop the import after its last whole batch; what is imported stays."""
        return self._moved(import_jobs.pause)

    @extend_schema(request=None, responses={200: ImportJobSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, slug: str, pk: str) -> Response:  # noqa: ARG002 -- from the address
        """Let a paused or failed import go on behind its last batch."""
        return self._moved(import_jobs.resume)

    @extend_schema(request=None, responses={200: ImportJobSerializer})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, slug: str, pk: str) -> Response:  # noqa: ARG002 -- from the address
        """Have a worker delete what the file brought; refused where somebody has judged or built on any of it."""
        return self._moved(import_jobs.undo)

    def _moved(self, move: Callable[..., None]) -> Response:
        upload = self.get_object()
        move(upload=upload)
        upload.refresh_from_db()
        return Response(self.get_serializer(upload).data)
