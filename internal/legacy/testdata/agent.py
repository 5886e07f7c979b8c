"""Writes datagrams as a myason agent sends them: json, base64, Fernet. Written from the description of the format.

usage: agent.py KEY [ADDRESS PORT] < flows

Each line of standard input is a JSON object of flows. Its datagram goes to the address, or to standard output, a line each.
"""
import base64
import json
import socket
import sys

from cryptography.fernet import Fernet


def main():
    fernet = Fernet(sys.argv[1].encode())
    sock = None
    if len(sys.argv) > 2:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.sendto(b"Test", (sys.argv[2], int(sys.argv[3])))
    for line in sys.stdin:
        entry = json.loads(line)
        token = fernet.encrypt(base64.b64encode(json.dumps(entry).encode()))
        if sock:
            sock.sendto(token, (sys.argv[2], int(sys.argv[3])))
        else:
            print(token.decode())


main()
