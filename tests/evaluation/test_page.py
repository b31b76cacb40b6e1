"""The parts of a page: how a table's cells are set."""

from evaluation.page import table


def test_words_stand_to_the_left_and_figures_to_the_right() -> None:
    html = table(("policy", "recovery", "net"), [("observe", "0.90x", "-"), ("shuffle", "-", "-")])
    assert "<th class=words>policy</th><th>recovery</th>" in html
    assert "<td class=words>observe</td><td>0.90x</td>" in html


def test_interval_stands_small_below_its_figure_and_words_in_brackets_stay_where_they_are() -> None:
    html = table(("policy", "recovery"), [("shuffle (linear)", "0.90x (0.80 to 1.00; n = 2,000); seeds: 0.9x"), ("<b>", "2 %")])
    assert "<td class=words>shuffle (linear)</td>" in html
    assert "<td>0.90x<small>0.80 to 1.00; n = 2,000; seeds: 0.9x</small></td>" in html
    assert "<td class=words>&lt;b&gt;</td><td>2 %</td>" in html


def test_table_of_many_columns_breaks_what_stands_below_a_figure() -> None:
    html = table(tuple("abcdefg"), [("x", *["5.0 % (3.0 to 7.0; n = 60)"] * 6)])
    assert "<table class=tight>" in html
    assert html.count("<td>5.0 %<small>3.0 to 7.0;<br>n = 60</small></td>") == 6


def test_table_without_rows_keeps_its_head() -> None:
    assert "<th>policy</th>" in table(("policy",), [])
