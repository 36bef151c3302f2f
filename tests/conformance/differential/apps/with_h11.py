"""h11 as an origin: a thread for each connection around its state machine.

It adds nothing to what h11 decides: an error of the peer gets the status that h11 hints at.
"""

from __future__ import annotations

import socket
import sys
import threading

import h11

from tests.conformance.differential.apps.report import report

_AT_ONCE = 65536


class Peer:
    """One accepted connection and h11's view of it."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._http = h11.Connection(h11.SERVER)

    def serve(self) -> None:
        with self._socket:
            try:
                while self._exchange():
                    self._http.start_next_cycle()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint)
            except OSError:
                pass  # the peer left

    def _exchange(self) -> bool:
        """One request and its answer; whether another may follow."""
        request = self._event()
        if not isinstance(request, h11.Request):
            return False
        body = self._body()
        host = next((value for name, value in request.headers if name == b"host"), b"")
        report(request.method.decode(), request.target, host, body)
        self._answer(200, request.target, request.method)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def _body(self) -> bytes:
        parts: list[bytes] = []
        while not isinstance(event := self._event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data)
            parts.append(bytes(event.data))
        return b"".join(parts)

    def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(self._socket.recv(_AT_ONCE))
        return event

    def _answer(self, status: int, body: bytes, method: bytes = b"") -> None:
        fields = [("Content-Length", str(len(body)))]
        head = h11.Response(status_code=status, headers=fields)
        content = h11.Data(data=b"" if method == b"HEAD" else body)
        self._send(head, content, h11.EndOfMessage())

    def _refuse(self, status: int) -> None:
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self._answer(status, b"")

    def _send(self, *events: h11.Event) -> None:
        """One write for all of them: two small ones would wait for each other's acknowledgement."""
        self._socket.sendall(b"".join(self._http.send(event) or b"" for event in events))


def serve(port: int) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        while True:
            accepted, _ = listener.accept()
            threading.Thread(target=Peer(accepted).serve, daemon=True).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
