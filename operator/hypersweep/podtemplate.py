"""What a pod template may not say: what identifies, owns or ends a trial is the operator's."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypersweep.contract import CONTAINER, GROUP
from hypersweep.rule import shown
from hypersweep.template import KEYS

TOP = ("metadata", "spec")
METADATA = ("labels", "annotations")
OURS = ("restartPolicy", "subdomain", "hostname", "setHostnameAsFQDN")
PREFIXES = ("HYPERSWEEP_", "PET_")
LABELS = (f"{GROUP}/", "batch.kubernetes.io/")
IS_OURS = "must be left to the operator"


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_object, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# what this code reads of a template; the API server checks the rest when the first pod is made
Kind = tuple[Callable[[Any], bool], str]
OBJECT: Kind = (_is_object, "an object")
TEXT: Kind = (_is_text, "a string")
WORDS: Kind = (_is_words, "a list of strings")
OBJECTS: Kind = (_is_objects, "a list of objects")
COUNT: Kind = (_is_count, "a whole number of at least 0")
TEMPLATE = {"metadata": OBJECT, "spec": OBJECT}
OF_METADATA = {"labels": OBJECT, "annotations": OBJECT}
OF_SPEC = {
    "containers": OBJECTS,
    "initContainers": OBJECTS,
    "volumes": OBJECTS,
    "terminationGracePeriodSeconds": COUNT,
}
OF_CONTAINER = {
    "image": TEXT,
    "command": WORDS,
    "args": WORDS,
    "env": OBJECTS,
    "envFrom": OBJECTS,
    "volumeMounts": OBJECTS,
    "resources": OBJECT,
    "terminationMessagePath": TEXT,
}


def problems(template: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _only(template, TOP, path)
    yield from _kinds(template, TEMPLATE, path)
    metadata, spec = (_object(template.get(name)) for name in TOP)
    yield from _only(metadata, METADATA, f"{path}.metadata")
    yield from _kinds(metadata, OF_METADATA, f"{path}.metadata")
    for field in METADATA:
        for name in _object(metadata.get(field)):
            if str(name).startswith(LABELS):
                yield f"{path}.metadata.{field}[{name}]: {IS_OURS}"
    yield from _spec(spec, f"{path}.spec")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _only(given: Mapping[str, Any], known: tuple[str, ...], path: str) -> Iterator[str]:
    for name in given:
        if name not in known:
            yield f"{path}.{name}: {IS_OURS}; a template may hold {' and '.join(known)}"


def _kinds(given: Mapping[str, Any], kinds: Mapping[str, Kind], path: str) -> Iterator[str]:
    """Fields of another kind than they must be, and entries without what tells them apart."""
    for field, (fits, words) in kinds.items():
        value = given.get(field)
        if value is None:
            continue
        if not fits(value):
            yield f"{path}.{field}: must be {words}, but found {shown(value)}"
        elif field in KEYS:
            for index, entry in enumerate(value):
                if not isinstance(entry.get(KEYS[field]), str):
                    yield f"{path}.{field}[{index}].{KEYS[field]}: must be given"


def _spec(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in OURS:
        if name in spec:
            yield f"{path}.{name}: {IS_OURS}, but found {shown(spec[name])}"
    yield from _kinds(spec, OF_SPEC, path)
    for field in ("containers", "initContainers"):
        containers = spec.get(field)
        if containers is None or not _is_objects(containers):
            continue
        names = [container.get("name") for container in containers]
        if field == "containers" and CONTAINER not in names:
            yield f"{path}.{field}: the trial's container must be named {CONTAINER}, but found {shown(names)}"
        for index, container in enumerate(containers):
            yield from _container(container, f"{path}.{field}[{index}]")


def _container(container: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _kinds(container, OF_CONTAINER, path)
    resources = _object(container.get("resources"))
    yield from _kinds(resources, {"limits": OBJECT, "requests": OBJECT}, f"{path}.resources")
    for name, value in _object(resources.get("limits")).items():
        if is_gpu(name) and not (_is_count(value) or (_is_text(value) and value.isdecimal())):
            yield f"{path}.resources.limits[{name}]: must be a whole number, but found {shown(value)}"
    variables = container.get("env") if _is_objects(container.get("env")) else None
    for index, variable in enumerate(variables or ()):
        name = variable.get("name")
        if isinstance(name, str) and name.startswith(PREFIXES):
            yield f"{path}.env[{index}].name: {IS_OURS}, but found {name}"


def is_gpu(resource: str) -> bool:
    """Whether a resource is a GPU or a part of one."""
    return resource.endswith("/gpu") or "/mig-" in resource
