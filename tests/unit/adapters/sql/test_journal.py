"""What was appended is read back in order after a death at any byte, and what was committed long ago is not."""

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.adapters.sql.journal import HALF_BYTES, Left, create_journal, read_journal

HALF = 256
HEAD, FRAME = 24, 8
LAYOUT = 3

Step = bytes | None
"""A record to append, or a turn."""
STEPS = st.lists(st.none() | st.binary(min_size=1, max_size=60), max_size=40)


class Play:
    """A journal beside what a reader of it must find: the records of the last two halves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = create_journal(path, layout=LAYOUT, half_bytes=HALF)
        self.older: list[bytes] = []
        self.newer: list[bytes] = []

    def take(self, step: Step) -> None:
        if step is None:
            self.journal.turn()
            self.older, self.newer = self.newer, []
        elif self.journal.append(step):
            self.newer.append(step)

    @property
    def kept(self) -> list[bytes]:
        return self.older + self.newer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db.journal"


@pytest.fixture
def play(path: Path) -> Iterator[Play]:
    play = Play(path)
    yield play
    play.journal.close()


def played(folder: str, steps: list[Step]) -> Play:
    play = Play(Path(folder) / "journal")
    for step in steps:
        play.take(step)
    return play


def cuts(before: bytes, after: bytes, stores: Iterable[int]) -> Iterator[bytes]:
    """Yield every file that a death between two of the stores, in their order, can leave."""
    content = bytearray(before)
    yield bytes(content)
    for position in stores:
        content[position] = after[position]
        yield bytes(content)


@given(STEPS)
@example([b"a", None] * 260)  # a generation of more than one byte
def test_all_of_the_last_two_halves_is_read_in_order(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        play = played(folder, steps)

        assert Left(play.kept, LAYOUT) == read_journal(play.path)
        play.journal.close()


@given(STEPS, st.binary(min_size=1, max_size=60))
@example([b"a" * 60, None, b"b" * 60, None], b"c" * 20)
def test_a_record_cut_at_any_byte_is_there_whole_or_not_at_all(steps: list[Step], last: bytes) -> None:
    with TemporaryDirectory() as folder:
        play = played(folder, steps)
        kept, before, frame = play.kept, play.path.read_bytes(), play.journal._position
        play.take(last)
        after, end = play.path.read_bytes(), play.journal._position
        play.journal.close()
        stores = [*range(frame + FRAME, end + FRAME), *range(frame, frame + FRAME)] if end > frame else []
        for content in cuts(before, after, stores):
            play.path.write_bytes(content)
            assert read_journal(play.path).records in (kept, [*kept, last])
        assert play.kept == read_journal(play.path).records


@given(STEPS)
@example([b"a", None, b"b"])
@example([b"a", None] * 130)
def test_a_turn_cut_at_any_byte_loses_only_what_was_committed(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        play = played(folder, steps)
        committed, sealed, before = play.older, play.newer, play.path.read_bytes()
        play.take(None)
        after, head = play.path.read_bytes(), play.journal._start
        play.journal.close()
        for content in cuts(before, after, [*range(head + HEAD, head + HEAD + FRAME), *range(head, head + HEAD)]):
            play.path.write_bytes(content)
            # The checksum of the first record goes before the generation does, so the old half is read whole or not.
            assert read_journal(play.path).records in (committed + sealed, sealed)
        assert sealed == read_journal(play.path).records


@given(STEPS, st.lists(st.tuples(st.integers(1, 99), st.binary(min_size=1, max_size=60)), min_size=1))
def test_a_record_of_another_generation_is_never_read(steps: list[Step], stale: list[tuple[int, bytes]]) -> None:
    """As a power cut leaves them: pages of the last generation next to pages of earlier ones, frames and all."""
    with TemporaryDirectory() as folder:
        play = played(folder, steps)
        play.journal.close()
        position, generation = play.journal._position, play.journal._generation
        frames = b"".join(
            struct.pack("<II", len(record), crc32(record, max(0, generation - age))) + record for age, record in stale
        )
        content = bytearray(play.path.read_bytes())
        room = play.journal._start + HALF - position
        content[position : position + room] = frames[:room].ljust(room, b"\0")
        play.path.write_bytes(content)

        assert play.kept == read_journal(play.path).records


@given(STEPS, st.integers(0, 2 * HALF), st.binary(max_size=HALF))
def test_a_file_cut_at_any_byte_and_followed_by_garbage_gives_the_beginning_of_each_half(
    steps: list[Step], cut: int, garbage: bytes
) -> None:
    with TemporaryDirectory() as folder:
        play = played(folder, steps)
        play.journal.close()
        content = play.path.read_bytes()
        play.path.write_bytes(content[:cut] + garbage)
        records = read_journal(play.path).records

    beginnings = [
        play.older[:older] + play.newer[:newer]
        for older in range(len(play.older) + 1)
        for newer in range(len(play.newer) + 1)
    ]
    assert records in beginnings


def test_a_committed_record_is_gone_once_its_half_is_taken_again(play: Play) -> None:
    for step in (b"first", None, b"second", None):
        play.take(step)

    assert [b"second"] == read_journal(play.path).records


def test_text_that_looks_like_a_record_is_not_read_as_one(play: Play, path: Path) -> None:
    # A short record ends where the old one's text holds a frame that is sealed with the generation to come.
    forged = struct.pack("<II", 6, crc32(b"forged", play.journal._generation + 2)) + b"forged"
    for step in (b"....." + forged, None, None, b"....."):
        play.take(step)
    assert [b"....."] == read_journal(path).records


def test_a_full_half_takes_no_record_and_the_next_one_does(play: Play) -> None:
    room = HALF - HEAD - 2 * FRAME
    assert not play.journal.append(b"x" * (room + 1))
    assert play.journal.append(b"x" * room)
    assert not play.journal.append(b"y")
    play.journal.turn()

    assert play.journal.append(b"y")
    assert [b"x" * room, b"y"] == read_journal(play.path).records


def test_what_is_used_is_told_of_the_current_half(play: Play) -> None:
    assert HEAD / HALF == play.journal.used
    play.journal.append(b"x" * 96)
    assert (HEAD + FRAME + 96) / HALF == play.journal.used
    play.journal.turn()

    assert HEAD / HALF == play.journal.used


def test_a_generation_beyond_32_bits_still_tells_its_records_from_the_last_ones(play: Play) -> None:
    play.journal._generation = 2**32 - 2
    for step in (None, b"a", None, b"b", None, b"c", None):
        play.take(step)

    assert 2**32 + 2 == play.journal._generation
    assert [b"c"] == read_journal(play.path).records


def test_a_closed_journal_takes_nothing_and_keeps_what_it_had(play: Play) -> None:
    play.journal.append(b"kept")
    assert not play.journal.closed
    play.journal.close()
    play.journal.close()

    assert play.journal.closed
    assert not play.journal.append(b"late")
    assert [b"kept"] == read_journal(play.path).records


def test_a_discarded_journal_leaves_no_file_and_minds_no_missing_one(play: Play) -> None:
    play.journal.discard()
    play.journal.discard()

    assert not play.path.exists()
    assert Left([], 0) == read_journal(play.path)


@pytest.mark.parametrize("content", [b"", b"\0" * 4 * HALF, b"not a journal" * 100, b"checkrei", b"checkrei" * 60])
def test_a_file_that_is_no_journal_holds_nothing(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert [] == read_journal(path).records


def test_a_journal_of_another_size_is_read_by_its_own_measure(play: Play, path: Path) -> None:
    for step in (b"a", None, b"b"):
        play.take(step)
    with path.open("ab") as file:
        file.write(b"more")

    assert HALF != HALF_BYTES
    assert [b"a", b"b"] == read_journal(path).records


def test_a_journal_that_cannot_be_read_names_itself(path: Path) -> None:
    path.mkdir()

    with pytest.raises(OSError, match=r"calls\.db\.journal"):
        read_journal(path)


def test_a_new_journal_holds_nothing_of_the_old_one_and_has_all_its_blocks(path: Path) -> None:
    old = create_journal(path, layout=LAYOUT, half_bytes=4 * HALF)
    old.append(b"old")
    old.turn()
    old.append(b"older")
    old.close()
    create_journal(path, layout=LAYOUT + 1, half_bytes=32 * HALF).close()

    status = path.stat()
    assert 64 * HALF == status.st_size
    assert status.st_blocks * 512 >= status.st_size
    assert 0o600 == status.st_mode & 0o777
    assert Left([], LAYOUT + 1) == read_journal(path)


def test_a_disk_that_is_full_is_met_when_the_journal_is_created(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    room = [1_000]

    def write_some(descriptor: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, content[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write_some)

    with pytest.raises(OSError, match="No space left"):
        create_journal(path, layout=LAYOUT)


def test_a_journal_without_a_path_is_in_memory() -> None:
    journal = create_journal(None, layout=LAYOUT, half_bytes=HALF)
    assert journal.append(b"x")

    journal.discard()
