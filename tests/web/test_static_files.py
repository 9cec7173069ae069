"""Collecting static files at the start."""

from pathlib import Path

from pytest_django import Settings

from web import static_files


def test_they_are_collected_again_only_when_one_changed(settings: Settings, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "data" / "static"
    source.mkdir()
    (source / "page.css").write_text("a {}")
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = target

    static_files.collect()
    assert (target / "page.css").read_text() == "a {}"

    (target / "page.css").write_text("touched")
    static_files.collect()
    assert (target / "page.css").read_text() == "touched"

    (source / "page.css").write_text("b { }")
    static_files.collect()
    assert (target / "page.css").read_text() == "b { }"


def test_a_file_that_is_gone_at_its_source_goes(settings: Settings, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "data" / "static"
    source.mkdir()
    (source / "old.css").write_text("")
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = target
    static_files.collect()
    (source / "old.css").unlink()
    static_files.collect()
    assert not (target / "old.css").exists()
