"""The embedded broker: every message arrives once and whole, whoever sends at the same time."""

import multiprocessing
from pathlib import Path

from kombu import Connection

PRODUCERS, MESSAGES = 4, 100


def connect(folder: str) -> Connection:
    options = {
        "data_folder_in": f"{folder}/queue",
        "data_folder_out": f"{folder}/queue",
        "control_folder": f"{folder}/control",
    }
    return Connection(
        "filesystem://", transport="mirrorserver.broker:Transport", transport_options=options
    )


def produce(folder: str, producer: int) -> None:
    with connect(folder) as connection, connection.SimpleQueue("work") as queue:
        for number in range(MESSAGES):
            queue.put({"producer": producer, "number": number, "padding": "x" * 5000})


def test_messages_of_several_processes_arrive_once_whole_and_in_order(tmp_path: Path) -> None:
    folder = str(tmp_path)
    with connect(folder) as connection, connection.SimpleQueue("work") as queue:
        spawn = multiprocessing.get_context("spawn")
        producers = [spawn.Process(target=produce, args=(folder, n)) for n in range(PRODUCERS)]
        for process in producers:
            process.start()
        taken: list[tuple[int, int]] = []
        while len(taken) < PRODUCERS * MESSAGES:
            message = queue.get(timeout=60)
            taken.append((message.payload["producer"], message.payload["number"]))
            message.ack()
        for process in producers:
            process.join()
    for producer in range(PRODUCERS):
        assert [n for p, n in taken if p == producer] == list(range(MESSAGES))
    assert list((tmp_path / "queue").iterdir()) == []
