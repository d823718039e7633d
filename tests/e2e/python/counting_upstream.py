"""A model server on Python's own HTTP parser that writes down every request it believes to have received, one JSON line each.

It goes by Content-Length and knows nothing of chunks, as many small servers do. Prints its port first.
"""

import http.server
import json
import threading

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
LOCK = threading.Lock()


def tell(value):
    with LOCK:
        print(json.dumps(value), flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("latin-1")
        tell({"target": self.path, "head": str(self.headers), "body": body})
        answer = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_TRACE = do_POST

    def send_error(self, code, message=None, explain=None):
        tell({"target": "?", "head": "", "body": f"{code} {self.raw_requestline!r}"})
        self.close_connection = True

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A length that is no number, a connection that went away: no request."""


server = Server(("127.0.0.1", 0), Handler)
tell(server.server_address[1])
server.serve_forever()
