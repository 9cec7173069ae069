"""Attack: texts that make a regular expression run for ever.

Each is read by a process of its own, which is ended after a time that no linear reader needs.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

SECONDS = 60
SETUP = (
    "import django, os;"
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mirrorserver.settings');"
    "django.setup();"
)
READERS = {
    "pasted list": "from web.pages.spec_lists import split; split(text)",
    "pattern": "from ecosystems import globs; globs.matcher('*a' * 12 + 'b')(text);"
    "globs.matcher('*'.join(text[:20_000]))(text)",
    "license": "from ecosystems.licenses import families; families(text, text)",
    "log line": (
        "import logging; from mirrorserver.log_redaction import RedactionFilter;"
        "RedactionFilter().filter(logging.makeLogRecord({'msg': text}))"
    ),
    "conda spec": "from ecosystems import registry\n"
    "try: registry.get('conda').parse_spec(text[:200])\n"
    "except Exception: pass",
    "PACKAGES": "from ecosystems.cran import packages;"
    "packages._BLANK.split(text.encode()); packages._CONTROL.search(text);"
    "[packages._FIELD.match(line) for line in text.split(chr(10))]",
    "address": "from delivery import paths\n"
    "try: paths.parse('/api/repo/' + text)\n"
    "except paths.BadAddress: pass",
    "token path": "from ecosystems.upstream.urls import TOKEN_PATH; TOKEN_PATH.search(text)",
    "project": "from ecosystems.python import names; names._NAME.fullmatch(text);"
    "names._PLATFORM.search(text); names._RUNS.sub('-', text)",
}
TEXTS = (
    "'a,' * 300_000",
    "' ' * 600_000 + 'x'",
    "'[' * 300_000 + ','",
    "', ' * 300_000",
    "'eyJ' * 200_000",
    "'=eyJ' * 200_000",
    "'eyJaaaaaaaa.' * 50_000",
    "'(' * 300_000",
    "'( ' * 300_000",
    "'-' * 600_000 + 'x'",
    "chr(10) * 600_000 + 'x'",
    "(chr(10) + ' ' * 50) * 12_000",
    "'/t/' * 200_000",
    "'a.' * 300_000",
)


@pytest.mark.parametrize("reader", READERS)
def test_M09_long_texts_of_every_kind_are_read_in_one_pass(reader: str) -> None:
    loop = f"for text in ({', '.join(TEXTS)}):\n"
    body = "\n".join(f"    {line}" for line in READERS[reader].split("\n"))
    subprocess.run([sys.executable, "-c", f"{SETUP}\n{loop}{body}"], check=True, timeout=SECONDS)
