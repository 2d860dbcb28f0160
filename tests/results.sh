#!/usr/bin/env bash
# results.sh BUILD [PART...] - puts hello.c and the tables of `make mcu eval sense feedback outliers distortion size bench` between their
# marks in README.md, bench/RESULTS.md and examples/mcu/README.md. Parts: hello, summary (of the tables in bench/RESULTS.md), count
# (bench/emulated.sh) and the targets. Without parts: all but real and peers, which need a network and hours. The tables stay in BUILD,
# and those that are there from before are put in, too.
set -eu
cd "$(dirname "$0")/.."
b=$1
shift
[ $# -gt 0 ] || set -- hello mcu eval sense feedback outliers distortion size bench count summary

# The main formats in one table, from the tables of eval, distortion and bench.
summary() {
    awk -v list="g8 g6 t4s t4 g4 t3s t3 g3 t2s t2 g2 t1" '
        /^<!-- \/?[a-z]+ -->/ { part = $2 }
        part == "eval" && /^linear +bytes/ { tables++ }
        part == "eval" && tables == 1 && NF == 7 && $3 + 0 > 0 { bits[$1] = $3; kl[$1] = $6; same[$1] = $7 }
        part == "distortion" && NF == 9 { db[$1] = $5 }
        part == "bench" && $2 == "l2" { isa = $1 }
        part == "bench" && isa == "avx2" && !($1 in fast) { fast[$1] = $2; mem[$1] = $14 }
        part == "bench" && isa == "scalar" && !($1 in slow) { slow[$1] = $2 }
        END {
            printf "%-8s%8s%12s%12s%13s%12s%14s%14s\n", "format", "bits", "KL", "KL", "same", "above D(R)", "AVX2, L2", "AVX2, memory"
            printf "%-8s%8s%12s%12s%13s%12s%14s%14s\n", "", "/weight", "data-free", "calibrated", "token %, c.", "dB", "G weights/s", "G weights/s"
            for (i = 1; i <= split(list, f, " "); i++) {
                c = f[i] ".feedback"
                printf "%-8s%8s%12s%12s%13s%12s%14s%14s\n", f[i], bits[f[i]], kl[f[i]], c in kl ? kl[c] : "-", c in same ? same[c] : same[f[i]], db[f[i]], f[i] in fast ? fast[f[i]] : "-", f[i] in mem ? mem[f[i]] : "-"
            }
        }' bench/RESULTS.md
}

part() {
    case $1 in
    hello) cat examples/hello.c ;;
    bench) "$b/bench" --format g2,g3,g4,g8,t2,t3,t4,t2s,t3s,t4s,v2n16,v2n64 2> /dev/null ;;
    count) bench/emulated.sh 2> /dev/null ;;
    summary) summary ;;
    *) make -s "$1" WRITE= ;;
    esac
}
put() { # FILE: the tables of BUILD between its marks
    awk -v b="$b" '/^<!-- [a-z]+ -->$/ { f = b "/results." $2; if ((getline line < f) > 0) { print; print ""; do print line; while ((getline line < f) > 0); print ""; skip = 1; next } }
                   /^<!-- \/[a-z]+ -->$/ { skip = 0 } !skip' "$1" > "$b/put.new"
    cat "$b/put.new" > "$1"
}
for t in "$@"; do
    [ "$t" != summary ] || put bench/RESULTS.md # it is made of the others
    { echo "\`\`\`$([ "$t" != hello ] || echo c)"; part "$t"; echo '```'; } > "$b/part"
    mv "$b/part" "$b/results.$t"
done
for file in README.md bench/RESULTS.md examples/mcu/README.md; do put "$file"; done
