"""The template of a second writes the bytes that ReplyTemplate writes, behind a head."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from webntpd.ntp.readings import NS_PER_S, LeapNotice
from webntpd.protocol.wire import ReplyTemplate
from webntpd.server.template import LONGEST, SecondTemplate

NOTICE = LeapNotice(tai_utc=36, next_ns=1_483_228_800 * NS_PER_S, step=1)
TEMPLATE = ReplyTemplate("time.example", NOTICE, sync=True, max_error=0.00025)


def head(length: int) -> bytes:
    return b"\x81\xfe%d\r\n" % length  # bytes of a frame's head, which are no ASCII


def counting(lengths: list[int]) -> Callable[[int], bytes]:
    def counted(length: int) -> bytes:
        lengths.append(length)
        return head(length)

    return counted


seconds = st.sampled_from([0, 1, 9, 10, 999_999_999, 1_000_000_000, 1_489_224_472, 9_999_999_999])
offsets = st.one_of(
    st.integers(0, NS_PER_S - 1),
    st.sampled_from([-NS_PER_S, -1, 0, 1, NS_PER_S - 1, NS_PER_S, NS_PER_S + 1]),
)
tokens = st.integers(0, 10**40).map(str)
TEMPLATES = st.sampled_from([TEMPLATE, ReplyTemplate("100%d", NOTICE, sync=False, max_error=None)])


@given(TEMPLATES, seconds, st.lists(st.tuples(tokens, offsets, offsets), min_size=1, max_size=4))
def test_every_reply_is_that_of_the_template_behind_its_head(
    template: ReplyTemplate, second: int, replies: list[tuple[str, int, int]]
) -> None:
    fast = SecondTemplate(template, second, head)
    for it, st_offset, rt_offset in replies:
        st_ns = max(second * NS_PER_S + st_offset, 0)
        rt_ns = max(second * NS_PER_S + rt_offset, 0)
        body = template.render(it, st_ns, rt_ns)
        assert fast.render(it.encode(), st_ns, rt_ns) == head(len(body)) + body


def test_a_head_is_made_once_for_each_length_that_a_timestamp_has() -> None:
    lengths: list[int] = []
    template = SecondTemplate(TEMPLATE, 1_489_224_472, counting(lengths))
    now_ns = 1_489_224_472 * NS_PER_S
    for it in (b"0", b"1", b"1" * LONGEST, b"2" * LONGEST, b"3"):
        template.render(it, now_ns, now_ns)
    assert lengths == [len(TEMPLATE.render("1" * size, now_ns, now_ns)) for size in (1, LONGEST)]


def test_patterns_for_whatever_strangers_send_are_not_kept() -> None:
    lengths: list[int] = []
    template = SecondTemplate(TEMPLATE, 1_489_224_472, counting(lengths))
    now_ns = 1_489_224_472 * NS_PER_S
    for _ in range(2):
        template.render(b"1" * (LONGEST + 1), now_ns, now_ns)
    assert len(lengths) == 2
