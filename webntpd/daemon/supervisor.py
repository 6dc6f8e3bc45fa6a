"""The daemon: starts, restarts and stops every task, and carries out signals and reloads.

Values flow from the peers' tasks through one channel to the system task. This module only decides
which tasks exist.
"""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import trio
from trio.lowlevel import ParkingLot

from webntpd.clock.clocks import Clock, read_pair
from webntpd.clock.discontinuity import watch_for_clock_set
from webntpd.config import Config, ConfigError
from webntpd.daemon.control import ControlError, serve_control
from webntpd.daemon.metrics import serve_metrics
from webntpd.daemon.observers import Observers
from webntpd.daemon.outputs import Outputs
from webntpd.daemon.peers import Peers
from webntpd.daemon.state import StateKeeper, stored_frequency
from webntpd.daemon.system_task import ClockSet, Event, Heartbeat, Setup, SystemTask
from webntpd.daemon.systemd import Notifier, watchdog_interval
from webntpd.exchange.leaplist import LeapSource, keep_fresh, newest_leap_list
from webntpd.leap.knowledge import LeapKnowledge
from webntpd.leap.list import LeapList
from webntpd.ntp.estimates import Frequency
from webntpd.ntp.readings import Reading, Smear
from webntpd.refclock.base import RefclockError
from webntpd.server import Counters, ServerError, ServerParameters, check_server, serve
from webntpd.sockets.listeners import ListenError
from webntpd.statistics.files import StatisticsLog
from webntpd.status.snapshot import Status
from webntpd.status.summary import summary
from webntpd.tasks.restart import keep_running
from webntpd.tasks.services import Service, ServiceSlot

logger = logging.getLogger(__name__)

EVENTS_IN_FLIGHT = 64
JOINING_UNCERTAINTY = 2e-6
"""The daemon's frequency is at least this uncertain to a peer that a reload adds, s/s: else the new
peer's line would need long to correct an error of the others."""

P = TypeVar("P")


async def run_daemon(
    load: Callable[[], Config],
    clock: Clock,
    *,
    observe: Callable[[Status], None] = lambda _: None,
    accepted: Callable[[Config], None] = lambda _: None,
) -> None:
    """Run until SIGTERM or SIGINT; `load` reads the configuration, now and at each SIGHUP.

    `observe` gets every snapshot, and `accepted` each configuration that comes into force.
    Raises ConfigError, RefclockError or ServerError if the daemon cannot start.
    """
    config = load()
    accepted(config)
    hangup, hangups = trio.open_memory_channel[None](1)
    failure: Exception | None = None
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            daemon = Daemon(
                clock,
                nursery,
                stored_frequency(config.state, clock.realtime_ns()),
                observe=observe,
                accepted=accepted,
            )

            async def hear_signals() -> None:
                """Run this in its own task, since a start or a reload may wait for long."""
                async for received in signals:
                    if received != signal.SIGHUP:
                        daemon.notifier.stopping()
                        nursery.cancel_scope.cancel()
                    else:
                        with suppress(trio.WouldBlock):  # one reload that waits is enough
                            hangup.send_nowait(None)

            nursery.start_soon(hear_signals)
            try:
                await daemon.start(config)
                while True:
                    await hangups.receive()
                    await daemon.reload(load)
            except (RefclockError, ServerError) as error:
                failure = error
            finally:
                nursery.cancel_scope.cancel()
                daemon.close()
    if failure is not None:
        raise failure


@dataclass(frozen=True, slots=True)
class Row(Generic[P]):
    """A service, and the parameters that a configuration has for it; None stops the service."""

    slot: ServiceSlot[P]
    parameters: Callable[[Config], P | None]

    async def apply(self, config: Config) -> None:
        """Run the service as configured. Raises its refusal, as ServiceSlot.change() does."""
        await self.slot.change(self.parameters(config))

    async def apply_or_warn(self, config: Config) -> None:
        """Run a service that is not needed to tell time: a refusal is only a warning."""
        try:
            await self.apply(config)
        except (ControlError, ListenError) as error:
            logger.warning("%s: %s", self.slot.name, error)
        except Exception:
            logger.exception("%s: cannot be changed", self.slot.name)


class Daemon:
    """All tasks of the daemon, which run in `nursery`. A reload changes only what differs.

    `remembered` is the oscillator's frequency from an earlier run.
    """

    def __init__(
        self,
        clock: Clock,
        nursery: trio.Nursery,
        remembered: Frequency,
        *,
        observe: Callable[[Status], None],
        accepted: Callable[[Config], None],
    ) -> None:
        self.notifier = Notifier()
        self._clock = clock
        self._nursery = nursery
        self._remembered = remembered
        self._observers = Observers(observe)
        self._accepted = accepted
        self._events, self._inbox = trio.open_memory_channel[Event](EVENTS_IN_FLIGHT)
        self._status: Status | None = None
        self._counters = Counters()
        self._leap = LeapKnowledge()
        self._fetched: dict[str, LeapList] = {}  # by URL; the cache may have had no room
        self._rereading = ParkingLot()  # tasks that reread their files at a reload
        self._setup = Setup()
        self._outputs = Outputs()
        self._peers = Peers(
            nursery, clock, self._events, prior=self._prior, correct=self._corrected
        )
        self._server = ServiceSlot(
            "server", self._time_service(), nursery, refusal=ServerError, check=check_server
        )
        self._needed = (Row(self._server, lambda config: config.server),)
        self._helpers = tuple(self._helper_rows())

    def _time_service(self) -> Service[ServerParameters]:
        return partial(
            serve,
            clock=self._clock,
            leap=lambda: self._leap.own,
            counters=self._counters,
            reload=self._rereading,
        )

    def _helper_rows(self) -> Iterator[Row[Any]]:
        """The services that are not needed to tell time."""

        def slot(
            name: str, service: Service[Any], refusal: type[Exception] | tuple[()] = ()
        ) -> ServiceSlot[Any]:
            return ServiceSlot(name, service, self._nursery, refusal=refusal)

        control = partial(serve_control, snapshot=self._snapshot)
        yield Row(slot("control socket", control, ControlError), lambda config: config.control)
        metrics = partial(serve_metrics, snapshot=self._snapshot)
        yield Row(slot("metrics", metrics, ListenError), lambda config: config.metrics)
        leap = partial(
            keep_fresh,
            at_hand=lambda: self._leap.own,
            adopt=self._adopt_leap_list,
            now_ns=self._clock.realtime_ns,
        )
        yield Row(slot("leap-seconds list", leap), lambda config: config.leap_source)
        statistics = partial(self._observers.run, StatisticsLog)
        yield Row(slot("statistics", statistics), lambda config: config.statistics)
        state = partial(self._observers.run, StateKeeper)
        yield Row(slot("state", state), lambda config: config.state)

    async def start(self, config: Config) -> None:
        """Start everything that `config` asks for, then tell the service manager.

        Raises RefclockError or ServerError.
        """
        await self.apply(config)
        system = SystemTask(
            self._clock,
            observe=self._on_status,
            feed_watchdog=self.notifier.alive,
            alarm_peers=self._peers.alarm,
        )
        self._nursery.start_soon(keep_running, "system process", partial(system.run, self._inbox))
        self._nursery.start_soon(
            keep_running, "clock watch", partial(watch_for_clock_set, self._on_clock_set)
        )
        if interval := watchdog_interval():
            self._nursery.start_soon(self._beat, interval)
        self.notifier.ready()

    async def reload(self, load: Callable[[], Config]) -> None:
        """Carry out a new configuration, or keep the old one when the new one is faulty."""
        self.notifier.reloading()
        try:
            config = load()
            await self.apply(config)
        except ConfigError as error:
            for fault in error.faults:
                logger.error("%s", fault)  # noqa: TRY400 - a fault of the file, not of the program
            logger.error("reload: the configuration is kept as it was")  # noqa: TRY400
        except (RefclockError, ServerError) as error:
            logger.error("reload: %s; the configuration is kept as it was", error)  # noqa: TRY400
        except Exception:
            logger.exception("reload: not complete")
        else:
            self._accepted(config)
            self._rereading.unpark_all()
            logger.info("reloaded: %d peers, %d refclocks", len(self._peers), len(self._outputs))
        self.notifier.ready()

    async def apply(self, config: Config) -> None:
        """Bring a configuration into force, or raise RefclockError or ServerError.

        The steps that may be refused come first, and change nothing if one is. A helper that cannot
        change goes on as it was.
        """
        before, own = self._leap.own, self._newest_leap_list(config)
        self._leap = replace(self._leap, own=own)
        try:
            with self._outputs.opened(config.refclocks):
                # The leap list is read already: the server's first replies tell of leap seconds.
                for row in self._needed:
                    await row.apply(config)
        except BaseException:
            if self._leap.own is own:  # and not one that was downloaded meanwhile
                self._leap = replace(self._leap, own=before)
            raise
        for row in self._helpers:
            await row.apply_or_warn(config)
        self._leap = replace(self._leap, smears=_smears(config))
        self._setup = self._make_setup(config)
        await self._events.send(self._setup)
        self._peers.change(config.peers)
        self._outputs.close_all_but(config.refclocks)

    def close(self) -> None:
        """Close the outputs, so that no consumer takes an old sample."""
        self._outputs.close_all_but(())
        self.notifier.close()

    # -- the configuration -------------------------------------------------------------------

    def _newest_leap_list(self, config: Config) -> LeapList | None:
        source = config.leap_source
        return newest_leap_list(
            config.leap_file,
            source.cache if source.url else None,
            self._fetched.get(source.url),
        )

    def _make_setup(self, config: Config) -> Setup:
        return Setup(
            parameters=replace(config.system, slew=self._clock.slew),
            kinds={spec.name: spec.exchange.kind for spec in config.peers},
            outputs=self._outputs.destinations(config.refclocks),
            leap=self._leap,
        )

    async def _adopt_leap_list(self, source: LeapSource, leap_list: LeapList) -> None:
        self._fetched[source.url] = leap_list
        self._leap = replace(self._leap, own=leap_list)
        self._setup = replace(self._setup, leap=self._leap)
        await self._events.send(self._setup)

    # -- the peers ---------------------------------------------------------------------------

    def _prior(self) -> Frequency:
        """The oscillator's frequency for a new peer: the daemon's, or that of an earlier run."""
        known = self._status.verdict.frequency if self._status else None
        if known is None:
            return self._remembered
        return replace(known, uncertainty=max(known.uncertainty, JOINING_UNCERTAINTY))

    def _corrected(self, reading: Reading, smear: Smear) -> Reading | None:
        reports = (each.report for each in self._status.peers) if self._status else ()
        return self._leap.corrected(reading, smear, reports)

    # -- events ------------------------------------------------------------------------------

    def _snapshot(self) -> Status | None:
        """The last snapshot as it looks now: offsets and bounds are of this instant."""
        if self._status is None:  # until the system task has its first turn
            return None  # pragma: no cover  # no test can tell when that is
        pair = read_pair(self._clock)
        return replace(
            self._status,
            server=self._counters.status() if self._server.is_running else None,
            at_ns=pair.raw_ns,
            wall_ns=pair.wall_ns,
        )

    def _on_status(self, status: Status) -> None:
        self._status = status
        self._tell_state()
        self._observers.show(status)

    def _on_clock_set(self) -> None:
        with suppress(trio.WouldBlock):  # each waiting event checks the clock as well
            self._events.send_nowait(ClockSet())

    def _tell_state(self) -> None:
        # For the branch without a snapshot see _snapshot().
        if (snapshot := self._snapshot()) is not None:  # pragma: no branch
            self.notifier.status(summary(snapshot))

    async def _beat(self, interval: float) -> None:
        while True:
            await self._events.send(Heartbeat())
            self._tell_state()  # a server without peers has no other events
            await trio.sleep(interval)


def _smears(config: Config) -> dict[str, Smear]:
    """The peers whose servers smear leap seconds, by name."""
    return {
        spec.name: spec.peer.smear for spec in config.peers if spec.peer.smear is not Smear.NONE
    }
