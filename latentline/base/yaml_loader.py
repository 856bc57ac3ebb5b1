"""Reads YAML as people mean it: each key once and with a value, and numbers in the usual notation.

An empty value would be `null`, which switches a section off: `tls:` above keys that somebody made comments would be a
connection without TLS.

PyYAML follows YAML 1.1, where `off` and `no` are booleans, 18:30 is 1110, 010 is 8 and 1e-3 is a text. Here plain
values are those of YAML 1.2's core schema: `null`, `true` and `false`, decimal, 0o and 0x whole numbers, and decimal
fractions.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}


_TWICE = "the key '{}' is there twice, first in line {}; keep one of them"
_EMPTY = "the key '{}' has no value; write null for none, or {{}} for a section with its defaults"


class _CoreLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of `node`, whose keys all differ and have values."""
        lines: dict[Any, int] = {}
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()  # `!!map` may stand before a list
        for key_node, value_node in pairs:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            problem = None if key not in lines else _TWICE.format(key, lines[key])
            if isinstance(value_node, yaml.ScalarNode) and value_node.value == "" and value_node.style is None:
                before, colon, _ = str(key).partition(":")  # what stands behind it may be a password
                problem = f"the colon behind '{before:.80}' needs a blank behind it" if colon else _EMPTY.format(key)
            if problem is not None:
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            lines[key] = line
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number: decimal, also with leading zeros, 0o… or 0x…"""
        text = str(self.construct_scalar(node))
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    def construct_yaml_str(self, node: yaml.ScalarNode) -> str:
        """A text. One with a zero byte in it is no name of anything, and no file or broker takes it."""
        text = str(self.construct_scalar(node))
        if "\0" in text:
            problem = "a text holds a character with the number zero"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return text

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge `<<`, of which there may be one in a mapping."""
        merges = [key for key, _ in node.value if key.tag == "tag:yaml.org,2002:merge"]
        if len(merges) > 1:
            first = merges[0].start_mark.line + 1
            raise yaml.constructor.ConstructorError(None, None, _TWICE.format("<<", first), merges[1].start_mark)
        super().flatten_mapping(node)


for _name, (_pattern, _first) in _CORE.items():
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)
_CoreLoader.add_constructor("tag:yaml.org,2002:int", _CoreLoader.construct_yaml_int)
_CoreLoader.add_constructor("tag:yaml.org,2002:str", _CoreLoader.construct_yaml_str)


def read_yaml(text: str) -> Any:
    """The content of one YAML document.

    Raises yaml.YAMLError, which has the line of a key that is there twice or has no value.
    """
    return yaml.load(text, _CoreLoader)
