"""Runs pickles without running what they ask for, and for no more than their file's size justifies.

A pickle is a program for a stack machine. Python's own machine calls what a pickle names, takes memory for sizes that
the file does not have (9 bytes ask for gigabytes), and hashes keys of shared tuples for ever (300 bytes). This one
knows the instructions that weights are written with; reads no more than there is; and counts.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

# Instructions and copied items of one file. A BERT's state dict takes some 10,000, an optimizer's some 20,000.
OPERATIONS = 300_000


class MalformedError(ValueError):
    """The bytes are not what their format says; the caller adds the file's name."""


@dataclass
class Budget:
    """What reading a file of `size` bytes may cost, over all pickles in it: operations, and bytes that are copied."""

    size: int
    operations: int = OPERATIONS
    copied: int = 0

    def operate(self, count: int = 1) -> None:
        self.operations -= count
        if self.operations < 0:
            raise MalformedError(f"it takes more than {OPERATIONS} operations; weights take thousands")

    def copy(self, count: int) -> None:
        """No byte of a file is needed twice: tensors share what they have in common."""
        self.copied += count
        if self.copied > self.size:
            raise MalformedError(f"its parts ask for more than the file's {self.size} bytes")


class Stub:
    """Stands for an object that a pickle makes, and takes the state that the pickle gives it."""

    def set_state(self, state: object) -> None:
        raise MalformedError(f"it sets the state of a {type(self).__name__}")


class Name(Stub):
    """What an allowed name resolves to: it can be called, and offers a pickle nothing else to change."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function


class Machine:
    """One pickle from a file's position on. `find` resolves names, `persistent` the objects kept elsewhere."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        budget: Budget,
        find: Callable[[str, str], object],
        persistent: Callable[[object], object] | None = None,
    ) -> None:
        self.file = file
        self.left = size - file.tell()
        self.budget = budget
        self.find = find
        self.persistent = persistent
        self.stack: list[object] = []
        self.marks: list[int] = []  # where on the stack
        self.memo: dict[int, object] = {}

    def load(self) -> object:
        """The pickled object; the file stands behind it. Damage raises MalformedError, IndexError and their like."""
        while (code := self.take(1)) != b".":
            self.budget.operate()
            if code not in _INSTRUCTIONS:
                raise MalformedError(f"it uses the instruction {code!r}, which weights never need")
            _INSTRUCTIONS[code](self)
        return self.pop()

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise MalformedError("it is cut off")
        self.left -= count
        return self.file.read(count)

    def number(self, form: str) -> int:
        (number,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(number)

    def line(self) -> bytes:
        line = self.file.readline(self.left)
        self.left -= len(line)
        if line[-1:] != b"\n":
            raise MalformedError("it is cut off")
        return line[:-1]

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise MalformedError("it takes more than it put there")
        return self.stack.pop()

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[object]:
        place = self.marks.pop()
        items = self.stack[place:]
        del self.stack[place:]
        return items

    def drop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def tuple_of(self, count: int) -> None:
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def append(self, items: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise MalformedError("it appends to something that is no list")
        target.extend(items)

    def set_items(self, items: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise MalformedError("it sets items of something that is no dictionary")
        target.update(checked_items(zip(items[::2], items[1::2], strict=True)))

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append_one(self) -> None:
        item = self.pop()
        self.append([item])

    def dictionary(self) -> None:
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def name(self, module: str, name: str) -> None:
        self.push(self.find(module, name))

    def name_of_lines(self) -> None:
        self.name(self.line().decode("utf-8"), self.line().decode("utf-8"))

    def name_of_stack(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise MalformedError("a name that is no text")
        self.name(module, name)

    def instance(self) -> None:
        self.name_of_lines()
        raise MalformedError("it makes an instance of a class")

    def call(self) -> None:
        arguments, named = self.pop(), self.pop()
        if not isinstance(named, Name) or type(arguments) is not tuple:
            raise MalformedError("it calls something that is no function")
        self.push(named.function(*arguments))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Stub):
            target.set_state(state)
        elif type(target) is not dict:  # attributes such as the `_metadata` of a torch state dict are dropped
            raise MalformedError(f"it sets the state of a {type(target).__name__}")

    def fetch_persistent(self) -> None:
        if self.persistent is None:
            raise MalformedError("it names an object that lies elsewhere")
        self.push(self.persistent(self.pop()))

    def remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def whole_of_line(self) -> None:
        line = self.line()
        self.push(line == b"01" if line in (b"00", b"01") else int(line))  # protocol 0 writes booleans so

    def text_of_line(self) -> None:
        line = self.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"\"'":
            raise MalformedError("a text without quotes")
        self.push(codecs.escape_decode(line[1:-1])[0].decode("latin1"))

    def protocol(self) -> None:
        if self.take(1) > b"\x05":
            raise MalformedError("it is of an unknown protocol")


def checked_items(pairs: Iterable[object]) -> dict[object, object]:
    """A dictionary of the pairs. A key may only be what is hashed at once."""
    made: dict[object, object] = {}
    for pair in pairs:
        if not isinstance(pair, (tuple, list)):
            raise MalformedError(f"a {type(pair).__name__} as an entry of a dictionary")
        key, value = pair
        if key is not None and not isinstance(key, (str, int, float, bytes)):
            raise MalformedError(f"a {type(key).__name__} as a key")
        made[key] = value
    return made


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_INSTRUCTIONS: dict[bytes, Callable[[Machine], object]] = {
    b"\x80": Machine.protocol,
    b"\x95": lambda m: m.number("<Q"),  # a frame: how many bytes the writer put out at once
    b"(": Machine.mark,
    b"0": Machine.drop,
    b"1": Machine.since_mark,
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": Machine.whole_of_line,
    b"L": lambda m: m.push(int(m.line().rstrip(b"L"))),
    b"F": lambda m: m.push(float(m.line())),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
    b"S": Machine.text_of_line,
    b"V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
    b"U": lambda m: m.push(m.take(m.number("<B")).decode("latin1")),
    b"T": lambda m: m.push(m.take(m.number("<I")).decode("latin1")),
    b"\x8c": lambda m: m.push(_text(m.take(m.number("<B")))),
    b"X": lambda m: m.push(_text(m.take(m.number("<I")))),
    b"\x8d": lambda m: m.push(_text(m.take(m.number("<Q")))),
    b"C": lambda m: m.push(m.take(m.number("<B"))),
    b"B": lambda m: m.push(m.take(m.number("<I"))),
    b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b")": lambda m: m.push(()),
    b"l": lambda m: m.push(m.since_mark()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"d": Machine.dictionary,
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"a": Machine.append_one,
    b"e": lambda m: m.append(m.since_mark()),
    b"s": Machine.set_item,
    b"u": lambda m: m.set_items(m.since_mark()),
    b"c": Machine.name_of_lines,
    b"\x93": Machine.name_of_stack,
    b"i": Machine.instance,
    b"R": Machine.call,
    b"b": Machine.build,
    b"Q": Machine.fetch_persistent,
    b"p": lambda m: m.remember(int(m.line())),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.push(m.memo[int(m.line())]),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
}
