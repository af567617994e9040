"""PostgreSQL at its worst: restarted in the middle of deliveries, deadlocked, locked, gone, wrongly addressed."""

import asyncio
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alerts.database import open_engine, reading, writing
from alerts.deliver import run_deliveries
from alerts.migrate import upgrade
from alerts.store import AlertStore, Delivery, open_store
from alerts.tables import alerts, deliveries
from core.clock import utc_now
from core.errors import ConfigError, Retryable
from servers.postgres import PostgresServer
from tests.conformance.test_alerts_store import NOW, transition
from tests.databases import skip_without_postgres

pytestmark = pytest.mark.live
ALERTS = 40


@pytest.fixture
def store(postgres_url: str) -> Iterator[AlertStore]:
    store = open_store(postgres_url)
    yield store
    store.engine.dispose()


class Inbox:
    """A receiver that remembers what came, and tells when a quarter has come."""

    name = "hook"
    target = "t"

    def __init__(self, reached: threading.Event) -> None:
        self.came: list[str] = []
        self.reached = reached

    async def send(self, delivery: Delivery) -> None:
        """Take it in."""
        self.came.append(delivery.id)
        if len(self.came) == ALERTS // 4:
            self.reached.set()

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("crash", [True, False], ids=["killed", "restarted"])
def test_a_restart_in_the_middle_of_deliveries_loses_nothing(crash: bool) -> None:
    skip_without_postgres()
    with tempfile.TemporaryDirectory(prefix="groundswell-") as parent:
        folder = Path(parent)
        folder.chmod(0o755)  # the server may run as another account
        with PostgresServer(folder / "postgres", durable=False) as server:
            engine = open_engine(server.url)
            upgrade(engine)
            store = AlertStore(engine)
            for n in range(ALERTS):
                store.record(transition(f"a{n}"), ["hook"])
            inbox = Inbox(threading.Event())
            asyncio.run(_deliver_over_a_restart(store, inbox, server, crash=crash))
            assert store.counts().delivered == ALERTS
            assert set(inbox.came) == {delivery.id for delivery in store.deliveries(limit=1000)}
            engine.dispose()


async def _deliver_over_a_restart(store: AlertStore, inbox: Inbox, server: PostgresServer, *, crash: bool) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(run_deliveries(store, {"hook": inbox}, clock=utc_now, stop=stop, poll_s=0.05))
    assert await asyncio.to_thread(inbox.reached.wait, 60)
    await asyncio.to_thread(server.kill if crash else server.stop)
    with pytest.raises(Retryable, match="the database did not answer"):
        await asyncio.to_thread(store.record, transition("a0"), ["hook"])
    server.start()  # in this thread, which outlives the loop: a server ends with the thread that started it
    await asyncio.to_thread(store.release_all)  # rather than wait for the leases of what was in hand to run out
    while (await asyncio.to_thread(store.counts)).pending:  # noqa: ASYNC110 — the server tells nobody
        await asyncio.sleep(0.05)
    stop.set()
    await running


def test_a_killed_server_that_nobody_has_reaped_is_no_obstacle() -> None:
    """As where whoever adopts it is slow: PostgreSQL itself takes it for alive."""
    skip_without_postgres()
    with tempfile.TemporaryDirectory(prefix="groundswell-") as parent:
        folder = Path(parent)
        folder.chmod(0o755)  # the server may run as another account
        with PostgresServer(folder / "postgres", durable=False) as server:
            lock = folder / "postgres" / "data" / "postmaster.pid"
            owner, held = lock.stat(), lock.read_text("utf-8").splitlines(keepends=True)
            server.kill()
            account: dict[str, Any] = {} if os.geteuid() else {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
            dead = subprocess.Popen(["true"], **account)
            os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
            lock.write_text("".join([f"{dead.pid}\n", *held[1:]]), "utf-8")
            server.start()
            assert server.answers()
        dead.wait()


def test_what_another_worker_is_claiming_is_passed_over(store: AlertStore) -> None:
    for n in range(4):
        store.record(transition(f"a{n}"), ["hook"])
    with writing(store.engine) as other:
        held = other.execute(sa.select(deliveries.c.id).order_by(deliveries.c.id).limit(2).with_for_update()).scalars().all()
        claimed = [delivery.id for delivery in store.claim_due(NOW, 10, 60.0)]  # would wait, if it did not pass over them
        assert len(claimed) == 2
        assert set(claimed).isdisjoint(held)
    assert {delivery.id for delivery in store.claim_due(NOW, 10, 60.0)} == set(held)


def test_a_deadlock_is_tried_again(store: AlertStore) -> None:
    for name in ("a", "b"):
        store.record(transition(name), [])
    both_hold_one = threading.Barrier(2)
    outcomes: list[BaseException | None] = []

    def lock(first: str, second: str) -> None:
        try:
            with writing(store.engine) as connection:
                connection.execute(sa.update(alerts).where(alerts.c.alert_id == first).values(summary=first))
                both_hold_one.wait(60)
                connection.execute(sa.update(alerts).where(alerts.c.alert_id == second).values(summary=first))
        except BaseException as error:  # noqa: BLE001 — looked at below
            outcomes.append(error)
        else:
            outcomes.append(None)

    threads = [threading.Thread(target=lock, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [type(outcome) for outcome in outcomes if outcome] == [Retryable]
    assert None in outcomes


def test_a_serialization_failure_is_tried_again(store: AlertStore) -> None:
    store.record(transition("a"), [])
    change = sa.update(alerts).where(alerts.c.alert_id == "a")

    def change_what_changed() -> None:
        with writing(store.engine) as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
            connection.execute(sa.select(alerts)).all()
            with writing(store.engine) as other:
                other.execute(change.values(summary="other"))
            connection.execute(change.values(summary="ours"))

    with pytest.raises(Retryable, match="serialize"):
        change_what_changed()


def test_a_connection_that_is_cut_is_tried_again_and_then_new(store: AlertStore) -> None:
    cut = sa.text("SELECT pg_terminate_backend(:pid)")

    def lose_the_connection() -> None:
        with writing(store.engine) as connection:
            pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            with reading(store.engine) as other:
                other.execute(cut, {"pid": pid})
            connection.execute(sa.select(alerts)).all()

    with pytest.raises(Retryable, match="the database did not answer"):
        lose_the_connection()
    assert store.record(transition(), ["hook"])


def test_a_wait_for_a_lock_ends(store: AlertStore) -> None:
    store.record(transition("a"), [])

    def wait() -> None:
        with writing(store.engine) as waiter:
            waiter.execute(sa.text("SET LOCAL lock_timeout = '50ms'"))
            waiter.execute(sa.select(alerts).with_for_update())

    with writing(store.engine) as holder:
        holder.execute(sa.select(alerts).with_for_update())
        with pytest.raises(Retryable, match="lock timeout"):
            wait()


def test_times_do_not_depend_on_the_servers_zone(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with writing(engine) as connection:
        name = connection.execute(sa.text("SELECT current_database()")).scalar_one()
        connection.execute(sa.text(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Shanghai'"))
    engine.dispose()
    store = open_store(postgres_url)
    store.record(transition(), ["hook"])
    (alert,) = store.list_alerts()
    assert alert.opened == NOW
    assert alert.opened.isoformat().endswith("+00:00")
    assert len(store.claim_due(NOW, 1, 60.0)) == 1
    store.engine.dispose()


def test_wrong_addresses_are_told_without_the_password(postgres_url: str) -> None:
    address = sa.make_url(postgres_url)
    wrong = address.set(password="hidden")
    with pytest.raises(Retryable, match="password authentication failed") as told:
        open_store(wrong.render_as_string(hide_password=False))
    assert "hidden" not in str(told.value)
    with pytest.raises(Retryable, match='"none" does not exist'):
        open_store(address.set(database="none").render_as_string(hide_password=False))
    with pytest.raises(ConfigError, match="not a database address"):
        open_store("postgresql+psycopg://host:port/name")


def test_the_password_may_come_apart_from_the_address(postgres_url: str) -> None:
    address = sa.make_url(postgres_url)
    without = address.set(password=None).render_as_string()
    engine = open_engine(without, password=address.password or "")
    with reading(engine) as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_a_commit_waits_for_the_servers_log_whatever_is_asked_for(postgres_url: str) -> None:
    engine = open_engine(postgres_url, durable=False)
    with reading(engine) as connection:
        assert connection.execute(sa.text("SHOW synchronous_commit")).scalar_one() == "on"
    engine.dispose()
