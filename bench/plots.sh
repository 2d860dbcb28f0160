#!/usr/bin/env bash
# plots.sh BUILD - BUILD/distortion.svg (distortion against rate) and BUILD/eval.svg (divergence against bits a weight on the
# shipped model), from the same figures as `make distortion` and `make eval`. Needs gnuplot (Debian: gnuplot-nox).
set -eu
cd "$(dirname "$0")/.."
b=$1
command -v gnuplot > /dev/null || { echo "gnuplot is not installed (Debian: gnuplot-nox)" >&2; exit 1; }
TSV=1 "$b/distortion" 256 | awk -F'\t' 'BEGIN { split("g2 2 g3 3 g4 4 g5 5 g6 6 g8 8 v2n16 2 v2n64 3 v2n256 4 v3n64 2 v3n512 3 v4n256 2", a, " ");
    for (i = 1; i in a; i += 2) rate[a[i]] = a[i + 1] } /\.db\t/ { split($1, k, "."); print k[2], rate[k[2]], $2 }' > "$b/distortion.dat"
TSV=1 "$b/llmq" compare examples/model/kjv.llmq --text examples/model/heldout.txt --tokens 2048 --key x \
    --formats g2,g3,g4,g5,g6,v2n16,v2n64,v2n256,v4n256,v3n512,rtn2:32,rtn3:32,rtn4:32,rtn5:32 2> /dev/null | awk -F'\t' '
    { split($1, k, ".") } /\.bpw\t/ { bpw[k[3]] = $2 } /\.kl\t/ { kl[k[3]] = $2 } END { for (f in kl) print f, bpw[f], kl[f] }' | sort > "$b/eval.dat"
grep rtn "$b/eval.dat" > "$b/eval-rtn.dat"
grep -v rtn "$b/eval.dat" > "$b/eval-grid.dat"
gnuplot << PLOT
set term svg size 760,480 font "sans,12" background "white"
set grid; set key bottom right
set output "$b/distortion.svg"
set title "Distance to the rate-distortion bound on N(0,1), group 1024"
set xlabel "bits of code a weight"; set ylabel "dB above D(R) = 2^{-2R}"
set xrange [1.5:8.5]; set yrange [0:7]
plot "$b/distortion.dat" using 2:3 with points pt 7 ps 0.8 lc rgb "#1f5fa8" notitle, "" using 2:3:1 with labels left offset 0.7,0 font ",10" notitle
set output "$b/eval.svg"
set title "The shipped model: divergence from the original, held-out text"
set xlabel "stored bits a weight, scales included"; set ylabel "KL, nats a token"; set logscale y; set xrange [1.9:6.6]; set yrange [*:*]; set key top right
plot "$b/eval-grid.dat" using 2:3 with points pt 7 ps 0.8 lc rgb "#1f5fa8" title "llmq grids, groups of 64", "" using 2:3:1 with labels left offset 0.7,0 font ",10" notitle, \
     "$b/eval-rtn.dat" using 2:3 with points pt 5 ps 0.8 lc rgb "#b04a2f" title "round to nearest, groups of 32", "" using 2:3:1 with labels left offset 0.7,0 font ",10" notitle
PLOT
echo "$b/distortion.svg $b/eval.svg"
