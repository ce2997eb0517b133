"""Files for other engines, each run in its own: the same heatmaps to 1e-3 of their range."""

import keras
import numpy as np
import pytest
from models import KINDS

import keras_explain as kx

onnxruntime = pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")
litert = pytest.importorskip("ai_edge_litert.interpreter")

pytestmark = pytest.mark.engines
BUILDERS = {
    "cam": kx.cam,
    "occlusion": lambda model: kx.occlusion(model, patch_size=4, stride=4),
    "rise": lambda model: kx.rise(model, samples=32, grid=4),
}
FILES = {"onnx": "model.onnx", "litert": "model.tflite", "openvino": "model.xml"}


def ask_onnx(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: x}), strict=True))


def ask_litert(path, x):
    interpreter = litert.Interpreter(str(path))
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], x.shape)
    runner = interpreter.get_signature_runner()
    (name,) = interpreter.get_signature_list()["serving_default"]["inputs"]
    return runner(**{name: x})


def ask_openvino(path, x):
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else bfloat16 on some processors
    model = openvino.Core().compile_model(path, "CPU", exact)
    answer = model(x)
    return {name: answer[output] for output in model.outputs for name in output.get_names()}


ASK = {"onnx": ask_onnx, "litert": ask_litert, "openvino": ask_openvino}


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("method", BUILDERS)
def test_the_engine_gives_the_same_heatmaps(tmp_path, format, method):
    kind = KINDS["functional"]
    explained = BUILDERS[method](kind.model)
    path = kx.export(explained, tmp_path / FILES[format], format=format)
    for count in (3, 1):
        x = kind.inputs(count)
        answer = ASK[format](path, x)
        expected = {k: keras.ops.convert_to_numpy(v) for k, v in explained(x).items()}
        scale = np.abs(expected["heatmap"]).max()
        assert scale > 0
        np.testing.assert_allclose(answer["predictions"], expected["predictions"], atol=1e-3)
        np.testing.assert_allclose(answer["heatmap"], expected["heatmap"], atol=1e-3 * scale)


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("build", [kx.grad_cam, kx.saliency])
def test_gradients_are_refused(tmp_path, format, build):
    with pytest.raises(ValueError, match="without gradients.*`cam`.*`occlusion` or `rise`"):
        kx.export(build(KINDS["functional"].model), tmp_path / FILES[format], format=format)
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_told(tmp_path):
    explained = kx.cam(KINDS["functional"].model)
    with pytest.raises(ValueError, match="ends in '.onnx'.*received 'model'"):
        kx.export(explained, tmp_path / "model", format="onnx")
    with pytest.raises(ValueError, match="only `explained`.*received \\['class_names'\\]"):
        kx.export(explained, tmp_path / "model.onnx", format="onnx", class_names=list("abcd"))
