"""What a run shows while it trains."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np.text import clock_text
from milk_np.training import progress
from milk_np.training.progress import Phases, Progress, ProgressBar, ProgressLines, both, progress_line, show_progress

LOSSES = {"total": 0.61234, "bpr": 0.55, "variance": 0.05, "alignment": 0.012, "reg": 0.00034, "bpr0": 0.5}
EVENT = Progress(
    "evaluation", 20, 300, losses=LOSSES, metrics={"ndcg@10": 0.12345, "recall@10": 0.2}, best_epoch=20,
    seconds=10.0, examples_per_second=2.5e6,
)  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_evaluation_shows_losses_metric_speed_and_time_left() -> None:
    line = progress_line(EVENT, "ndcg@10", since=Progress("epoch", 10, 300, seconds=5.0))
    assert line == ("epoch  20/300  loss 0.6123  valid ndcg@10 0.1235 (best)  2.50M triplets/s  at most 2:20 min left")
    few = replace(EVENT, losses={"total": 0.61234, "bpr": 0.6, "reg": 0.01234})
    assert progress_line(few, "ndcg@10") == (
        "epoch  20/300  loss 0.6123 (bpr 0.6 reg 0.01234)  valid ndcg@10 0.1235 (best)  2.50M triplets/s"
    )


@given(
    st.builds(
        Progress,
        st.sampled_from(["step", "epoch", "evaluation"]),
        st.integers(1, 10**5),
        st.integers(1, 10**5),
        step=st.integers(1, 10**6),
        steps=st.integers(1, 10**6),
        losses=st.dictionaries(st.sampled_from(["total", "bpr", "variance", "discriminator"]), st.floats(-1e6, 1e6)),
        metrics=st.just({"coverage@100": 0.5}),
        best_epoch=st.integers(0, 10**5),
        seconds=st.floats(0, 1e6),
        examples_per_second=st.floats(0, 1e9),
    )
)
def test_a_line_fits_a_hundred_columns(event: Progress) -> None:
    assert len(progress_line(event, "coverage@100", since=Progress("epoch", 0, event.epochs))) <= 100


def test_a_closed_form_speaks_of_phases() -> None:
    lines, now = list[str](), [0.0]
    phases = Phases(ProgressLines(lines.append, "ndcg@10"), lambda: now[0])
    for now[0], name, share in ((0.0, "smoothing histories", 0.0), (30.0, "choosing the kernel", 0.25)):
        phases(name, share)
    now[0] = 125.0
    phases.done()
    assert lines == [
        "  0%  smoothing histories",
        " 25%  choosing the kernel  about 1:30 min left",
        "fitted in 2:05 min",
    ]
    stream = Terminal()
    for event in (Progress("phase", phase="x", share=0.5, seconds=9.0), Progress("fitted", seconds=9.0)):
        ProgressBar(None, stream, "ndcg@10")(event)
    assert stream.getvalue() == " 50%  x  about 9.0 s left\nfitted in 9.0 s\n"


def test_a_worse_evaluation_names_the_best_epoch() -> None:
    assert "(best: epoch 10)" in progress_line(replace(EVENT, best_epoch=10), "ndcg@10")


def test_time_left_leaves_out_the_first_epoch_which_may_compile() -> None:
    lines = list[str]()
    show = ProgressLines(lines.append, "ndcg@10", seconds=0)
    show(Progress("start", 100, 300))  # a resumed run
    show(Progress("epoch", 101, 300, seconds=60))
    show(Progress("epoch", 103, 300, seconds=64))
    assert "left" not in lines[0]
    assert "at most 6:34 min left" in lines[1]


def test_a_step_shows_its_place_in_the_epoch_and_no_metric() -> None:
    line = progress_line(Progress("step", 1, 9, step=5, steps=40, examples_per_second=9e4), "ndcg@10")
    assert line == "epoch 1/9  step 5/40  90k triplets/s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (125, "2:05 min"), (3725, "1:02:05 h")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_lines_come_for_evaluations_and_otherwise_only_now_and_then() -> None:
    now, lines = [0.0], list[str]()
    show = ProgressLines(lines.append, "ndcg@10", seconds=5, clock=lambda: now[0])
    show(Progress("start", 0, 100))
    for epoch in range(1, 101):
        now[0] = epoch * 0.1
        show(Progress("epoch", epoch, 100, losses=LOSSES, seconds=now[0]))
        if epoch % 25 == 0:
            show(replace(EVENT, epoch=epoch, epochs=100))
    show(Progress("end", 100, 100, best_epoch=75, seconds=10))
    assert len(lines) == 4 + 1
    assert lines[-1] == "trained 100 epochs in 10.0 s, best epoch 75"


def test_the_speed_of_the_last_epoch_stands_where_an_evaluation_has_none() -> None:
    lines = list[str]()
    show = ProgressLines(lines.append, "ndcg@10")
    show(Progress("epoch", 20, 300, examples_per_second=3e4))
    show(replace(EVENT, examples_per_second=0.0))
    assert "30k triplets/s" in lines[0]


def test_a_slow_run_without_evaluations_still_shows_life() -> None:
    now, lines = [0.0], list[str]()
    show = ProgressLines(lines.append, "ndcg@10", seconds=5, clock=lambda: now[0])
    for step in range(30):
        now[0] = float(step)
        show(Progress("step", 1, 9, step=step, steps=30))
    assert len(lines) == 5


def test_without_a_terminal_there_are_plain_lines() -> None:
    stream = io.StringIO()
    show_progress("ndcg@10", stream)(EVENT)
    assert stream.getvalue() == progress_line(EVENT, "ndcg@10") + "\n"


def test_a_terminal_without_tqdm_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_tqdm", lambda: None)
    assert isinstance(show_progress("ndcg@10", Terminal()), ProgressLines)


def test_a_terminal_with_tqdm_gets_a_bar() -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed (extra: progress)")
    stream = Terminal()
    show = show_progress("ndcg@10", stream)
    for event in (Progress("start", 0, 300), Progress("epoch", 20, 300, losses=LOSSES), EVENT):
        show(event)
    show(Progress("end", 20, 300, seconds=3))
    shown = stream.getvalue()
    assert "20/300" in shown
    assert progress_line(EVENT, "ndcg@10") in shown
    assert "stopped after 20 of 300 epochs" in shown


def test_several_listeners_get_every_event_and_none_is_left_out() -> None:
    first, second = list[Progress](), list[Progress]()
    both(first.append, None, second.append)(EVENT)
    assert first == second == [EVENT]
