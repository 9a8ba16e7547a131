#!/bin/sh
# Builds and runs fuzz targets without cargo-fuzz; needs a nightly toolchain and nothing else.
#   ./run.sh note            one target for a minute
#   ./run.sh note 300        for five minutes
#   ./run.sh all 300         every target, one after another; stops at the first fault
#   ./run.sh all 0           only the committed corpus, each file once
# Works on a copy of the corpus in the target directory; a fault leaves its input in crashes/<target>/ there.
set -eu
cd "$(dirname "$0")"
seconds=${2:-60}
triple=x86_64-unknown-linux-gnu
out=${CARGO_TARGET_DIR:-target}
case ${1:-} in
all) targets=$(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | grep -v '^belfry-') ;;
'') sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
*) targets=$1 ;;
esac

sanitize="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address"
RUSTFLAGS=$(echo $sanitize) CARGO_TARGET_DIR=$out cargo +nightly build --release --locked --target "$triple"

for target in $targets; do
    run="$out/$triple/release/$target"
    # Documents of a ceremony hold whole manifests.
    case $target in genesis) longest=16384 ;; *) longest=4096 ;; esac
    mkdir -p "$out/corpus/$target" "$out/crashes/$target"
    if [ "$seconds" = 0 ]; then
        "$run" -artifact_prefix="$out/crashes/$target/" corpus/"$target"/*
    else
        "$run" "$out/corpus/$target" corpus/"$target" -max_total_time="$seconds" -max_len=$longest -timeout=10 \
            -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$out/crashes/$target/"
    fi
done
