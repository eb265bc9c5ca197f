"""What a kubelet makes of a container's fields: its environment and its command line."""

import re
from collections.abc import Callable, Mapping
from typing import Any

Lookup = Callable[[str, str], Mapping[str, str] | None]  # ("secrets" | "configmaps", name) -> data

REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


class ConfigError(Exception):
    """The container cannot be made: a kubelet waits with CreateContainerConfigError."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' `$(NAME)`: an unknown name stays as it is, `$$` is one `$`."""
    return REFERENCE.sub(lambda found: "$" if found[1] is None else variables.get(found[1], found[0]), text)


def environment(
    container: Mapping[str, Any], pod: Mapping[str, Any], lookup: Lookup, base: Mapping[str, str]
) -> dict[str, str]:
    """envFrom, then env in its order; an earlier variable may stand in a later one's value."""
    result = dict(base)
    for source in container.get("envFrom", ()):
        prefix = source.get("prefix", "")
        for field, kind in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            if field in source:
                data = _data(lookup, kind, source[field])
                result |= {prefix + name: value for name, value in data.items()}
    for entry in container.get("env", ()):
        if "valueFrom" not in entry:
            result[entry["name"]] = expand(entry.get("value", ""), result)
        elif (value := _from(entry["valueFrom"], container, pod, lookup)) is not None:
            result[entry["name"]] = value
    return result


def command_line(
    container: Mapping[str, Any], entrypoint: list[str], variables: Mapping[str, str]
) -> list[str]:
    """command and args; an image's entrypoint counts only when there is no command."""
    command = container.get("command") or entrypoint
    return [expand(word, variables) for word in (*command, *container.get("args", ()))]


def translator(pod: Mapping[str, Any], service: bool, message_file: str, path: str) -> Callable[[str], str]:
    """Says what would be true inside a pod for a process of this machine.

    A peer's name below the pod's headless Service means this machine, and the termination message
    goes to a file that can be written.
    """
    metadata, subdomain = pod["metadata"], pod["spec"].get("subdomain")
    if not (service and subdomain):
        return lambda text: text.replace(path, message_file)
    domain = rf"(?:\.{re.escape(metadata['namespace'])}(?:\.svc(?:\.cluster\.local\.?)?)?)?"
    host = re.compile(rf"(?<![-.\w])[a-z0-9][-a-z0-9]*\.{re.escape(subdomain)}{domain}(?![-\w]|\.\w)")
    return lambda text: host.sub("127.0.0.1", text.replace(path, message_file))


def _from(
    source: Mapping[str, Any], container: Mapping[str, Any], pod: Mapping[str, Any], lookup: Lookup
) -> str | None:
    match source:
        case {"fieldRef": {"fieldPath": path}}:
            return _field(pod, path)
        case {"resourceFieldRef": {"resource": resource}}:
            part, _, name = resource.partition(".")
            return str(container.get("resources", {}).get(part, {}).get(name, ""))
        case {"secretKeyRef": reference}:
            return _key(lookup, "secrets", reference)
        case {"configMapKeyRef": reference}:
            return _key(lookup, "configmaps", reference)
    raise ConfigError(f"cannot read a variable from {source}")


def _field(pod: Mapping[str, Any], path: str) -> str:
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(pod["metadata"].get(found[1], {}).get(found[2], ""))
    value: Any = pod
    for name in path.split("."):
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    if not isinstance(value, str):
        raise ConfigError(f"the pod has no field {path}")
    return value


def _key(lookup: Lookup, kind: str, reference: Mapping[str, Any]) -> str | None:
    data = _data(lookup, kind, reference)
    if reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")


def _data(lookup: Lookup, kind: str, reference: Mapping[str, Any]) -> Mapping[str, str]:
    data = lookup(kind, reference["name"])
    if data is None and not reference.get("optional"):
        raise ConfigError(f'{kind} "{reference["name"]}" not found')
    return data or {}
