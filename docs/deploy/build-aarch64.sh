#!/usr/bin/env bash
# Builds Headwater for 64-bit ARM Linux (Hetzner CAX, AWS Graviton, Raspberry Pi 4 and 5) on a Debian or Ubuntu machine
# of another kind. PROFILE=release builds faster and runs a little slower.
#
#   docs/deploy/build-aarch64.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=aarch64-unknown-linux-gnu
profile="${PROFILE:-dist}"

if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v make >/dev/null; then
	echo "needed first: apt-get install make gcc-aarch64-linux-gnu libc6-dev-arm64-cross" >&2
	exit 1
fi
rustup target add "$target"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
# jemalloc fixes the largest page size that it can run on when it is built. ARM kernels come with pages of 4, 16 and 64 KiB;
# 2^16 runs on all of them. It is jemalloc's own default for ARM since 5.3.1, and must not become another one.
export JEMALLOC_SYS_WITH_LG_PAGE=16

cargo build --locked --profile "$profile" --target "$target" --bin headwater
ls -l "${CARGO_TARGET_DIR:-target}/$target/$profile/headwater"
