"""Compare a converted model with its base, at any time: python -m mygo.conversion BASE CONVERTED

Every tensor of the base against the converted model's, and the logits of both with nothing going to trash, as the
stage convert compares them by itself. CONVERTED is a selector (data/selector) or an epoch of its warm-up
(data/warmed/epoch_1); its family is asked of it. Prints what was compared and the largest differences. Exit status 0:
the converted model is its base and what was added; 1: it is not, as after a warm-up that trained routers or LoRA.
"""

import argparse
import math
from pathlib import Path

from mygo.errors import UserError, one_sentence


@one_sentence
def main() -> None:
    arguments = _parser().parse_args()
    import torch

    from mygo.conversion.survey import survey_files, survey_models

    given = (arguments.base, arguments.revision, arguments.converted, arguments.dtype)
    if arguments.memory_efficient:
        survey = survey_files(*given, arguments.tolerance)
    else:
        try:
            device = torch.device(arguments.device)
            torch.zeros(1, device=device).item()  # which "meta" has none of
        except (RuntimeError, AssertionError, NotImplementedError):  # a name that torch does not know, or has not here
            raise UserError(
                f"--device: got {arguments.device}, which is not here; takes cpu, or a device that torch has"
            ) from None
        survey = survey_models(*given, device, arguments.tolerance)
    for line in survey.lines():
        print(line)
    if refusal := survey.refusal():
        raise UserError(f"{arguments.converted}: not {arguments.base} and what was added: {refusal}")
    print("equal: the converted model is its base and what was added")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mygo.conversion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("base", metavar="BASE", help="a folder or hub id: the model before its conversion")
    add("converted", type=Path, metavar="CONVERTED", help="the folder that convert or warm-up wrote")
    add("--revision", metavar="REVISION", help="of a base on the hub: a branch, tag or commit")
    add("--device", default="cpu", metavar="DEVICE", help="where both models are compared (default: cpu)")
    add(
        "--dtype",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="the number format of both; auto: that of the converted model's file",
    )
    add(
        "--tolerance",
        type=_tolerance,
        default=0.0,
        metavar="NUMBER",
        help="largest difference allowed between a tensor and its base (default: 0)",
    )
    add(
        "--memory-efficient",
        action="store_true",
        help="compare tensor by tensor from the files; no model is loaded, no logits are compared",
    )
    return parser


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}; takes a number from 0")
    return value


if __name__ == "__main__":
    main()
