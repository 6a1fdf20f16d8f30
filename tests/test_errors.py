"""What other libraries say, in one line that a terminal can show."""

from ofa_bert.errors import first_line


def test_what_is_not_printable_is_replaced_and_a_quoted_file_is_cut():
    assert first_line(ValueError("bad \x1b[2J\x00 byte\nsecond line")) == "bad ?[2J? byte"
    assert len(first_line(ValueError("x" * 10**6))) == 1000


def test_an_error_without_words_is_named():
    assert first_line(MemoryError()) == "MemoryError"
