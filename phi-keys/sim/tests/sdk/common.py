"""What the three scripts share: facts, the control API, and one way to run.

    python vault.py FACTS check              every rule, through the vendor's SDK
    python vault.py FACTS wrap REQUEST       wraps with the SDK and prints the blob, as JSON
    python vault.py FACTS unwrap REQUEST     unwraps such a blob, whoever made it, and prints the plaintext

FACTS is the line of JSON that the simulator printed; REQUEST is JSON whose byte strings are standard base64.
"""

import base64
import json
import ssl
import sys
import urllib.request


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


class Sim:
    """A running simulator: its facts and its control API."""

    def __init__(self, facts: dict):
        self.facts = facts
        ca_file = facts.get("ca_file")
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def __getattr__(self, name):
        return self.facts[name]

    def _control(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sim/{path}", data=data, method=method)
        with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def fault(self, kind: str, **fields):
        self._control("POST", "faults", {"kind": kind, **fields})

    def faults(self):
        return self._control("GET", "faults")

    def calls(self) -> dict:
        return self._control("GET", "calls")

    def reset_calls(self):
        self._control("DELETE", "calls")

    def advance(self, seconds: int):
        self._control("POST", "clock", {"advance_ms": seconds * 1000})

    def version(self, key: str, version: str, change: str):
        self._control("POST", "version", {"key": key, "version": version, "change": change})

    def switch(self, name: str, on: bool):
        self._control("POST", "switch", {"name": name, "on": on})


def raises(kind, act, *needles):
    """Runs `act`, which must raise `kind` with every needle in its text; gives the exception."""
    try:
        got = act()
    except kind as error:
        text = str(error) + repr(getattr(error, "details", ""))
        for needle in needles:
            assert needle in text, f"{needle!r} is not in {text!r}"
        return error
    raise AssertionError(f"{kind.__name__} expected, got {got!r}")


def main(check, wrap, unwrap):
    sim = Sim(json.loads(sys.argv[1]))
    command = sys.argv[2]
    if command == "check":
        check(sim)
        assert sim.faults() == [], f"unused faults: {sim.faults()}"
        print("ok")
    elif command == "wrap":
        print(json.dumps(wrap(sim, json.loads(sys.argv[3]))))
    elif command == "unwrap":
        print(json.dumps(unwrap(sim, json.loads(sys.argv[3]))))
    else:
        raise SystemExit(__doc__)
