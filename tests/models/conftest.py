"""The tiny bases, for every test of this room."""

from tests.tiny_bases import bases, bfloat16_base, case, make_params, read_tensors, tokens  # noqa: F401
