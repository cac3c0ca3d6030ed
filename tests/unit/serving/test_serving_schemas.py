"""What inputs must be beyond their datatypes: the same in every protocol, with every problem's row and field."""

import math

import joblib
import mlflow
import numpy as np
import orjson
import pytest
from grpckit import body, codec, request
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from serving.errors import InvalidInput, RequestError, SignatureMismatch
from serving.protocol.named import NamedCodec
from serving.protocol.ruled import Column, RuledTable
from serving.protocol.table import Table
from serving.protocol.tensors import make_reader
from serving.protocol.v1 import V1Codec
from serving.protocol.v2 import V2Codec
from serving.runtimes import OutputSpec, Signature, TensorSpec
from serving.spec import InputSpec

OUTPUTS = (OutputSpec("predict", "FP64", (-1,)),)
NUMBERS = (InputSpec("age", min=0, max=120), InputSpec("income", min=0, nullable=True), InputSpec("loan"))
MIXED = (
    InputSpec("age", "INT64", min=18, max=120),
    InputSpec("income", nullable=True),
    InputSpec("history", "BYTES", values=("good", "bad"), nullable=True),
    InputSpec("id", "BYTES", unique=True),
)


def signature(*features, coerces=False, **kwargs):
    return Signature("test", len(features) or None, features, InputSpec("x"), OUTPUTS, coerces=coerces, **kwargs)


def reader(*features, coerces=False):
    return make_reader(signature(*features, coerces=coerces), 100)


def named(described, request):
    return NamedCodec("v1", described, make_reader(described, 100)).decode(orjson.dumps(request)).rows


def v1(described, instances):
    return V1Codec(described, make_reader(described, 100)).decode(orjson.dumps({"instances": instances})).rows


def v2(described, *inputs):
    sent = [{"name": name, "datatype": kind, "shape": shape, "data": data} for name, kind, shape, data in inputs]
    codec = V2Codec("m", "v1", described, make_reader(described, 100))
    return codec.decode(orjson.dumps({"inputs": sent})).rows


def v2_bytes(described, name, array):
    datatype = {"f": "FP", "i": "INT"}[array.dtype.kind] + str(array.dtype.itemsize * 8)
    raw = array.tobytes()
    head = orjson.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "datatype": datatype,
                    "shape": array.shape,
                    "parameters": {"binary_data_size": len(raw)},
                }
            ]
        }
    )
    codec = V2Codec("m", "v1", described, make_reader(described, 100))
    return codec.decode(head + raw, str(len(head)).encode()).rows


def problems(ask, *args):
    with pytest.raises(RequestError) as caught:
        ask(*args)
    return caught.value


def told(error):
    return [(one["row"], one["field"], one["problem"]) for one in error.details]


def test_a_model_without_rules_is_read_as_before():
    assert type(reader(InputSpec("a", description="what it is", example=1.0))) is Table
    assert type(reader(*NUMBERS)) is RuledTable
    assert type(reader(InputSpec("a"), coerces=True)) is RuledTable


def test_values_within_the_rules_reach_the_model_as_they_are():
    rows = [{"age": 40, "income": 5.5, "loan": 3}, {"age": 120, "income": 0, "loan": -3}]
    assert named(signature(*NUMBERS), {"instances": rows}).tolist() == [[40, 5.5, 3], [120, 0, -3]]
    assert v1(signature(*NUMBERS), [[0, 0, 0]]).tolist() == [[0, 0, 0]]
    row = {"age": 18, "income": 1, "history": "good", "id": "a"}
    assert named(signature(*MIXED), row).tolist() == [[18, 1, "good", "a"]]


def test_every_protocol_names_row_and_field_of_every_problem():
    described = signature(*NUMBERS)
    wanted = [(0, "age", "must be at most 120, not 121"), (1, "income", "must be at least 0, not -0.5")]
    rows = [[121, 1, 1], [1, -0.5, 1]]
    objects = {"instances": [dict(zip(("age", "income", "loan"), row, strict=True)) for row in rows]}
    columns = [
        (name, "FP64", [2], [row[place] for row in rows]) for place, name in enumerate(("age", "income", "loan"))
    ]
    for error in (
        problems(named, described, objects),
        problems(v1, described, rows),
        problems(v2, described, ("x", "FP64", [2, 3], [value for row in rows for value in row])),
        problems(v2, described, *columns),
        problems(v2_bytes, described, "x", np.array(rows)),
    ):
        assert (error.status, error.code, told(error)) == (400, "invalid_input", wanted)
    assert str(problems(named, described, objects)) == (
        "instances[0], column age must be at most 120, not 121; "
        "instances[1], column income must be at least 0, not -0.5"
    )


def test_grpc_checks_the_same_rules_and_says_so_in_its_message():
    for values in ([121.0, 1, 1], np.array([121.0, 1, 1]).tobytes()):
        message = request(("x", "FP64", [1, 3], values))
        error = problems(codec(signature(*NUMBERS)).decode, body(message))
        assert str(error) == "x[0], column 0 must be at most 120, not 121"


def test_problems_of_type_and_of_rules_are_told_together_in_the_order_of_the_rows():
    rows = [
        {"age": "x", "income": -1, "history": None, "id": "a"},
        {"age": 5, "income": 1, "history": "odd", "id": "a"},
    ]
    error = problems(named, signature(*MIXED), {"instances": rows})
    assert error.code == "invalid_input"
    assert told(error) == [
        (0, "age", 'must be INT64, not text ("x")'),
        (1, "history", 'must be one of "good", "bad", not "odd"'),
        (1, "id", 'must differ from row 0, not be "a" again'),
    ]


def test_a_model_without_rules_also_tells_several_problems_at_once_under_the_code_they_share():
    error = problems(named, signature(InputSpec("a"), InputSpec("b", "INT64")), {"a": None, "b": 1.5})
    assert (error.code, told(error)) == (
        "invalid_datatype",
        [(0, "a", "must be FP64, not null"), (0, "b", "must be INT64, not a number (1.5)")],
    )
    error = problems(v1, signature(InputSpec("a"), InputSpec("b")), [["x", 1], [2, "y"]])
    assert [(row, field) for row, field, _ in told(error)] == [(0, "a"), (1, "b")]


def test_at_most_ten_problems_are_told_and_that_there_are_more():
    error = problems(v1, signature(*NUMBERS), [[-1, 1, 1]] * 40)
    assert len(error.details) == 10
    assert str(error).endswith("; and more")
    assert str(error).count("must be") == 3
    error = problems(v1, signature(*NUMBERS), [[-1, 1, 1]] * 5)
    assert str(error).endswith("; and 2 more")


def test_a_missing_field_is_named_with_its_row():
    error = problems(named, signature(*NUMBERS), {"instances": [{"age": 1, "loan": 1}, {"income": 1, "x" * 99: 1}]})
    assert (error.code, told(error)) == (
        "missing_input",
        [(1, "age", "must be there"), (1, "loan", "must be there")],
    )
    error = problems(named, signature(*NUMBERS), {"age": 1, "loan": 1, "x" * 99: 1})
    assert (error.code, told(error)) == ("unknown_input", [(0, "x" * 60, "must not be there")])


class TestMissingValues:
    def test_null_is_nan_in_numbers_and_none_in_text(self):
        rows = named(signature(*NUMBERS), {"age": 1, "income": None, "loan": 2})
        assert rows.dtype == np.float64
        assert math.isnan(rows[0, 1])
        rows = named(signature(*MIXED), {"age": 20, "income": None, "history": None, "id": "a"})
        assert math.isnan(rows[0, 1])
        assert rows[0, 2] is None

    def test_a_field_that_may_be_null_may_be_left_out(self):
        assert math.isnan(named(signature(*NUMBERS), {"age": 1, "loan": 2})[0, 1])
        sent = [("age", "FP64", [2], [1, 2]), ("loan", "FP64", [2], [1, 2])]
        assert np.isnan(v2(signature(*NUMBERS), *sent)[:, 1]).all()

    def test_null_stays_refused_elsewhere(self):
        error = problems(named, signature(*NUMBERS), {"age": None, "income": None, "loan": 1})
        assert told(error) == [(0, "age", "must be FP64, not null")]
        error = problems(v1, signature(*MIXED), [[None, 1, "good", "a"]])
        assert told(error) == [(0, "age", "must be INT64, not null")]

    def test_nan_as_bytes_is_a_missing_value_where_there_may_be_one(self):
        assert math.isnan(v2_bytes(signature(*NUMBERS), "x", np.array([[1, np.nan, 1]]))[0, 1])
        assert math.isnan(v2_bytes(signature(*NUMBERS), "x", np.array([[1, np.nan, 1]], np.float32))[0, 1])
        error = problems(v2_bytes, signature(*NUMBERS), "x", np.array([[np.nan, np.inf, 1]]))
        assert (error.code, told(error)) == (
            "not_finite",
            [(0, "age", "must be a finite number, not nan"), (0, "income", "must be a finite number, not inf")],
        )

    def test_whole_numbers_with_missing_ones_among_them_are_fp64_whether_one_is_missing_or_not(self):
        described = signature(InputSpec("a", "INT64", nullable=True, max=5), InputSpec("b", "INT64"))
        assert v1(described, [[1, 2]]).dtype == v1(described, [[None, 2]]).dtype == np.float64
        assert told(problems(v1, described, [[6, 2]])) == [(0, "a", "must be at most 5, not 6")]
        assert told(problems(v1, described, [[1.5, 2]])) == [(0, "a", "must be INT64, not a number (1.5)")]

    def test_missing_values_are_in_no_enumeration_and_repeat_nothing(self):
        described = signature(InputSpec("a", values=(1, 2), nullable=True), InputSpec("b", nullable=True, unique=True))
        assert v1(described, [[None, None], [1, None], [2, 5]]).shape == (3, 2)
        error = problems(v1, described, [[3, 5], [None, 5]])
        assert told(error) == [
            (0, "a", "must be one of 1, 2, not 3"),
            (1, "b", "must differ from row 0, not be 5 again"),
        ]

    def test_a_default_stands_for_a_field_that_is_left_out_and_not_for_null(self):
        described = signature(InputSpec("a", "INT64", default=7), InputSpec("b"))
        assert named(described, {"instances": [{"b": 1}, {"a": 2, "b": 1}]}).tolist() == [[7, 1], [2, 1]]
        assert v2(described, ("b", "FP64", [2], [1, 2])).tolist() == [[7, 1], [7, 2]]
        assert told(problems(named, described, {"a": None, "b": 1})) == [(0, "a", "must be INT64, not null")]

    def test_a_model_gets_them(self, tmp_path, load_model):
        values, labels = load_iris(return_X_y=True)
        joblib.dump(HistGradientBoostingClassifier(max_iter=3).fit(values, labels), tmp_path / "m.joblib")
        inputs = tuple(InputSpec(name, nullable=True) for name in "abcd")
        model = load_model(tmp_path / "m.joblib", "sklearn", inputs)
        assert model.predict(named(model.signature, {}), ("predict",))["predict"].shape == (1,)

    def test_a_model_that_takes_none_says_so_and_does_not_guess(self, tmp_path, load_model):
        joblib.dump(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)), tmp_path / "m.joblib")
        model = load_model(tmp_path / "m.joblib", "sklearn", tuple(InputSpec(name, nullable=True) for name in "abcd"))
        with pytest.raises(ValueError, match="NaN"):
            model.predict(named(model.signature, {"a": 1}), ("predict",))


def test_bounds_are_those_of_the_datatype():
    described = signature(InputSpec("a", "FP32", min=0.1, max=0.1, values=(0.1,)), InputSpec("b", "FP32"))
    assert v1(described, [[0.1, 1]])[0, 0] == np.float32(0.1)
    mixed = signature(InputSpec("a", "FP32", max=0.1, values=(0.1,)), InputSpec("b", "FP64"))
    assert named(mixed, {"a": 0.1, "b": 1}).dtype == np.float64
    described = signature(InputSpec("a", "INT8", min=-0.5, max=1e9), InputSpec("b", "INT8"))
    assert v1(described, [[0, 1]]).tolist() == [[0, 1]]
    assert told(problems(v1, described, [[-1, 1]])) == [(0, "a", "must be at least -0.5, not -1")]


def test_a_number_too_large_for_fp32_is_refused_whatever_the_rules():
    error = problems(v1, signature(InputSpec("a", "FP32", min=0), InputSpec("b", "FP32")), [[1e300, 1]])
    assert (error.code, told(error)) == ("out_of_range", [(0, "a", "must be FP32; 1e+300 does not fit")])


def test_a_rule_of_a_table_without_names_holds_for_all_its_columns():
    described = Signature("test", 2, (), InputSpec("x", max=3), OUTPUTS)
    assert v1(described, [[1, 3]]).tolist() == [[1, 3]]
    assert told(problems(v1, described, [[1, 3], [4, 1]])) == [(1, "0", "must be at most 3, not 4")]


def test_one_rule_for_any_number_of_columns_is_looked_at_once(monkeypatch):
    asked, read = [], Column.read
    monkeypatch.setattr(Column, "read", lambda self, *given: asked.append(given) or read(self, *given))
    table = make_reader(Signature("test", None, (), InputSpec("x", max=3), OUTPUTS), 100)
    values = np.ones(2000)
    assert table.from_inputs([("x", [2, 1000], "FP64", values)]).shape == (2, 1000)
    values[[7, 1500]] = 4
    with pytest.raises(InvalidInput) as refused:
        table.from_inputs([("x", [2, 1000], "FP64", values)])
    assert [each.row for each in refused.value.problems] == [0, 1]
    assert len(asked) == 2


class TestTensors:
    RULES = InputSpec("image", max=1, nullable=True)
    DESCRIBED = signature(
        tensors=(
            TensorSpec("image", "FP32", (-1, 2), RULES),
            TensorSpec("kind", "BYTES", (-1,), InputSpec("kind", values=("a",))),
        )
    )

    def test_values_of_tensors_are_checked_too(self):
        got = named(self.DESCRIBED, {"image": [0.5, None], "kind": "a"})
        assert np.isnan(got.arrays["image"]).tolist() == [[False, True]]
        assert got.arrays["image"].dtype == np.float32
        rows = [{"image": [0, 1], "kind": "a"}, {"image": [0, 2], "kind": "a"}]
        assert told(problems(named, self.DESCRIBED, {"instances": rows})) == [(1, "image", "must be at most 1, not 2")]
        error = problems(named, self.DESCRIBED, {"image": [0, 1], "kind": "b"})
        assert told(error) == [(0, "kind", 'must be one of "a", not "b"')]

    def test_they_can_be_coerced(self):
        described = signature(tensors=(TensorSpec("x", "INT64", (-1, 2)),), coerces=True)
        assert v1(described, [["1", 2.0]]).arrays["x"].tolist() == [[1, 2]]


class TestCoercion:
    KINDS = (InputSpec("n", "FP64"), InputSpec("i", "INT32"), InputSpec("b", "BOOL"), InputSpec("t", "BYTES"))

    @pytest.mark.parametrize(
        ("sent", "read"),
        [
            (["1.5", "1", "true", 5], [1.5, 1, True, "5"]),
            ([" 2e3 ", 1.0, 1, 1.5], [2000, 1, True, "1.5"]),
            ([True, "3.0", "FALSE", True], [1, 3, False, "true"]),
            (["-.5", False, 0.0, "x"], [-0.5, 0, False, "x"]),
        ],
    )
    def test_what_can_be_read_as_the_declared_type_is(self, sent, read):
        rows = v1(signature(*self.KINDS, coerces=True), [sent])
        assert rows.tolist() == [read]
        assert [type(value) for value in rows[0]] == [float, int, bool, str]

    @pytest.mark.parametrize(
        ("place", "sent"),
        [
            (0, "x"), (0, "nan"), (0, "1_0"), (0, "1e999"), (0, ""), (0, None), (0, [1]), (0, {}), (0, "٣"), (0, "0x1"),
            (1, 1.5), (1, "1.5"), (1, "1e20"), (1, 2**31), (1, "9" * 401), (1, ""),
            (2, 2), (2, "yes"), (2, 0.5), (2, ""), (3, None), (3, [1]),
        ],
    )  # fmt: skip
    def test_what_cannot_is_refused(self, place, sent):
        row = [1.0, 1, True, "x"]
        row[place] = sent
        error = problems(v1, signature(*self.KINDS, coerces=True), [row])
        assert [one["field"] for one in error.details] == [self.KINDS[place].name]

    def test_empty_text_is_a_missing_value_where_there_may_be_one(self):
        described = signature(InputSpec("a", nullable=True), InputSpec("t", "BYTES", nullable=True), coerces=True)
        rows = v1(described, [["", ""]])
        assert math.isnan(rows[0, 0])
        assert rows[0, 1] == ""

    def test_v2_may_send_another_datatype(self):
        described = signature(InputSpec("a", "INT64"), InputSpec("b", "INT64"), coerces=True)
        assert v2(described, ("x", "FP64", [1, 2], [1.0, 2.0])).tolist() == [[1, 2]]
        assert v2(described, ("a", "BYTES", [1], ["1"]), ("b", "BOOL", [1], [True])).tolist() == [[1, 1]]
        assert v2_bytes(described, "x", np.array([[1.0, 2.0]])).tolist() == [[1, 2]]
        assert told(problems(v2_bytes, described, "x", np.array([[1.5, np.nan]]))) == [
            (0, "a", "must be INT64, not a number (1.5)"),
            (0, "b", "must be INT64, not null"),
        ]

    def test_rules_are_checked_after_it(self):
        described = signature(InputSpec("a", max=3), InputSpec("b"), coerces=True)
        assert told(problems(v1, described, [["4", 1]])) == [(0, "a", "must be at most 3, not 4")]


class TestManifest:
    @pytest.fixture
    def iris(self, tmp_path):
        joblib.dump(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)), tmp_path / "m.joblib")
        return tmp_path / "m.joblib"

    def test_rules_of_the_manifest_reach_the_reader(self, iris, load_model):
        inputs = (InputSpec("a", max=10), *(InputSpec(name) for name in "bcd"))
        described = load_model(iris, "sklearn", inputs).signature
        assert told(problems(v1, described, [[11, 1, 1, 1]])) == [(0, "a", "must be at most 10, not 11")]

    def test_rules_about_an_input_that_the_model_does_not_have_are_refused(self, tmp_path, load_model):
        values, labels = load_iris(return_X_y=True, as_frame=True)
        mlflow.sklearn.save_model(
            LogisticRegression(max_iter=500).fit(values, labels),
            tmp_path / "m",
            signature=infer_signature(values, labels),
            serialization_format="pickle",
            pip_requirements=["scikit-learn"],
        )
        with pytest.raises(SignatureMismatch, match="rules for width; the model takes sepal length"):
            load_model(tmp_path / "m", "mlflow", (InputSpec("width", max=3),))
        described = load_model(tmp_path / "m", "mlflow", (InputSpec("sepal width (cm)", max=3),)).signature
        assert told(problems(v1, described, [[1, 4, 1, 1]])) == [(0, "sepal width (cm)", "must be at most 3, not 4")]


def test_an_error_keeps_its_problems():
    error = problems(v1, signature(*NUMBERS), [[-1, 1, 1]])
    assert isinstance(error, InvalidInput)
    assert error.problems[0].place == "instances[0], column age"


class TestDerived:
    def test_optional_columns_of_an_mlflow_signature_may_be_missing(self, tmp_path, load_model):
        class Shows(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return [repr(model_input.iloc[row].to_dict()) for row in range(len(model_input))]

        kinds = [
            ("count", DataType.long),
            ("size", DataType.double),
            ("kind", DataType.string),
            ("ok", DataType.boolean),
        ]
        schema = Schema([ColSpec(DataType.double, "needed"), *(ColSpec(kind, name, False) for name, kind in kinds)])
        mlflow.pyfunc.save_model(
            tmp_path / "m", python_model=Shows(), signature=ModelSignature(schema), pip_requirements=["numpy"]
        )
        model = load_model(tmp_path / "m", "mlflow")
        assert [one.nullable for one in model.signature.features] == [False, True, True, True, True]

        def ask(request):
            return model.predict(named(model.signature, request), ("predict",))["predict"].tolist()

        assert ask({"needed": 1}) == ["{'needed': 1.0, 'size': nan, 'kind': None, 'ok': None}"]
        row = {"needed": 1, "count": 2, "size": 3, "kind": "a", "ok": True}
        assert ask(row) == ["{'needed': 1.0, 'count': 2, 'size': 3.0, 'kind': 'a', 'ok': True}"]
        assert told(problems(named, model.signature, {"count": 1})) == [(0, "needed", "must be there")]

    def test_rules_of_a_class_of_ones_own(self, tmp_path, load_model):
        (folder := tmp_path / "own").mkdir()
        (folder / "own.py").write_text(
            "class Own:\n"
            "    inputs = [{'name': 'a', 'min': 1, 'values': [1, 2]}, {'name': 'b', 'nullable': True}]\n"
            "    def __init__(self, path): pass\n"
            "    def predict(self, rows): return rows[:, 0]\n"
            "class Bad(Own):\n"
            "    inputs = [{'name': 'a', 'min': 'x'}]\n"
            "class Odd(Own):\n"
            "    inputs = [{'name': 'a', 'datatype': 'BYTES', 'min': 1}]\n"
            "class Image(Own):\n"
            "    inputs = [{'name': 'a', 'shape': [-1, 2], 'max': 1}]\n"
            "    def predict(self, tensors): return tensors.arrays['a'].sum(axis=1)\n"
        )
        described = load_model(folder, "python", class_name="own:Own").signature
        assert told(problems(named, described, {"a": 3})) == [(0, "a", "must be one of 1, 2, not 3")]
        assert math.isnan(named(described, {"a": 1})[0, 1])
        with pytest.raises(SignatureMismatch, match=r"own:Bad\.inputs: min: Input should be a valid number"):
            load_model(folder, "python", class_name="own:Bad")
        with pytest.raises(SignatureMismatch, match="the rules for a do not fit its datatype BYTES"):
            load_model(folder, "python", class_name="own:Odd")
        described = load_model(folder, "python", class_name="own:Image").signature
        assert told(problems(named, described, {"a": [0, 2]})) == [(0, "a", "must be at most 1, not 2")]

    def test_an_onnx_graph_of_whole_numbers_can_have_no_missing_ones(self, tmp_path, load_model):
        table = helper.make_tensor_value_info("x", TensorProto.INT64, [None, 2])
        answer = helper.make_tensor_value_info("y", TensorProto.INT64, [None, 2])
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [table], [answer])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
        inputs = (InputSpec("a", "INT64", nullable=True), InputSpec("b", "INT64"))
        with pytest.raises(SignatureMismatch, match="a is nullable, and the model takes INT64"):
            load_model(tmp_path / "m.onnx", "onnx", inputs)
