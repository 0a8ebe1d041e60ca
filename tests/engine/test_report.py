"""The report: what is said at the end of a run about clips that were read with trouble or hold nothing."""

from soundpost.engine.report import NAMED, Report


def test_report_names_and_counts_silent_clips_and_those_of_the_second_reader() -> None:
    """Each is a line, told once for all front ends that decoded the clip."""
    report = Report(n_clips=3)
    for _ in range(2):
        report.decoded(0, (), "a.wav: all 9 samples are 0", "")
        report.decoded(1, ("b.m4a: only the first 2 s were read",), "", "b.m4a: read by ffmpeg (because)")

    lines = report.lines(n_answered=2)

    assert lines[1:] == [
        "mended: b.m4a: only the first 2 s were read",
        "silent, 1 in all: a.wav: all 9 samples are 0",
        "second reader, 1 in all: b.m4a: read by ffmpeg (because)",
    ]


def test_report_of_many_silent_clips_names_some_and_counts_all() -> None:
    """A folder of silence does not fill the log."""
    report = Report(n_clips=100)
    for clip in range(100):
        report.decoded(clip, (), f"{clip}.wav: it holds a single sample", "")

    lines = [line for line in report.lines(n_answered=100) if line.startswith("silent, 100 in all")]

    assert len(lines) == NAMED + 1
    assert lines[-1] == f"silent, 100 in all: {100 - NAMED} more"
