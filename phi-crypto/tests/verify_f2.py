"""An independent implementation of SPEC.md section 8, in plain Python without packages.

    verify_f2.py vectors           prints tests/vectors/f2.json
    verify_f2.py open FILE         opens every file that FILE lists, as vectors are written
    verify_f2.py seal LENGTH ...   prints a freshly sealed file of each length

It is written to be read beside the specification. It is slow, and not constant-time: never use it on patients' data.
"""

import hashlib
import hmac
import json
import os
import sys

from verify import CONTEXTS, Refused, _gcm, aad, expand, kid, self_test

CHUNK, TAG, HEAD = 16384, 16, 80
INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


class NotSealed(Exception):
    pass


class Unsupported(Exception):
    pass


class Truncated(Exception):
    pass


def hkdf_expand_sha512(prk, info, length):
    out = block = b""
    for number in range(1, -(-length // 64) + 1):
        block = hmac.new(prk, block + info + bytes([number]), hashlib.sha512).digest()
        out += block
    return out[:length]


def derive(data_key, salt, header, context):
    input_key = expand(data_key, "phi/v1/file", header[5:6])
    okm = hkdf_expand_sha512(input_key, INFO + salt + header + aad(context), 32 + 12 + 32)
    return okm[:32], okm[32:44], okm[44:]


def nonce(base, number):
    return bytes(a ^ b for a, b in zip(base, number.to_bytes(12, "big")))


def seal_file(data_key, salt, context, plaintext):
    header = b"PHIF\x01\x01\x00\x00" + kid(data_key)
    key, base, commitment = derive(data_key, salt, header, context)
    out = header + salt + commitment
    for number in range(len(plaintext) // CHUNK + 1):
        chunk = plaintext[number * CHUNK : (number + 1) * CHUNK]
        out += b"".join(_gcm(key, nonce(base, number), b"", chunk, True))
    return out


def open_file(data_key, context, sealed):
    if sealed[:4] != b"PHIF":
        raise NotSealed
    if sealed[4:8] != b"\x01\x01\x00\x00"[: len(sealed[4:8])]:
        raise Unsupported
    if len(sealed) < HEAD:
        raise Truncated
    header, salt, committed = sealed[:24], sealed[24:48], sealed[48:80]
    if header[8:] != kid(data_key):
        raise Refused
    key, base, commitment = derive(data_key, salt, header, context)
    if not hmac.compare_digest(commitment, committed):
        raise Refused
    if (len(sealed) - HEAD) % (CHUNK + TAG) < TAG:
        raise Truncated
    out = b""
    for number in range((len(sealed) - HEAD) // (CHUNK + TAG) + 1):
        chunk = sealed[HEAD + number * (CHUNK + TAG) :][: CHUNK + TAG]
        plaintext, tag = _gcm(key, nonce(base, number), b"", chunk[:-TAG], False)
        if not hmac.compare_digest(tag, chunk[-TAG:]):
            raise Refused
        out += plaintext
    return out


def pattern(length):
    return bytes((i * 31 + i // 7919) % 251 for i in range(length))


def case(name, context, length, start):
    data_key = bytes((start + i) % 256 for i in range(32))
    salt = bytes((0x60 + start + i) % 256 for i in range(24))
    sealed = seal_file(data_key, salt, context, pattern(length))
    made = {
        "name": name,
        "data_key": data_key.hex(),
        "input_key": expand(data_key, "phi/v1/file", b"\x01").hex(),
        "salt": salt.hex(),
        "context": context,
        "aad": aad(context).hex(),
        "length": length,
        "plaintext_sha256": hashlib.sha256(pattern(length)).hexdigest(),
        "head": sealed[:HEAD].hex(),
        "sealed_sha256": hashlib.sha256(sealed).hexdigest(),
    }
    if len(sealed) < 1000:
        made["sealed"] = sealed.hex()
    return made


def make_vectors():
    contexts = list(CONTEXTS.items())
    lengths = [0, 1, 100, CHUNK - 1, CHUNK, 2 * CHUNK + 40]
    files = [
        case(f"{length} bytes, {contexts[i % len(contexts)][0]}", contexts[i % len(contexts)][1], length, 5 * i)
        for i, length in enumerate(lengths)
    ]
    good, refused = files[2], []
    sealed = bytes.fromhex(good["sealed"])

    def refuse(name, why, value, context=good["context"], data_key=good["data_key"]):
        refused.append(
            {
                "name": name,
                "why": why,
                "data_key": data_key,
                "context": context,
                "aad": aad(context).hex(),
                "sealed": value.hex(),
            }
        )

    flip = lambda at: sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
    refuse("empty", "not sealed", b"")
    refuse("a plaintext", "not sealed", b"DICM")
    refuse("magic changed", "not sealed", flip(3))
    for name, at in (("version", 4), ("suite", 5), ("first flag", 6), ("second flag", 7)):
        refuse(f"{name} changed", "unsupported", flip(at))
    for name, at in (("kid", 8), ("salt", 24), ("commitment", 48), ("chunk", HEAD), ("tag", len(sealed) - 1)):
        refuse(f"{name} changed", "refused", flip(at))
    refuse("cut within the head", "truncated", sealed[:79])
    refuse("without its last chunk", "truncated", sealed[:HEAD])
    refuse("cut within the last tag", "refused", sealed[:-1])
    refuse("only a part of a tag", "truncated", sealed[: HEAD + 15])
    refuse("one byte more", "refused", sealed + b"\x00")
    refuse("key of another patient", "refused", sealed, data_key=files[0]["data_key"])
    refuse("another place", "refused", sealed, context={**good["context"], "field": "other"})
    return {"files": files, "refused": refused}


def check(vectors):
    for listed in vectors["files"]:
        with open(listed["path"], "rb") as file:
            opened = open_file(bytes.fromhex(listed["data_key"]), listed["context"], file.read())
        assert opened == pattern(listed["length"]), listed["path"]
    return len(vectors["files"])


def main(command, *arguments):
    self_test()
    if command == "vectors":
        print(json.dumps(make_vectors(), indent=1, ensure_ascii=False))
    elif command == "open":
        with open(arguments[0], encoding="utf-8") as file:
            print(check(json.load(file)), "files verified")
    elif command == "seal":
        context = CONTEXTS["every element"]
        for length in map(int, arguments):
            data_key, salt = os.urandom(32), os.urandom(24)
            sealed = seal_file(data_key, salt, context, pattern(length))
            print(json.dumps({"data_key": data_key.hex(), "aad": aad(context).hex(), "length": length, "sealed": sealed.hex()}))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["help"]))
