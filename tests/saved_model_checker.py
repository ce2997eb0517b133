"""Ask exported models in a process that has TensorFlow alone; run as a script.

Usage: python saved_model_checker.py MANIFEST.json. The manifest is a list of
{"path", "signature", "inputs": file.npz, "expected": file.npz, "atol"}. Each job is asked twice:
in Python and through TensorFlow's C API, as TensorFlow Serving asks. Prints one JSON object:
{"asked": n, "failures": [text], "modules": [names that should not be there]}, and on stderr
each job, so that a crash can be placed.
"""

import json
import sys

BLOCKED = ("jax", "keras", "keras_explain", "torch")
sys.modules.update(dict.fromkeys(BLOCKED))  # as if they were not installed

import c_loader  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


class InPython:
    def __init__(self, path):
        self.model = tf.saved_model.load(path)

    def ask(self, signature, inputs):
        inputs = {name: tf.constant(x) for name, x in inputs.items()}
        return {k: v.numpy() for k, v in self.model.signatures[signature](**inputs).items()}


class InC:
    def __init__(self, path):
        self.model, self.signatures = c_loader.SavedModel(path), c_loader.signatures(path)

    def ask(self, signature, inputs):
        return self.model.ask(self.signatures[signature], inputs)


def differences(answer, expected, atol):
    """What an answer gets wrong, as texts; [] for nothing."""
    if sorted(expected) != sorted(answer):
        return [f"expected {sorted(expected)}, received {sorted(answer)}"]
    found = []
    for name, wanted in expected.items():
        given = answer[name]
        if given.shape != wanted.shape or given.dtype != wanted.dtype:
            found.append(f"{name}: {given.dtype}{given.shape} instead of"
                         f" {wanted.dtype}{wanted.shape}")
            continue
        if given.dtype == tf.bfloat16.as_numpy_dtype:  # NumPy cannot compare those
            given, wanted = given.astype("float32"), wanted.astype("float32")
        if not np.allclose(given, wanted, rtol=0, atol=atol):
            found.append(f"{name}: off by {np.abs(given - wanted).max()}")
    return found


def read(path):
    """Arrays by name; bfloat16 is a type of its own that NumPy's files do not know."""
    arrays = dict(np.load(path))
    bfloat16 = tf.bfloat16.as_numpy_dtype
    return {k: v.view(bfloat16) if v.dtype.kind == "V" else v for k, v in arrays.items()}


def main(manifest):
    with open(manifest) as file:
        jobs = json.load(file)
    failures, loaded = [], {}
    for job in jobs:
        inputs, expected = (read(job[k]) for k in ("inputs", "expected"))
        for loader in (InPython, InC):
            where = f"{job['path']}:{job['signature']} {loader.__name__}"
            print(where, file=sys.stderr, flush=True)
            try:
                key = (loader, job["path"])
                loaded[key] = loaded.get(key) or loader(job["path"])
                answer = loaded[key].ask(job["signature"], inputs)
                failures += [f"{where}: {x}" for x in differences(answer, expected, job["atol"])]
            except Exception as error:  # told with the other failures
                failures.append(f"{where}: {type(error).__name__}: {error}")
    intruders = [name for name in BLOCKED if sys.modules.get(name) is not None]
    print(json.dumps({"asked": len(jobs), "failures": failures, "modules": intruders}))


if __name__ == "__main__":
    main(sys.argv[1])
