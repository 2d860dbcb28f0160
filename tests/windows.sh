#!/usr/bin/env bash
# windows.sh - the tool for Windows: built by mingw-w64 as C and as C++ without a warning, and run under wine. Needs
# gcc-mingw-w64-x86-64, g++-mingw-w64-x86-64 and wine (Debian's names); what is missing is said, and fails.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/check.sh
for t in x86_64-w64-mingw32-gcc x86_64-w64-mingw32-g++ wine; do
    command -v $t > /dev/null || { echo "windows: $t is not installed (gcc-mingw-w64-x86-64, g++-mingw-w64-x86-64, wine): 0 passed, 1 failed"; exit 1; }
done
work=$(mktemp -d)
export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml=
trap 'wineserver -k 2> /dev/null; sleep 0.2; rm -rf "$work"' EXIT
root=$PWD model=../examples/model/nano.llmq
check "built as C" x86_64-w64-mingw32-gcc -O1 -DLLMQ_SIMD=0 -Wall -Wextra -Werror -o "$work/llmq.exe" examples/llmq/llmq.c
check "built as C++" x86_64-w64-mingw32-g++ -x c++ -std=c++11 -O0 -DLLMQ_SIMD=0 -Wall -Wextra -Werror -o "$work/llmq++.exe" examples/llmq/llmq.c
[ $failed -eq 0 ] || { finish windows; exit 1; }
gcc -O1 -DLLMQ_SIMD=0 -o "$work/llmq" examples/llmq/llmq.c -lm -lpthread
mkdir "$work/files" && cd "$work/files" || exit 1
cp "$root/examples/model/nano.llmq" model.llmq; head -c 4000 "$root/examples/model/heldout.txt" > text
wineboot -i > /dev/null 2>&1
windows() { timeout 120 wine "$work/llmq.exe" "$@"; }
fast="--format f16 --transform none"
"$work/llmq" quantize model.llmq expected $fast > /dev/null
"$work/llmq" quantize model.llmq expected.g4 --format g4 > /dev/null
name='Grüße 日本 Ω.llmq'

check "--version" grep -q '^llmq [0-9]' <(windows --version)
check "a file is written" windows quantize model.llmq out.llmq --format g4
check "with the bytes that Linux gives it" cmp out.llmq expected.g4
check "and again, over itself" windows quantize model.llmq out.llmq $fast
check "with other bytes" cmp out.llmq expected
check "as C++" timeout 120 wine "$work/llmq++.exe" quantize model.llmq out.llmq --format g4
check "the same" cmp out.llmq expected.g4
check "a name in UTF-8" windows quantize model.llmq "$name" $fast
check "is that name" cmp "$name" expected
check "written twice" windows quantize model.llmq "$name" --format g4
check "and read" grep -q 'checksums are right' <(windows inspect "$name")
printed=$(windows inspect nicht-da-ü.llmq 2>&1 | tr -d '\r')
check "it is said in UTF-8" grep -q 'cannot open nicht-da-ü.llmq: No such file' <<< "$printed"
check "standard output" bash -c "wine '$work/llmq.exe' quantize model.llmq - $fast 2> /dev/null | cmp - expected"
check "standard input" bash -c "wine '$work/llmq.exe' quantize - in.llmq $fast < model.llmq && cmp in.llmq expected"
check "text without carriage returns" bash -c "! wine '$work/llmq.exe' inspect model.llmq | grep -q \$'\\r'"
check "a device" windows quantize model.llmq NUL $fast
check "which is no file" test ! -e NUL
check "output = input" says "same file and is read; --force" windows quantize model.llmq ./model.llmq
ln model.llmq hard.llmq
check "a directory" says "it is a directory" windows quantize model.llmq . $fast
check "no directory" says "cannot write" windows quantize model.llmq no/out.llmq $fast
cp expected.g4 locked.llmq; chmod 444 locked.llmq
check "a file that is read-only" says "cannot write .*locked" windows quantize model.llmq locked.llmq $fast
check "stays" cmp locked.llmq expected.g4
check "a backslash and a drive" windows quantize model.llmq "$(winepath -w "$PWD" 2> /dev/null)\\drive.llmq" $fast
check "is a path" cmp drive.llmq expected
check "threads" grep -q '^64 tokens' <(windows ppl --own model.llmq --text text --tokens 64 --threads 2)
check "with the loss of one" test "$(windows ppl --own model.llmq --text text --tokens 64 --threads 2 | tr -d '\r')" = "$("$work/llmq" ppl --own model.llmq --text text --tokens 64 --threads 1)"
check "alpha, which writes its file 28 times" windows alpha model.llmq --text text --tokens 16 --levels 0.1 --out alpha
check "to its end" test "$(grep -c '^layers' alpha)" = 28
check "sense, which writes parts" windows sense model.llmq --calib text --tokens 64 --samples 2 -o sums
check "no part and no temporary file is left" test -z "$(ls -A | grep -E '^[.]llmq|layer|part$')"
fault T20
finish windows
