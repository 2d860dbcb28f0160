#!/usr/bin/env bash
# tool_options.sh - how the tool reads command lines: ranges, forms and near misses of options, and texts that are longer than a model's
# context. TOOL names the program; it is made here if that is not set.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/check.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find_tool tool_options
run() { timeout 20 "$tool" "$@"; }
usage() { # PATTERN ARGUMENT...: not understood, for this reason, with nothing on standard output
    local pattern=$1 got code; shift
    got=$(run "$@" 2>&1 > "$work/stdout"); code=$?
    [ $code -eq 2 ] && grep -qE -- "$pattern" <<< "$got" && grep -q '^usage: llmq' <<< "$got" && [ ! -s "$work/stdout" ] || { echo "expected /$pattern/, exit code $code, got: $got"; return 1; }
}
trouble() { # PATTERN ARGUMENT...: understood, and not done
    local pattern=$1 got code; shift
    got=$(run "$@" 2>&1 > /dev/null); code=$?
    [ $code -eq 1 ] && grep -qE -- "$pattern" <<< "$got" || { echo "expected /$pattern/, exit code $code, got: $got"; return 1; }
}
prints() { # PATTERN ARGUMENT...: on standard output, and nothing else
    local pattern=$1 got; shift
    got=$(run "$@" 2> "$work/stderr") && grep -qE -- "$pattern" <<< "$got" && [ ! -s "$work/stderr" ] || { echo "expected /$pattern/, got: $got"; cat "$work/stderr"; return 1; }
}
silent() { run "$@" > "$work/stdout" 2> "$work/stderr" || { cat "$work/stderr"; return 1; }; }
wordy() { sed "$1" "$work/said"; }

# T17: each value has a range
while IFS='|' read -r pattern arguments; do
    eval "set -- $arguments"
    check "$arguments" usage "$pattern" "$@"
done << 'cases'
--clip is from 0 to 1, not '7'|quantize $model out --clip 7
--clip is from 0 to 1, not '-0.1'|quantize $model out --clip -0.1
--clip is from 0 to 1, not 'nan'|quantize $model out --clip nan
--temperature is from 0 to 100, not 'nan'|run $model --temperature nan
--temperature is from 0 to 100, not 'inf'|run $model --temperature inf
--temperature is from 0 to 100, not '-1'|run $model --temperature -1
--temperature is from 0 to 100, not '1e400'|run $model --temperature 1e400
--temperature is from 0 to 100, not '0x10'|run $model --temperature 0x10
--temperature is from 0 to 100, not '1.5x'|run $model --temperature 1.5x
--temperature is from 0 to 100, not ' 1'|run $model --temperature ' 1'
--temperature is from 0 to 100, not ''|run $model --temperature ''
--top-p is from 0 to 1, not '5'|run $model --top-p 5
--threads is a whole number from 1 to 256, not '0'|ppl --own $model --text $text --threads 0
--threads is a whole number from 1 to 256, not '257'|ppl --own $model --text $text --threads 257
--threads is a whole number from 1 to 256, not '1.5'|ppl --own $model --text $text --threads 1.5
--threads is a whole number from 1 to 256, not '99999999999999999999'|ppl --own $model --text $text --threads 99999999999999999999
--tokens is a whole number from 0 to 2147483647, not '-3'|run $model --tokens -3
--tokens is a whole number from 0 to 2147483647, not '2147483648'|run $model --tokens 2147483648
--seed is a whole number from 0 to 2147483647, not '-1'|run $model --seed -1
--kv-window is a whole number from 0 to 16777216, not '16777217'|run $model --kv-window 16777217
--kv-bits is a whole number from 2 to 32, not '33'|run $model --kv-bits 33
--kv-bits is a whole number from 2 to 32, not '1'|chat $model --kv-bits 1
--length is a whole number from 0 to 2147483647, not '-1'|chat $model --length -1
--template is chatml, .* or plain, not 'fly'|chat $model --template fly
--template is chatml, .* or plain, not 'chat'|chat $model --template chat
the model and what is said cannot both be standard input|chat -
--formats is a list with commas|compare $model --text $text --formats ''
--formats is a list with commas|compare $model --text $text --formats g4,
--formats is a list with commas|compare $model --text $text --formats g4,,g3
--group is 0 or a whole number from 32 to 1024, not '4294967328'|quantize $model out --group 4294967328
--group is 0 or a whole number from 32 to 1024, not '31'|quantize $model out --group 31
--levels is a list with commas|alpha $model --text $text --out a --levels ''
--kv-bits is a list with commas|ppl --own $model --text $text --kv-bits ''
--effort is fast, default or best, not 'fly'|quantize $model out --effort fly
--effort is fast, default or best, not ''|quantize $model out --effort ''
--effort is fast, default or best, not 'fast.default'|quantize $model out --effort 'fast|default'
--metric is kl or loss, not 'fly'|alpha $model --text $text --out a --metric fly
--rule is linear, uniform, aptq or carried, not 'fly'|plan $model --bpw 3 --rule fly
--errors is rows, gauss or hessian, not 'fly'|plan $model --bpw 3 --errors fly
--criterion is error, peak or range, not 'fly'|quantize $model out --criterion fly
--order is natural or diagonal, not 'fly'|quantize $model out --order fly
--kind is aware, plain or diagonal, not 'fly'|quantize $model out --kind fly
--damping is -1 or from 0 to 10, not '-2'|quantize $model out --damping -2
--damping is -1 or from 0 to 10, not '11'|quantize $model out --damping 11
--first-order is from 0 to 1, not '2'|quantize $model out --first-order 2
--alpha is from 0 to 1, not '1.01'|quantize $model out --alpha 1.01
--block is a whole number from 0 to 32768, not '65600'|quantize $model out --block 65600
--prefix is 0 or 1, not '2'|run $model --prefix=2
--fold is 0 or 1, not 'yes'|quantize $model out --fold=yes
--bpw is from 0.01 to 64, not '0'|plan $model --bpw 0
--ratio is from 0 to 1, not '2'|plan $model --ratio 2
--random is a whole number from 1 to 16777216, not '0'|alpha $model --random 0 --out a
--samples is 0 or a whole number from 2 to 2147483647, not '1'|sense $model --calib $text -o s --samples 1
--recipes is a whole number from 2 to 63, not '1'|linearity $model --alpha a --text $text --recipes 1
--text needs the name of a file|ppl --own $model --text ''
cases
printf '%s\n' layers.{0..3}.w{q,k,v,o,1,2,3}' 1 0' > alphas
while IFS='|' read -r pattern arguments; do
    eval "set -- $arguments"
    check "$arguments" trouble "$pattern" "$@"
done << 'cases'
--low is 6, --high is 5: the first is less|linearity $model --alpha alphas --text $text --low 6 --high 5
--lowest is 4, --low is 3: the first is less|linearity $model --alpha alphas --text $text --lowest 4
no recipes of 20 to 30 bits|linearity $model --alpha alphas --text $text --low 20 --high 30 --formats g3,g4 --recipes 2
at most 63 together|linearity $model --alpha alphas --text $text --recipes 60 --below 10
--levels are between 0 and 1, not '2'|alpha $model --text $text --out a --levels 0.1,2
--levels are between 0 and 1, not 'nan'|alpha $model --text $text --out a --levels nan
--levels are between 0 and 1, not '0.1x'|alpha $model --text $text --out a --levels 0.1x
--levels are at most 8|alpha $model --text $text --out a --levels 1,1,1,1,1,1,1,1,1
--size is a number of bytes.*not 'inf'|plan $model --alpha alphas --size inf
--size is a number of bytes.*not '1e400'|plan $model --alpha alphas --size 1e400
--size is a number of bytes.*not 'nan'|plan $model --alpha alphas --size nan
--size is a number of bytes.*not '850kk'|plan $model --alpha alphas --size 850kk
--size is a number of bytes.*not '-1'|plan $model --alpha alphas --size -1
--size is a number of bytes.*not '0x10'|plan $model --alpha alphas --size 0x10
--size is a number of bytes.*not '1e12G'|plan $model --alpha alphas --size 1e12G
lists of NAME=FORMAT, not '=g8'|plan $model --alpha alphas --bpw 4 --rows 1 --formats g4,g8 --pin =g8
a group is 0 or a whole number from 32 to 1024, not '4294967328'|compare $model --text $text --formats g4:4294967328
a group is 0 or a whole number from 32 to 1024, not '64x'|compare $model --text $text --formats g4:64x
a group is 0 or a whole number from 32 to 1024, not '-64'|compare $model --text $text --formats g4:-64
--formats has more than 63|compare $model --text $text --formats $(printf 'f32,%.0s' $(seq 63))f32
--formats has more than 64|plan $model --alpha alphas --bpw 4 --formats $(printf 'f32,%.0s' $(seq 64))f32
rtn1 to rtn16 are plain rounding, not 'rtn99'|compare $model --text $text --formats rtn99:32
rtn1 to rtn16 are plain rounding, not 'rtn'|compare $model --text $text --formats rtn:32
no format 'v4294967298n16'|quantize $model out --format v4294967298n16
no format 'g44'|quantize $model out --format g44
a step's block is a whole number from 1 to 65535|quantize $model out --transform hadamard65600
a step's block is a whole number from 1 to 65535|quantize $model out --transform hadamard64smooth
a step is missing behind the last|quantize $model out --transform hadamard64+
activations have 2 ... 8 bits, or 32; not '4x'|run $model --abits 4x
activations have 2 ... 8 bits, or 32; not '4294967300'|run $model --abits 4294967300
can be :zero.* not 'nan.0'|run $model --abits 4:nan.0
from 1 to N, not '1/4294967297'|sense $model --calib $text -o s --part 1/4294967297
from 1 to N, not '-1/5'|sense $model --calib $text -o s --part -1/5
2, 3, 4, 5, 6, 8, 16 or 32 bits|ppl --own $model --text $text --kv-bits 4294967300
no kernels of the name 'fly'|run $model --kernels fly
cases
check "rtn with a group of a row ends" silent compare $model --text "$text" --tokens 8 --formats rtn4:0
check "a whole number as 1e1" silent run $model --tokens 1e1
fault T17

# T23: what users of getopt_long expect
check "--version" prints '^llmq [0-9]+\.[0-9]+\.[0-9]+$' --version
check "its kernels" prints '^kernels:.* scalar.* \(default [a-z0-9]+\)$' -V
check "of a command too" prints '^llmq [0-9]' run --version
check "--help" prints '^  quantize  ' --help
check "-h" prints '^usage: llmq COMMAND' -h
check "help" prints '^usage: llmq COMMAND' help
check "help COMMAND" prints '^usage: llmq quantize ' help quantize
check "COMMAND -h" prints '^usage: llmq run ' run -h
check "help behind other arguments shows the defaults" prints 'default 0.6' quantize --alpha 0.1 --help
check "ranges" prints 'from 0 to 1; default 0.6' quantize --help
check "words" prints '[-]-effort fast\|default\|best' quantize --help
for c in quantize run chat ppl speed compare sense merge alpha plan linearity rank inspect; do
    check "$c: lines of at most 100 columns" bash -c "! '$tool' $c --help | grep '.\{101\}'"
done
check "what is needed" usage "--calib FILE and --out FILE are needed" sense $model
check "one of it" usage "either --text FILE or --base FILE is needed" ppl $model
check "no command" usage "no command$"
check "an unknown one" usage "no command 'fly'$" fly
check "a near one" usage "no command 'quantise'; did you mean quantize\?" quantise
check "a swap" usage "did you mean inspect\?" inpsect
check "the beginning of two" usage "did you mean --tokens or --tokenizer\?" run $model --tok 1
check "a near option" usage "unknown option --fromat; did you mean --format\?" quantize $model out --fromat g4
check "with a value" usage "unknown option --fromat; did you mean --format\?" quantize $model out --fromat=g4
check "with an underscore" usage "unknown option --top_p; did you mean --top-p\?" run $model --top_p 1
check "an unknown one" usage "unknown option --zzzzzz$" run $model --zzzzzz
check "a letter" usage "unknown option -z$" run $model -z
check "no argument" usage "--tokens needs an argument: N" run $model --tokens
check "one too many" usage "one argument too many: b" run $model b
check "none" usage "MODEL is missing" run
check "no output" usage "the output file is missing" quantize $model
check "--help takes none" usage "--help takes no argument" run --help=1
check "--force takes none" silent quantize --force $model out --format f16 --transform none
said=$(run run $model --tokens 12 --prompt "In the" 2> /dev/null)
for form in "--tokens=12 --prompt=In\ the" "-n 12 -p In\ the" "-n12 -pIn\ the" "-n 3 --tokens 12 -p x --prompt In\ the" "--prefix -n12 -pIn\ the" "--prefix 1 -n12 -pIn\ the" "--prefix=1 -n12 -pIn\ the" \
    "--kernels scalar -n12 -pIn\ the" "--kernels=scalar -n12 -pIn\ the"; do
    eval "set -- $form"
    check "run $form" test "$(run run $model "$@" 2> /dev/null)" = "$said"
done
check "options before the model" test "$(run run -n 12 -p "In the" $model 2> /dev/null)" = "$said"
check "options before the command" test "$(run --kernels scalar run -n 12 -p "In the" $model 2> /dev/null)" = "$said"
check "--no- switches off" test "$(run run $model -n 12 -p "In the" --no-prefix 2> /dev/null)" = "$(run run $model -n 12 -p "In the" --prefix 0 2> /dev/null)"
check "a value that looks like an option" silent run $model -n 20 --prompt --tokens
check "an empty one" silent run $model -n 5 --prompt=
cp $model ./-n
check "-- ends options" silent run --tokens 5 -- -n
check "a switch alone" prints '^g4 ' inspect --formats
check "and as it was" prints '^g4 ' inspect --formats 1
fault T23

# T13: texts longer than the context (128)
long=$(printf 'word %.0s' $(seq 300))
check "a prompt longer than the context" trouble "the prompt has [0-9]+ tokens, the model's context 128; --kv-window" run $model --prompt "$long"
check "with a window it runs" silent run $model --prompt "$long" --kv-window 16
check "and goes on behind the prompt" test "$(wc -c < "$work/stdout")" -gt $((${#long} + 20))
check "more tokens than the context" trouble "--tokens is 100000, the model's context 128; --kv-window" run $model --tokens 100000
check "with a window" silent run $model --tokens 300 --kv-window 16
check "a prompt longer than --tokens" trouble "the prompt has [0-9]+ tokens, --tokens is 3: there is nothing" run $model --prompt "In the beginning God created" --tokens 3
check "of which compare tells before it works" trouble "the prompt has [0-9]+ tokens, --length is 3" compare $model --text "$text" --prompt "In the beginning God created" --length 3
check "nor beyond the context" trouble "--length is 300, the model's context 128" compare $model --text "$text" --prompt In --length 300
fault T13
"$tool" run $'no\e[31m\xc2\x9b31m\x7f-\xc3\xbc' 2> said
check "names do not command a terminal" grep -q 'no\\x1b\[31m\\u009b31m\\x7f-ü: No such file' said
finish tool_options
