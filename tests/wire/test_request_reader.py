"""The reading half of a connection, without a socket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arktos.model.status import ApiError
from arktos.wire.http import Peer, Request
from arktos.wire.limits import Limits
from arktos.wire.request_reader import RequestReader, split_target


class Recorder(RequestReader):
    """Notes what the reader finds."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits(body=100, head=2000))
        self.requests: list[Request] = []
        self.errors: list[ApiError] = []
        self.invitations = 0

    def peer(self) -> Peer:
        return None  # type: ignore[return-value]

    def accept(self, request: Request, keep_alive: bool, old: bool, upgrade: bool) -> None:
        assert not self.errors
        self.requests.append(request)

    def refuse(self, error: ApiError) -> None:
        self.errors.append(error)

    def invite(self) -> None:
        self.invitations += 1


tokens = st.sampled_from(
    [
        *(
            b"GET",
            b"POST",
            b"PATCH",
            b"CONNECT",
            b" ",
            b"/",
            b"/a%20b?x",
            b"*",
            b"HTTP/1.1",
            b"HTTP/1.0",
            b"\r\n",
            b"\n",
        ),
        *(b"Host: h\r\n", b"Content-Length: 3\r\n", b"Content-Length: 999\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(
            b"Connection: close\r\n",
            b"Connection: Upgrade\r\nUpgrade: x\r\n",
            b"Expect: 100-continue\r\n",
            b":",
            b"3\r\n",
        ),
        *(b"abc", b"0\r\n\r\n", b"\x00", b"\xff", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"X: " + b"y" * 500 + b"\r\n"),
    ]
)


@given(st.lists(st.one_of(tokens, st.binary(max_size=20)), max_size=40))
def test_whatever_comes_is_a_request_or_one_client_error(pieces: list[bytes]) -> None:
    reader = Recorder()
    for piece in pieces:
        if reader.feed(piece) is not None or reader.errors:
            break
    assert len(reader.errors) <= 1
    assert all(400 <= error.code < 500 for error in reader.errors)
    assert all(len(request.body) <= 100 for request in reader.requests)


@given(st.lists(st.tuples(st.sampled_from(["GET", "PUT"]), st.binary(max_size=50)), min_size=1, max_size=5), st.data())
def test_requests_do_not_depend_on_how_their_bytes_are_cut(
    wanted: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(
        f"{method} /p%2Fq?{n} HTTP/1.1\r\nHost: h\r\nX-Long: {'v' * 30}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
        for n, (method, body) in enumerate(wanted)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader = Recorder()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:end])
    assert not reader.errors
    assert [(r.method, r.body) for r in reader.requests] == wanted
    assert [(r.path, r.query, r.target) for r in reader.requests] == [
        ("/p/q", str(n), f"/p%2Fq?{n}") for n in range(len(wanted))
    ]
    assert all(r.headers["x-long"] == "v" * 30 for r in reader.requests)


def test_a_head_in_very_many_pieces_is_refused() -> None:
    reader = Recorder(Limits())
    reader.feed(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(3000):
        reader.feed(b"x")
        if reader.errors:
            break
    assert [error.code for error in reader.errors] == [431]


def test_targets() -> None:
    assert split_target(b"/") == ("/", "/", "")
    assert split_target(b"/a?b?c") == ("/a?b?c", "/a", "b?c")
    assert split_target(b"https://h/a%C3%A4?b")[1:] == ("/aä", "b")
    assert split_target(b"http://h")[1] == "/"
    for bad in (b"", b"a", b"h:1", b"ftp://h/", b"/%", b"/%g0", b"/%c3", b"/\xff"):
        try:
            split_target(bad)
        except ValueError:
            continue
        raise AssertionError(bad)
