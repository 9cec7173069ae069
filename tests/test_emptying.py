"""A test that commits leaves an empty database, with what `migrate` made in it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import TransactionTestCase

from channels.models import Channel
from tests import emptying, invariants, scene

pytestmark = pytest.mark.django_db(transaction=True)


def test_rows_are_deleted_in_every_table() -> None:
    scene.channel()
    emptying.teardown(TransactionTestCase())
    kept = {where.rpartition(".")[0] for where, _ in invariants.dump()}
    assert kept == {"auth.Permission", "contenttypes.ContentType"}


def test_a_row_can_be_made_again_after_that() -> None:
    scene.channel()
    emptying.teardown(TransactionTestCase())
    scene.channel()
    assert Channel.objects.count() == 1


def test_what_migrate_made_stays() -> None:
    emptying.teardown(TransactionTestCase())
    label = Channel._meta.label_lower.split(".")
    kind = ContentType.objects.get(app_label=label[0], model=label[1])
    assert Permission.objects.filter(content_type=kind).count() == 4
