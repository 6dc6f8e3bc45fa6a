"""What is looked up once a second, and when that second ends."""

from tests.unit.server.parts import T0, Parts
from webntpd.clock.adjtime import ClockState
from webntpd.leap.list import LeapList
from webntpd.ntp.readings import NS_PER_S, LeapNotice
from webntpd.protocol.wire import parse_reply


def rendered(parts: Parts, host: str = "x") -> bytes:
    return parts.context().time.template(host).render("0", T0, T0)


def test_the_state_of_the_clock_is_in_the_reply() -> None:
    reply = parse_reply(rendered(Parts(state=ClockState(synchronised=False, max_error=16.0))))
    assert (reply.sync, reply.max_error) == (False, 16.0)


def test_a_maximum_error_that_nobody_knows_is_left_out() -> None:
    reply = parse_reply(rendered(Parts(state=ClockState(synchronised=True, max_error=None))))
    assert (reply.sync, reply.max_error) == (True, None)


def test_without_a_leap_list_the_reply_says_so() -> None:
    assert b'"step":0' in rendered(Parts())


def test_the_leap_list_is_in_the_reply() -> None:
    notice = LeapNotice(tai_utc=36, next_ns=1_483_228_800 * NS_PER_S, step=1)
    parts = Parts(leap_list=LeapList(updated_ns=0, expires_ns=T0, leaps=(notice,)))
    assert parse_reply(rendered(parts)).leap == notice


def test_a_new_second_brings_a_new_date_and_state() -> None:
    parts = Parts()
    time = parts.context().time
    before = time.template("x")
    parts.state = ClockState(synchronised=False, max_error=None)
    time.refresh(T0 + NS_PER_S - 1)
    assert time.template("x") is before
    time.refresh(T0 + NS_PER_S)
    assert time.date == "Sat, 11 Mar 2017 09:27:53 GMT"
    assert b'"sync":false' in time.template("x").render("0", T0, T0)


def test_a_clock_that_is_set_back_is_noticed() -> None:
    time = Parts().context().time
    time.refresh(T0 - 60 * NS_PER_S)
    assert time.date == "Sat, 11 Mar 2017 09:26:52 GMT"


def test_hosts_that_clients_make_up_do_not_fill_the_memory() -> None:
    time = Parts().context().time
    templates = [time.template(str(number)) for number in range(1000)]
    kept = [time.template(str(number)) for number in range(1000)]
    assert templates[0] is kept[0]
    assert templates[-1] is not kept[-1]


def test_messages_to_hosts_that_clients_make_up_do_not_fill_the_memory_either() -> None:
    time = Parts().context().time
    messages = [time.message(str(number)) for number in range(1000)]
    kept = [time.message(str(number)) for number in range(1000)]
    assert messages[0] is kept[0]
    assert messages[-1] is not kept[-1]
