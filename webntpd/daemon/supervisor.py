"""The daemon: starts, restarts and stops every task, and carries out signals and reloads.

This is the one module that knows all others. Values flow from the peers' tasks through one
channel to the system task; this module only decides which tasks exist.
"""

import logging
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio
from trio.lowlevel import ParkingLot

from webntpd.clock.clocks import Clock, read_pair
from webntpd.clock.discontinuity import watch_for_clock_set
from webntpd.config import Config, ConfigError, PeerSpec
from webntpd.daemon.control import ControlError, serve_control
from webntpd.daemon.metrics import serve_metrics
from webntpd.daemon.peer_task import PeerTask
from webntpd.daemon.state import frequency_from, load_state
from webntpd.daemon.statekeeping import StateKeeper
from webntpd.daemon.system_task import (
    ClockSet,
    Event,
    Heartbeat,
    Output,
    Setup,
    SystemTask,
    notices,
)
from webntpd.daemon.systemd import Notifier, watchdog_interval
from webntpd.exchange import make_exchange
from webntpd.exchange.leapfile import newest_leap_list
from webntpd.exchange.leaplist import LeapSource, keep_fresh
from webntpd.leap.list import LeapList, smear_is_possible, unsmeared
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Frequency
from webntpd.ntp.peer import SUSPEND_UNCERTAINTY, Peer
from webntpd.ntp.readings import LeapNotice, Reading, Smear
from webntpd.refclock import make_refclock
from webntpd.refclock.base import Refclock, RefclockError, RefclockParameters
from webntpd.server import Counters, ServerError, ServerParameters, check_server, serve
from webntpd.sockets.listeners import ListenError
from webntpd.statistics.files import StatisticsLog, StatisticsParameters
from webntpd.status.snapshot import Status, summary
from webntpd.tasks.restart import keep_running
from webntpd.tasks.services import Slot

log = logging.getLogger(__name__)

EVENTS_IN_FLIGHT = 64

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
    daemon = Daemon(clock, observe, accepted)
    hangup, hangups = trio.open_memory_channel[None](1)
    failure: Exception | None = None
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

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
                await daemon.start(config, nursery)
                async for _ in hangups:
                    await daemon.reload(load)
            except (RefclockError, ServerError) as error:
                failure = error
            finally:
                nursery.cancel_scope.cancel()
                daemon.close()
    if failure is not None:
        raise failure


@dataclass(frozen=True, slots=True)
class RunningPeer:
    """A peer's task from outside: what it was started with, and how to reach it."""

    spec: PeerSpec
    scope: trio.CancelScope
    alarms: trio.MemorySendChannel[None]


class Daemon:
    """What runs: peers, outputs, the server. A reload changes only what differs."""

    def __init__(
        self,
        clock: Clock,
        observe: Callable[[Status], None],
        accepted: Callable[[Config], None],
    ) -> None:
        self.notifier = Notifier()
        self._clock = clock
        self._observers = {observe}
        self._accepted = accepted
        self._events, self._inbox = trio.open_memory_channel[Event](EVENTS_IN_FLIGHT)
        self._peers: dict[str, RunningPeer] = {}
        self._outputs: dict[RefclockParameters, Refclock] = {}
        self._status: Status | None = None
        self._counters = Counters()
        self._serving = False
        self._leap_list: LeapList | None = None
        self._fetched: dict[str, LeapList] = {}  # by URL; the cache may have had no room
        self._rereading = ParkingLot()  # tasks that reread their files at a reload
        self._nursery: trio.Nursery
        self._server: Slot[ServerParameters]
        self._control: Slot[Path]
        self._metrics: Slot[str]
        self._leap_source: Slot[LeapSource]
        self._setup: Setup
        self._statistics: Slot[StatisticsParameters]
        self._state: Slot[Path]
        self._remembered = UNKNOWN_FREQUENCY  # the frequency from an earlier run

    async def start(self, config: Config, nursery: trio.Nursery) -> None:
        """Start everything that `config` asks for, then tell the service manager."""
        self._nursery = nursery
        self._server = Slot(
            "server", self._serve_time, nursery, refusal=ServerError, check=check_server
        )
        self._control = Slot("control socket", self._serve_control, nursery, refusal=ControlError)
        self._metrics = Slot("metrics", self._serve_metrics, nursery, refusal=ListenError)
        self._leap_source = Slot("leap-seconds list", self._keep_leap_list_fresh, nursery)
        self._statistics = Slot("statistics", self._keep_statistics, nursery)
        self._state = Slot("state", self._keep_state, nursery)
        self._remembered = self._remembered_frequency(config.state)
        with self._opened_outputs(config) as added:
            self._outputs |= added
        # Before the server: its first replies tell of leap seconds.
        setup = self._make_setup(config)
        await self._server.change(config.server)
        await self._change_helpers(config)
        system = SystemTask(
            setup,
            self._clock,
            observe=self._on_status,
            feed_watchdog=self.notifier.alive,
            alarm_peers=self._alarm_peers,
        )
        nursery.start_soon(keep_running, "system process", lambda: system.run(self._inbox))
        nursery.start_soon(
            keep_running, "clock watch", lambda: watch_for_clock_set(self._on_clock_set)
        )
        if interval := watchdog_interval():
            nursery.start_soon(self._beat, interval)
        self._change_peers(config)
        self.notifier.ready()

    async def reload(self, load: Callable[[], Config]) -> None:
        """Carry out a new configuration, or keep the old one when the new one is faulty."""
        self.notifier.reloading()
        try:
            await self._adopt(load())
        except ConfigError as error:
            for fault in error.faults:
                log.error("%s", fault)  # noqa: TRY400 - a fault of the file, not of the program
            log.error("reload: the configuration is kept as it was")  # noqa: TRY400
        except (RefclockError, ServerError) as error:
            log.error("reload: %s; the configuration is kept as it was", error)  # noqa: TRY400
        except Exception:
            log.exception("reload: not complete")
        self.notifier.ready()

    async def _adopt(self, config: Config) -> None:
        """Bring a new configuration into force, or raise before anything has changed.

        The steps that may be refused come first. A service that cannot change goes on as it was.
        """
        with self._opened_outputs(config) as added:
            await self._server.change(config.server)
        self._outputs |= added
        self._accepted(config)
        self._rereading.unpark_all()
        await self._change_helpers(config)
        await self._events.send(self._make_setup(config))
        self._change_peers(config)
        self._close_outputs_but(config)
        log.info("reloaded: %d peers, %d refclocks", len(self._peers), len(self._outputs))

    def close(self) -> None:
        """Close the outputs, so that no consumer takes what is left in them."""
        for refclock in self._outputs.values():
            refclock.close()
        self.notifier.close()

    # -- what runs ---------------------------------------------------------------------------

    def _change_peers(self, config: Config) -> None:
        wanted = {spec.name: spec for spec in config.peers}
        for name, running in list(self._peers.items()):
            if wanted.get(name) != running.spec:
                running.scope.cancel()
                del self._peers[name]
        for name, spec in wanted.items():
            if name not in self._peers:
                self._peers[name] = self._start_peer(spec)

    def _start_peer(self, spec: PeerSpec) -> RunningPeer:
        alarm, alarms = trio.open_memory_channel[None](1)
        running = RunningPeer(spec, trio.CancelScope(), alarm)

        async def run() -> None:
            peer = Peer(spec.peer, random.random, prior=self._prior(), slew=self._clock.slew)

            def correct(reading: Reading) -> Reading | None:
                return self._unsmeared(reading, spec.peer.smear)

            async with trio.open_nursery() as nursery:
                exchange = make_exchange(spec.exchange, self._clock, nursery)
                await PeerTask(peer, exchange, self._clock, self._events, alarms, correct).run()

        async def run_within_scope() -> None:
            with running.scope:
                await keep_running(f"peer {spec.name}", run)

        self._nursery.start_soon(run_within_scope)
        return running

    def _unsmeared(self, reading: Reading, smear: Smear) -> Reading | None:
        """The reading without its server's smear; None while the smear is unknown."""
        if smear is Smear.NONE:
            return reading
        own = self._leap_list
        if own is not None and reading.t3_ns < own.expires_ns:
            return unsmeared(reading, own)
        return None if smear_is_possible(reading.t3_ns, self._notices()) else reading

    def _notices(self) -> list[LeapNotice]:
        """The notices of leap seconds of the peers that do not smear."""
        reports = [peer.report for peer in self._status.peers] if self._status else []
        return list(notices(reports, self._setup.smears).values())

    def _prior(self) -> Frequency:
        """The oscillator's frequency for a new peer: the daemon's, or that of an earlier run."""
        known = self._status.verdict.frequency if self._status else None
        if known is None:
            return self._remembered
        return replace(known, uncertainty=max(known.uncertainty, SUSPEND_UNCERTAINTY))

    def _remembered_frequency(self, path: Path | None) -> Frequency:
        """The oscillator's frequency as an earlier run left it."""
        state = None if path is None else load_state(path)
        if state is None:
            return UNKNOWN_FREQUENCY
        return frequency_from(state, self._clock.realtime_ns())

    @contextmanager
    def _opened_outputs(self, config: Config) -> Iterator[dict[RefclockParameters, Refclock]]:
        """Open the outputs that are new in `config`; close them again if anything fails."""
        with ExitStack() as opened:
            added = {}
            for parameters in _outputs_of(config) - self._outputs.keys():
                refclock = make_refclock(parameters)
                refclock.open()
                opened.callback(refclock.close)
                added[parameters] = refclock
            yield added
            opened.pop_all()

    def _close_outputs_but(self, config: Config) -> None:
        for parameters in self._outputs.keys() - _outputs_of(config):
            self._outputs.pop(parameters).close()

    async def _change_helpers(self, config: Config) -> None:
        """Change the services that are not needed to tell time: a refusal is only a warning."""
        await self._change_helper(self._control, config.control)
        await self._change_helper(self._metrics, config.metrics)
        await self._change_helper(self._leap_source, config.leap_source)
        await self._change_helper(self._statistics, config.statistics)
        await self._change_helper(self._state, config.state)

    async def _change_helper(self, slot: Slot[P], wanted: P | None) -> None:
        try:
            await slot.change(wanted)
        except (ControlError, ListenError) as error:
            log.warning("%s: %s", slot.name, error)
        except Exception:
            log.exception("%s: cannot be changed", slot.name)

    async def _serve_time(
        self, parameters: ServerParameters, /, *, task_status: trio.TaskStatus[object]
    ) -> None:
        self._serving = True
        try:
            await serve(
                parameters,
                self._clock,
                lambda: self._leap_list,
                counters=self._counters,
                reload=self._rereading,
                task_status=task_status,
            )
        finally:
            self._serving = False

    async def _serve_control(self, path: Path, /, *, task_status: trio.TaskStatus[object]) -> None:
        await serve_control(path, self._snapshot, task_status=task_status)

    async def _serve_metrics(
        self, address: str, /, *, task_status: trio.TaskStatus[object]
    ) -> None:
        await serve_metrics(address, self._snapshot, task_status=task_status)

    async def _keep_leap_list_fresh(
        self, source: LeapSource, /, *, task_status: trio.TaskStatus[object]
    ) -> None:
        await keep_fresh(
            source,
            lambda: self._leap_list,
            partial(self._adopt_leap_list, source.url),
            self._clock.realtime_ns,
            task_status=task_status,
        )

    async def _adopt_leap_list(self, url: str, leap_list: LeapList) -> None:
        self._leap_list = self._fetched[url] = leap_list
        self._setup = replace(self._setup, leap_list=leap_list)
        await self._events.send(self._setup)

    async def _keep_statistics(
        self, parameters: StatisticsParameters, /, *, task_status: trio.TaskStatus[object]
    ) -> None:
        statistics = StatisticsLog(parameters)
        self._observers.add(statistics.observe)
        try:
            task_status.started()
            await statistics.run()
        finally:
            self._observers.remove(statistics.observe)

    async def _keep_state(self, path: Path, /, *, task_status: trio.TaskStatus[object]) -> None:
        keeper = StateKeeper(path)
        self._observers.add(keeper.observe)
        try:
            task_status.started()
            await keeper.run()
        finally:
            self._observers.remove(keeper.observe)

    def _make_setup(self, config: Config) -> Setup:
        source = config.leap_source
        self._leap_list = newest_leap_list(
            config.leap_file,
            source.cache if source.url else None,
            self._fetched.get(source.url),
        )
        self._setup = Setup(
            parameters=replace(config.system, slew=self._clock.slew),
            smears={
                spec.name: spec.peer.smear
                for spec in config.peers
                if spec.peer.smear is not Smear.NONE
            },
            kinds={spec.name: spec.exchange.kind for spec in config.peers},
            outputs=[
                Output(self._outputs[spec.parameters], spec.peer) for spec in config.refclocks
            ],
            leap_list=self._leap_list,
        )
        return self._setup

    # -- what happens ------------------------------------------------------------------------

    def _snapshot(self) -> Status | None:
        """The last snapshot as it looks now: offsets and bounds are of this instant."""
        if self._status is None:
            return None
        pair = read_pair(self._clock)
        return replace(
            self._status,
            server=self._counters.status() if self._serving else None,
            at_ns=pair.raw_ns,
            wall_ns=pair.wall_ns,
        )

    def _on_status(self, status: Status) -> None:
        self._status = status
        self._tell_state()
        for observe in tuple(self._observers):
            try:
                observe(status)
            except Exception:
                log.exception("an observer of the state failed")

    def _on_clock_set(self) -> None:
        with suppress(trio.WouldBlock):  # what waits there is checked against the clock as well
            self._events.send_nowait(ClockSet())

    def _alarm_peers(self) -> None:
        for running in self._peers.values():
            with suppress(trio.WouldBlock):  # one alarm that waits is enough
                running.alarms.send_nowait(None)

    def _tell_state(self) -> None:
        if (snapshot := self._snapshot()) is not None:
            self.notifier.status(summary(snapshot))

    async def _beat(self, interval: float) -> None:
        while True:
            await self._events.send(Heartbeat())
            self._tell_state()  # a server without peers has no other events
            await trio.sleep(interval)


def _outputs_of(config: Config) -> set[RefclockParameters]:
    return {spec.parameters for spec in config.refclocks}
