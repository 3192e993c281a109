"""What controllers declare is shown to scrapers."""

from __future__ import annotations

from arktos.controllers.metrics import Metrics


def test_declared_measures_are_exposed() -> None:
    metrics = Metrics()
    metrics.counter("made_total", "Things made.", "result").add("good", by=2)
    metrics.gauge("kept", "Things kept.").set(3)
    metrics.histogram("took_seconds", "How long.", "by", bounds=(1.0, 2.0)).add(1.5, "me")
    text, _ = metrics.render("text/plain")
    lines = text.decode().splitlines()
    for line in (
        'made_total{result="good"} 2.0',
        "kept 3.0",
        'took_seconds_bucket{by="me",le="1.0"} 0.0',
        'took_seconds_bucket{by="me",le="2.0"} 1.0',
        'took_seconds_sum{by="me"} 1.5',
    ):
        assert line in lines


def test_a_gauge_may_be_asked_at_each_scrape() -> None:
    gauge = Metrics().gauge("nodes", "Nodes.", "zone")
    gauge.look = lambda: [(("a",), 7.0)]
    assert gauge.render().samples[0].labels == {"zone": "a"}


def test_a_name_is_one_measure() -> None:
    metrics = Metrics()
    assert metrics.counter("x_total", "X.") is metrics.counter("x_total", "X.")
