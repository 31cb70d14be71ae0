"""``qmp-exporter kubevirt-hook``: the exporter as a hook sidecar of KubeVirt.

======== ============================================================================
protocol the messages between virt-launcher and a hook, as bytes
domain   the change of the domain's XML, which gives QEMU a monitor for the exporter
place    where the two sockets are, as the sidecar and as QEMU sees them
hook     the gRPC services that virt-launcher calls
run      both in one process: the hook, and the exporter of what it made
======== ============================================================================

What is said here of KubeVirt was read in its sources, module ``kubevirt.io/kubevirt``, versions
1.3.0, 1.5.0, 1.6.0 and 1.7.0. Nothing here knows Kubernetes.
"""
