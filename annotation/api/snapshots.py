"""/api/v1/: snapshots, what they say about themselves, and their files."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.actions import snapshots
from annotation.api.pagination import MAX_NUMBER, NUMBER, NewestFirst
from annotation.api.projects import fields_of, signed_in
from annotation.downloads import snapshot_response
from annotation.errors import NotPossible
from annotation.exports import Filter
from annotation.exports.diff import diff
from annotation.exports.formats import FORMATS
from annotation.exports.writers import MEDIA_TYPES, WRITERS, NoParquet
from annotation.forms.snapshots import DownloadForm
from annotation.forms.uploads import WithdrawForm
from annotation.models import DatasetSnapshot, Role, Scope, SnapshotType


class SnapshotSerializer(serializers.ModelSerializer[DatasetSnapshot]):
    class Meta:
        model = DatasetSnapshot
        fields = ["number", "type", "sha256", "rows", "counts", "filter", "cutoff", "withdrawn_at", "created_at"]


class FilterSerializer(serializers.Serializer[Any]):
    """Which judgments: whatever is left out leaves nothing out."""

    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=["ranking", "unary", "reference", "label", "imported"]), required=False
    )
    policies = serializers.ListField(child=serializers.IntegerField(min_value=0, max_value=MAX_NUMBER), required=False)
    annotators = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_NUMBER), required=False
    )
    min_agreement = serializers.FloatField(min_value=0, max_value=1, required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    judge = serializers.IntegerField(
        min_value=1,
        max_value=MAX_NUMBER,
        required=False,
        help_text="ID of an AI judge's version, whose judgments join those of people on prompts of the train split.",
    )
    judge_weight = serializers.FloatField(
        min_value=0, max_value=1, required=False, help_text="Of each of its judgments, above 0; a person's is 1."
    )
    end_users = serializers.BooleanField(
        required=False, help_text="Whether thumbs of end users join, on prompts of the train split."
    )
    end_user_weight = serializers.FloatField(
        min_value=0, max_value=1, required=False, help_text="Of each thumb, above 0; an annotation's is 1."
    )


class TakeSnapshotSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(
        choices=SnapshotType.choices, default=SnapshotType.PREFERENCE, help_text="What a row is."
    )
    filter = FilterSerializer(required=False)


class DownloadSerializer(serializers.Serializer[Any]):
    """Nothing given: the file as it is stored."""

    rows = serializers.ChoiceField(choices=list(FORMATS), required=False, help_text="Format of the rows.")
    file = serializers.ChoiceField(choices=list(WRITERS), required=False, help_text="CSV only for flat rows.")
    split = serializers.ChoiceField(choices=["train", "eval"], required=False)
    gzip = serializers.BooleanField(required=False)


class GroupChangesSerializer(serializers.Serializer[Any]):
    group = serializers.CharField(allow_blank=True, help_text="The task or the prompt; empty: the whole file.")
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    changed = serializers.IntegerField()


class ChangesSerializer(serializers.Serializer[Any]):
    """Rows by what became of them since the earlier snapshot."""

    earlier = serializers.IntegerField(source="earlier.number")
    later = serializers.IntegerField(source="later.number")
    totals = serializers.DictField(child=serializers.IntegerField())
    groups = GroupChangesSerializer(many=True)


# By status and content type.
FILES: dict[tuple[int, str], Any] = {
    (status, media_type): OpenApiTypes.BINARY
    for status in (200, 206)
    for media_type in (*MEDIA_TYPES.values(), "application/gzip")
}


class WithdrawalSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()


class SnapshotViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[DatasetSnapshot]):
    scopes = {
        **dict.fromkeys(["list", "retrieve", "card", "changes"], Scope.READ),
        **dict.fromkeys(["create", "download", "withdraw"], Scope.DATA),
    }
    serializer_class = SnapshotSerializer
    pagination_class = NewestFirst
    queryset = DatasetSnapshot.objects.none()
    lookup_field = "number"
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        return access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER).snapshots.all()

    @extend_schema(request=TakeSnapshotSerializer, responses={201: SnapshotSerializer})
    def create(self, request: Request, slug: str) -> Response:
        project = access.get_project(signed_in(request), slug, role=Role.REVIEWER)
        wanted = TakeSnapshotSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        snapshot = snapshots.take_snapshot(
            project=project,
            by=signed_in(request),
            type=SnapshotType(wanted.validated_data["type"]),
            wanted=Filter(**wanted.validated_data.get("filter", {})),
        )
        return Response(SnapshotSerializer(snapshot).data, status=status.HTTP_201_CREATED)

    @extend_schema(parameters=[DownloadSerializer], responses=FILES)
    @action(detail=True)
    def download(self, request: Request, slug: str, number: str) -> HttpResponseBase:
        """Send the file in the wanted format. `Range` is supported, so that an interrupted download can resume."""
        snapshot = access.get_snapshot_rows(signed_in(request), slug, int(number))
        form = DownloadForm(snapshot, request.query_params)
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        try:
            return snapshot_response(request, snapshot, form.cleaned_data["options"])
        except NoParquet as missing:
            return Response({"errors": {"file": [str(missing)]}}, status=status.HTTP_400_BAD_REQUEST)

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    @action(detail=True)
    def card(self, request: Request, slug: str, number: str) -> Response:
        """Return the data card: annotators, counts, agreement, lengths, positions, licence, guidelines version."""
        return Response(snapshots.data_card(access.get_snapshot(signed_in(request), slug, int(number))))

    @extend_schema(responses=ChangesSerializer)
    @action(detail=True, url_path=rf"changes/(?P<earlier>{NUMBER})")
    def changes(self, request: Request, slug: str, number: str, earlier: str) -> Response:
        """Return the rows added, removed and changed since an earlier snapshot of the same type."""
        later, before = (access.get_snapshot_rows(signed_in(request), slug, int(each)) for each in (number, earlier))
        if later.type != before.type:
            raise NotPossible("Only snapshots of the same type can be compared.")
        return Response(ChangesSerializer(diff(before, later)).data)

    @extend_schema(request=WithdrawalSerializer, responses={200: SnapshotSerializer(many=True)})
    @action(detail=False, methods=["post"], pagination_class=None)
    def withdraw(self, request: Request, slug: str) -> Response:
        """Withdraw a person's judgments until now; return the snapshots that contain some, which are marked."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = WithdrawForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        person = form.cleaned_data["username"]
        touched = snapshots.withdraw(project=project, person=person, by=signed_in(request))
        marked = project.snapshots.filter(pk__in=[snapshot.pk for snapshot in touched])
        return Response(SnapshotSerializer(marked, many=True).data)
