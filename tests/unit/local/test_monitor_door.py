"""Where another process finds the monitor that `tidegate up` has started."""

from pathlib import Path

import pytest

from operators.cli.errors import CliError
from operators.cli.local import LocalBackend
from operators.local.home import Home
from operators.local.monitor import LocalMonitor


async def test_the_state_folder_says_where_the_monitor_answers_while_it_runs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    local, backend = LocalMonitor(home), LocalBackend(home)
    async with local.running(lambda line: None):
        with backend.monitor("default") as door:
            assert (door.url, door.token) == (local.url, home.monitor_token.read_text())
    with pytest.raises(CliError, match="nothing is running here\nstart it: tidegate up"), backend.monitor("default"):
        pass
