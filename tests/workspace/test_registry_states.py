"""Random sequences of everything that can happen to jobs, held against a plain model in memory."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from llm_core.config.errors import NameTaken, NotFound, Refused
from llm_core.workspace.job_record import FINAL, HELD, TRANSITIONS
from llm_core.workspace.json_files import read_json
from llm_core.workspace.leases import LeaseLost, token_number
from llm_core.workspace.paths import open_workspace
from llm_core.workspace.process_identity import this_process
from llm_core.workspace.queue_copy import FILE_NAME
from llm_core.workspace.registry import Registry

LIVING = this_process()
DEAD = dataclasses.replace(LIVING, start_time="1")
MAX_ATTEMPTS = 2


@dataclasses.dataclass
class Job:
    name: str
    seed: int = 0
    has_begun: bool = False
    state: str = "queued"
    token: str | None = None
    living: bool = False
    attempts: int = 0
    claims: int = 0


class RegistryMachine(RuleBasedStateMachine):
    ids = Bundle("ids")
    tokens = Bundle("tokens")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.workspace = open_workspace(Path(self.folder.name) / "glassbox")
        self.registry = Registry(self.workspace)
        self.model: dict[str, Job] = {}
        self.order: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "registry"):
            self.registry.close()
            self.folder.cleanup()

    @rule(target=ids, name=st.sampled_from(["a", "b", "c"]))
    def add(self, name: str) -> str:
        if any(job.name == name for job in self.model.values()):
            with pytest.raises(NameTaken):
                self.registry.add("train", name, {})
            return next(job_id for job_id, job in self.model.items() if job.name == name)
        record = self.registry.add("train", name, {}, max_attempts=MAX_ATTEMPTS)
        self.model[record.id] = Job(name)
        self.order.append(record.id)
        return record.id

    @rule(target=tokens, living=st.booleans())
    def claim(self, living: bool) -> tuple[str, str]:
        queued = [job_id for job_id in self.order if self.model[job_id].state == "queued"]
        record = self.registry.claim(LIVING if living else DEAD, ["train"])
        if not queued:
            assert record is None
            return "none", "000001-none"
        assert record is not None and record.id == queued[0] and record.lease_token is not None
        job = self.model[record.id]
        job.state, job.token, job.living = "starting", record.lease_token, living
        job.attempts, job.claims = job.attempts + 1, job.claims + 1
        assert token_number(job.token) == job.claims
        return record.id, record.lease_token

    @rule(lease=tokens, to=st.sampled_from(["running", "paused", "finished", "stopped", "failed", "diverged"]))
    def move_with_token(self, lease: tuple[str, str], to: str) -> None:
        job_id, token = lease
        job = self.model.get(job_id)
        if job is None or job.token != token:
            with pytest.raises(LeaseLost):
                self.registry.move(job_id, to, token=token)
        elif to not in TRANSITIONS[job.state]:
            with pytest.raises(Refused):
                self.registry.move(job_id, to, token=token)
        else:
            self.registry.move(job_id, to, token=token)
            job.state, job.has_begun = to, job.has_begun or to == "running"
            if to not in HELD:
                job.token = None

    @rule(lease=tokens)
    def requeue(self, lease: tuple[str, str]) -> None:
        job_id, token = lease
        job = self.model.get(job_id)
        if job is None or job.token != token:
            with pytest.raises(LeaseLost):
                self.registry.requeue(job_id, token, "gone")
            return
        self.registry.requeue(job_id, token, "gone")
        job.state, job.token = ("failed" if job.attempts >= MAX_ATTEMPTS else "queued"), None
        self.order.remove(job_id)
        self.order.insert(0, job_id)

    @rule(job_id=ids)
    def resume(self, job_id: str) -> None:
        job = self.model.get(job_id)
        if job is None:
            with pytest.raises(NotFound):
                self.registry.resume(job_id)
        elif job.state in ("finished", "queued") or (job.state in HELD and job.living):
            with pytest.raises(Refused):
                self.registry.resume(job_id)
        else:
            self.registry.resume(job_id)
            self.order.remove(job_id)
            self.order.insert(0 if job.state == "paused" else len(self.order), job_id)
            job.state, job.token, job.attempts = "queued", None, 0

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        job = self.model.get(job_id)
        if job is None or job.state not in ("queued", "paused"):
            with pytest.raises((NotFound, Refused)):
                self.registry.cancel(job_id)
        else:
            self.registry.cancel(job_id)
            job.state = "stopped"

    @rule(job_id=ids, before=st.one_of(st.none(), st.just("first"), ids))
    def move_in_queue(self, job_id: str, before: str | None) -> None:
        job, other = self.model.get(job_id), self.model.get(before or "")
        waiting = {name for name, found in self.model.items() if found.state == "queued"}
        needed = {job_id} if before in (None, "first") else {job_id, before}
        if not needed <= waiting:
            with pytest.raises((NotFound, Refused)):
                self._move_in_queue(job_id, before)
            return
        self._move_in_queue(job_id, before)
        if before != job_id:
            assert job is not None and (other is not None or before in (None, "first"))
            self.order.remove(job_id)
            places = {None: len(self.order), "first": 0}
            self.order.insert(places[before] if before in places else self.order.index(before or ""), job_id)

    def _move_in_queue(self, job_id: str, before: str | None) -> None:
        if before == "first":
            self.registry.move_to_front(job_id)
        else:
            self.registry.move_in_queue(job_id, before=before)

    @rule(job_id=ids, name=st.sampled_from(["a", "b", "c", "d"]), seed=st.integers(1, 9))
    def edit(self, job_id: str, name: str, seed: int) -> None:
        job = self.model.get(job_id)
        others = {other.name for other_id, other in self.model.items() if other_id != job_id}
        if job is None or job.state != "queued" or job.has_begun or name in others:
            with pytest.raises((NotFound, Refused, NameTaken)):
                self.registry.edit_queued(job_id, {"name": name, "seed": seed})
        else:
            self.registry.edit_queued(job_id, {"name": name, "seed": seed})
            job.name, job.seed = name, seed

    @rule(job_id=consumes(ids))
    def delete(self, job_id: str) -> None:
        job = self.model.get(job_id)
        if job is None:
            with pytest.raises(NotFound):
                self.registry.delete(job_id)
        elif job.state in HELD and job.living:
            with pytest.raises(Refused):
                self.registry.delete(job_id)
        else:
            self.registry.delete(job_id)
            del self.model[job_id]
            self.order.remove(job_id)

    @rule()
    def open_again(self) -> None:
        self.registry.close()
        self.registry = Registry(self.workspace)

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "registry"):
            return
        records = {record.id: record for record in self.registry.jobs()}
        assert records.keys() == self.model.keys()
        queued = [job_id for job_id in self.order if self.model[job_id].state == "queued"]
        assert [record.id for record in self.registry.queue()] == queued
        copy = (read_json(self.workspace.root / FILE_NAME) or {"runs": []})["runs"]
        assert [run["id"] for run in copy] == queued
        for job_id, job in self.model.items():
            record = records[job_id]
            assert (record.name, record.config.get("seed", 0)) == (job.name, job.seed)
            assert (record.state, record.lease_token) == (job.state, job.token)
            assert record.attempts == job.attempts
            assert (record.owner is not None) == (job.state in HELD)
            assert (record.ended_at is not None) == (job.state in FINAL)


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
