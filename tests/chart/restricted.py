"""The profile "restricted" of Kubernetes' Pod Security Standards, as checks of a pod's spec.

Source: kubernetes.io/docs/concepts/security/pod-security-standards, of Linux pods; what it has of
the profile "baseline", too, as restricted includes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Iterator


VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SECCOMP: Final = ("RuntimeDefault", "Localhost")
NOTHING: Final[dict[str, Any]] = {
    "privileged": False,
    "allowPrivilegeEscalation": True,
    "capabilities": {},
    "runAsUser": None,
    "procMount": "Default",
    "seLinuxOptions": None,
    "appArmorProfile": None,
}
"""What a container's security context has where it says nothing."""


def breaches(spec: dict[str, Any]) -> Iterator[str]:
    """Yield what of a pod's spec is not restricted."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    for volume in spec.get("volumes", ()):
        yield from (f"volume {kind}" for kind in volume.keys() - {"name"} - VOLUMES)
    pod = spec.get("securityContext", {})
    if pod.get("runAsUser") == 0:
        yield "runAsUser"
    for key in ("sysctls", "windowsOptions", "seLinuxOptions", "appArmorProfile"):
        if pod.get(key):
            yield key
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(group, ()):
            found = _of_container(container, pod)
            yield from (f"{container['name']}: {breach}" for breach in found)


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = {**NOTHING, **container.get("securityContext", {})}
    capabilities = own["capabilities"]
    seccomp = own.get("seccompProfile", pod.get("seccompProfile", {}))
    ports = container.get("ports", ())
    hooks = [hook for key, hook in container.items() if key.endswith("Probe")]
    hooks += container.get("lifecycle", {}).values()
    asked = [hook.get("httpGet", hook.get("tcpSocket", {})) for hook in hooks]
    found = {
        "privileged": own["privileged"],
        "allowPrivilegeEscalation": own["allowPrivilegeEscalation"] is not False,
        "capabilities.drop": "ALL" not in capabilities.get("drop", ()),
        "capabilities.add": set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"},
        "runAsNonRoot": own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True,
        "runAsUser": own["runAsUser"] == 0,
        "seccompProfile": seccomp.get("type") not in SECCOMP,
        "procMount": own["procMount"] != "Default",
        "seLinuxOptions": own["seLinuxOptions"],
        "appArmorProfile": own["appArmorProfile"],
        "hostPort": any(port.get("hostPort") for port in ports),
        "host of a probe": any(one.get("host") for one in asked),
    }
    yield from (breach for breach, is_there in found.items() if is_there)
