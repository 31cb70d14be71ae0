"""The VNC and SPICE servers of a machine, as far as events tell of them."""

from __future__ import annotations

from typing import Any


class Display:
    """One server and those who are connected to it; none until an event names it.

    Args:
        port: the member that tells clients of one host apart: ``service`` (VNC), ``port`` (SPICE).
    """

    def __init__(self, port: str) -> None:
        self._port = port
        self._server: dict[str, Any] = {}
        self._clients: list[dict[str, Any]] = []

    def equip(self, data: dict[str, Any]) -> None:
        """Learn of the server from any event of it; ``auth`` is not in all of them."""
        self._server = self._server | data.get("server", {})

    def learn(self, server: dict[str, Any], clients: list[dict[str, Any]]) -> None:
        """Take what a reply says for what is so."""
        self._server, self._clients = server, clients

    def follow(self, what: str, client: dict[str, Any]) -> None:
        """Take note of ``CONNECTED``, ``INITIALIZED`` or ``DISCONNECTED``."""
        # QEMU lists a VNC client at once, a SPICE channel when it has been set up.
        listed = "CONNECTED" if self._port == "service" else "INITIALIZED"
        if what == listed:
            self._clients.append(client)
        elif what in {"INITIALIZED", "DISCONNECTED"}:
            self._replace(client, [client] if what == "INITIALIZED" else [])

    def query_vnc(self) -> dict[str, Any]:
        """Return the reply to ``query-vnc``."""
        if not self._server:
            return {"enabled": False}
        server = {name: value for name, value in self._server.items() if name != "websocket"}
        return {"enabled": True, **server, "clients": self._clients}

    def query_vnc_servers(self) -> list[dict[str, Any]]:
        """Return the reply to ``query-vnc-servers``."""
        if not self._server:
            return []
        auth = self._server.get("auth", "none")
        server = [self._server]
        return [{"auth": auth, "clients": self._clients, "server": server, "id": "default"}]

    def query_spice(self) -> dict[str, Any]:
        """Return the reply to ``query-spice``."""
        if not self._server:
            return {"migrated": False, "enabled": False, "mouse-mode": "client"}
        port = self._server["port"]
        return {
            "migrated": False,
            "enabled": True,
            "auth": self._server.get("auth", "none"),
            # A path, on a unix socket; the reply has numbers only.
            **({"port": int(port)} if port.isdecimal() else {}),
            "compiled-version": "0.15.1",
            "host": self._server["host"],
            "channels": self._clients,
            "mouse-mode": "server",
        }

    def _replace(self, client: dict[str, Any], by: list[dict[str, Any]]) -> None:
        """Put others in the place of the first that has this client's address.

        Over a unix socket all have the same: any of them will do.
        """
        address = (client["host"], client[self._port])
        for position, known in enumerate(self._clients):
            if (known["host"], known[self._port]) == address:
                self._clients[position : position + 1] = by
                return
