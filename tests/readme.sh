#!/usr/bin/env bash
# readme.sh BUILD [PART...] - put hello.c and the tables of `make mcu eval sense feedback outliers distortion size bench` between the marks
# in README.md. Parts: hello, count (bench/emulated.sh) and the targets; default: all. The tables stay in BUILD, and those that are there
# from before are put in, too.
set -eu
cd "$(dirname "$0")/.."
b=$1
shift
[ $# -gt 0 ] || set -- hello mcu eval sense feedback outliers distortion size bench count

part() {
    case $1 in
    hello) cat examples/hello.c ;;
    bench) "$b/bench" --format g2,g3,g4,g8,t2,t3,t4,t2s,t3s,t4s,v2n64,v2n256 2> /dev/null ;;
    count) bench/emulated.sh 2> /dev/null ;;
    *) make -s "$1" ;;
    esac
}
for t in "$@"; do
    { echo "\`\`\`$([ "$t" != hello ] || echo c)"; part "$t"; echo '```'; } > "$b/part"
    mv "$b/part" "$b/readme.$t"
done
awk -v b="$b" '/^<!-- [a-z]+ -->$/ { f = b "/readme." $2; if ((getline line < f) > 0) { print; print ""; do print line; while ((getline line < f) > 0); print ""; skip = 1; next } }
               /^<!-- \/[a-z]+ -->$/ { skip = 0 } !skip' README.md > "$b/README.new"
mv "$b/README.new" README.md
