#!/usr/bin/env bash
# picture.sh - bench/quality.svg, the picture of the README, from the table of `make eval` in bench/RESULTS.md: divergence from the
# original against stored bits a weight, for rounding, for our formats without calibration, and with it. Needs gnuplot.
set -eu
cd "$(dirname "$0")/.."
command -v gnuplot > /dev/null || { echo "gnuplot is not installed (Debian: gnuplot-nox)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v d="$work" '
    /^<!-- \/?[a-z]+ -->/ { part = $2 }
    part == "eval" && /^linear +bytes/ { tables++ }
    part != "eval" || tables != 1 || NF != 7 || !($6 + 0 > 0) { next }
    /^rtn/ { print $1, $3, $6 > (d "/rounding") }
    /^t[2-4] / || /^g[234568] / { print $1, $3, $6 > (d "/plain") }
    /^(t[234]|g[234568])\.feedback/ { sub(/\.feedback/, ""); print $1, $3, $6 > (d "/calibrated") }' bench/RESULTS.md
for f in rounding plain calibrated; do sort -k2n -o "$work/$f" "$work/$f"; done
grep '^t' "$work/plain" > "$work/plain.t"
grep '^g' "$work/plain" > "$work/plain.g"
grep '^t' "$work/calibrated" > "$work/calibrated.t"
gnuplot << PLOT
set term svg size 760,430 font "sans,13" background "white"
set output "bench/quality.svg"
set title "Loss against size: the shipped model, held-out text"
set xlabel "stored bits a weight, scales included"
set ylabel "divergence from the original (KL, nats a token)"
set logscale y; set format y "%g"; set xrange [2:6.5]; set yrange [0.001:2]; set grid; set key bottom left Left reverse
plot "$work/rounding" using 2:3 with linespoints pt 5 ps 0.8 lc rgb "#b04a2f" title "round to nearest (rtn), groups of 32", "" using 2:3:1 with labels left offset 0.8,0.2 font ",11" tc rgb "#b04a2f" notitle, \
     "$work/plain.g" using 2:3 with linespoints pt 7 ps 0.8 lc rgb "#7d8793" title "llmq grids, no calibration", "" using 2:3:1 with labels left offset 0.8,0.3 font ",11" tc rgb "#7d8793" notitle, \
     "$work/plain.t" using 2:3 with linespoints pt 7 ps 0.8 lc rgb "#1f5fa8" title "llmq trellises, no calibration", "" using 2:3:1 with labels right offset -0.9,0 font ",11" tc rgb "#1f5fa8" notitle, \
     "$work/calibrated.t" using 2:3 with linespoints pt 9 ps 0.9 lc rgb "#3d8f3a" title "llmq trellises, calibrated (error feedback)", "" using 2:3:1 with labels right offset -0.9,-0.7 font ",11" tc rgb "#3d8f3a" notitle
PLOT
