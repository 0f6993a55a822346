"""The plots that DVC draws: no name from data breaks the page, none is blank, pictures overwrite nothing tracked."""

import csv
import importlib.util
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import vl_convert
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from mygo.metrics import write_plot

ROOT = Path(__file__).resolve().parents[1]
EVIL = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "<script",
    "<DVC_METRIC_TITLE>",
    "\x1b[31mred\u2028\u202e\ud800",
    "a,\"b'\n{scripts}",
]


def rendered(folder: Path, template: str, rows: list[dict], **properties: str) -> VegaRenderer:
    """The plot as `dvc plots show` makes it: rows go through the file that a stage writes."""
    write_plot(folder / "plot.csv", rows)
    with (folder / "plot.csv").open(encoding="utf-8", newline="") as file:
        points = [{**row, "rev": "workspace"} for row in csv.DictReader(file)]
    directory = str(ROOT / ".dvc/plots")
    return VegaRenderer(points, "plot.csv", template=template, template_dir=directory, **properties)


class Page(HTMLParser):
    """The scripts of a page, as a browser cuts them out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts[-1] += data


@pytest.fixture
def page_of(tmp_path):
    def draw(subjects: list[str]) -> Page:
        rows = [
            {"subject": name, "model": model, "acc": 0.5, "stderr": 0.1}
            for name in subjects
            for model in ("base", "adapter")
        ]
        renderer = rendered(tmp_path, "subjects", rows, x="acc", y="subject", title="Accuracy")
        return Page(Path(render_html([renderer], tmp_path / "page.html")).read_text(encoding="utf-8"))

    return draw


def test_no_name_breaks_the_page(page_of):
    plain, page = page_of([f"subject {i}" for i in range(len(EVIL))]), page_of(EVIL)
    assert page.tags == plain.tags
    specification = page.scripts[-1].split("var spec = ")[1].split(";\n")[0]
    values = json.loads(specification)["data"]["values"]
    assert len({row["subject"] for row in values}) == len(EVIL)
    assert "<" not in specification


def histogram_rows(**groups: list[int]) -> list[dict]:
    empty = {name: [0, 0] for name in ("kept", "dropped", "good", "other", "unlabelled")}
    counts = empty | groups
    return [
        {"score": i + 0.5, "bin_left": i, "bin_right": i + 1} | {name: bins[i] for name, bins in counts.items()}
        for i in range(2)
    ]


@pytest.mark.parametrize(
    ("groups", "colours"),
    [
        ({"unlabelled": [3, 4]}, {"#c9c9c9": 2}),
        ({"good": [3, 0], "other": [1, 2]}, {"#3a9b5c": 1, "#d9822b": 2}),
    ],
)
def test_the_plot_by_true_label_shows_what_there_is(tmp_path, groups, colours):
    renderer = rendered(tmp_path, "histogram_label", histogram_rows(**groups), x="bin_left", y="good", x_label="score")
    drawn = vl_convert.vegalite_to_scenegraph(json.dumps(renderer.get_filled_template()))["scenegraph"]
    bars = [mark for mark in rectangles(drawn) if mark.get("height")]
    assert {colour: sum(bar["fill"] == colour for bar in bars) for colour in colours} == colours
    assert len(bars) == sum(colours.values())


def marks_of(renderer: VegaRenderer, kind: str) -> list[dict]:
    drawn = vl_convert.vegalite_to_scenegraph(json.dumps(renderer.get_filled_template()))["scenegraph"]

    def below(mark: dict) -> list[dict]:
        own = mark.get("items", []) if mark.get("marktype") == kind and mark.get("role") == "mark" else []
        return own + [item for inner in mark.get("items", []) for item in below(inner)]

    return below(drawn)


def test_the_elbow_is_marked_and_numbered(tmp_path):
    rows = [{"clusters": k, "gap": 1 / k, "chosen": k == 4} for k in (2, 4, 9)]
    renderer = rendered(tmp_path, "elbow", rows, x="clusters", y="gap", title="Elbow")
    marks = marks_of(renderer, "symbol")
    assert sum(mark["fill"] == "#d9822b" for mark in marks) == 1
    assert [str(mark["text"]) for mark in marks_of(renderer, "text")] == ["4"]


def test_the_projection_shows_what_was_kept_and_what_is_noise(tmp_path):
    groups = [(0, True), (0, False), (1, False), (-1, False), (-1, True), (1, None)]
    rows = [
        {"x": i, "y": -i, "cluster": cluster, "kept": bool(kept), "score": None if kept is None else 0.5}
        for i, (cluster, kept) in enumerate(groups)
    ]
    marks = marks_of(rendered(tmp_path, "projection", rows, x="x", y="y", title="Samples"), "symbol")
    assert sorted(mark["size"] for mark in marks) == [14] * 4 + [45] * 2
    assert sum("#b0b0b0" in (mark.get("fill"), mark.get("stroke")) for mark in marks) == 2


@pytest.mark.parametrize(
    ("template", "columns"), [("elbow", "clusters gap chosen"), ("projection", "x y cluster kept score")]
)
def test_a_plot_without_clusters_says_so(tmp_path, template, columns):
    names = columns.split()
    rows = [dict.fromkeys(names)]
    renderer = rendered(tmp_path, template, rows, x=names[0], y=names[1], title="Nothing")
    assert [mark["text"].split()[0] for mark in marks_of(renderer, "text")] == ["no"]
    assert marks_of(renderer, "symbol") == []


def rectangles(mark: dict) -> list[dict]:
    """The bars of a drawing, wherever they are nested."""
    found = mark.get("items", []) if mark.get("marktype") == "rect" and mark.get("role") == "mark" else []
    return found + [bar for item in mark.get("items", []) for bar in rectangles(item)]


def test_a_plot_without_rows_stops_no_other(tmp_path):
    """`dvc.yaml` names the good_ratio of layers, also where a selector without gates was warmed up."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/plots").symlink_to(ROOT / ".dvc/plots")
    write_plot(tmp_path / "good_ratio.csv", [], ("step", "layer", "good_ratio"))
    assert (tmp_path / "good_ratio.csv").read_text() == "step,layer,good_ratio\n"
    plot = {"good_ratio.csv": {"template": "layers", "x": "step", "y": "good_ratio"}}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"plots": [plot]}))
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    command = [sys.executable, "-m", "dvc", "plots", "show", "--json"]
    shown = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert shown == {"data": {"good_ratio.csv": []}}
    page = subprocess.run([*command[:-1], "-o", "page"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "page/index.html").is_file(), page.stderr


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_pictures", ROOT / "docs/draw_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_overwrite_nothing_that_is_tracked(tmp_path, monkeypatch):
    pytest.importorskip("vl_convert")
    script = load_script()
    drawing = json.dumps({"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {"x": {"field": "a"}}})
    monkeypatch.setattr(script, "specifications", lambda: {"plots/eval/subjects.csv": drawing})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["draw_pictures.py"])
    script.main()
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert written == ["dvc_plots/pictures/subjects.png"]
    assert subprocess.run(["git", "check-ignore", "-q", written[0]], cwd=ROOT, check=False).returncode == 0
    monkeypatch.setattr("sys.argv", ["draw_pictures.py", "elsewhere"])
    script.main()
    assert (tmp_path / "elsewhere/subjects.png").read_bytes().startswith(b"\x89PNG")
