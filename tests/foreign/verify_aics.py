#!/usr/bin/env python3
"""Lets aics-tlog, an independent implementation of the C2SP transparency-log formats, judge a log.

    verify_aics.py --tiles URL-OR-DIR --vkey-file FILE [--origin NAME]
                   [--index N]... [--entry-sha256 N=HEX]...
                   [--old-checkpoint FILE]... [--old SIZE=BASE64-ROOT]...
                   [--witness-key VKEY]... [--quorum N]

It runs aics-tlog's own command line, one process per check, so that nothing of ours stands between it and the log:
verify-checkpoint once, verify-inclusion for each index, verify-consistency for each older size. It prints one JSON line
{"ok": bool, "aics_tlog": version, "size": N, "checks": [{"check", "ok", ...}]} and exits 0 if every check is ok, 1 if
one is not, 2 if it could not run (bad arguments, aics-tlog not installed). Run it with the Python that has aics-tlog.

The key file must lie outside the tile directory: aics-tlog refuses keys that come with the data they judge.
"""
import argparse
import importlib.metadata
import json
import os
import subprocess
import sys

SECONDS_MAX = 120  # for one check; a log on the same machine answers within a second


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--tiles", required=True, help="URL prefix or directory that holds `checkpoint` and `tile/`")
    parser.add_argument("--vkey-file", required=True, help="file with the log's verifier key, outside the tiles")
    parser.add_argument("--origin", help="origin that the checkpoint must name")
    parser.add_argument("--index", action="append", default=[], type=int, metavar="N")
    parser.add_argument("--entry-sha256", action="append", default=[], metavar="N=HEX",
                        help="like --index, and the proven entry must have this SHA-256")
    parser.add_argument("--old-checkpoint", action="append", default=[], metavar="FILE")
    parser.add_argument("--old", action="append", default=[], metavar="SIZE=ROOT", help="older size and base64 root")
    parser.add_argument("--witness-key", action="append", default=[], metavar="VKEY")
    parser.add_argument("--quorum", type=int, help="valid cosignatures that the checkpoint must carry")
    args = parser.parse_args()
    for flag, pairs in (("--entry-sha256", args.entry_sha256), ("--old", args.old)):
        for pair in pairs:
            if not pair.partition("=")[0].isdigit():
                parser.error(f"{flag} {pair}: expected NUMBER=VALUE")
    return args


def run(args, command, *more):
    """One run of the aics-tlog command line; its JSON report."""
    common = ["--tiles", args.tiles, "--vkey-file", args.vkey_file]
    if args.origin:
        common += ["--origin", args.origin]
    for key in args.witness_key:
        common += ["--witness-key", key]
    if args.quorum is not None:
        common += ["--quorum", str(args.quorum)]
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    try:
        done = subprocess.run([sys.executable, "-m", "aics_tlog", command, *common, *more], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SECONDS_MAX, env=environment)
    except subprocess.TimeoutExpired:
        return {"ok": False, "error": f"no answer within {SECONDS_MAX} s"}
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {"ok": False, "error": f"exit code {done.returncode}, no JSON: {done.stderr.strip()[-500:]}"}
    report["ok"] = report.get("ok") is True and done.returncode == 0
    return report


def check(name, report, fields):
    kept = {k: report[k] for k in (*fields, "error") if k in report}
    if "error" in kept:
        # What each source answered says more than "no checkpoint verifies".
        kept["sources"] = [s["error"] for s in report.get("sources", []) if "error" in s]
    return {"check": name, "ok": report["ok"], **kept}


def checks(args):
    report = run(args, "verify-checkpoint")
    yield check("checkpoint", report, ("origin", "size", "root", "cosignatures", "witnesses"))
    wanted = dict(pair.split("=", 1) for pair in args.entry_sha256)
    for index in [*args.index, *(int(i) for i in wanted)]:
        report = run(args, "verify-inclusion", "--index", str(index))
        expected = wanted.get(str(index))
        if report["ok"] and expected and report.get("entry_sha256") != expected.lower():
            report.update(ok=False, error="the entry at this index is another one")
        yield check("inclusion", report, ("index", "size", "leaf_hash", "entry_sha256"))
    for path in args.old_checkpoint:
        report = run(args, "verify-consistency", "--old-checkpoint", path)
        yield check("consistency", report, ("old_size", "new_size"))
    for pair in args.old:
        size, root = pair.split("=", 1)
        report = run(args, "verify-consistency", "--old-size", size, "--old-root", root)
        yield check("consistency", report, ("old_size", "new_size"))


def main():
    args = arguments()
    try:
        version = importlib.metadata.version("aics-tlog")
    except importlib.metadata.PackageNotFoundError:
        print(json.dumps({"ok": False, "error": f"aics-tlog is not installed for {sys.executable}: run .ci/install"}))
        return 2
    results = list(checks(args))
    ok = all(result["ok"] for result in results)
    print(json.dumps({"ok": ok, "aics_tlog": version, "size": results[0].get("size"), "checks": results}))
    return 0 if ok else 1


sys.exit(main())
