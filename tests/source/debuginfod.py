#!/usr/bin/python3
"""A debuginfod server on loopback: debuginfod.py FOLDER LOG. It answers /buildid/ID/debuginfo with FOLDER/ID, and writes each request down.

Prints its port.
"""
import http.server
import os
import re
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = re.fullmatch(r"/buildid/([0-9a-f]+)/debuginfo", self.path)
        path = asked and os.path.join(sys.argv[1], asked[1])
        with open(sys.argv[2], "a") as log:
            log.write(self.path + "\n")
        if not path or not os.path.exists(path):
            self.send_error(404)
            return
        with open(path, "rb") as file:
            data = file.read()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-DEBUGINFOD-SIZE", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
