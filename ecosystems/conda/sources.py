"""Which of an upstream's indexes of a subdir is read: its single file, or its shards (CEP 16).

Rule: what is read for the first time is read from the single file, if there is one; after that
only shards that have changed. Whatever is wrong with shards, the single file does as well.
"""

from __future__ import annotations

from pathlib import Path

from ecosystems.conda import fetch as single_file
from ecosystems.conda import shard_fetch, shard_state
from ecosystems.conda.channel import section_url
from ecosystems.conda.shard_state import ShardState
from ecosystems.conda.shards import INDEX_NAME
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext, FetchedIndex, IndexNotModified
from ecosystems.upstream import NotFound, NotModified, UpstreamError, optional

Answer = FetchedIndex | IndexNotModified | None


def fetch(base_url: str, section: str, context: FetchContext) -> Answer:
    """A subdir's index, from the channel at `base_url`; None where the upstream has none."""
    source = _Subdir(base_url, section, context)
    return source.shards_first() if source.state.bound else source.single_file_first()


def is_shard_list(address: str) -> bool:
    """Whether an index was read from shards."""
    return address.rpartition("/")[2] == INDEX_NAME


class _Subdir:
    """One subdir of an upstream, and what was read of it last."""

    def __init__(self, base_url: str, section: str, context: FetchContext) -> None:
        self._base_url, self._section, self._context = base_url, section, context
        self._url = section_url(base_url, section, INDEX_NAME)
        self._path: Path = context.folder / f"{section}-{INDEX_NAME}"
        state = shard_state.previous_state(context.previous)
        if state is None or state.address != self._url:
            state = shard_state.unknown(self._url)
        self.state: ShardState = state

    def shards_first(self) -> Answer:
        """The changed shards, or the single file where these are old or cannot be had."""
        try:
            shard_list = shard_fetch.fetch_list(
                self._url, self._path, self._context, state=self.state
            )
            outdated = self._outdated(shard_list)
            if not outdated:
                return self._from_shards(shard_list)
        except (UpstreamError, BadIndex) as error:
            return self._in_place_of_shards(error)
        answer = self._single_file()
        # Shards are all that this upstream has left, so even an old list counts.
        if answer is None:
            return self._from_shards(shard_list)
        if isinstance(answer, FetchedIndex):
            answer.notes.append(outdated)
            if shard_list is not None:
                shard_state.attach(answer, shard_list)
        return answer

    def single_file_first(self) -> Answer:
        """The single file, with the list of shards that was there before; shards if there is none.

        The order matters: see `shard_state`.
        """
        shard_list = self._list_beside()
        try:
            answer = self._single_file()
        except (UpstreamError, BadIndex) as error:
            # Only a lasting answer of the server rules the single file out; all else may pass.
            if isinstance(error, UpstreamError) and not (error.permanent and error.status):
                raise
            if shard_list is None:
                raise
            answer = None
        if answer is None:
            return self._all_shards(shard_list)
        if isinstance(answer, FetchedIndex) and shard_list is not None:
            shard_state.attach(answer, shard_list)
        return answer

    def _single_file(self) -> Answer:
        return single_file.fetch(self._base_url, self._section, self._context)

    def _from_shards(self, shard_list: FetchedIndex | None) -> Answer:
        """What a list says, of which None says that nothing has changed."""
        if shard_list is None:
            return IndexNotModified()
        known = self.state.by_name()
        return shard_fetch.with_shards(shard_list, self._section, self._context, known=known)

    def _all_shards(self, shard_list: FetchedIndex | None) -> Answer:
        """Where there is no single file: each shard, if there are any."""
        if shard_list is None and self.state.sha256:
            # It was not sent, because it is the one that was there.
            try:
                shard_list = shard_fetch.fetch_list(self._url, self._path, self._context)
            except NotFound:
                return None
        return None if shard_list is None else self._from_shards(shard_list)

    def _list_beside(self) -> FetchedIndex | None:
        """The list of shards, if it can be had without waiting for it."""
        try:
            answer = optional.fetch(
                self._context.client,
                self._url,
                self._path,
                stop=self._context.stop,
                etag=self.state.etag,
                last_modified=self.state.last_modified,
            )
        except (UpstreamError, BadIndex):
            # Most upstreams have none, and some answer anything to what they do not know.
            return None
        if isinstance(answer, NotModified):
            return None
        return FetchedIndex(self._url, self._path, answer.sha256, answer.etag, answer.last_modified)

    def _outdated(self, shard_list: FetchedIndex | None) -> str:
        """Why a list of shards is too old to be used, as a sentence; "" if it is not."""
        previous = self._context.previous
        modified = self.state.last_modified if shard_list is None else shard_list.last_modified
        read_last = single_file.parsed_date(self.state.modified)
        # A list from before that file would take back what the file brought.
        if shard_list is not None and previous is not None and previous.address != self._url:
            listed = single_file.parsed_date(modified)
            if listed is not None and read_last is not None and listed < read_last:
                return f"{INDEX_NAME} is older than the single file that was read last."
        return single_file.older_than_plain(self._url, modified, self._context)

    def _in_place_of_shards(self, failure: UpstreamError | BadIndex) -> Answer:
        """The single file; raises why shards cannot be had where there is none."""
        if isinstance(failure, UpstreamError) and failure.permanent and not failure.status:
            raise failure  # What may not be fetched: another form would not do better.
        try:
            answer = self._single_file()
        except (UpstreamError, BadIndex) as error:
            if isinstance(failure, NotFound):
                raise
            raise failure from error
        if isinstance(failure, NotFound):
            return answer
        if answer is None:
            raise failure
        answer.warnings.append(f"{INDEX_NAME} cannot be used now, the single file is: {failure}")
        return answer
