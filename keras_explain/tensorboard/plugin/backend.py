"""The dashboard's server side: static files, and the callbacks' records as JSON and pictures.

Everything comes from TensorBoard's data provider, so nothing outside the log directory can be
read. Static files are a fixed list, and bytes from a log are sent only if they are PNG or JPEG.
"""

import functools
import json
import pathlib

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.data import provider
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from keras_explain.tensorboard.naming import FORMAT, PLUGIN_NAME
from keras_explain.tensorboard.plugin import reading

_STATIC = pathlib.Path(__file__).parent / "static"
_CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css"}
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_METHODS = ("GET", "HEAD")
_ALL = 1_000_000  # data points; an explicit number is what the data provider asks for
_WEEK = 7 * 24 * 3600


class Dashboard(base_plugin.TBPlugin):
    """The Explanations tab.

    Routes, below `/data/plugin/keras_explain`:

    | route | gives |
    |---|---|
    | `/<file>.js`, `/style.css` | the frontend |
    | `/series` | all series: run, name, what was explained, keys of the pictures |
    | `/steps?run=&series=` | each step of a series: the answers, keys of the maps |
    | `/picture?key=` | one PNG or JPEG |
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context):
        self._data = context.data_provider

    def get_plugin_apps(self):
        """The routes."""
        apps = {
            f"/{path.name}": functools.partial(_serve_file, path)
            for path in sorted(_STATIC.iterdir())
            if path.suffix in _CONTENT_TYPES
        }
        apps |= {
            "/series": _app(self._series),
            "/steps": _app(self._steps),
            "/picture": _app(self._picture),
        }
        return {route: _exactly(route, app) for route, app in apps.items()}

    def is_active(self):
        """TensorBoard finds out by itself whether a log has data of ours."""
        return False

    def frontend_metadata(self):
        """How TensorBoard shows the tab."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Explanations")

    def _series(self, request, context, experiment):
        texts = self._data.list_tensors(context, experiment_id=experiment, plugin_name=PLUGIN_NAME)
        places = {
            run: [tag for tag in tags if tag.endswith("/about")] for run, tags in texts.items()
        }
        runs = sorted(run for run, tags in places.items() if tags)
        tags = sorted({tag for run in runs for tag in places[run]})
        if not runs:
            return _json(request, {"format": FORMAT, "series": [], "unreadable": 0})
        texts = self._texts(context, experiment, runs, tags)
        newest = {place: max(read, key=lambda s: s[1]) for place, read in sorted(texts.items())}
        abouts = {place: reading.read_about(record) for place, (_, _, record) in newest.items()}
        abouts = {place: about for place, about in abouts.items() if about is not None}
        pictures = self._blobs(context, experiment, runs, {
            _blobs_tag(tag, "pictures", about["token"]) for (_, tag), about in abouts.items()})
        found, unreadable = [], sum(map(len, places.values())) - len(abouts)
        for (run, tag), about in abouts.items():
            step, time, _ = newest[run, tag]
            blobs = pictures.get((run, _blobs_tag(tag, "pictures", about["token"])), {})
            found.append({"run": run, "series": tag.removesuffix("/about"), "time": time,
                          "about": about, "pictures": blobs.get(step, [])})
        return _json(request, {"format": FORMAT, "series": found, "unreadable": unreadable})

    def _steps(self, request, context, experiment):
        run, name = _argument(request, "run"), _argument(request, "series")
        about_tag, steps_tag = f"{name}/about", f"{name}/steps"
        texts = self._texts(context, experiment, [run], [about_tag, steps_tag])
        abouts = texts.get((run, about_tag), [])
        _, began, about = max(abouts, key=lambda s: s[1], default=(0, 0, {}))
        headers = texts.get((run, steps_tag), [])
        maps = self._blobs(context, experiment, [run], {
            _blobs_tag(about_tag, "maps", header.get("token")) for _, _, header in headers})
        steps = {}
        for step, time, header in headers:
            token = header.get("token")
            if time > began and token != about.get("token"):
                continue  # of another process, which writes into the same directory
            if step not in steps or time >= steps[step]["time"]:  # a repeated training wins
                blobs = maps.get((run, _blobs_tag(about_tag, "maps", token)), {})
                steps[step] = {**reading.read_step(header), "step": step, "time": time,
                               "blobs": blobs.get(step, [])}
        return _json(request, {"steps": [steps[step] for step in sorted(steps)]})

    def _picture(self, request, context, experiment):
        try:
            data = self._data.read_blob(context, blob_key=_argument(request, "key"))
        except errors.PublicError:
            raise
        except Exception as error:  # each loader has errors of its own for a key that is none
            raise errors.NotFoundError("No picture has this key. Reload the page.") from error
        for magic, content_type in _PICTURES.items():
            if data.startswith(magic):
                return http_util.Respond(request, data, content_type, expires=_WEEK)
        raise errors.InvalidArgumentError(
            "Expected the key of a PNG or JPEG picture, received that of other data. Take one of"
            " the `pictures` of /series."
        )

    def _texts(self, context, experiment, runs, tags):
        """JSON records by (run, tag): lists of (step, wall time, dict)."""
        records = {}
        for place, data in _read(self._data.read_tensors, context, experiment, runs, tags):
            read = ((d.step, d.wall_time, _record(d.numpy)) for d in data)
            records[place] = [r for r in read if r[2] is not None]
        return {place: read for place, read in records.items() if read}

    def _blobs(self, context, experiment, runs, tags):
        """Keys of blobs by (run, tag): dicts from step to keys."""
        return {
            place: {d.step: [value.blob_key for value in d.values]
                    for d in sorted(data, key=lambda d: d.wall_time)}
            for place, data in _read(
                self._data.read_blob_sequences, context, experiment, runs, tags)
        }


def _read(reader, context, experiment, runs, tags):
    """What TensorBoard knows of some runs and tags: pairs of (run, tag) and data."""
    found = reader(
        context, experiment_id=experiment, plugin_name=PLUGIN_NAME, downsample=_ALL,
        run_tag_filter=provider.RunTagFilter(runs, sorted(tags)),
    )
    return [((run, tag), data) for run, series in found.items() for tag, data in series.items()]


def _blobs_tag(about_tag, kind, token):
    return f"{about_tag.removesuffix('/about')}/{kind}/{token}"


def _app(respond):
    """A WSGI application of a method that answers GET and HEAD requests."""

    @wrappers.Request.application
    def app(request):
        if request.method not in _METHODS:
            return _refusal(request)
        context = plugin_util.context(request.environ)
        experiment = plugin_util.experiment_id(request.environ)
        try:
            return respond(request, context, experiment)
        except errors.PublicError as error:
            return http_util.Respond(request, str(error), "text/plain", code=error.http_code)

    return app


def _exactly(route, app):
    """`app` for its own address alone: TensorBoard also takes `/index.js;a=b` and `/index.js/`."""

    def respond(environ, start_response):
        request = wrappers.Request(environ)
        if not request.path.endswith(route):
            answer = http_util.Respond(request, "Not found", "text/plain", code=404)
            return answer(environ, start_response)
        return app(environ, start_response)

    return respond


def _serve_file(path, environ, start_response):
    request = wrappers.Request(environ)
    if request.method not in _METHODS:
        return _refusal(request)(environ, start_response)
    content_type = _CONTENT_TYPES[path.suffix]
    return http_util.Respond(request, path.read_bytes(), content_type)(environ, start_response)


def _refusal(request):
    response = http_util.Respond(request, "Only GET and HEAD are answered.", "text/plain", code=405)
    response.headers["Allow"] = ", ".join(_METHODS)
    return response


def _json(request, content):
    return http_util.Respond(request, json.dumps(content), "application/json")


def _argument(request, name):
    value = request.args.get(name)
    if not value:
        raise errors.InvalidArgumentError(
            f"Expected the argument {name!r} in the address, received {sorted(request.args)}. Add"
            f" {name}=... to it."
        )
    return value


def _record(tensor):
    """The JSON of a record; None for what no callback of ours has written."""
    return reading.parse(tensor.item()) if tensor.size == 1 else None
