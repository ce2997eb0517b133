"""Serve an exported explained model over HTTP and gRPC with MLServer.

MLServer speaks the Open Inference Protocol, as KServe and Triton do. Put this file and
`model-settings.json` into a folder, name the export in `parameters.uri`, and start it:

    mlserver start examples/serve_mlserver

A request holds `image_bytes` (base64) and, if it likes, `target` (the class to explain for each
image, -1 for the top class). If no image of a request can be explained, the status is 400 with
the reasons; if some cannot, the output `error` tells for each.
"""

import asyncio

import numpy as np
from fastapi import status
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

from keras_explain.serving import ERROR, SavedExplainer

LARGEST_BATCH = 64


class ExplainedModel(MLModel):
    """One exported model; requests run in threads, TensorFlow does the rest."""

    async def load(self):
        path = await get_model_uri(self.settings)
        explain = SavedExplainer(path, "explain_image_class")
        self.explain = await asyncio.to_thread(explain.load)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        answer = await asyncio.to_thread(self.explain, _columns(payload))
        errors = list(answer[ERROR])
        if all(errors):
            raise InferenceError("; ".join(dict.fromkeys(errors)))
        return InferenceResponse(
            model_name=self.name, id=payload.id,
            outputs=[_output(name, column) for name, column in answer.items()],
        )


def _columns(payload):
    given = {tensor.name: tensor for tensor in payload.inputs}
    if "image_bytes" not in given:
        raise InferenceError(f"Expected an input named image_bytes, received {list(given)}.")
    try:
        images = Base64Codec.decode_input(given["image_bytes"])
    except Exception as error:
        raise InferenceError(f"Expected image_bytes in base64, received others: {error}") from error
    if not 0 < len(images) <= LARGEST_BATCH:
        raise MLServerError(f"Expected 1 to {LARGEST_BATCH} images, received {len(images)}.",
                            status.HTTP_413_REQUEST_ENTITY_TOO_LARGE)
    target = np.full(len(images), -1)
    if "target" in given:
        # As sent: `SavedExplainer` tells of each class that is none, before it is cast.
        target = np.array(given["target"].data.root, dtype=object).ravel()
    if len(target) != len(images):
        raise InferenceError(
            f"Expected one target for each of {len(images)} images, received {len(target)}.")
    return {"image_bytes": images, "target": target}


def _output(name, column):
    if name.endswith("_bytes"):
        return Base64Codec.encode_output(name, list(column))
    if column.dtype == object:
        texts = [x.decode() if isinstance(x, bytes) else x for x in column.ravel()]
        output = StringCodec.encode_output(name, texts)
        output.shape = list(column.shape)
        return output
    return NumpyCodec.encode_output(name, column)
