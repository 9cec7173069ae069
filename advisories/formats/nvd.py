"""CVE records of NVD's JSON 2.0 feeds (nvd.nist.gov, schema nvd_api_2.0), for their scores.

Their CPE names are not matched: which package of an index a CPE means is guesswork.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from advisories.formats.report import BadRecord, Report, check_id, check_time, decode, shown
from advisories.formats.scores import Score, ScoreVersion, best, from_vector

WITHDRAWN = "rejected"


class _Data(msgspec.Struct, rename="camel", gc=False):
    vector_string: str = ""
    base_score: float | None = None


class _Metric(msgspec.Struct, rename="camel", gc=False):
    cvss_data: _Data
    type: str = ""


class _Metrics(msgspec.Struct, gc=False):
    v40: list[_Metric] = msgspec.field(default_factory=list, name="cvssMetricV40")
    v31: list[_Metric] = msgspec.field(default_factory=list, name="cvssMetricV31")
    v30: list[_Metric] = msgspec.field(default_factory=list, name="cvssMetricV30")
    v2: list[_Metric] = msgspec.field(default_factory=list, name="cvssMetricV2")


class _Text(msgspec.Struct, gc=False):
    lang: str
    value: str


class CVE(msgspec.Struct, rename="camel", gc=False):
    """The fields that are read."""

    id: str
    last_modified: dt.datetime
    published: dt.datetime | None = None
    vuln_status: str = ""
    descriptions: list[_Text] = []
    metrics: _Metrics | None = None


class _Item(msgspec.Struct, gc=False):
    cve: CVE


class _Named(msgspec.Struct, rename="camel", gc=False):
    id: str


class _Head(_Named, rename="camel"):
    last_modified: dt.datetime


class _NamedItem(msgspec.Struct, gc=False):
    cve: _Named


class _HeadItem(msgspec.Struct, gc=False):
    cve: _Head


_DECODER = msgspec.json.Decoder(_Item)
_NAMED = msgspec.json.Decoder(_NamedItem)
_HEAD = msgspec.json.Decoder(_HeadItem)


def parse(raw: bytes) -> Report:
    """An element of `vulnerabilities` as a Report; `BadRecord` for everything else."""
    try:
        return _report(decode(raw, _Item, _DECODER).cve)
    except BadRecord as error:
        error.id = error.id or _id(raw)
        raise


def head(raw: bytes) -> tuple[str, dt.datetime] | None:
    """Id and time of change, read without the rest; None where they cannot be read."""
    try:
        start = _HEAD.decode(raw).cve
        return check_id(start.id), check_time(start.last_modified)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadRecord):
        return None


def _id(raw: bytes) -> str:
    try:
        return shown(_NAMED.decode(raw).cve.id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _report(cve: CVE) -> Report:
    metrics = cve.metrics or _Metrics()
    scores = (
        _preferred(metrics.v40, ScoreVersion.V4_0),
        _preferred(metrics.v31, ScoreVersion.V3_1),
        _preferred(metrics.v30, ScoreVersion.V3_0),
        _preferred(metrics.v2, ScoreVersion.V2_0),
    )
    return Report(
        id=check_id(cve.id),
        modified=check_time(cve.last_modified),
        published=check_time(cve.published) if cve.published else None,
        # "Rejected": the CVE was given by mistake or twice, and NVD keeps the empty record.
        withdrawn=cve.vuln_status.lower() == WITHDRAWN,
        summary=shown(next((text.value for text in cve.descriptions if text.lang == "en"), "")),
        score=best(scores),
    )


def _preferred(metrics: list[_Metric], version: ScoreVersion) -> Score | None:
    """NVD's own analysis ("Primary") comes before that of whoever reported the CVE."""
    primary = [metric for metric in metrics if metric.type == "Primary"]
    return best(_score(metric.cvss_data, version) for metric in primary or metrics)


def _score(data: _Data, version: ScoreVersion) -> Score | None:
    score = from_vector(data.vector_string)
    # A vector of another version than its list says would be ranked wrongly.
    if score is not None and score.version is version:
        return score
    stated = data.base_score
    return Score(stated, version) if stated is not None and 0 <= stated <= 10 else None
