"""Nodes in an order in which each reads what stands before it."""

from onnx import TensorProto, helper

from exporters.rewrite import sort


def graph(*nodes):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    return helper.make_graph([helper.make_node(op, inputs, outputs) for op, inputs, outputs in nodes], "g", ends[:1], ends[1:])


def test_late_node_moves_before_its_readers_and_the_others_stay() -> None:
    made = graph(("Add", ["c", "b"], ["y"]), ("Neg", ["x"], ["b"]), ("Exp", ["x"], ["d"]), ("Abs", ["b"], ["c"]))
    sort(made)
    assert [n.op_type for n in made.node] == ["Neg", "Exp", "Abs", "Add"]


def test_sorted_graph_is_not_touched_and_a_circle_is_left_to_be_refused() -> None:
    for made in (graph(("Neg", ["x"], ["a"]), ("Exp", ["a"], ["y"])), graph(("Neg", ["b"], ["a"]), ("Exp", ["a"], ["b"]))):
        before = made.SerializeToString()
        sort(made)
        assert made.SerializeToString() == before


def test_what_a_branch_inside_a_node_reads_is_made_before_it() -> None:
    inner = helper.make_graph(
        [helper.make_node("Neg", ["late"], ["r"])], "then", [], [helper.make_tensor_value_info("r", 1, ["n"])]
    )
    made = graph(("Exp", ["x"], ["late"]))
    made.node.insert(0, helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    sort(made)
    assert [n.op_type for n in made.node] == ["Exp", "If"]
