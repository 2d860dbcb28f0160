#!/usr/bin/env bash
# tool_files.sh - how the tool writes files: what its outputs may be, what is left when it is stopped, and that nothing that could not be
# written is called done. tool_files.sh kill N: only the kills, N of them. TOOL names the program; it is made here if that is not set.
# A disk that is full, and a directory that cannot be written by root, need a tmpfs of their own, which is said where there can be none.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/check.sh
work=$(mktemp -d)
trap 'umount "$work/disk" 2> /dev/null; chattr -i "$work/fixed" 2> /dev/null; chmod -f 755 "$work/fixed"; rm -rf "$work"' EXIT
find_tool tool_files
fast="--format f16 --transform none"
"$tool" quantize $model "$work/old" $fast > /dev/null && "$tool" quantize $model "$work/new" --format bf16 --transform none > /dev/null || { echo "tool_files: 0 passed, 1 failed"; exit 1; }
if cmp -s "$work/old" "$work/new"; then echo "tool_files: 0 passed, 1 failed"; exit 1; fi

exec 9> /dev/full # by names that even a tool which replaces what it should write into cannot replace
full=/proc/self/fd/9
quantize() { "$tool" quantize $model "$@" $fast > /dev/null; }
is_new() { cmp "$1" "$work/old"; }
only() { # DIRECTORY NAME...: nothing else is in it
    local directory=$1; shift
    [ "$(ls -A "$directory")" = "$(printf '%s\n' "$@" | sort)" ] || { ls -A "$directory"; return 1; }
}

# kill -9 at random moments while an output is replaced: the old or the new file, and nothing else
kills() {
    local n=$1 whole=0 third=0 left=0 olds=0 start took
    mkdir "$work/kill"
    start=$(date +%s%N); "$tool" quantize $model "$work/kill/out" $fast > /dev/null; took=$((($(date +%s%N) - start) / 1000))
    for ((i = 0; i < n; i++)); do
        cp "$work/new" "$work/kill/out"
        "$tool" quantize $model "$work/kill/out" $fast > /dev/null 2>&1 & local pid=$!
        local wait=$(((RANDOM * 32768 + RANDOM) % (took * 5 / 4)))
        sleep "$((wait / 1000000)).$(printf %06d $((wait % 1000000)))"
        kill -9 $pid 2> /dev/null; wait $pid 2> /dev/null
        cp "$work/kill/out" "$work/found" # at one moment
        if cmp -s "$work/found" "$work/old"; then whole=$((whole + 1)); elif cmp -s "$work/found" "$work/new"; then olds=$((olds + 1)); else third=$((third + 1)); fi
        [ "$(ls -A "$work/kill")" = out ] || { sleep 0.1; [ "$(ls -A "$work/kill")" = out ] || { left=$((left + 1)); ls -A "$work/kill"; find "$work/kill" -name '.*' -type f -delete; }; }
    done
    echo "kill -9 in $n runs: $olds left the old file, $whole the new one, $third another; $left left something in the directory"
    rm -rf "$work/kill"
    [ $third -eq 0 ] && [ $left -eq 0 ]
}
if [ "${1:-}" = kill ]; then
    kills "${2:-1000}" && passed=1 || failed=1
    finish tool_files
    exit
fi

# T4: what a name stands for
mkdir "$work/t4"
mknod "$work/t4/null" c 1 3 2> /dev/null && {
    check "a device is written into" quantize "$work/t4/null"
    check "and is still one" test -c "$work/t4/null"
}
mkfifo "$work/t4/fifo"
timeout 20 cat "$work/t4/fifo" > "$work/t4/read" & reader=$!
check "a FIFO is written into" timeout 20 "$tool" quantize $model "$work/t4/fifo" $fast
[ -p "$work/t4/fifo" ] || kill $reader 2> /dev/null
wait $reader 2> /dev/null
check "and is still one" test -p "$work/t4/fifo"
check "its reader has all" is_new "$work/t4/read"
rm -f "$work/t4/null" "$work/t4/fifo" "$work/t4/read"
cp "$work/new" "$work/t4/file"; ln -s file "$work/t4/link"; ln -s "$work/t4/link" "$work/t4/link2"
check "through a link to a link" quantize "$work/t4/link2"
check "they are still links" test -L "$work/t4/link" -a -L "$work/t4/link2"
check "and lead to the file" is_new "$work/t4/file"
mkdir "$work/t4/there"; ln -s there/file "$work/t4/dangling"
check "through a link that leads to nothing yet" quantize "$work/t4/dangling"
check "the file is where it leads" is_new "$work/t4/there/file"
check "and the link is one" test -L "$work/t4/dangling"
ln -s loop "$work/t4/loop"
check "a link to itself" says "loop: Too many levels" quantize "$work/t4/loop"
cp "$work/new" "$work/t4/private"; chmod 0600 "$work/t4/private"
check "a private file" quantize "$work/t4/private"
check "stays private" test "$(stat -c %a "$work/t4/private")" = 600
if [ "$(id -u)" = 0 ]; then
    chown 12345:23456 "$work/t4/private"
    check "somebody's file" quantize "$work/t4/private"
    check "stays theirs" test "$(stat -c %u:%g:%a "$work/t4/private")" = 12345:23456:600
fi
check "a new file has the mode that umask leaves" bash -c "umask 027; '$tool' quantize $model '$work/t4/umask' $fast && test \$(stat -c %a '$work/t4/umask') = 640"
cp "$work/new" "$work/t4/one"; ln "$work/t4/one" "$work/t4/two"
check "a file of two names" quantize "$work/t4/one"
check "shows the new one under both" is_new "$work/t4/two"
check "and is one file" test "$work/t4/one" -ef "$work/t4/two"
(cat "$work/old" "$work/old") > "$work/t4/longer"; ln "$work/t4/longer" "$work/t4/longer2"
check "a shorter one in the place of a longer" quantize "$work/t4/longer"
check "ends where it ends" is_new "$work/t4/longer2"
check "- is standard output" bash -c "'$tool' quantize $model - $fast > '$work/t4/out' && cmp '$work/t4/out' '$work/old'"
check "in a pipe too" bash -c "'$tool' quantize $model - $fast | cmp - '$work/old'"
check "so is /dev/stdout" bash -c "'$tool' quantize $model /proc/self/fd/1 $fast > '$work/t4/out' && cmp '$work/t4/out' '$work/old'"
check "in a pipe" bash -c "'$tool' quantize $model /proc/self/fd/1 $fast | cmp - '$work/old'"
check "appended to what is there" bash -c "echo head > '$work/t4/out'; '$tool' quantize $model - $fast >> '$work/t4/out' && tail -c +6 '$work/t4/out' | cmp - '$work/old'"
check "another descriptor" bash -c "'$tool' quantize $model /proc/self/fd/3 $fast 3> '$work/t4/three' && cmp '$work/t4/three' '$work/old'"
check "- is standard input" bash -c "'$tool' quantize - '$work/t4/in' $fast < $model && cmp '$work/t4/in' '$work/old'"
check "so is a FIFO read" bash -c "'$tool' quantize <(cat $model) '$work/t4/in' $fast && cmp '$work/t4/in' '$work/old'"
check "once" says "only be read once" timeout 20 "$tool" ppl --own - --text - < $model
check "a directory" says "it is a directory" quantize "$work/t4/there"
check "a directory that is not there" says "cannot write .*/no/file: No such file" quantize "$work/no/file"
check "no name" says "cannot write" quantize ""
check "no temporary file is left" bash -c "! ls -A '$work/t4' | grep -q '^[.]llmq\|part$'"
cp "$work/new" "$work/t4/closed"
check "standard streams that are closed" bash -c "'$tool' quantize $model '$work/t4/closed' $fast <&- 2>&-; cmp '$work/t4/closed' '$work/old'"
check "standard output too" says "standard output" bash -c "'$tool' quantize $model '$work/t4/closed' $fast >&-"
check "no message in the file" is_new "$work/t4/closed"
fault T4

# T5: output = input
mkdir "$work/t5"
cp $model "$work/t5/model"; ln -s model "$work/t5/link"; ln "$work/t5/model" "$work/t5/hard"; ln -s . "$work/t5/here"
for name in model link hard here/model ./model; do
    check "output = input, as $name" says "same file and is read; --force" "$tool" quantize "$work/t5/model" "$work/t5/$name" $fast
done
check "the model is as it was" cmp $model "$work/t5/model"
"$tool" sense $model --calib "$text" --tokens 32 --samples 2 -o "$work/t5/sums" > /dev/null 2>&1
cp "$work/t5/sums" "$work/t5/sums2"
check "sums" says "same file" "$tool" merge "$work/t5/sums" "$work/t5/sums2" "$work/t5/sums"
check "a text" says "same file" "$tool" sense $model --calib "$text" --tokens 32 -o "$text"
check "two outputs" says "same file, and both" "$tool" sense $model --calib "$text" --tokens 32 -o "$work/t5/x" --imatrix "$work/t5/../t5/x"
check "with --force" "$tool" quantize "$work/t5/model" "$work/t5/model" $fast --force
check "it is done" cmp "$work/t5/hard" "$work/old"
fault T5

# T6: trouble on the way
mkdir "$work/t6"
cp "$work/new" "$work/t6/out"; mkdir "$work/t6/out.part"
check "nobody else's name is in the way" quantize "$work/t6/out"
rmdir "$work/t6/out.part"; cp "$work/new" "$work/t6/out"
check "a file that may not become so large" says "cannot write .*out: File too large .it is as it was" bash -c "ulimit -f 100; '$tool' quantize $model '$work/t6/out' $fast"
check "leaves the old one" cmp "$work/t6/out" "$work/new"
ln "$work/t6/out" "$work/t6/two"; (cat "$work/new"; echo) > "$work/t6/out"; cp "$work/t6/two" "$work/short"; truncate -s 1000 "$work/t6/out"
check "one of two names" says "File too large .it is as it was" bash -c "ulimit -f 100; '$tool' quantize $model '$work/t6/out' $fast"
check "leaves it too" test "$(stat -c %s "$work/t6/two")" = 1000
rm "$work/t6/two"; cp "$work/new" "$work/t6/out"
check "a full device" says "cannot write $full: No space" quantize $full
check "nothing is left" only "$work/t6" out
if mkdir "$work/disk" && mount -t tmpfs -o size=700k none "$work/disk" 2> /dev/null; then
    cp "$work/new" "$work/disk/out" # 463 KB: no second one beside it
    check "a full disk" says "cannot write .*/out: No space left on device .it is as it was" quantize "$work/disk/out"
    check "leaves the old file" cmp "$work/disk/out" "$work/new"
    check "a new file" says "No space left on device .there is no part of it" quantize "$work/disk/out2"
    check "and nothing else" only "$work/disk" out
    ln "$work/disk/out" "$work/disk/two"; truncate -s 1000 "$work/disk/out"; head -c 400000 /dev/zero > "$work/disk/fill"
    check "in place" says "No space left on device .it is as it was" quantize "$work/disk/out"
    check "is as it was" test "$(stat -c %s "$work/disk/two")" = 1000
    mount -o remount,ro "$work/disk"
    check "a disk that is read-only" says "Read-only file system" quantize "$work/disk/out"
    umount "$work/disk"
else
    echo "skipped: a full disk, since no tmpfs can be mounted"
fi
mkdir -p "$work/fixed"; cp "$work/new" "$work/fixed/out"
if [ "$(id -u)" != 0 ]; then chmod 555 "$work/fixed"; locked=1; elif chattr +i "$work/fixed" 2> /dev/null; then locked=1; else locked=; fi
if [ -n "$locked" ]; then
    check "a directory that cannot be written" says "cannot write .*/out2" quantize "$work/fixed/out2"
    check "nor its files be replaced" says "cannot write .*/out" quantize "$work/fixed/out"
    check "and both are said before the work" says "the directory that it is in|there is no part" "$tool" quantize $model "$work/fixed/out2" --format g8 --effort best
    check "all is as it was" only "$work/fixed" out
    chattr -i "$work/fixed" 2> /dev/null; chmod 755 "$work/fixed"
else
    echo "skipped: a read-only directory, since root may write to all of them here"
fi
# on file systems without files that have no name: the same, with a temporary file of an unguessable owner
cat > "$work/shim.c" << 'c'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int open(const char *path, int flags, ...) /* the oldest of file systems, or a slow one */
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list a;
    int mode;
    va_start(a, flags);
    mode = va_arg(a, int);
    va_end(a);
    if ((flags & O_TMPFILE) == O_TMPFILE) return errno = EOPNOTSUPP, -1;
    return real(path, flags, mode);
}
int fsync(int fd)
{
    if (getenv("SLOW")) usleep((unsigned)atoi(getenv("SLOW")) * 1000);
    return fd < 0;
}
int clock_gettime(clockid_t clock, struct timespec *t)
{
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, t);
    if (getenv("FAST")) t->tv_sec = t->tv_sec * atoi(getenv("FAST")) + t->tv_nsec / (1000000000 / atoi(getenv("FAST")));
    return result;
}
off_t lseek(int fd, off_t offset, int whence) /* before each part of a result */
{
    off_t (*real)(int, off_t, int) = (off_t (*)(int, off_t, int))dlsym(RTLD_NEXT, "lseek");
    if (getenv("PAUSE")) usleep((unsigned)atoi(getenv("PAUSE")) * 1000);
    return real(fd, offset, whence);
}
int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    if (getenv("NO_RENAME")) return errno = EXDEV, -1;
    return real(from, to);
}
c
gcc -shared -fPIC -o "$work/shim.so" "$work/shim.c" -ldl
shimmed() { LD_PRELOAD=$work/shim.so "$tool" quantize $model "$work/t6/out" $fast > /dev/null; }
cp "$work/new" "$work/t6/out"; chmod 604 "$work/t6/out"
check "a temporary file" shimmed
check "becomes the output" is_new "$work/t6/out"
check "with its mode" test "$(stat -c %a "$work/t6/out")" = 604
cp "$work/new" "$work/t6/out"
NO_RENAME=1 check "a rename that fails" says "cannot write .*Invalid cross-device link .it is as it was" shimmed
check "nothing is left of it" only "$work/t6" out
check "a limit" says "File too large" bash -c "ulimit -f 100; LD_PRELOAD='$work/shim.so' '$tool' quantize $model '$work/t6/out' $fast"
check "nor of that" only "$work/t6" out
started() { # SIGNAL: the tool while its temporary file is there, then this signal
    SLOW=20000 LD_PRELOAD=$work/shim.so "$tool" quantize $model "$work/t6/out" $fast > /dev/null 2>&1 & pid=$!
    for ((i = 0; i < 500; i++)); do ls -A "$work/t6" | grep -q '^[.]llmq' && break; sleep 0.02; done
    ls -A "$work/t6" | grep -q '^[.]llmq' || echo "no temporary file was seen"
    kill -"$1" $pid; wait $pid 2> /dev/null
    code=$?
}
for signal in TERM HUP; do
    started $signal
    check "SIG$signal removes it" only "$work/t6" out
    check "and ends the program as such" test $code = $((128 + $(kill -l $signal)))
done
started KILL
check "kill -9 leaves it there" test "$(ls -A "$work/t6" | wc -l)" = 2
check "the next run" shimmed
check "removes it" only "$work/t6" out
# half a result, and a model that becomes shorter while it is read
halfway() { # MODEL: the tool, stopped where it has written some tensors
    PAUSE=20 LD_PRELOAD=$work/shim.so "$tool" quantize "$1" "$work/t6/out" $fast > /dev/null 2> "$work/halfway" & pid=$!
    for ((i = 0; i < 500; i++)); do ls -A "$work/t6" | grep -q '^[.]llmq' && break; sleep 0.02; done
    sleep 0.4; kill -STOP $pid
}
cp "$work/new" "$work/t6/out"
halfway $model
cp "$work"/t6/.llmq* "$work/half"
check "half a result holds tensors" test "$(tail -c +65 "$work/half" | tr -d '\0' | wc -c)" -gt 1000
check "but not all" test "$(tr -d '\0' < "$work/half" | wc -c)" -lt "$(tr -d '\0' < "$work/old" | wc -c)"
check "and is no bundle" says "is no .llmq bundle" "$tool" inspect "$work/half"
kill -CONT $pid; wait $pid
check "nor does going on fail" is_new "$work/t6/out"
cp "$work/new" "$work/t6/out"; cp $model "$work/short"
halfway "$work/short"
truncate -s 1000 "$work/short"; kill -CONT $pid; wait $pid; code=$?
check "a model that becomes shorter is trouble" test $code = 1
check "which is said" grep -q '^llmq: .*a file that is read can no longer be' "$work/halfway"
check "and leaves the old file" cmp "$work/t6/out" "$work/new"
check "and nothing else" only "$work/t6" out
SLOW=700 shimmed & slow=$!
for ((i = 0; i < 500; i++)); do ls -A "$work/t6" | grep -q '^[.]llmq' && break; sleep 0.02; done
check "a second writer while the first one is at it" shimmed
check "has written" is_new "$work/t6/out"
wait $slow; slow=$?
check "and left the first one's alone" test $slow = 0
check "nothing is left of either" only "$work/t6" out
both=0 whole=0
for ((i = 0; i < 5; i++)); do
    "$tool" quantize $model "$work/t6/out" $fast > /dev/null & one=$!
    "$tool" quantize $model "$work/t6/out" --format bf16 --transform none > /dev/null & two=$!
    wait $one && wait $two && both=$((both + 1))
    if cmp -s "$work/t6/out" "$work/old" || cmp -s "$work/t6/out" "$work/new"; then whole=$((whole + 1)); fi
done
check "two writers at once: both succeed" test $both = 5
check "and the file is one of them" test $whole = 5
check "kill -9 in 20 runs" kills 20
fault T6

# T7: results on standard output
mkdir "$work/t7"
on_full() { says "cannot write standard output: No space left" bash -c '"$@" > /dev/full' bash "$@"; }
for c in "--help" "--version" "help run" "quantize --help" "inspect $model" "inspect --formats" "run $model --tokens 5" "ppl --own $model --text $text --tokens 20" \
    "compare $model --text $text --tokens 20 --formats f16" "quantize $model $work/t7/x $fast" "quantize $model - $fast"; do
    check "$c on a full disk" on_full "$tool" $c
done
check "printed into a file that may not grow" says "cannot write standard output: File too large" bash -c "ulimit -f 0; '$tool' inspect $model > '$work/t7/inspected'"
check "a reader that has gone away ends it" bash -c "set -o pipefail; '$tool' inspect $model | true; code=\$?; [ \$code -eq 141 ] || [ \$code -eq 0 ]"
printf 'layers.0.wq 1 0\n' > "$work/t7/alpha.old"
alpha="$tool alpha $model --text $text --tokens 4 --levels 0.1"
check "alpha" $alpha --out "$work/t7/alpha"
check "alpha: a line for each layer" test "$(grep -c '^layers' "$work/t7/alpha")" = 28
head -20 "$work/t7/alpha" > "$work/t7/alpha2"; cp "$work/t7/alpha2" "$work/t7/before"
check "alpha on a full disk" says "cannot write .*alpha2: File too large" bash -c "ulimit -f 0; $alpha --out '$work/t7/alpha2'"
check "keeps what it had found" cmp "$work/t7/before" "$work/t7/alpha2"
check "and goes on from there" $alpha --out "$work/t7/alpha2"
check "to the same" cmp "$work/t7/alpha" "$work/t7/alpha2"
check "alpha to a full device" says "No space left" $alpha --out $full
check "alpha to standard output" bash -c "$alpha --out - | cmp - '$work/t7/alpha'"
check "plan on a full disk" on_full "$tool" plan $model --alpha "$work/t7/alpha" --bpw 4 --rows 1 --formats g4,g3
check "plan's recipe" says "No space left" "$tool" plan $model --alpha "$work/t7/alpha" --bpw 4 --rows 1 --formats g4,g3 --out $full
check "a recipe that is printed is nothing else" bash -c "! '$tool' plan $model --alpha '$work/t7/alpha' --bpw 4 --rows 1 --formats g4,g3 --measure '$text' --tokens 8 | grep -v '^#\|^layers[.0-9]*[.]w[qkvo123] g[34] 64 hadamard '"
fault T7

# T18: another run's results
check "alpha does not write over another run's" says "another run has found" "$tool" alpha $model --text "$text" --tokens 5 --levels 0.1 --out "$work/t7/alpha"
check "nor over another file" says "another run has found, or something else" $alpha --out "$work/old"
check "which is as it was" cmp "$work/t7/alpha" "$work/t7/alpha2"
ln "$work/t7/alpha2" "$work/t7/alpha3"
check "nor under a second name" says "another run has found" "$tool" alpha $model --text "$text" --tokens 5 --levels 0.1 --out "$work/t7/alpha3"
rm "$work/t7/alpha3"
check "but with --force" "$tool" alpha $model --text "$text" --tokens 5 --levels 0.1 --out "$work/t7/alpha2" --force
check "its first line says so" grep -q 'tokens 0 ... 5,' "$work/t7/alpha2"
cp "$work/t5/sums" "$work/t7/sums.layer0"
check "sense does not write over another run's part" says "sums.layer0 is of another run" "$tool" sense $model --calib "$text" --tokens 40 --samples 2 -o "$work/t7/sums"
check "but with --force" "$tool" sense $model --calib "$text" --tokens 40 --samples 2 -o "$work/t7/sums" --force
fault T18

# T19: progress, on a clock of the shim that runs two thousand times too fast: ten seconds of it are 5 ms
some="compare $model --text $text --tokens 300 --formats g4 --threads 1"
began=$(date +%s%N)
FAST=2000 LD_PRELOAD=$work/shim.so "$tool" $some > /dev/null 2> "$work/progress"
periods=$((($(date +%s%N) - began) / 5000000))
check "no carriage return in a file" bash -c "! grep -q \$'\\r' '$work/progress'"
check "a line now and then" grep -q '^llmq: [0-9]*/300 tokens$' "$work/progress"
check "not more than every ten seconds" test "$(wc -l < "$work/progress")" -le $((periods + 1))
check "none of a job that is short" test -z "$("$tool" inspect $model 2>&1 > /dev/null)"
if command -v script > /dev/null; then
    script -qec "FAST=2000 LD_PRELOAD=$work/shim.so '$tool' $some > /dev/null" /dev/null > "$work/terminal" < /dev/null
    check "a line that changes on a terminal" grep -q $'\r[0-9]*/300 tokens' "$work/terminal"
else
    echo "skipped: progress on a terminal, script is not installed"
fi
fault T19
finish tool_files
