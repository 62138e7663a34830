"""A few requests of the soak, which is run at length by hand."""

from pathlib import Path

import pytest

from burnish.burn import hot_folder
from burnish.write import piece_state
from burnish.write import worker as working
from soak.soak import Soak


def test_every_request_ends_and_the_counts_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (hot_folder, "SILENCE"),
        (working, "_NOT_READY"),
        (piece_state, "HOLD_TIME"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # as it was, afterwards
    figures = Soak(tmp_path, requests=2, seed=3, chance=0.4, cancels=0, longest=900).run()
    assert sum(figures["requests"].values()) == 2
