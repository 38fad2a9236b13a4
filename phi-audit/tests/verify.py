#!/usr/bin/env python3
"""Verifies phi-audit logs and test vectors. Written from SPEC.md, with the standard library alone.

    verify.py vectors FILE.json
    verify.py ecdsa FILE.json
    verify.py log DATABASE VERIFIER-KEY
"""

import base64
import hashlib
import hmac
import json
import re
import sqlite3
import struct
import sys


def fail(why):
    sys.exit(f"WRONG: {why}")


def check(fits, why):
    if not fits:
        fail(why)


# RFC 8032 Ed25519 verification.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


G_Y = 4 * pow(5, P - 2, P) % P
G_X = recover_x(G_Y, 0)
G = (G_X, G_Y, 1, G_X * G_Y % P)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, d - c, d + c, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def ed25519_verify(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = multiply(s, G), add(r, multiply(h, a))
    return not (left[0] * right[2] - right[0] * left[2]) % P and not (left[1] * right[2] - right[1] * left[2]) % P


# FIPS 186-5 ECDSA verification on the curve P-256 of SP 800-186, with SHA-256. Points are (x, y), infinity is None.
P256_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
P256_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def p256_add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P256_P == 0:
            return None
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, P256_P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P256_P)
    x = (slope * slope - a[0] - b[0]) % P256_P
    return x, (slope * (a[0] - x) - a[1]) % P256_P


def p256_multiply(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = p256_add(result, point)
        point = p256_add(point, point)
        scalar >>= 1
    return result


def p256_point(data):
    """An uncompressed point of SEC 1 that lies on the curve, else None."""
    if len(data) != 65 or data[0] != 4:
        return None
    x, y = int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big")
    on_the_curve = x < P256_P and y < P256_P and (y * y - x**3 + 3 * x - P256_B) % P256_P == 0
    return (x, y) if on_the_curve else None


def p256_verify(point, message, r, s):
    if not (0 < r < P256_N and 0 < s < P256_N):
        return False
    e, w = int.from_bytes(hashlib.sha256(message).digest(), "big"), pow(s, -1, P256_N)
    sum = p256_add(p256_multiply(e * w % P256_N, P256_G), p256_multiply(r * w % P256_N, point))
    return sum is not None and sum[0] % P256_N == r


# RFC 5480 section 2: id-ecPublicKey, secp256r1, and a bit string that is the point.
P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def der(tag, value):
    check(len(value) < 128, "a longer value than of two integers")
    return bytes([tag, len(value)]) + value


def der_integer(number):
    """Positive: a bit more than the number has is its sign."""
    return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def ecdsa_numbers(signature):
    """r and s of an ECDSA-Sig-Value (RFC 3279 section 2.2.3) in DER, else None."""
    if len(signature) < 8 or signature[0] != 0x30 or signature[2] != 2:
        return None
    at = 4 + signature[3]
    r = int.from_bytes(signature[4:at], "big", signed=True)
    s = int.from_bytes(signature[at + 2 :], "big", signed=True)
    # Whatever was read, there is one way to write it.
    fits = r > 0 and s > 0 and max(r, s) < 2**256 and der(0x30, der_integer(r) + der_integer(s)) == signature
    return (r, s) if fits else None


def ecdsa_verify(public, message, signature):
    numbers = ecdsa_numbers(signature)
    return numbers is not None and p256_verify(p256_point(public), message, *numbers)


# RFC 6962 section 2.1.
def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(leaves):
    """Level by level; an odd last node moves up as it is, which is the same tree as the recursive definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    while len(leaves) > 1:
        pairs = [node_hash(leaves[i], leaves[i + 1]) for i in range(0, len(leaves) - 1, 2)]
        leaves = pairs + leaves[len(leaves) - len(leaves) % 2 :]
    return leaves[0]


def included(index, size, leaf, proof, root):
    """RFC 9162 section 2.1.3.2."""
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistent(old, old_root, new, new_root, proof):
    """RFC 9162 section 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof
    if old & (old - 1) == 0:
        proof = [old_root] + proof
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == old_root and sr == new_root and sn == 0


# C2SP signed-note and tlog-checkpoint.
def parse_key(text):
    """Name, key ID, public key and the function that verifies its signatures, or None when it is no key."""
    try:
        name, key_id, blob = text.split("+", 2)
        key = base64.b64decode(blob, validate=True)
    except ValueError:
        return None
    if key[:1] == b"\1" and len(key) == 33:
        public, verify, digest = key[1:], ed25519_verify, hashlib.sha256(name.encode() + b"\n" + key)
    elif key[:1] == b"\2" and key[1:27] == P256_SPKI and p256_point(key[27:]):
        public, verify, digest = key[27:], ecdsa_verify, hashlib.sha256(key[1:])
    else:
        return None
    # Base64 has spellings that no encoder writes.
    if digest.hexdigest()[:8] != key_id or base64.b64encode(key).decode() != blob:
        return None
    return name, bytes.fromhex(key_id), public, verify


def parse_checkpoint(note, key):
    """Size and root, or None when the note is not signed by the key."""
    name, key_id, public, verify = key
    try:
        at = note.rindex("\n\n") + 1
        text, lines = note[:at], note[at + 1 :].splitlines()
        signed = False
        for line in lines:
            dash, signer, blob = line.split(" ")
            blob = base64.b64decode(blob, validate=True)
            if dash == "\u2014" and signer == name and blob[:4] == key_id:
                if not verify(public, text.encode(), blob[4:]):
                    return None
                signed = True
        origin, size, root = text.split("\n")[:3]
        if not signed or origin != name or str(int(size)) != size:
            return None
        return int(size), base64.b64decode(root, validate=True)
    except ValueError:
        return None


class Invalid(Exception):
    pass


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if self.at + length > len(self.data):
            raise Invalid("truncated")
        self.at += length
        return self.data[self.at - length : self.at]

    def byte(self):
        return self.take(1)[0]

    def value(self):
        return self.take(struct.unpack(">I", self.take(4))[0])

    def end(self):
        if self.at != len(self.data):
            raise Invalid("trailing bytes")


def need(fits, why):
    if not fits:
        raise Invalid(why)


def text(value):
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid("not UTF-8") from error


def is_name(value):
    return re.fullmatch(rb"[\x21-\x7e]{1,128}", value) is not None


def time(value):
    need(len(value) == 8, "length of a time")
    micros = struct.unpack(">q", value)[0]
    need(-62167219200000000 <= micros < 253402300800000000, "range of a time")
    return micros


PURPOSES = "TREAT ETREAT BTG HPAYMT HOPERAT HSYSADMIN PATRQT FAMRQT PUBHLTH HRESCH HLEGAL HMARKT".split()
ACTORS = {1: "human", 2: "service", 3: "patient-proxy"}


def decode(entry):
    need(len(entry) <= 65535, "too long")
    reader = Reader(entry)
    need(reader.byte() == 1, "version")
    event = {"writer": reader.take(16), "sequence": struct.unpack(">Q", reader.take(8))[0], "epoch": reader.take(16)}
    fields, last = {}, 0
    for _ in range(reader.byte()):
        tag = reader.byte()
        need(last < tag <= 10, "order of the fields")
        last, fields[tag] = tag, reader.value()
    reader.end()
    need(all(tag in fields for tag in (1, 2, 3, 4)), "a required field")
    event["at"] = time(fields[1])
    need(is_name(fields[2]), "kind")
    event["kind"] = fields[2].decode()
    need(len(fields[3]) == 1 and fields[3] in b"CRUDE", "action")
    event["action"] = fields[3].decode()
    need(len(fields[4]) == 1 and fields[4][0] in (0, 4, 8, 12), "outcome")
    event["outcome"] = fields[4][0]
    event["actor"] = event["subject"] = event["session"] = event["resource"] = event["purpose"] = None
    if 5 in fields:
        need(len(fields[5]) > 1 and fields[5][0] in ACTORS, "actor")
        kind, identity = ACTORS[fields[5][0]], fields[5][1:]
        need(kind != "patient-proxy" or len(identity) == 32, "actor")
        event["actor"] = f"{kind}:{identity.hex() if kind == 'patient-proxy' else text(identity)}"
    if 6 in fields:
        need(len(fields[6]) == 32, "subject")
        event["subject"] = fields[6]
    if 7 in fields:
        event["purpose"] = text(fields[7])
        need(event["purpose"] in PURPOSES, "purpose")
    if 8 in fields:
        need(len(fields[8]) > 32 and is_name(fields[8][32:]), "resource")
        event["resource"] = (fields[8][32:].decode(), fields[8][:32])
    if 9 in fields:
        event["session"] = text(fields[9])
    event["details"] = []
    if 10 in fields:
        reader = Reader(fields[10])
        count = reader.byte()
        need(count > 0, "no details")
        for _ in range(count):
            name = reader.take(reader.byte())
            need(is_name(name), "name of a detail")
            kind, value = reader.byte(), reader.value()
            need(kind in (1, 2, 3, 4, 5), "type of a detail")
            need(kind != 2 or len(value) == 8, "count")
            need(kind != 3 or value in (b"\0", b"\1"), "flag")
            event["details"].append((name.decode(), text(value) if kind == 1 else time(value) if kind == 4 else value))
        reader.end()
    return event


def pseudonym(key, *parts):
    message = b"".join(struct.pack(">Q", len(part)) + part for part in (part.encode() for part in parts))
    return hmac.new(key, message, hashlib.sha256).digest()


def vectors(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    entries = data["entries"]
    key, writer_key = bytes.fromhex(entries["pseudonym_key"]), bytes.fromhex(entries["writer_key"])
    writer = bytes.fromhex(entries["writer"])
    for case in entries["cases"]:
        name, entry = case["name"], bytes.fromhex(case["entry"])
        event = decode(entry)
        for field in ("kind", "action", "outcome", "purpose", "session", "sequence"):
            check(event[field] == case[field], f"{name}: {field}")
        check(event["at"] == case["at_micros"], f"{name}: at")
        check(event["writer"] == writer and event["epoch"].hex() == entries["epoch"], f"{name}: writer or epoch")
        check(len(event["details"]) == case["details"], f"{name}: details")
        subject = case["subject"] and pseudonym(key, "subject", case["subject"])
        check(event["subject"] == subject, f"{name}: subject")
        if case["resource"]:
            check(event["resource"] == (case["resource"][0], pseudonym(key, "resource", *case["resource"])), f"{name}: resource")
        if case["actor"]:
            kind, identity = case["actor"]
            if kind == "patient-proxy":
                identity = pseudonym(key, "actor", kind, identity).hex()
            check(event["actor"] == f"{kind}:{identity}", f"{name}: actor")
        check(leaf_hash(entry).hex() == case["leaf"], f"{name}: leaf")
        message = b"phi-audit/pending/v1" + writer + struct.pack(">Q", case["sequence"]) + entry
        check(hmac.new(writer_key, message, hashlib.sha256).hexdigest() == case["mac"], f"{name}: mac")
    for case in data["invalid_entries"]:
        try:
            decode(bytes.fromhex(case["entry"]))
        except Invalid:
            continue
        fail(f"{case['name']}: accepted")
    leaves = [leaf_hash(struct.pack(">I", number)) for number in range(300)]
    unhex = lambda hashes: [bytes.fromhex(one) for one in hashes]
    for case in data["tree"]["roots"]:
        check(root_of(leaves[: case["size"]]).hex() == case["root"], f"root of {case['size']}")
    for case in data["tree"]["inclusion"]:
        index, size = case["index"], case["size"]
        check(included(index, size, leaves[index], unhex(case["proof"]), root_of(leaves[:size])), f"inclusion {index}/{size}")
    for case in data["tree"]["consistency"]:
        old, new = case["old"], case["new"]
        roots = root_of(leaves[:old]), root_of(leaves[:new])
        check(consistent(old, roots[0], new, roots[1], unhex(case["proof"])), f"consistency {old}/{new}")
    checkpoint = data["checkpoint"]
    key = parse_key(checkpoint["verifier_key"])
    check(key is not None, "verifier key")
    check(parse_checkpoint(checkpoint["note"], key) == (7, root_of(leaves[:7])), "checkpoint")
    check(parse_checkpoint(checkpoint["note"].replace("7", "8", 1), key) is None, "a changed checkpoint is accepted")
    head, note = checkpoint["proof"].split("\n\n", 1)
    header, index, *hashes = head.split("\n")
    check(header == "c2sp.org/tlog-proof@v1" and index == "index 4", "header of the proof")
    size, root = parse_checkpoint(note, key)
    check(included(4, size, leaves[4], [base64.b64decode(one) for one in hashes], root), "proof")
    print(f"{len(entries['cases'])} entries, {len(data['invalid_entries'])} invalid entries, tree and checkpoint agree")


def ecdsa(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    public = bytes.fromhex(data["public_key"])
    private = int(data["private_key"], 16)
    check(p256_point(public) == p256_multiply(private, P256_G), "the public key is not that of the private key")
    check(p256_multiply(P256_N, P256_G) is None, "order of the curve")
    for case in data["known_answers"]:
        message, r, s = case["message"].encode(), int(case["r"], 16), int(case["s"], 16)
        check(p256_verify(p256_point(public), message, r, s), f"known answer of {case['message']}")
        for wrong in ((message + b".", r, s), (message, r ^ 1, s), (message, r, s ^ 1), (message, s, r)):
            check(not p256_verify(p256_point(public), *wrong), f"a changed known answer of {case['message']}")
    key = parse_key(data["verifier_key"])
    check(key is not None and key[2] == public, "verifier key")
    leaves = [leaf_hash(struct.pack(">I", number)) for number in range(max(case["size"] for case in data["checkpoints"]))]
    for case in data["checkpoints"]:
        name, note, size = case["name"], case["note"], case["size"]
        check(parse_checkpoint(note, key) == (size, root_of(leaves[:size])), name)
        signature = base64.b64decode(note.split(" ")[-1])[4:]
        numbers = b"".join(number.to_bytes(32, "big") for number in ecdsa_numbers(signature))
        check(numbers.hex() == case["signature"], f"{name}: numbers")
    for case in data["invalid_checkpoints"]:
        check(parse_checkpoint(case["note"], key) is None, f"{case['name']}: accepted")
    for case in data["invalid_keys"]:
        check(parse_key(case["verifier_key"]) is None, f"{case['name']}: accepted")
    counts = (len(data[name]) for name in ("checkpoints", "invalid_checkpoints", "invalid_keys"))
    print("{} checkpoints, {} invalid checkpoints and {} invalid keys agree".format(*counts))


def log(path, key):
    key = parse_key(key)
    check(key is not None, "verifier key")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    check(database.execute("SELECT version FROM phi_audit_schema").fetchall() == [(1,)], "version of the tables")
    leaves, writers = [], {}
    columns = "idx, entry, writer, sequence, at, kind, actor, subject, session"
    for row in database.execute(f"SELECT {columns} FROM phi_audit_entry ORDER BY idx"):
        index, entry = row[0], row[1]
        check(index == len(leaves), f"entry {len(leaves)} is missing")
        event = decode(entry)
        derived = tuple(event[name] for name in ("writer", "sequence", "at", "kind", "actor", "subject", "session"))
        check(derived == row[2:], f"entry {index}: a derived column differs")
        check(event["sequence"] == writers.get(event["writer"], 0), f"entry {index}: number of its writer")
        details = dict(reversed(event["details"])) if event["kind"] == "audit.writer.start" else {}
        if "previous" in details and "acknowledged" in details:
            acknowledged = struct.unpack(">Q", details["acknowledged"])[0]
            check(writers.get(details["previous"], 0) >= acknowledged, f"entry {index}: end of the writer before")
        writers[event["writer"]] = event["sequence"] + 1
        leaves.append(leaf_hash(entry))
    size, root = database.execute("SELECT size, root FROM phi_audit_head").fetchone()
    check(size == len(leaves), f"{size} entries expected")
    check(root == root_of(leaves), "root of the head")
    signed = 0
    for count, note in database.execute("SELECT size, note FROM phi_audit_checkpoint ORDER BY size"):
        checkpoint = parse_checkpoint(note, key)
        check(checkpoint is not None and checkpoint[0] == count, f"signature of the checkpoint of {count}")
        check(count <= size, f"{count} entries were signed")
        check(checkpoint[1] == root_of(leaves[:count]), f"an entry before {count} is not as signed")
        signed = count
    check(size == 0 or signed > 0, "nothing is signed")
    row, level = leaves, 0
    while row:
        for start in range(0, len(row), 256):
            tile = database.execute("SELECT hashes FROM phi_audit_tile WHERE level = ? AND idx = ?", (level, start // 256))
            check(tile.fetchone() == (b"".join(row[start : start + 256]),), f"tile {start // 256} of level {level}")
        row = [root_of(row[start : start + 256]) for start in range(0, len(row) - len(row) % 256, 256)]
        level += 1
    print(f"{size} entries, {signed} of them signed, consistent; freshness not proven")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "vectors":
        vectors(sys.argv[2])
    elif len(sys.argv) == 3 and sys.argv[1] == "ecdsa":
        ecdsa(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "log":
        try:
            log(sys.argv[2], sys.argv[3])
        except Invalid as error:
            fail(error)
    else:
        sys.exit(__doc__)
