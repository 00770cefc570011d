"""Files over HTTP that can be resumed: one range of bytes at a time, as browsers, curl and wget ask for it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import FileResponse, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.http.request import HttpRequest
from django.utils.http import content_disposition_header

from annotation import audit
from annotation.exports.files import DownloadOptions, rendered
from annotation.models import AuditAction, DatasetSnapshot, Project

CHUNK = 256 * 1024
CSV = "text/csv; charset=utf-8"
JSONL = "application/x-ndjson"
FORMULAS = ("=", "+", "-", "@", "\t")  # how a cell begins that a spreadsheet would compute
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})$")


def snapshot_response(request: HttpRequest, snapshot: DatasetSnapshot, options: DownloadOptions) -> HttpResponseBase:
    """Return a snapshot as a file, and record who took it."""
    path = rendered(snapshot, options)
    name = options.name(f"{snapshot.project.slug}-{options.rows}-{snapshot.number}")
    audit.record(AuditAction.DOWNLOADED, project=snapshot.project, what=name, snapshot=snapshot.number)
    return file_response(request, path, name, options.media_type, tag=path.name)


def attachment(project: Project, name: str, content: str | bytes | Iterator[str], media_type: str) -> HttpResponseBase:
    """Return text as a file to keep, and record who took it."""
    audit.record(AuditAction.DOWNLOADED, project=project, what=name)
    kind = HttpResponse if isinstance(content, str | bytes) else StreamingHttpResponse
    disposition = content_disposition_header(as_attachment=True, filename=name) or ""
    return kind(content, content_type=media_type, headers={"Content-Disposition": disposition})


def lines_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], kind: str) -> Iterator[str]:
    """Yield rows as lines of a file: `kind` is "csv", in which no cell begins like a formula, or "jsonl"."""
    if kind == "jsonl":
        for row in rows:
            yield json.dumps(row, ensure_ascii=False, cls=DjangoJSONEncoder) + "\n"
        return
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_cell(row[name]) for name in columns)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, cls=DjangoJSONEncoder) if value else ""
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value.isoformat() if isinstance(value, datetime) else value


def streamed(name: str, lines: Iterator[str], kind: str) -> StreamingHttpResponse:
    """Return lines as a file to download; who calls records it."""
    response = StreamingHttpResponse(lines, content_type=CSV if kind == "csv" else JSONL)
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    return response


def file_response(request: HttpRequest, path: Path, name: str, media_type: str, *, tag: str) -> HttpResponseBase:
    """Return the file or the part that is asked for. `tag` changes with its content, so parts are never mixed."""
    etag, size = f'"{tag}"', path.stat().st_size
    part = _part(request.headers.get("Range", ""), size)
    if request.headers.get("If-Range", etag) != etag:
        part = None
    response: HttpResponseBase
    if part is None:
        response = FileResponse(path.open("rb"), content_type=media_type)
    elif part.start >= part.stop:
        response = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    else:
        response = StreamingHttpResponse(_read(path, part), status=206, content_type=media_type)
        response.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        response.headers["Content-Length"] = str(len(part))
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = etag
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    return response


def _part(header: str, size: int) -> range | None:
    """Return the range of bytes; empty where it cannot be had, None for the whole file or several ranges."""
    match = _RANGE.match(header.strip())
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)


def _read(path: Path, part: range) -> Iterator[bytes]:
    left = len(part)
    with path.open("rb") as file:
        file.seek(part.start)
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
