"""Advisory records after the public schemas, with real ids where one exists."""

from __future__ import annotations

import json
from typing import Any

V2 = "AV:N/AC:L/Au:N/C:P/I:P/A:P"  # 7.5
V30 = "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"  # 7.5
V31 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"  # 9.8
V31_LOW = "CVSS:3.1/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N"  # 2.2 (rounded up)
V40 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"  # 9.3

JSON = dict[str, Any]


def affected(
    name: str,
    *events: tuple[str, str],
    ecosystem: str = "PyPI",
    versions: tuple[str, ...] = (),
    kind: str = "ECOSYSTEM",
) -> JSON:
    """One entry of `affected`, with at most one range."""
    entry: JSON = {"package": {"ecosystem": ecosystem, "name": name}, "versions": list(versions)}
    if events:
        entry["ranges"] = [{"type": kind, "events": [{key: text} for key, text in events]}]
    return entry


def osv(
    id: str,
    *packages: JSON,
    vector: str = "",
    word: str = "",
    modified: str = "2024-05-01T10:00:00Z",
    **more: Any,
) -> bytes:
    """An OSV record."""
    record: JSON = {"schema_version": "1.7.0", "id": id, "modified": modified, **more}
    record["affected"] = list(packages)
    if vector:
        kind = {"CVSS:3": "CVSS_V3", "CVSS:4": "CVSS_V4"}.get(vector[:6], "CVSS_V2")
        record["severity"] = [{"type": kind, "score": vector}]
    if word:
        record["database_specific"] = {"severity": word, "github_reviewed": True}
    return json.dumps(record).encode()


def nvd_item(
    id: str,
    *,
    status: str = "Analyzed",
    modified: str = "2024-05-01T10:00:00.123",
    description: str = "",
    **metrics: Any,
) -> JSON:
    """An element of `vulnerabilities` of an NVD feed; `cvssMetricV31=[metric(...)]`."""
    return {
        "cve": {
            "id": id,
            "sourceIdentifier": "cve@mitre.org",
            "published": "2024-01-02T03:04:05.000",
            "lastModified": modified,
            "vulnStatus": status,
            "descriptions": [{"lang": "es", "value": "no"}, {"lang": "en", "value": description}],
            "metrics": metrics,
        }
    }


def metric(vector: str, score: float, *, kind: str = "Primary") -> JSON:
    """One metric of an NVD record."""
    data = {"vectorString": vector, "baseScore": score, "baseSeverity": "HIGH"}
    return {"source": "nvd@nist.gov", "type": kind, "cvssData": data}


def nvd_feed(*items: JSON) -> bytes:
    """A feed of NVD."""
    return json.dumps(
        {
            "resultsPerPage": len(items),
            "startIndex": 0,
            "totalResults": len(items),
            "format": "NVD_CVE",
            "version": "2.0",
            "timestamp": "2024-06-01T00:00:00.000",
            "vulnerabilities": list(items),
        }
    ).encode()


PYYAML = osv(
    "GHSA-8q59-q68h-6hv4",
    affected("PyYAML", ("introduced", "0"), ("fixed", "5.4")),
    aliases=["CVE-2020-14343", "PYSEC-2021-142"],
    vector=V31,
    word="CRITICAL",
)
PYYAML_TWIN = osv(
    "PYSEC-2021-142",
    affected("pyyaml", ("introduced", "0"), ("fixed", "5.4"), versions=("5.1", "5.3.1")),
    aliases=["CVE-2020-14343", "GHSA-8q59-q68h-6hv4"],
)
TORCH = osv(
    "GHSA-53q9-r3pm-6pq6",
    affected("torch", ("introduced", "0"), ("fixed", "2.6.0")),
    aliases=["CVE-2025-32434"],
    vector=V40,
)
PY = osv(
    "GHSA-w596-4wvx-j9j6",
    affected("py", ("introduced", "0"), ("last_affected", "1.11.0")),
    aliases=["CVE-2022-42969", "PYSEC-2022-42969"],
    vector=V30,
)
COMMONMARK = osv(
    "RSEC-2023-6",
    affected("commonmark", ("introduced", "0.2"), ("fixed", "1.8.1"), ecosystem="CRAN"),
    upstream=["CVE-2022-39209"],
)
ULTRALYTICS = osv(
    "MAL-2024-11188",
    affected("ultralytics", versions=("8.3.41", "8.3.42")),
    aliases=["PYSEC-2024-154"],
)
OPENVEX: JSON = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://example.org/vex/2024-1",
    "author": "Security Team <security@example.org>",
    "timestamp": "2024-06-01T00:00:00Z",
    "version": 1,
    "statements": [
        {
            "vulnerability": {"name": "CVE-2020-14343"},
            "products": [{"@id": "pkg:pypi/PyYAML@5.3.1"}, {"@id": "pkg:generic/else@1"}],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
        },
        {
            "vulnerability": {"name": "CVE-2025-32434"},
            "products": [
                {
                    "@id": "https://example.org/app",
                    "subcomponents": [
                        {
                            "@id": "pkg:conda/pytorch@2.5.1?build=cpu_0&channel=main"
                            "&subdir=linux-64&type=conda"
                        }
                    ],
                }
            ],
            "status": "fixed",
        },
    ],
}
CSAF: JSON = {
    "document": {
        "category": "csaf_vex",
        "csaf_version": "2.0",
        "publisher": {"category": "vendor", "name": "Example", "namespace": "https://example.org"},
        "title": "VEX",
        "tracking": {"id": "EX-2024-7", "status": "final", "version": "1"},
    },
    "product_tree": {
        "branches": [
            {
                "category": "vendor",
                "name": "Example",
                "branches": [
                    {
                        "category": "product_version",
                        "name": "1.8.0",
                        "product": {
                            "name": "commonmark 1.8.0",
                            "product_id": "P1",
                            "product_identification_helper": {"purl": "pkg:cran/commonmark@1.8.0"},
                        },
                    }
                ],
            }
        ],
        "full_product_names": [
            {
                "name": "py",
                "product_id": "P2",
                "product_identification_helper": {"purl": "pkg:pypi/py"},
            }
        ],
        "relationships": [
            {
                "category": "default_component_of",
                "product_reference": "P2",
                "relates_to_product_reference": "P1",
                "full_product_name": {"name": "py in it", "product_id": "P3"},
            }
        ],
    },
    "vulnerabilities": [
        {
            "cve": "CVE-2022-39209",
            "product_status": {"known_affected": ["P1"], "known_not_affected": ["P9"]},
            "threats": [{"category": "impact", "details": "slow", "product_ids": ["P1"]}],
        },
        {
            "cve": "CVE-2022-42969",
            "product_status": {"known_not_affected": ["P3"]},
            "flags": [{"label": "component_not_present", "product_ids": ["P3"]}],
        },
    ],
}
