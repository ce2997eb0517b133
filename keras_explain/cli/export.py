"""`keras-explain export`: a model file in, a model that explains itself when served out."""

import json

import keras

import keras_explain as kx
from keras_explain.cli.inputs import PIXELS, load_model, read_labels
from keras_explain.cli.methods import build_methods, find_methods


def run(options):
    """Build, export, tell what was written; returns the exit code."""
    builders = find_methods(options.method)
    model, labels = load_model(options.model), read_labels(options.labels, options.model)
    built = build_methods(builders, model, options.layer, options.settings)
    first, *others = built.items()
    scale, shift = PIXELS[options.pixels]
    wanted = {}
    if options.format == "saved_model":
        image = {"fit": "crop"} if options.crop else {}
        image |= {"size": tuple(options.size)} if options.size else {}
        rescale = None if options.pixels == "0..255" else keras.layers.Rescaling(scale, shift)
        wanted = {"methods": dict(others), "class_names": labels, "image_options": image,
                  "preprocess": rescale}
    elif others:
        raise ValueError(f"Expected one --method for --format {options.format}, received"
                         f" {options.method}. Write a file for each.")
    path = kx.export(first[1], options.path, format=options.format, versioned=options.versioned,
                     overwrite=options.overwrite, **wanted)
    about = {"path": str(path), "method": list(built)}
    if options.format == "saved_model":
        about["signatures"] = json.loads((path / "explanation.json").read_text())["signatures"]
    print(json.dumps(about, indent=1) if options.json else f"Written: {path}")
    return 0
