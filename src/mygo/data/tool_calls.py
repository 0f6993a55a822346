"""Calls of tools, in any spelling: OpenAI's `tool_calls` and its older `function_call`, and a turn whose text is JSON
of calls (ShareGPT, LLaMA-Factory). All become OpenAI's list, with arguments that are objects, as chat templates take.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from mygo.data.records import RowError, Unreadable, wrong_type
from mygo.data.values import holds_something
from mygo.errors import shown

CALLS = ("tool_calls", "function_call", "tool_call")  # as a key of a turn, or as its role

Call = dict[str, Any]  # {"id": text if there is one, "type": "function", "function": {"name": text, "arguments": {}}}


def calls_beside(turn: Mapping[str, Any]) -> list[Call]:
    """The calls that a turn holds beside its text, none in most. Raises `RowError` for calls that are not understood,
    or under two keys.
    """
    if turn.keys().isdisjoint(CALLS):
        return []
    held = [key for key in CALLS if holds_something(turn.get(key))]
    if len(held) > 1:
        raise RowError(f"a turn has both {held[0]} and {held[1]}")
    return understood(turn[held[0]], held[0]) if held else []


def understood(value: Any, what: str) -> list[Call]:
    """One call or a list of them, as objects or as JSON text. Raises `RowError` if it is anything else."""
    if isinstance(value, str):
        value = _parsed(value, f"{what} is not the JSON of a tool call")
    if isinstance(value, Unreadable) or not isinstance(value, dict | list):
        raise wrong_type(what, value, "a tool call")
    calls = [_call(call) for call in (value if isinstance(value, list) else [value])]
    if not calls:
        raise RowError(f"{what} holds no tool call")
    try:
        return orjson.loads(orjson.dumps(calls))  # what the pool will give back
    except (orjson.JSONEncodeError, orjson.JSONDecodeError) as error:
        raise RowError(f"a tool call cannot be written as JSON ({shown(error, 60)})") from None


def _call(call: Any) -> Call:
    if not isinstance(call, dict):
        raise wrong_type("a tool call", call, "an object")
    if call.get("type") not in (None, "function"):
        raise RowError(f"a tool call is of type '{shown(call['type'], 40)}', not function")
    rest = _without_nulls(call)  # Parquet fills the keys that a call lacks
    function = rest.pop("function", None)
    if function is None:
        function = {key: rest.pop(key) for key in ("name", "arguments") if key in rest}
    if not isinstance(function, dict):
        raise wrong_type("the function of a tool call", function, "an object")
    if not isinstance(function.get("name"), str) or not function["name"].strip():
        raise RowError("a tool call names no function")
    arguments = function.get("arguments")
    problem = "the arguments of a tool call are not an object"
    if isinstance(arguments, str):
        arguments = _parsed(arguments, problem)
    if not isinstance(arguments, dict):
        raise RowError(problem)
    return {**rest, "type": "function", "function": {**_without_nulls(function), "arguments": arguments}}


def _without_nulls(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in holder.items() if value is not None}


def _parsed(text: str, problem: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise RowError(problem) from None
