"""Reading the table of jobs: one by its id or name, all of a kind, the queue, what happened to the registry itself.

Not here: every change of it (`registry.py`), the connection (`registry_connection.py`).
"""

from __future__ import annotations

from collections.abc import Collection

from llm_core.config.errors import NotFound
from llm_core.workspace import registry_file
from llm_core.workspace.job_record import JobRecord
from llm_core.workspace.registry_connection import RegistryConnection
from llm_core.workspace.registry_rows import get_record, marks, record_from_row

MINIMUM_PREFIX_CHARACTERS = 4


class RegistryReader(RegistryConnection):
    """What anybody may ask the registry.

    Raises, from every method: RegistryUnavailable when the file cannot be reached; NotFound for what does not exist.
    """

    def get(self, job_id: str) -> JobRecord:
        """The job with exactly this id."""
        with self._reading() as connection:
            return get_record(connection, job_id)

    def jobs(self, kind: str | None = None, states: Collection[str] | None = None) -> list[JobRecord]:
        """Jobs of one kind or all, in some states or any, newest first."""
        query, values = "SELECT * FROM jobs WHERE 1", list[str]()
        if kind is not None:
            query, values = f"{query} AND kind = ?", [*values, kind]
        if states is not None:
            query, values = f"{query} AND state IN ({marks(states)})", [*values, *states]
        with self._reading() as connection:
            return [
                record_from_row(row)
                for row in connection.execute(f"{query} ORDER BY created_at DESC, rowid DESC", values)
            ]

    def queue(self, kind: str | None = "train") -> list[JobRecord]:
        """What waits, in the order in which it will be taken."""
        query, values = "SELECT * FROM jobs WHERE state = 'queued'", list[str]()
        if kind is not None:
            query, values = f"{query} AND kind = ?", [kind]
        with self._reading() as connection:
            return [record_from_row(row) for row in connection.execute(f"{query} ORDER BY place, rowid", values)]

    def find(self, reference: str, kind: str = "train") -> JobRecord:
        """The job meant by an exact id, else an exact name, else a unique beginning of an id of at least 4 characters.

        Raises:
            NotFound: nothing or more than one matches; the message lists what there is.
        """
        with self._reading() as connection:
            for query in ("id = ?", "name = ? ORDER BY created_at DESC, rowid DESC"):
                row = connection.execute(f"SELECT * FROM jobs WHERE kind = ? AND {query}", (kind, reference)).fetchone()
                if row is not None:
                    return record_from_row(row)
            matches = list[JobRecord]()
            if len(reference) >= MINIMUM_PREFIX_CHARACTERS:
                query = "SELECT * FROM jobs WHERE kind = ? AND substr(id, 1, ?) = ? ORDER BY created_at DESC"
                matches = [record_from_row(row) for row in connection.execute(query, (kind, len(reference), reference))]
        if len(matches) == 1:
            return matches[0]
        word = "run" if kind == "train" else f"{kind} job"
        if matches:
            remedy = "Give more of the id: " + ", ".join(f"{record.id} ({record.name})" for record in matches[:10])
            raise NotFound(f"More than one {word} begins like this", value=reference, remedy=remedy)
        existing = self.jobs(kind)
        listed = ", ".join(f"{record.name} ({record.id})" for record in existing[:10])
        more = f" and {len(existing) - 10} more" if len(existing) > 10 else ""
        remedy = f"There are: {listed}{more}" if existing else f"There is no {word} yet"
        raise NotFound(f"There is no {word} with this id or name", value=reference, remedy=remedy)

    def free_name(self, kind: str, wish: str) -> str:
        """`wish`, or `wish-2`, `wish-3`, … where it is taken."""
        with self._reading() as connection:
            taken = {row["name"] for row in connection.execute("SELECT name FROM jobs WHERE kind = ?", (kind,))}
        number, name = 1, wish
        while name in taken:
            number, name = number + 1, f"{wish}-{number + 1}"
        return name

    def events(self, after_id: int = 0) -> list[registry_file.RegistryEvent]:
        """What happened to the registry itself (quarantine, rebuild) and notes of the supervisor, oldest first."""
        with self._reading() as connection:
            return registry_file.read_events(connection, after_id)
