"""What a pod template may not say: what identifies, owns or ends a trial is the operator's."""

from collections.abc import Iterator, Mapping
from typing import Any

from hypersweep.contract import CONTAINER, GROUP
from hypersweep.rule import shown

TOP = ("metadata", "spec")
METADATA = ("labels", "annotations")
OURS = ("restartPolicy", "subdomain", "hostname", "setHostnameAsFQDN")
PREFIXES = ("HYPERSWEEP_", "PET_")
LABELS = (f"{GROUP}/", "batch.kubernetes.io/")
IS_OURS = "must be left to the operator"


def problems(template: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _only(template, TOP, path)
    metadata, spec = (template.get(name) for name in TOP)
    if isinstance(metadata, Mapping):
        yield from _metadata(metadata, f"{path}.metadata")
    elif metadata is not None:
        yield f"{path}.metadata: must be an object, but found {shown(metadata)}"
    if isinstance(spec, Mapping):
        yield from _spec(spec, f"{path}.spec")
    elif spec is not None:
        yield f"{path}.spec: must be an object, but found {shown(spec)}"


def _only(given: Mapping[str, Any], known: tuple[str, ...], path: str) -> Iterator[str]:
    for name in given:
        if name not in known:
            yield f"{path}.{name}: {IS_OURS}; a template may hold {' and '.join(known)}"


def _metadata(metadata: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _only(metadata, METADATA, path)
    for field in METADATA:
        for name in metadata.get(field) or ():
            if str(name).startswith(LABELS):
                yield f"{path}.{field}[{name}]: {IS_OURS}"


def _spec(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in OURS:
        if name in spec:
            yield f"{path}.{name}: {IS_OURS}, but found {shown(spec[name])}"
    for field in ("containers", "initContainers"):
        containers = spec.get(field)
        if containers is None:
            continue
        if not isinstance(containers, list) or not all(isinstance(c, Mapping) for c in containers):
            yield f"{path}.{field}: must be a list of containers, but found {shown(containers)}"
            continue
        names = [container.get("name") for container in containers]
        if field == "containers" and CONTAINER not in names:
            yield f"{path}.{field}: the trial's container must be named {CONTAINER}, but found {shown(names)}"
        for index, container in enumerate(containers):
            yield from _container(container, f"{path}.{field}[{index}]")


def _container(container: Mapping[str, Any], path: str) -> Iterator[str]:
    if not isinstance(container.get("name"), str):
        yield f"{path}.name: must be given"
    for field in ("command", "args"):
        words = container.get(field)
        if words is not None and not (isinstance(words, list) and all(isinstance(w, str) for w in words)):
            yield f"{path}.{field}: must be a list of strings, but found {shown(words)}"
    variables = container.get("env") or ()
    for index, variable in enumerate(variables if isinstance(variables, list) else ()):
        name = variable.get("name") if isinstance(variable, Mapping) else None
        if not isinstance(name, str):
            yield f"{path}.env[{index}].name: must be given"
        elif name.startswith(PREFIXES):
            yield f"{path}.env[{index}].name: {IS_OURS}, but found {name}"
