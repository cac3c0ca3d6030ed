"""ONNX models: loaded, described as a table or as tensors, asked; or refused with the reason."""

from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import xgboost
from onnx import TensorProto, checker, helper
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as OnnxmlFloats
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from serving.errors import MissingLibrary, SignatureMismatch, UnloadableModel, UnsupportedModel
from serving.runtimes import Tensors, TensorSpec
from serving.runtimes.onnx import OnnxModel
from serving.runtimes.onnxsession import Session
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec

X, Y = load_iris(return_X_y=True)
ROWS = X.astype(np.float32)
SPECIES = np.array(["setosa", "versicolor", "virginica"])[Y]
FLOAT, INT64, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


@pytest.fixture
def load_graph(tmp_path, load_model):
    def load_graph(model, inputs=()):
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        return load_model(tmp_path / "model.onnx", "onnx", inputs)

    return load_graph


def graph(nodes, inputs, outputs, opset=17, constants=()):
    """A graph of nodes (type, inputs, outputs, attributes), with inputs and outputs (name, type, shape)."""
    made = helper.make_graph(
        [helper.make_node(kind, takes, gives, **attributes) for kind, takes, gives, attributes in nodes],
        "graph",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if opset == 17:
        checker.check_model(model)
    return model


@contextmanager
def served(model):
    """A server with the model, called m, and a client of it."""
    server = ModelServer(ServerConfig(model="m", version="v1"), model)
    port = server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.stop()


def shapes(model):
    return {one.name: (one.datatype, one.shape) for one in model.signature.outputs}


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_converted_classifier_answers_as_the_estimator_does_under_both_names(load_graph, zipmap):
    estimator = LogisticRegression(max_iter=500).fit(X, SPECIES)
    model = load_graph(to_onnx(estimator, ROWS[:1], options=None if zipmap else {"zipmap": False}))
    own = ("output_label", "output_probability") if zipmap else ("label", "probabilities")
    answer = model.predict(ROWS, (*own, "predict", "predict_proba"))
    assert answer["predict"].tolist() == answer[own[0]].tolist() == estimator.predict(X).tolist()
    assert np.allclose(answer["predict_proba"], estimator.predict_proba(X), atol=1e-6)
    assert np.array_equal(answer["predict_proba"], answer[own[1]])
    assert model.signature.classes == (("setosa", "versicolor", "virginica") if zipmap else ())
    assert shapes(model) == {
        own[0]: ("BYTES", (-1,)),
        own[1]: ("FP32", (-1, 3)),
        "predict": ("BYTES", (-1,)),
        "predict_proba": ("FP32", (-1, 3)),
    }


def test_a_converted_xgboost_classifier_answers_as_the_library_does(load_graph):
    classifier = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(X, Y)
    converted = convert_xgboost(classifier, initial_types=[("input", OnnxmlFloats([None, 4]))])
    model = load_graph(converted)
    answer = model.predict(ROWS, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], classifier.predict(X))
    assert np.allclose(answer["predict_proba"], classifier.predict_proba(X), atol=1e-6)
    assert (model.signature.width, model.signature.tensor) == (4, InputSpec("input", "FP32"))


def test_a_graph_in_memory_is_served_as_one_in_a_file(load_graph):
    converted = to_onnx(RandomForestClassifier(5, random_state=0).fit(X, Y), ROWS[:1])
    in_memory = OnnxModel(Session.open(converted.SerializeToString(), "iris"), ())
    in_file = load_graph(converted)
    assert in_memory.signature == in_file.signature
    assert np.array_equal(
        in_memory.predict(ROWS, ("predict",))["predict"], in_file.predict(ROWS, ("predict",))["predict"]
    )


def test_a_regressor_keeps_the_name_of_its_output(load_graph):
    estimator = LinearRegression().fit(X, Y)
    model = load_graph(to_onnx(estimator, ROWS[:1]))
    assert shapes(model) == {"variable": ("FP32", (-1, 1))}
    assert np.allclose(model.predict(ROWS, ("variable",))["variable"].ravel(), estimator.predict(X), atol=1e-5)


def test_inputs_that_are_columns_are_the_table_by_name(load_graph):
    import pandas as pd  # noqa: PLC0415 - only this test makes a table with columns of several types

    table = pd.DataFrame({"size": X[:, 0].astype(np.float32), "count": Y, "colour": SPECIES})
    estimator = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["size", "count"]), (OneHotEncoder(handle_unknown="ignore"), ["colour"])
        ),
        LogisticRegression(),
    ).fit(table, Y)
    types = [
        ("size", FloatTensorType([None, 1])),
        ("count", Int64TensorType([None, 1])),
        ("colour", StringTensorType([None, 1])),
    ]
    model = load_graph(to_onnx(estimator, initial_types=types))
    expected = (InputSpec("size", "FP32"), InputSpec("count", "INT64"), InputSpec("colour", "BYTES"))
    assert (model.signature.features, model.signature.width) == (expected, 3)
    rows = table.to_numpy(dtype=object)
    answer = model.predict(rows, ("predict", "predict_proba"))
    assert np.array_equal(answer["predict"], estimator.predict(table))
    assert np.allclose(answer["predict_proba"], estimator.predict_proba(table), atol=1e-5)
    assert model.signature.classes == ("0", "1", "2")


def test_declared_columns_name_a_table_that_has_no_names(load_graph):
    inputs = tuple(InputSpec(f"c{place}", "FP64") for place in range(4))
    model = load_graph(to_onnx(LinearRegression().fit(X, Y), ROWS[:1]), inputs)
    assert (model.signature.features, model.signature.dtype) == (inputs, np.float64)
    assert model.predict(X, ("variable",))["variable"].shape == (150, 1)


def test_a_table_of_any_width_is_one_whose_width_the_manifest_may_say(load_graph):
    loose = graph([("Neg", ["x"], ["y"], {})], [("x", FLOAT, ["n", "k"])], [("y", FLOAT, ["n", "k"])])
    assert load_graph(loose).signature.width is None
    assert load_graph(loose, (InputSpec("a", "FP32"), InputSpec("b", "FP32"))).signature.width == 2


def test_a_graph_of_several_inputs_of_any_rank_takes_tensors(load_graph):
    model = load_graph(
        graph(
            [("Flatten", ["image"], ["flat"], {}), ("Add", ["flat", "shift"], ["moved"], {})],
            [("image", FLOAT, ["n", 2, 3]), ("shift", FLOAT, ["n", 6])],
            [("moved", FLOAT, ["n", 6])],
        )
    )
    assert model.signature.tensors == (TensorSpec("image", "FP32", (-1, 2, 3)), TensorSpec("shift", "FP32", (-1, 6)))
    assert not model.signature.tabular
    assert shapes(model) == {"moved": ("FP32", (-1, 6))}
    image, shift = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.ones((2, 6), np.float32)
    answer = model.predict(Tensors({"image": image, "shift": shift}), ("moved",))
    assert np.array_equal(answer["moved"], image.reshape(2, 6) + 1)


def test_a_graph_for_exactly_one_row_answers_many_one_by_one(load_graph):
    image = graph([("Flatten", ["x"], ["y"], {})], [("x", FLOAT, [1, 2, 2])], [("y", FLOAT, [1, 4])])
    table = graph([("Neg", ["x"], ["y"], {})], [("x", FLOAT, [1, 4])], [("y", FLOAT, [1, 4])])
    rows = np.arange(12, dtype=np.float32)
    model = load_graph(image)
    assert model.signature.tensors == (TensorSpec("x", "FP32", (-1, 2, 2)),)
    assert np.array_equal(model.predict(Tensors({"x": rows.reshape(3, 2, 2)}), ("y",))["y"], rows.reshape(3, 4))
    assert np.array_equal(load_graph(table).predict(rows.reshape(3, 4), ("y",))["y"], -rows.reshape(3, 4))


def test_requests_of_every_protocol_reach_a_graph(load_graph):
    flowers = load_graph(
        to_onnx(LogisticRegression(max_iter=500).fit(X, SPECIES), ROWS[:1]),
        tuple(InputSpec(name, "FP32") for name in "abcd"),
    )
    images = load_graph(
        graph(
            [("Flatten", ["image"], ["flat"], {}), ("Add", ["flat", "shift"], ["moved"], {})],
            [("image", FLOAT, ["n", 2, 3]), ("shift", FLOAT, ["n", 6])],
            [("moved", FLOAT, ["n", 6])],
        )
    )
    with served(flowers) as client:
        named = client.post("/api/v1/models/m/predict", json=dict(zip("abcd", X[0].tolist(), strict=True))).json()
        assert named["prediction"] == "setosa"
        assert max(named["probabilities"], key=named["probabilities"].get) == "setosa"
        v1 = client.post("/v1/models/m:predict", json={"instances": X[[0, 60]].tolist()}).json()
        assert v1["predictions"] == ["setosa", "versicolor"]
    with served(images) as client:
        inputs = [
            {"name": "image", "shape": [1, 2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]},
            {"name": "shift", "shape": [1, 6], "datatype": "FP32", "data": [1] * 6},
        ]
        (moved,) = client.post("/v2/models/m/infer", json={"inputs": inputs}).json()["outputs"]
        assert (moved["name"], moved["shape"], moved["data"]) == ("moved", [1, 6], [2, 3, 4, 5, 6, 7])


def test_text_goes_in_and_comes_out(load_graph):
    model = load_graph(graph([("Identity", ["x"], ["y"], {})], [("x", TEXT, ["n", 2, 1])], [("y", TEXT, ["n", 2, 1])]))
    words = np.array([["a", "é"]], object).reshape(1, 2, 1)
    assert model.signature.tensors[0].datatype == "BYTES"
    assert model.predict(Tensors({"x": words}), ("y",))["y"].tolist() == words.tolist()


def test_the_manifest_may_fix_sizes_that_the_graph_leaves_open(load_graph):
    loose = graph([("Neg", ["x"], ["y"], {})], [("x", FLOAT, ["n", "k", 3])], [("y", FLOAT, ["n", "k", 3])])
    model = load_graph(loose, (InputSpec("x", "FP32", (-1, 5, 3)),))
    assert model.signature.tensors == (TensorSpec("x", "FP32", (-1, 5, 3)),)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((InputSpec("z", "FP32"),), "names z; the model takes x"),
        ((InputSpec("x", "FP32", (-1, 5, 4)),), r"x has shape \[-1, 5, 4\], the model takes \[-1, -1, 3\]"),
        ((InputSpec("x", "BYTES"),), "x is BYTES; the model takes FP32"),
    ],
)
def test_declared_tensors_that_do_not_fit_are_refused(load_graph, inputs, words):
    loose = graph([("Neg", ["x"], ["y"], {})], [("x", FLOAT, ["n", "k", 3])], [("y", FLOAT, ["n", "k", 3])])
    with pytest.raises(SignatureMismatch, match=words):
        load_graph(loose, inputs)


def test_a_table_of_text_is_refused_for_a_graph_of_numbers(load_graph):
    with pytest.raises(SignatureMismatch, match="rows is BYTES; the model takes FP32"):
        load_graph(to_onnx(LinearRegression().fit(X, Y), ROWS[:1]), (InputSpec("rows", "BYTES"),))


def test_a_classifier_that_refuses_the_warm_up_is_described_by_its_graph(load_graph, caplog):
    encoded = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(SPECIES.reshape(-1, 1), Y)
    model = load_graph(to_onnx(encoded, initial_types=[("kind", StringTensorType([None, 1]))]))
    assert "warm-up" in caplog.text
    assert shapes(model)["predict_proba"] == ("FP32", (-1, -1))
    assert model.predict(np.array([["setosa"]], object), ("predict",))["predict"].tolist() == [0]


def test_columns_of_fractions_are_refused_for_a_graph_of_whole_numbers(load_graph):
    counts = graph([("Neg", ["x"], ["y"], {})], [("x", INT64, ["n", 2])], [("y", INT64, ["n", 2])])
    assert load_graph(counts).signature.dtype == np.int64
    with pytest.raises(SignatureMismatch, match="a is FP64; the model takes INT64: write that as its datatype"):
        load_graph(counts, (InputSpec("a"), InputSpec("b")))


@pytest.mark.parametrize(
    ("shape", "words"),
    [((), "has no axis for rows"), ((8, 3), "takes exactly 8 rows, no more and no fewer: export the model with a dyn")],
)
def test_a_graph_without_rows_is_refused(load_graph, shape, words):
    with pytest.raises(UnsupportedModel, match=words):
        load_graph(graph([("Neg", ["x"], ["y"], {})], [("x", FLOAT, shape)], [("y", FLOAT, shape)]))


def test_a_type_that_no_request_can_carry_is_refused_by_name(load_graph):
    odd = graph(
        [("Cast", ["x"], ["y"], {"to": FLOAT})],
        [("x", TensorProto.BFLOAT16, ["n", 3])],
        [("y", FLOAT, ["n", 3])],
    )
    with pytest.raises(UnsupportedModel, match=r"input x of model\.onnx is a tensor\(bfloat16\), which no request"):
        load_graph(odd)


def test_an_opset_that_the_library_does_not_know_is_refused_with_its_own_words(load_graph):
    future = graph([("Neg", ["x"], ["y"], {})], [("x", FLOAT, ["n", 3])], [("y", FLOAT, ["n", 3])], opset=99)
    with pytest.raises(UnloadableModel, match=r"onnxruntime \S+ cannot load model\.onnx: .*pset 99"):
        load_graph(future)


def test_an_operator_that_nobody_knows_is_refused_by_name(load_graph):
    foreign = graph([("Neg", ["x"], ["y"], {})], [("x", FLOAT, ["n", 3])], [("y", FLOAT, ["n", 3])])
    foreign.graph.node[0].op_type = "Frobnicate"
    with pytest.raises(UnloadableModel, match="Frobnicate"):
        load_graph(foreign)


def test_a_graph_that_refuses_the_warm_up_is_served_all_the_same(load_graph, caplog):
    picky = graph(
        [("Gather", ["table", "x"], ["y"], {})],
        [("x", INT64, ["n", 2])],
        [("y", FLOAT, ["n", 2])],
        constants=[helper.make_tensor("table", FLOAT, [1], [7.0])],
    )
    model = load_graph(picky)
    assert "warm-up" in caplog.text
    assert model.predict(np.zeros((1, 2), np.int64), ("y",))["y"].tolist() == [[7.0, 7.0]]


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path, load_model):
    content = to_onnx(LogisticRegression(max_iter=500).fit(X, Y), ROWS[:1]).SerializeToString()
    for part in range(20):
        (tmp_path / "model.onnx").write_bytes(content[: len(content) * part // 20])
        with pytest.raises(UnloadableModel, match=r"cannot load model\.onnx: ."):
            load_model(tmp_path / "model.onnx", "onnx")


def test_a_model_of_another_library_is_refused(tmp_path, load_model):
    xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(X, Y).save_model(tmp_path / "model.json")
    (tmp_path / "model.json").rename(tmp_path / "model.onnx")
    with pytest.raises(UnloadableModel, match=r"cannot load model\.onnx: Protobuf parsing failed"):
        load_model(tmp_path / "model.onnx", "onnx")


def test_without_the_library_the_reason_names_the_package(load_graph, without):
    converted = to_onnx(LinearRegression().fit(X, Y), ROWS[:1])
    without("onnxruntime")
    with pytest.raises(MissingLibrary, match="install onnxruntime, or the extra serving-onnx"):
        load_graph(converted)
