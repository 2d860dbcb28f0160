# check.sh - what the test scripts share; to be sourced. Checks that are counted, reported faults, the closing line.
passed=0 failed=0 fault_from=0

# check NAME COMMAND...: passes if the command succeeds; what it printed is shown if it does not
check() {
    local name=$1 out; shift
    if out=$("$@" 2>&1); then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $name: $(head -c 400 <<< "$out" | tr '\n\r' '  ')"; fi
}

# says PATTERN COMMAND...: the command fails with an exit code below 126 (so: not by a signal) and these words on stderr
says() {
    local pattern=$1 got code; shift
    got=$("$@" 2>&1 > /dev/null); code=$?
    [ $code -ne 0 ] && [ $code -lt 126 ] && grep -qE -- "$pattern" <<< "$got" || { echo "expected /$pattern/, exit code $code, got: $got"; return 1; }
}

# fault ID: ends the checks of one reported fault (L1, T4 ...); the runner counts these lines
fault() {
    if [ "$failed" -eq "$fault_from" ]; then echo "fault $1 ok"; else echo "fault $1 FAILED"; fi
    fault_from=$failed
}

# finish SUITE: the closing line, and the exit code
finish() { echo "$1: $passed passed, $failed failed"; [ "$failed" -eq 0 ]; }

# find_tool SUITE: sets tool, the program of TOOL or one that is made in $work, model and text, and goes to $work
find_tool() {
    tool=$(realpath "${TOOL:-$work/tool}") model=$PWD/examples/model/nano.llmq text=$work/text
    [ -n "${TOOL:-}" ] || gcc -O1 -DLLMQ_SIMD=0 -o "$tool" examples/llmq/llmq.c -lm -lpthread || { echo "$1: 0 passed, 1 failed"; exit 1; }
    head -c 4000 examples/model/heldout.txt > "$text"
    cd "$work" || exit 1
}
