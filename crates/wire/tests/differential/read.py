"""Reads bodies, one line of hexadecimal digits each, and tells the fields that are named as arguments."""

import json
import sys


def shown(value):
    if isinstance(value, bool):
        return f"flag {str(value).lower()}"
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"text {value}"
    if isinstance(value, int) and value > 2**53:
        return "number beyond"
    if isinstance(value, (int, float)):
        return f"number {value}"
    return "nested"


def once(pairs):
    members = dict(pairs)
    if len(members) < len(pairs):
        # Some readers take the first, some the last, some both: none of them may be asked.
        raise ValueError("a key is repeated")
    return members


def read(body, fields):
    try:
        members = json.loads(body, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    values = {field: shown(members[field]) if field in members else "absent" for field in fields}
    return {"values": values, "keys": sorted(members)}


bodies = sys.stdin.read().split()
print("\n".join(json.dumps(read(bytes.fromhex(body), sys.argv[1:])) for body in bodies))
