"""`python -m mygo agreement`: what scores say of a pool against what its labels say."""

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)


ALL_POSSIBLE = "A score; again for more.  [default: all that the statistics allow]"
OF_PARAMS = "Of draws of prompts, and of random scores.  [default: that of params.yaml]"
GOOD = "The value that is good, where a label has it.  [default: select.good_label]"
LAYOUT = click.Choice(["markdown", "csv", "json"])


@click.command()
@click.option("--statistics", type=FOLDER, default=Path("data/statistics"), show_default=True, help="Of collect.")
@click.option("--pool", type=FOLDER, default=Path("data/pool"), show_default=True, help="The pool that they are of.")
@click.option("--params", type=FOLDER, default=Path("params.yaml"), show_default=True, help="Settings of the scores.")
@click.option("--label", multiple=True, metavar="NAME", help="A label column; again for more.  [default: all]")
@click.option("--score", multiple=True, metavar="NAME", help=ALL_POSSIBLE)
@click.option("--labels", type=FOLDER, help="A file (CSV, JSONL, Parquet) with more label columns.")
@click.option("--id-column", default="id", show_default=True, metavar="NAME", help="Its column with the samples' ids.")
@click.option("--good", metavar="VALUE", help=GOOD)
@click.option("--good-above", type=float, metavar="NUMBER", help="From this number on a numeric label is good.")
@click.option("--k", type=click.IntRange(1), help="Rows kept for the overlap.  [default: as many as are good]")
@click.option("--ratio", type=click.FloatRange(0, 1, min_open=True), help="The same as a share of the rows.")
@click.option("--seed", type=click.IntRange(0), help=OF_PARAMS)
@click.option("--format", "layout", type=LAYOUT, default="markdown", show_default=True)
@click.option("--out", type=FOLDER, help="Write there instead of printing.")
def agreement(
    statistics: Path,
    pool: Path,
    params: Path,
    label: tuple[str, ...],
    score: tuple[str, ...],
    labels: Path | None,
    id_column: str,
    good: str | None,
    good_above: float | None,
    k: int | None,
    ratio: float | None,
    seed: int | None,
    layout: str,
    out: Path | None,
) -> None:
    """Hold scores against labels: of people, of a judge, or what published selections kept.

    Prints a table for each label column. Its lines are the scores that the statistics allow, each turned to its better
    end, with intervals of 95 %: rank agreement (AUC for labels of two values, Spearman for numbers), p and Holm's p
    over the table; how many of the score's best are good, against chance; of pairs of answers to one prompt, how many
    are ordered alike; and the partial rank correlation given length, words and likelihood. Samples that share a
    prompt are one cluster. No label enters a score.
    """
    from mygo.errors import UserError
    from mygo.selection.agreement.compare import Request, compare
    from mygo.selection.agreement.layout import FORMATS
    from mygo.selection.agreement.table import Size

    if k is not None and ratio is not None:
        raise UserError("--k: got a --ratio too; takes one of the two")
    joined = None if labels is None else (labels, id_column)
    request = Request(
        tuple(dict.fromkeys(label)), tuple(dict.fromkeys(score)), joined, good, good_above, Size(k, ratio), seed
    )
    tables, notes = compare(request, params, statistics, pool)
    for note in notes:
        click.echo(note, err=True)
    text = FORMATS[layout](tables)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        click.echo(f"written to {out}", err=True)
