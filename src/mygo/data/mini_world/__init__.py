"""A synthetic world with known truth (DESIGN: the default data). `build` is the way in."""

from mygo.data.mini_world.world import EOS, MiniWorld, build

__all__ = ["EOS", "MiniWorld", "build"]
