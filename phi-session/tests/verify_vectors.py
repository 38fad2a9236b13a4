#!/usr/bin/env python3
"""Recomputes tests/vectors/v1.json from SPEC.md with the standard library alone; `--write` makes it from its inputs."""

import base64
import hashlib
import hmac
import json
import pathlib
import sys


def derive(key: bytes, label: bytes) -> bytes:
    info = bytes([len(label)]) + label
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def tlv(prefix: bytes, entries: list) -> bytes:
    present = [(tag, value) for tag, value in entries if value is not None]
    out = prefix + bytes([len(present)])
    for tag, value in present:
        out += bytes([tag]) + len(value).to_bytes(4, "big") + value
    return out


def i64(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


def text(value):
    return None if value is None else value.encode()


def computed(case: dict) -> dict:
    key = bytes.fromhex(case["token_key"])
    token = base64.urlsafe_b64decode(case["token"] + "=")
    assert len(token) == 32 and base64.urlsafe_b64encode(token).decode() == case["token"] + "="
    row, stamp = case["row"], case["stamp"]
    token_hash = mac(derive(key, b"phi/v1/session/token"), case["token"].encode())
    version = row["version"].to_bytes(8, "big")
    auth = b"".join(bytes([e["level"], e["method"]]) + i64(e["at"]) for e in row["auth"])
    row_message = tlv(b"phi/session-row/v1", [
        (1, token_hash), (2, bytes.fromhex(row["public_id"])), (3, text(row["user_kind"])), (4, text(row["user_id"])),
        (5, text(row["tenant"])), (6, text(row["role"])), (7, i64(row["created"])), (8, i64(row["absolute_deadline"])),
        (9, auth), (10, text(row["grant"])), (11, version),
    ])
    stamp_message = tlv(b"phi/session-stamp/v1", [
        (1, token_hash), (2, version), (3, i64(stamp["last_activity"])), (4, i64(stamp["idle_deadline"])),
    ])
    return {
        "token_hash": token_hash.hex(),
        "row_message": row_message.hex(),
        "row_mac": mac(derive(key, b"phi/v1/session/row"), row_message).hex(),
        "stamp_message": stamp_message.hex(),
        "stamp_mac": mac(derive(key, b"phi/v1/session/stamp"), stamp_message).hex(),
    }


def main() -> int:
    path = pathlib.Path(__file__).parent / "vectors" / "v1.json"
    vectors = json.loads(path.read_text())
    failed = 0
    for case in vectors["cases"]:
        expected = computed(case)
        if "--write" in sys.argv:
            case["expected"] = expected
        elif case["expected"] != expected:
            failed += 1
            print(f"wrong: {case['name']}")
    if "--write" in sys.argv:
        path.write_text(json.dumps(vectors, indent=2, ensure_ascii=False) + "\n")
    print(f"{len(vectors['cases'])} cases, {failed} wrong")
    return 1 if failed or not vectors["cases"] else 0


if __name__ == "__main__":
    sys.exit(main())
