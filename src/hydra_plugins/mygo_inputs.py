"""Hydra imports this wherever it composes, also inside `dvc exp run` (.dvc/config: hydra.plugins_path).

The resolver `${mygo.input:NAME}` fills the section `inputs` of params.yaml.
"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mygo.params.inputs import input_of, repository_root


def _input(name: str, *, _root_: DictConfig) -> str:
    return input_of(name, _root_, repository_root(Path.cwd()))


OmegaConf.register_new_resolver("mygo.input", _input, replace=True)
