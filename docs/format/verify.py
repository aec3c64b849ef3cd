#!/usr/bin/env python3
"""Checks a Yagura event proof offline (docs/format/ledger.md): python3 verify.py PROOF KEY.vkey"""
import base64, hashlib, os, re, subprocess, sys, tempfile

sha = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
fields = lambda text: dict(line.split(b" ", 1) for line in text.split(b"\n\n")[0].splitlines())

def b64(text):
    data = base64.b64decode(text, validate=True)
    assert base64.b64encode(data) == text, "base64 is not in its only spelling"
    return data

def climb(node, index, size, path):  # RFC 9162 section 2.1.3.2
    assert index < size, "the index is outside the tree"
    last = size - 1
    for sibling in path:
        assert last > 0, "the path is too long"
        right = index % 2 == 1 or index == last
        node = sha(b"\1", sibling, node) if right else sha(b"\1", node, sibling)
        while right and index and index % 2 == 0: index, last = index // 2, last // 2
        index, last = index // 2, last // 2
    assert last == 0, "the path is too short"
    return node

def verify(proof, vkey):
    name, key_id, key = vkey.strip().split(b"+", 2)
    assert b64(key)[0] == 1 and sha(name, b"\n", b64(key))[:4].hex().encode() == key_id, "bad vkey"
    top = re.match(rb"yagura-proof v1\n(?:.+\n){4}\nevent (.+)\nleaf (text|base64) (\d+)\n", proof)
    leaf, rest = proof[top.end():top.end() + int(top[3])], proof[top.end() + int(top[3]):]
    leaf = leaf if top[2] == b"text" else b64(leaf)
    path, length, rest = re.match(rb"\npath \d+\n((?:[0-9a-f]{64}\n)*)header (\d+)\n(.*)", rest, re.S).groups()
    header, outer = rest[:int(length)], rest[int(length):]
    index, outer_path, text, origin, size, root, signer, signature = re.fullmatch(
        rb"c2sp.org/tlog-proof@v1\nindex (\d+)\n((?:.+\n)*)\n((.+)\n(\d+)\n(.+)\n)\n\xe2\x80\x94 (.+) (.+)\n", outer).groups()
    event, batch, signature = fields(leaf), fields(header), b64(signature)
    assert event[b"yagura-event"] == batch[b"yagura-batch"] == b"v1", "unknown version"
    assert top[1] == b"/".join(event[key] for key in (b"stream", b"batch", b"index")), "another event id"
    assert all(event[key] == batch[key] for key in (b"stream", b"batch")), "another batch"
    inner = climb(sha(b"\0", leaf), int(event[b"index"]), int(batch[b"count"]), [bytes.fromhex(h.decode()) for h in path.split()])
    assert inner.hex().encode() == batch[b"root"], "the event is not the one in the batch"
    outer = climb(sha(b"\0", header), int(index), int(size), [b64(h) for h in outer_path.split()])
    assert outer == b64(root), "the batch header is not the one in the log"
    assert name == signer == origin == batch[b"log"] and signature[:4].hex().encode() == key_id, "another log or key"
    with tempfile.TemporaryDirectory() as tmp:
        for file, data in ("key", bytes.fromhex("302a300506032b6570032100") + b64(key)[1:]), ("text", text), ("sig", signature[4:]):
            with open(os.path.join(tmp, file), "wb") as out: out.write(data)  # key: RFC 8410 section 4
        subprocess.run("openssl pkeyutl -verify -pubin -keyform DER -rawin -inkey key -in text -sigfile sig".split(),
                       cwd=tmp, check=True, stdout=subprocess.DEVNULL)
    return tuple(part.decode() for part in (top[1], event[b"received"], origin, size))

if __name__ == "__main__":
    try:
        proof, vkey = (open(file, "rb").read() for file in sys.argv[1:3])
        print("proved: event %s, received %s, log %s, checkpoint of size %s" % verify(proof, vkey))
    except Exception as error:
        sys.exit("NOT PROVED: %s" % error)
