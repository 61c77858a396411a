"""The pages of the service: one to look at lists, one that describes the requests. Nothing is loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from milk_np.reports.markup import Markup, join, tag
from milk_np.reports.page import page, section, text
from milk_np.service.script import SCRIPT, STYLE


def front_page() -> str:
    """A user or a history, the list, its reasons, and switches for modalities."""
    kind = tag(
        "fieldset",
        tag("legend", "Whose list"),
        tag("label", _input("radio", "kind", "user", checked="checked"), " a user"),
        tag("label", _input("radio", "kind", "history"), " a history"),
    )
    fields = [
        _field("who", "User, or items separated by commas", required="required", aria_describedby="said"),
        _field("k", "Length", type="number", value="10", min="1", max="100"),
        tag("label", "Items", tag("select", _option("new", "new items"), _option("all", "all items"), id="candidates")),
        tag("label", "API key, if one is needed", _input("password", "key", "", id="key", autocomplete="off")),
    ]
    form = tag("form", kind, tag("div", *fields, class_="fields"), tag("button", "Show the list"), id="form")
    said = tag("p", id="said", role="status", aria_live="polite")
    body = [
        tag("style", Markup(STYLE)),
        tag("p", "A list for one user, and why each item is on it. ", tag("a", "All requests", href="/docs")),
        form,
        said,
        tag("ol", id="list", role="list", aria_label="The list"),
        tag("script", Markup(SCRIPT)),
    ]
    return page("Recommendations", *body)


def _field(id_: str, label: str, **more: str) -> Markup:
    return tag("label", label, tag("input", id=id_, autocomplete="off", **more))


def _input(type_: str, name: str, value: str, **more: str) -> Markup:
    return tag("input", type=type_, name=name, value=value, **more)


def _option(value: str, label: str) -> Markup:
    return tag("option", label, value=value)


def api_page(schema: Mapping[str, Any]) -> str:
    """What can be asked: each route with its request and answer, from the OpenAPI document."""
    parts = [
        _operation(f"{method.upper()} {path}", operation, schema)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    about = [
        tag("p", "Bodies are JSON. An error is problem+json: its errors name the fields."),
        tag("p", tag("a", "The OpenAPI document", href="/openapi.json"), " · ", tag("a", "Look at lists", href="/")),
    ]
    return page("milk-serve: requests", *about, *parts)


def _operation(name: str, operation: Mapping[str, Any], schema: Mapping[str, Any]) -> Markup:
    asked = operation.get("requestBody", {}).get("content", {})
    answered = operation["responses"].get("200", {}).get("content", {})
    shown = [("request", asked), ("answer", answered)]
    return section(
        name.lower().replace(" ", "").replace("/", "-"),
        name,
        tag("p", operation.get("description", "")),
        join(_example(f"{name}: {what}", content, schema) for what, content in shown),
    )


def _example(title: str, content: Mapping[str, Any], schema: Mapping[str, Any]) -> Markup | None:
    found = content.get("application/json", {}).get("schema", {})
    if "$ref" not in found:
        return None
    parts = schema["components"]["schemas"]
    shape = _shape(found, parts)
    return join([tag("h3", title.rpartition(": ")[2]), text(title, json.dumps(shape, indent=2, ensure_ascii=False))])


def _shape(of: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """A schema as the JSON that it describes, types in place of values."""
    if "$ref" in of:
        return _shape(parts[of["$ref"].rpartition("/")[2]], parts)
    if "anyOf" in of:
        kinds = [_shape(each, parts) for each in of["anyOf"]]
        plain = [kind for kind in kinds if kind != "null"]
        return plain[0] if len(plain) == 1 else " or ".join(json.dumps(kind).replace('"', "") for kind in plain)
    if "properties" in of:
        return {name: _shape(each, parts) for name, each in of["properties"].items()}
    if of.get("type") == "array":
        return [_shape(of["items"], parts)]
    if isinstance(of.get("additionalProperties"), dict):
        return {"NAME": _shape(of["additionalProperties"], parts)}
    default = f", default {json.dumps(of['default'])}" if "default" in of else ""
    return " or ".join(map(str, of["enum"])) + default if "enum" in of else f"{of.get('type', 'any')}{default}"
