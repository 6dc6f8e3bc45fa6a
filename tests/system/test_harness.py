"""The sandbox keeps its promise: nothing in it can set the machine's clock."""

import re

import pytest

from tests.system.harness import Sandbox

CAP_SYS_TIME = 25


@pytest.mark.system
def test_no_program_in_a_sandbox_may_set_the_clock(sandbox: Sandbox) -> None:
    status = sandbox.run("cat", "/proc/self/status")
    sets = dict(re.findall(r"^Cap(Inh|Prm|Eff|Bnd|Amb):\s+([0-9a-f]+)$", status, re.MULTILINE))
    assert len(sets) == 5
    assert not any(int(capabilities, 16) >> CAP_SYS_TIME & 1 for capabilities in sets.values())
