#!/usr/bin/env bash
# needs.sh WHAT TOOL... - fails, and says which package brings it, if one of the tools is missing. WHAT: what needs them ("make plots").
#     needs.sh package TOOL...   only the packages: "Debian: gnuplot-nox"
# A tool is a command, python-MODULE (of PYTHON, default /usr/bin/python3), libfuzzer (for clang) or libsimde (its headers).
set -u
python=${PYTHON:-/usr/bin/python3}

package() {
    case $1 in
    arm-none-eabi-gcc) echo "Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi" ;;
    riscv64-unknown-elf-gcc) echo "Debian: gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf" ;;
    qemu-system-arm) echo "Debian: qemu-system-arm" ;;
    qemu-system-riscv32) echo "Debian: qemu-system-misc" ;;
    qemu-*) echo "Debian: qemu-user" ;;
    *-linux-gnu-gcc | *-linux-gnueabihf-gcc) echo "Debian: gcc-${1%-gcc}" ;;
    clang-* | clang++-*) echo "Debian: ${1/++/}" ;;
    clang | clang++) echo "Debian: clang" ;;
    gnuplot) echo "Debian: gnuplot-nox" ;;
    ctags | ctags-universal) echo "Debian: universal-ctags" ;;
    node) echo "Debian: nodejs" ;;
    python-google.protobuf) echo "PyPI: protobuf" ;;
    python-numpy) echo "Debian: python3-numpy" ;;
    python-llama_cpp) echo "PyPI: llama-cpp-python" ;;
    python-*) echo "PyPI: ${1#python-}" ;;
    libsimde) echo "Debian: libsimde-dev" ;;
    libfuzzer) echo "Debian: libclang-rt-$(clang -dumpversion 2> /dev/null | cut -d. -f1)-dev" ;;
    "its C library") echo "Debian: libnewlib-arm-none-eabi or picolibc-riscv64-unknown-elf" ;;
    *) echo "Debian: $1" ;;
    esac
}

there() {
    case $1 in
    python-*) "$python" -c "import ${1#python-}" 2> /dev/null ;;
    libsimde) echo '#include <simde/x86/avx512.h>' | gcc -E -x c - > /dev/null 2>&1 ;;
    libfuzzer) # its entry, so that nothing but the library can be missing
        local program code; program=$(mktemp)
        echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n > 9; }' | clang -x c -fsanitize=fuzzer -o "$program" - 2> /dev/null; code=$?
        rm -f "$program"
        return $code ;;
    *) command -v "$1" > /dev/null ;;
    esac
}

what=$1 status=0; shift
for tool in "$@"; do
    if [ "$what" = package ]; then package "$tool"; continue; fi
    there "$tool" || { echo "$what needs $tool, which is not installed ($(package "$tool"))" >&2; status=1; }
done
exit $status
