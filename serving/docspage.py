"""A model's inputs as a page for people, with a form to try it: `GET /api/v1/models/{name}/docs`.

The page needs nothing from elsewhere: a cluster may be cut off from the rest of the world. Its policy lets it load
nothing and speak to its own origin alone.
"""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from string import Template
from typing import Final

import orjson

from serving.openapi import inputs_of, needed
from serving.runtimes import Signature
from serving.schema import plain
from serving.spec import InputSpec

HTML: Final = b"text/html; charset=utf-8"

_MAX_FIELDS: Final = 200
"""Inputs that have a field of their own in the form; with more, it takes JSON."""

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; } .version { color: #5b6675; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .75rem .35rem 0;
border-bottom: 1px solid #dde3ea; vertical-align: top; } code, pre, textarea { font: 14px/1.4 ui-monospace, monospace; }
pre { background: #f3f6f9; padding: .75rem; overflow: auto; white-space: pre-wrap; } small { color: #5b6675; }
input, select, textarea { font: inherit; width: 100%; box-sizing: border-box; padding: .25rem; }
button { font: inherit; padding: .4rem 1.2rem; margin-top: 1rem; }
"""

_SCRIPT: Final = """
const form = document.querySelector("form");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = document.querySelector("#answer");
  let row = {};
  try {
    for (const field of form.querySelectorAll("[data-field]")) {
      if (field.value === "") continue;
      row[field.dataset.field] = field.dataset.text ? field.value : JSON.parse(field.value);
    }
    const whole = form.querySelector("[data-row]");
    if (whole) row = JSON.parse(whole.value);
  } catch (error) {
    answer.textContent = "A field is no JSON: " + error.message;
    return;
  }
  answer.textContent = "…";
  try {
    const response = await fetch(form.getAttribute("action"), { method: "POST", body: JSON.stringify(row) });
    answer.textContent = response.status + "\\n" + JSON.stringify(await response.json(), null, 2);
  } catch (error) {
    answer.textContent = "No answer: " + error.message;
  }
});
"""

_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>$model</title>
<style>$style</style></head>
<body>
<h1>$model</h1>
<p class="version">version <code>$version</code>, <code>$platform</code></p>
<p><code>POST $path</code> takes one row as an object, or up to $max_rows as <code>{"instances": […]}</code>.
The same for programs: <a href="$openapi">OpenAPI</a>.</p>
<form action="$path">
<h2>A row</h2>
$fields
<button>Ask the model</button>
</form>
<h2>The answer</h2>
<pre id="answer">Not asked yet.</pre>
<h2>On the command line</h2>
<pre>$curl</pre>
<script>$script</script>
</body>
</html>
""")

_NO_NAMES: Final = """<p>The columns of this model have no names, so that it is asked with lists. Names for them
stand in <code>spec.model.inputs</code>.</p>"""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


PAGE_HEADERS: Final = (
    "content-security-policy: default-src 'none'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    f"base-uri 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}\r\nx-content-type-options: nosniff\r\n"
).encode()


def page(model: str, version: str, signature: Signature, max_rows: int, own: str | None = None) -> bytes:
    """The page; see `serving.openapi.document`."""
    by_name = bool(signature.features) or not signature.tabular
    path = (own or f"/api/v1/models/{model}/predict") if by_name else f"/v1/models/{model}:predict"
    row = example_row(signature)
    body = orjson.dumps(row).decode()
    return _PAGE.substitute(
        model=escape(model),
        version=escape(version),
        platform=escape(signature.platform),
        path=escape(path),
        openapi=escape(f"/api/v1/models/{model}/openapi.json"),
        max_rows=max_rows,
        fields=_form(signature, body),
        curl=escape(f"curl -d {_quoted(body)} http://HOST{path}"),
        style=_STYLE,
        script=_SCRIPT,
    ).encode()


def example_row(signature: Signature) -> dict[str, object]:
    """A row that fits the schema, as far as that says what fits."""
    fields = inputs_of(signature)
    if fields:
        return {spec.name: _filled(_example(spec), shape) for spec, shape in fields}
    if signature.tabular:
        return {"instances": [[_example(signature.tensor)] * (signature.width or 1)]}
    return {}


def _example(spec: InputSpec) -> object:
    """A value that the rules let in."""
    for given in (spec.example, spec.default, *spec.values[:1]):
        if given is not None:
            return given
    if spec.datatype == "BYTES":
        return "text"
    if spec.datatype == "BOOL":
        return True
    least, largest = spec.min, spec.max
    if least is None:
        value = 1.0 if largest is None else min(1.0, largest)
    else:
        value = least if largest is None else (least + largest) / 2
    return round(value) if not spec.datatype.startswith("FP") else value


def _filled(value: object, shape: tuple[int, ...]) -> object:
    for size in reversed(shape):
        value = [value] * max(size, 1)
    return value


def _form(signature: Signature, body: str) -> str:
    """A table of the fields, each with its place in the form; or a place for the row as JSON."""
    fields = inputs_of(signature)
    whole = f'<textarea rows="8" data-row="1">{escape(body)}</textarea>'
    if not fields:
        return (_NO_NAMES if signature.tabular else "") + whole
    of_their_own = len(fields) <= _MAX_FIELDS
    head = "<tr><th>field</th><th>datatype</th><th>must be</th>" + ("<th>value</th>" if of_their_own else "") + "</tr>"
    rows = (_row(spec, shape, signature, own=of_their_own) for spec, shape in fields)
    return f"<table>{head}{''.join(rows)}</table>" + ("" if of_their_own else whole)


def _row(spec: InputSpec, shape: tuple[int, ...], signature: Signature, *, own: bool) -> str:
    text = f"<br><small>{escape(spec.description)}</small>" if spec.description else ""
    sizes = f" [{', '.join('any' if size < 0 else str(size) for size in shape)}]" if shape else ""
    rules = "; ".join(_rules(spec, signature))
    cell = f"<td>{_field(spec, shape)}</td>" if own else ""
    return (
        f"<tr><td><code>{escape(spec.name)}</code>{text}</td><td>{spec.datatype}{sizes}</td>"
        f"<td>{escape(rules)}</td>{cell}</tr>"
    )


def _rules(spec: InputSpec, signature: Signature) -> Iterator[str]:
    """What a value must be, in words."""
    if spec.min is not None:
        yield f"at least {plain(spec.min)}"
    if spec.max is not None:
        yield f"at most {plain(spec.max)}"
    if spec.values:
        yield f"one of {', '.join(map(str, spec.values))}"
    if spec.unique:
        yield "different in all rows of a request"
    if spec.nullable:
        yield "or null"
    if not needed(spec, signature):
        yield "may be left out" + ("" if spec.default is None else f": then {spec.default}")


def _field(spec: InputSpec, shape: tuple[int, ...]) -> str:
    """Where the value is written. Text is taken as it is, everything else as JSON."""
    name = f'data-field="{escape(spec.name)}"'
    value = _filled(_example(spec), shape)
    if spec.datatype == "BYTES" and not shape:
        name += ' data-text="1"'
        if not spec.values:
            return f'<input {name} value="{escape(str(value))}">'
    if spec.values and not shape:
        options = "".join(f"<option>{escape(_written(each))}</option>" for each in spec.values)
        return f"<select {name}>{options}</select>"
    return f'<input {name} value="{escape(orjson.dumps(value).decode())}">'


def _written(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _quoted(text: str) -> str:
    """Text as a shell takes it."""
    return "'" + text.replace("'", "'\\''") + "'"
