#!/usr/bin/env bash
# readme.sh BUILD - put hello.c and the tables of `make eval sense feedback outliers distortion size bench` between the marks in README.md.
set -eu
cd "$(dirname "$0")/.."
b=$1
{ echo '```c'; cat examples/hello.c; echo '```'; } > "$b/readme.hello"
for t in eval sense feedback outliers distortion size; do { echo '```'; make -s "$t"; echo '```'; } > "$b/readme.$t"; done
{ echo '```'; "$b/bench" --format g2,g3,g4,g8,t2,t3,t4,t2s,t3s,t4s,v2n64,v2n256 2> /dev/null; echo '```'; } > "$b/readme.bench"
{ echo '```'; bench/emulated.sh 2> /dev/null; echo '```'; } > "$b/readme.count"
awk -v b="$b" '/^<!-- [a-z]+ -->$/ { print; print ""; f = b "/readme." $2; while ((getline line < f) > 0) print line; print ""; skip = 1; next }
               /^<!-- \/[a-z]+ -->$/ { skip = 0 } !skip' README.md > "$b/README.new"
mv "$b/README.new" README.md
