from xml.etree import ElementTree as ET

import pytest
from bars import Panel, Row, chart

SVG = "{http://www.w3.org/2000/svg}"


def bars(*rows):
    """The widths of the bars of one panel: for each row that of the 99th percentile and that of the median."""
    picture = ET.fromstring(chart("Title", "note", [Panel("panel", rows)]))
    widths = [float(one.get("width")) for one in picture.iter(f"{SVG}rect") if one.get("class") != "page"]
    return list(zip(widths[::2], widths[1::2], strict=True))


def test_bars_are_as_long_as_what_they_stand_for():
    (first, second) = bars(Row("a", 1.0, 2.0, ours=True), Row("b", 2.0, 4.0, ours=False))

    assert first[1] * 2 == pytest.approx(first[0], abs=0.2)
    assert first[0] * 2 == pytest.approx(second[0], abs=0.2)


def test_what_adds_less_than_nothing_has_a_bar_without_length():
    assert bars(Row("a", -1.0, -0.5, ours=True), Row("b", 1.0, 1.0, ours=False))[0] == (0.0, 0.0)


@pytest.mark.parametrize("largest", [0.03, 1.0, 9.9, 10.1, 740.0])
def test_the_longest_bar_takes_most_of_its_room_and_leaves_some_for_its_figures(largest):
    ((width, _),) = bars(Row("a", 0.01, largest, ours=True))

    assert 100 < width < 200


@pytest.mark.parametrize("largest", [0.03, 1.0, 9.9, 10.1, 740.0])
def test_a_scale_has_a_handful_of_lines(largest):
    text = chart("Title", "note", [Panel("panel", [Row("a", 0.01, largest, ours=True)])])

    assert 3 <= text.count('class="line"') <= 7


def test_names_are_escaped():
    text = chart("A & B", "<", [Panel("p", [Row("x", 1.0, 2.0, ours=True)])])

    assert ET.fromstring(text).find(f"{SVG}title").text == "A & B"


def test_panels_below_each_other_make_the_picture_higher():
    panel = Panel("panel", [Row("a", 1.0, 2.0, ours=True)])

    heights = [float(ET.fromstring(chart("t", "n", [panel] * count)).get("viewBox").split()[3]) for count in (2, 3)]

    assert heights[0] < heights[1]
