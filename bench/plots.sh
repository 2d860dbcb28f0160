#!/usr/bin/env bash
# plots.sh BUILD - BUILD/distortion.svg (distortion against rate), BUILD/eval.svg (divergence against bits a weight on the
# shipped model), BUILD/plan.svg (perplexity against size by three rules; foretold against measured divergence) and
# BUILD/roofline.svg (speed of the products against what a core can read), from the same figures as `make distortion`, `make
# eval` and `make bench`: those of the last complete bench if the program is not newer, else a short one. Five minutes.
# Needs gnuplot (Debian: gnuplot-nox).
set -eu
cd "$(dirname "$0")/.."
b=$1
command -v gnuplot > /dev/null || { echo "gnuplot is not installed (Debian: gnuplot-nox)" >&2; exit 1; }
TSV=1 "$b/distortion" 256 | awk -F'\t' 'BEGIN { split("g2 2 g3 3 g4 4 g5 5 g6 6 g8 8 v2n16 2 v2n64 3 t1 1 t2 2 t3 3 t4 4 t2s 2 t3s 3 t4s 4", a, " ");
    for (i = 1; i in a; i += 2) rate[a[i]] = a[i + 1] } /\.db\t/ { split($1, k, "."); print k[2], rate[k[2]], $2 }' > "$b/distortion.dat"
model=examples/model
"$b/llmq" sense $model/kjv.llmq --calib $model/calib.txt --samples 8 -o "$b/eval.sums" > /dev/null 2>&1
grids=g2,g3,g4,g5,g6,v2n16,v2n64,t2,t3,t4 # labels need room: the fast trellises
TSV=1 "$b/llmq" compare $model/kjv.llmq --text $model/heldout.txt --tokens 2048 --key x --hessian "$b/eval.sums" \
    --formats "$grids,${grids//,/:64::feedback,}:64::feedback,rtn2:32,rtn3:32,rtn4:32,rtn5:32" 2> /dev/null | awk -F'\t' '
    { split($1, k, "."); name = k[3] (k[4] == "feedback" ? "+" : "") } /\.bpw\t/ { bpw[name] = $2 } /\.kl\t/ { kl[name] = $2 }
    END { for (f in kl) print f, bpw[f], kl[f] }' | sort > "$b/eval.dat"
grep rtn "$b/eval.dat" > "$b/eval-rtn.dat"
grep + "$b/eval.dat" | sed 's/+//' > "$b/eval-fed.dat"
grep -v -e rtn -e + "$b/eval.dat" > "$b/eval-grid.dat"
gnuplot << PLOT
set term svg size 760,480 font "sans,12" background "white"
set grid; set key bottom right
set output "$b/distortion.svg"
set title "Distance to the rate-distortion bound on N(0,1), group 1024"
set xlabel "bits of code a weight"; set ylabel "dB above D(R) = 2^{-2R}"
set xrange [0.5:8.5]; set yrange [0:7]
plot "$b/distortion.dat" using 2:3 with points pt 7 ps 0.8 lc rgb "#1f5fa8" notitle, "" using 2:3:1 with labels left offset 0.7,0 font ",10" notitle
set term svg size 760,800 font "sans,12" background "white"
set output "$b/eval.svg"
set title "The shipped model: divergence from the original, held-out text"
set xlabel "stored bits a weight, scales included"; set ylabel "KL, nats a token"; set logscale y; set xrange [1.9:6.6]; set yrange [0.001:2]; set key top right
plot "$b/eval-grid.dat" using 2:3 with points pt 7 ps 0.8 lc rgb "#1f5fa8" title "llmq, groups of 64", "" using 2:3:1 with labels left offset 0.7,0 font ",10" notitle, \
     "$b/eval-fed.dat" using 2:3 with points pt 7 ps 0.8 lc rgb "#4f8f3a" title "with error feedback", "" using 2:3:1 with labels right offset -0.7,0 font ",10" notitle, \
     "$b/eval-rtn.dat" using 2:3 with points pt 5 ps 0.8 lc rgb "#b04a2f" title "round to nearest, groups of 32", "" using 2:3:1 with labels left offset 0.7,0 font ",10" notitle
PLOT

list=
tail -c 12000 $model/heldout.txt > "$b/unscored"
"$b/llmq" alpha $model/kjv.llmq --text "$b/unscored" --tokens 1024 --out "$b/plan.alpha" > /dev/null 2>&1
for bits in 2.5 2.75 3 3.25 3.5 4 4.5 5; do
    for rule in linear uniform aptq; do
        [ $rule$bits = aptq4.5 ] || [ $rule$bits = aptq5 ] && continue # it has 4 and 2 bits only
        "$b/llmq" plan $model/kjv.llmq --bpw $bits --rule $rule --alpha "$b/plan.alpha" --hessian "$b/eval.sums" --rows 16 -o "$b/plan.$rule$bits" > /dev/null 2>&1
        list=$list,$rule$bits=@$b/plan.$rule$bits
    done
done
TSV=1 "$b/llmq" compare $model/kjv.llmq --text $model/heldout.txt --tokens 2048 --abits 32 --key x --formats "${list#,}" 2> /dev/null | awk -F'\t' '
    { name = $1; sub(/^eval\.x\./, "", name); sub(/\.[a-z]*$/, "", name) } /\.bpw\t/ { bpw[name] = $2 } /\.ppl\t/ { ppl[name] = $2 }
    END { for (f in ppl) { rule = f; sub(/[0-9.]*$/, "", rule); print rule, bpw[f], ppl[f] } }' | sort -k1,1 -k2,2n > "$b/plan.dat"
for rule in linear uniform aptq original; do grep "^$rule " "$b/plan.dat" > "$b/plan-$rule.dat"; done
TSV=1 "$b/llmq" linearity $model/kjv.llmq --alpha "$b/plan.alpha" --text $model/heldout.txt --tokens 2048 --key x 2> /dev/null | awk -F'\t' '
    { split($1, k, ".") } /\.bpw\t/ { bpw[k[4]] = $2 } /\.foretold\t/ { x[k[4]] = $2 } /\.kl\t/ { y[k[4]] = $2 } END { for (i in y) print bpw[i], x[i], y[i] }' > "$b/linearity.dat"
gnuplot << PLOT
set term svg size 1100,480 font "sans,12" background "white"; set output "$b/plan.svg"
set multiplot layout 1,2
set grid; set key top right
set title "The shipped model: a format for each layer by three rules"
set xlabel "stored bits a weight"; set ylabel "perplexity, held-out text"
original = $(awk '{ print $3 }' "$b/plan-original.dat")
set yrange [original * 0.97:*]
plot "$b/plan-linear.dat" using 2:3 with linespoints pt 7 ps 0.7 lc rgb "#1f5fa8" title "linear (the theorem, exact)", \
     "$b/plan-uniform.dat" using 2:3 with linespoints pt 5 ps 0.7 lc rgb "#d99a2b" title "uniform", \
     "$b/plan-aptq.dat" using 2:3 with linespoints pt 9 ps 0.7 lc rgb "#b04a2f" title "aptq (4 and 2 bits)", original with lines dt 2 lc rgb "black" title "original"
set title "Random recipes: divergence foretold and measured"
set xlabel "sum of alpha t^2, nats a token"; set ylabel "KL, nats a token"; set logscale xy; set xrange [0.04:1]; set yrange [0.04:1]; set key top left
plot "$b/linearity.dat" using (\$1 >= 3 ? \$2 : NaN):3 with points pt 7 ps 0.7 lc rgb "#1f5fa8" title "3 to 5 bits a weight", \
     "" using (\$1 < 3 ? \$2 : NaN):3 with points pt 5 ps 0.7 lc rgb "#b04a2f" title "below 3", x with lines lc rgb "black" title "as foretold"
unset multiplot
PLOT

if [ "$b/bench.tsv" -nt "$b/bench" ]; then cp "$b/bench.tsv" "$b/roofline.tsv"
else TSV=1 "$b/bench" --part products --where l2,mem --format g2,g3,g4,t2,t3,t4,v2n16,v2n64 --seconds 0.2 > "$b/roofline.tsv"; fi

# column N: what stands N-th in bench.TABLE.FORMAT.LEVEL.gbs, each once, in the order of the file
column() { awk -F'[.\t]' -v n="$1" '$1 == "bench" && $5 == "gbs" && $2 != "baseline" && !seen[$n]++ { print $n }' "$b/roofline.tsv"; }

# roofline LEVEL: the commands of one panel. Its data: a line for each format, a column for each table.
roofline() {
    local level=$1 read base n=1 colour=(x "#999999" "#b04a2f" "#d99a2b" "#4f8f3a" "#1f5fa8" "#6b3fa0" "#222222") plot=
    read=$(awk -F'\t' -v k="bench.read.$level.gbs" '$1 == k { print $2 }' "$b/roofline.tsv")
    base=$(awk -F'\t' -v k="^bench.baseline.[a-z]+.$level.gbs" '$1 ~ k { print $2 }' "$b/roofline.tsv")
    awk -F'[\t]' -v level="$level" -v tables="$(column 2 | tr '\n' ' ')" -v formats="$(column 3 | tr '\n' ' ')" '{ v[$1] = $2 }
        END { n = split(formats, f, " "); m = split(tables, t, " ")
              for (i = 1; i <= n; i++) { printf "%s", f[i]
                  for (j = 1; j <= m; j++) { k = "bench." t[j] "." f[i] "." level ".gbs"; printf " %s", k in v ? v[k] : "NaN" } print "" } }' \
        "$b/roofline.tsv" > "$b/roofline-$level.dat"
    while read -r table; do
        plot="$plot, \"$b/roofline-$level.dat\" using 0:$((n + 1)):xtic(1) with linespoints pt 7 ps 0.6 dt 3 lc rgb \"${colour[(n - 1) % 7 + 1]}\" title \"$table\""
        n=$((n + 1))
    done < <(column 2)
    echo "set title \"$level: the core reads $(printf %.0f "$read") GB/s\""
    echo "plot $read with lines lw 2 lc rgb \"black\" title \"read bandwidth\", ${base:-NaN} with lines dt 2 lc rgb \"black\" title \"float weights (BLAS)\"$plot"
}

levels=$(column 4)
{
    echo "set term svg size $((40 + 420 * $(wc -w <<< "$levels"))),560 font \"sans,12\" background \"white\"; set output \"$b/roofline.svg\""
    echo "set multiplot layout 1,$(wc -w <<< "$levels") title \"Stored weights that an int8 product streams, one core, GB/s\""
    echo "set grid; set logscale y; set yrange [0.02:300]; set xtics rotate by -60; set xrange [-0.5:$(column 3 | wc -l) - 0.5]; set key below font \",10\" samplen 2"
    for level in $levels; do roofline "$level"; done
    echo "unset multiplot"
} | gnuplot
echo "$b/distortion.svg $b/eval.svg $b/plan.svg $b/roofline.svg"
