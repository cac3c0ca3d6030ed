"""Writes Grafana's dashboards: `python deployments/dashboards/generate.py`, by default into the chart."""

import argparse
from pathlib import Path
from typing import Final

from data_board import DATA_BOARD
from fleet_board import FLEET_BOARD
from grafana import text
from platform_board import PLATFORM_BOARD
from rollout_board import ROLLOUT_BOARD

CHART: Final = Path(__file__).parents[2] / "charts" / "tidegate" / "files" / "dashboards"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=CHART)
    folder = parser.parse_args().folder
    for board in (FLEET_BOARD, ROLLOUT_BOARD, DATA_BOARD, PLATFORM_BOARD):
        (folder / f"{board.name}.json").write_text(text(board))
