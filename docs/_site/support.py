"""Write docs/support.md from what the contract test found, one file for each backend:

    KERAS_BACKEND=jax pytest -m "" tests/test_contract.py -k test_output --support jax.json
    python docs/_site/support.py tensorflow.json torch.json jax.json
"""

import json
import pathlib
import sys

PAGE = pathlib.Path(__file__).parents[1] / "support.md"
NAMES = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}
SIGNS = {"right": "✓", "refused": "–", "wrong": "✗"}
TEXT = """# What works on what

Written by the contract test (`tests/test_contract.py`), which builds each method on each kind of
model of `tests/models.py`, on {backends}. There it checks the shape and the place of the answer,
the model's own predictions beside it, that no row depends on its neighbors, and that the map is
finite and alive.

✓ right, – refused with an error that says why and names a method that fits, ✗ wrong{several}.

{tables}

Formats: every explained model is saved as `.keras` and loaded on any backend. `kx.export` writes a
SavedModel on TensorFlow and JAX; PyTorch cannot.
"""


def main(paths):
    found = {pathlib.Path(p).stem.split("_")[-1]: json.loads(pathlib.Path(p).read_text())
             for p in paths}
    builders = list(dict.fromkeys(b for backend in found.values() for b in backend))
    kinds = list(dict.fromkeys(k for backend in found.values() for cases in backend.values()
                               for k in cases))
    several = any(len({backend.get(b, {}).get(k) for backend in found.values()}) > 1
                  for b in builders for k in kinds)
    tables = [write_table(found, builders[i:i + 7], kinds) for i in range(0, len(builders), 7)]
    names = [NAMES[n] for n in found]
    PAGE.write_text(TEXT.format(
        backends=", ".join(names[:-1]) + " and " + names[-1], tables="\n\n".join(tables),
        several="; where backends differ, the signs stand in the order of their names" * several))


def write_table(found, builders, kinds):
    """Kinds of models down, builders across."""
    lines = ["| model | " + " | ".join(f"`{b}`" for b in builders) + " |",
             "|---" * (len(builders) + 1) + "|"]
    for kind in kinds:
        cells = []
        for builder in builders:
            signs = [SIGNS.get(backend.get(builder, {}).get(kind), " ")
                     for backend in found.values()]
            cells.append(signs[0] if len(set(signs)) == 1 else "".join(signs))
        lines.append(f"| {kind.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
