"""uvicorn's HTTP for clients that ask for another protocol: they get HTTP/1.1, as they may.

Java's HTTP client asks for HTTP/2 with each connection's first request (`Upgrade: h2c`). A server
that does not speak it goes on as if nothing had been asked (RFC 9110, 7.8). httptools, though,
takes the body for the other protocol's: the picture would be lost, and what stands in it could be
read as the next request. This file speaks no other protocol.
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PlainHttpProtocol(HttpToolsProtocol):
    """See the module: a request that asks for another protocol is read twice.

    First up to its headers' end, where httptools leaves it; then from its beginning, in which it no
    longer asks. Only the second reading is answered.
    """

    _is_first_reading = False

    def data_received(self, data: bytes) -> None:
        """Read, and answer what is no HTTP."""
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._read(data)
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _read(self, data: bytes) -> bytes:
        """Return what is yet to be read, if a request was read that asks."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as asked:
            if self._is_first_reading:
                (read_bytes,) = asked.args
                head = self._to_plain_head()
                self._begin_anew()
                return head + data[read_bytes:]
        return b""

    def _begin_anew(self) -> None:
        # The first one may think the connection closed, and read no more.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it

    def on_headers_complete(self) -> None:
        """Begin the answer."""
        # A tunnel (CONNECT) is no request with a body; uvicorn refuses it.
        is_tunnel = self.parser.get_method() == b"CONNECT"
        self._is_first_reading = self.parser.should_upgrade() and not is_tunnel
        if not self._is_first_reading:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request's body."""
        if not self._is_first_reading:
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return False

    def _to_plain_head(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % each for each in self.headers if each[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])
