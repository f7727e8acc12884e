"""HTTP to a port of a host over any byte channel: a socket, or one tunnelled through SSH."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from orchestrator.errors import HttpTimeout, NoAnswer, OrchError
from orchestrator.script import Request

CHUNK = 65_536


class Wire(Protocol):
    """What a socket and a paramiko channel have in common."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def settimeout(self, timeout: float | None, /) -> None: ...
    def close(self) -> None: ...


class HttpStream(Iterator[bytes]):
    """The body of an answer in the pieces in which it comes, and its status. Close it when done."""

    def __init__(self, host: str, request: Request, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {key.lower(): value for key, value in response.getheaders()}
        self._host = host
        self._request = request
        self._response = response

    def __next__(self) -> bytes:
        try:
            piece = self._response.read1(CHUNK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise _reason(error, self._host, self._request) from error
        if piece:
            return piece
        left = self._response.length
        self.close()
        if left:
            raise NoAnswer(
                f"port {self._request.port} ended its answer {left} bytes too early",
                host=self._host,
            )
        raise StopIteration

    def lines(self) -> Iterator[str]:
        """The body line by line, as server-sent events come."""
        rest = b""
        for piece in self:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.rstrip(b"\r").decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")

    def read(self, limit: int = 16 * 1024 * 1024) -> bytes:
        """The whole body, up to `limit` bytes."""
        body = bytearray()
        with self:
            for piece in self:
                body += piece
                if len(body) > limit:
                    raise NoAnswer(
                        f"port {self._request.port} answered with more than {limit} bytes",
                        host=self._host,
                    )
        return bytes(body)

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


def ask(host: str, request: Request, dial: Callable[[], Wire]) -> HttpStream:
    """Send a request over a new wire and read the answer's head."""
    try:
        wire = dial()
    except OrchError:
        raise
    except OSError as error:
        raise _reason(error, host, request) from error
    try:
        wire.settimeout(request.timeout)
        connection = _Connection(wire, request)
        method = "POST" if request.body else "GET"
        connection.request(
            method, request.path, body=request.body or None, headers=_headers(request)
        )
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        wire.close()
        raise _reason(error, host, request) from error
    except BaseException:
        wire.close()
        raise
    return HttpStream(host, request, response)


def _headers(request: Request) -> dict[str, str]:
    headers = {"Connection": "close", "Accept": "*/*", "User-Agent": "orch"}
    if request.body:
        headers["Content-Type"] = "application/json"
    return headers | dict(request.headers)


def _reason(error: Exception, host: str, request: Request) -> NoAnswer:
    where = f"{request.address} port {request.port}"
    if isinstance(error, TimeoutError):
        return HttpTimeout(f"{where} said nothing in {request.timeout:g} s", host=host)
    if isinstance(error, ConnectionRefusedError):
        return NoAnswer(f"nothing listens on {where}", host=host)
    if isinstance(error, http.client.IncompleteRead):
        return NoAnswer(f"{where} ended the connection in the middle of its answer", host=host)
    what = str(error) or type(error).__name__
    return NoAnswer(f"{where} gave no HTTP answer ({what})", host=host)


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over a wire that is already there."""

    def __init__(self, wire: Wire, request: Request) -> None:
        super().__init__(request.address, request.port)
        self.sock = _Socket(wire)

    def connect(self) -> None:
        raise ConnectionError("the connection ended before the request was sent")


class _Socket:
    """The part of a socket that http.client uses."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def sendall(self, data: bytes) -> None:
        self._wire.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Bytes(self._wire), CHUNK)

    def close(self) -> None:
        """The answer's file closes the wire: http.client lets go of the socket before that."""


class _Bytes(io.RawIOBase):
    """A wire as a raw file."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._wire.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._wire.close()
        super().close()
