/* trellis.c [NAME ...] - find the trellis formats of llmq.h: which earlier bits each parity is
   of, and the points. Prints what stands in section 5 there, and the relative MSE on N(0,1),
   without the loss of closing the trellis into a ring.
   cc -O3 -march=native -o trellis tests/gen/trellis.c -lm; about ten minutes for all. The
   numbers depend on the compiler in the last bits.

   A code of R bits: its lowest bit also goes into a register of the `memory` bits before it. A
   parity is a XOR of some of these memory + 1 bits; the index of a point is the code's other
   bits, then the parities. For given parities the points come from what Lloyd's iteration does
   for a grid: encode many normal numbers (Viterbi), move each point to the mean of the numbers
   that got it. Parities come from a random search: `tries` draws with few taps, each trained
   shortly; the best eight trained longer; the best is it. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define MOST_STATES 1024

typedef struct plan {
    const char *name;
    int bits, parities, memory;
    int own;      /* 1: the last parity is the code's lowest bit itself */
    int taps;     /* at most, for each of the others */
    int tries;
} plan;

static const plan plans[] = {
    { "t1",  1, 4, 6, 0, 4, 1500 },
    { "t2",  2, 3, 6, 0, 4, 1500 },
    { "t3",  3, 3, 6, 1, 3, 1500 },
    { "t4",  4, 3, 6, 1, 3, 1500 },
    { "t2s", 2, 4, 8, 0, 4, 500 },
    { "t3s", 3, 4, 8, 1, 3, 500 },
    { "t4s", 4, 4, 8, 1, 3, 500 },
};

typedef struct code {
    int bits, parities, memory;
    unsigned taps[4];
    float point[256];
    double mse;
} code;

static uint32_t seed_now = 1;

static uint32_t draw(void)
{
    seed_now ^= seed_now << 13, seed_now ^= seed_now >> 17, seed_now ^= seed_now << 5;
    return seed_now;
}

static void normals(float *x, int n)
{
    for (int i = 0; i < n; i += 2) {
        double r = sqrt(-2 * log((draw() + 0.5) / 4294967296.0)), a = 6.283185307179586 * draw() / 4294967296.0;
        x[i] = (float)(r * cos(a)), x[i + 1] = (float)(r * sin(a));
    }
}

/* Encode steps x LANES numbers, each lane a sequence from any state to any; at[] is the index of each one's point. */
static double encode(const code *c, const float *x, int steps, uint8_t *at)
{
    static float sum[2][MOST_STATES][LANES];
    static uint8_t from[4096][MOST_STATES][LANES], parity[2 * MOST_STATES];
    const int states = 1 << c->memory, sets = 1 << c->parities, raw = 1 << (c->bits - 1);
    double error = 0;
    for (int h = 0; h < 2 * states; h++) {
        parity[h] = 0;
        for (int i = 0; i < c->parities; i++) parity[h] |= (uint8_t)(__builtin_parity((unsigned)h & c->taps[i]) << i);
    }
    memset(sum, 0, sizeof sum);
    for (int t = 0; t < steps; t++) {
        float cost[16][LANES];
        const float *v = x + t * LANES;
        for (int p = 0; p < sets; p++) {
            for (int l = 0; l < LANES; l++) cost[p][l] = 1e30f;
            for (int r = 0; r < raw; r++) {
                float y = c->point[r << c->parities | p];
                for (int l = 0; l < LANES; l++) {
                    float d = (v[l] - y) * (v[l] - y);
                    cost[p][l] = d < cost[p][l] ? d : cost[p][l];
                }
            }
        }
        for (int s = 0; s < states; s++) {
            const float *a = sum[t & 1][s >> 1], *b = sum[t & 1][(s | states) >> 1], *ca = cost[parity[s]],
                *cb = cost[parity[s | states]];
            float *to = sum[~t & 1][s];
            for (int l = 0; l < LANES; l++) {
                float u = a[l] + ca[l], w = b[l] + cb[l];
                to[l] = w < u ? w : u;
                from[t][s][l] = w < u;
            }
        }
    }
    for (int l = 0; l < LANES; l++) {
        int s = 0;
        for (int i = 1; i < states; i++)
            if (sum[steps & 1][i][l] < sum[steps & 1][s][l]) s = i;
        error += sum[steps & 1][s][l];
        for (int t = steps - 1; t >= 0; t--) {
            int h = s | from[t][s][l] << c->memory, best = parity[h];
            for (int r = 1; r < raw; r++) {
                int k = r << c->parities | parity[h];
                if (fabsf(x[t * LANES + l] - c->point[k]) < fabsf(x[t * LANES + l] - c->point[best])) best = k;
            }
            at[t * LANES + l] = (uint8_t)best;
            s = h >> 1;
        }
    }
    return error / (steps * LANES);
}

/* `rounds` of encoding and means; noise on the numbers, which shrinks to none, gets points out of poor places. */
static void train(code *c, int steps, int rounds, float noise)
{
    static float x[4096 * LANES], extra[4096 * LANES];
    static uint8_t at[4096 * LANES];
    const int n = 1 << (c->bits - 1 + c->parities);
    for (int round = 0; round < rounds; round++) {
        double sum[256] = { 0 }, count[256] = { 0 };
        float part = noise * (1 - 2.0f * (float)round / (float)rounds);
        normals(x, steps * LANES);
        if (part > 0) {
            normals(extra, steps * LANES);
            for (int i = 0; i < steps * LANES; i++) extra[i] = x[i] + part * extra[i];
        }
        encode(c, part > 0 ? extra : x, steps, at);
        for (int i = 0; i < steps * LANES; i++) sum[at[i]] += x[i], count[at[i]]++;
        for (int k = 0; k < n; k++)
            if (count[k] > 0) c->point[k] += (float)((sum[k] / count[k] - c->point[k]) * count[k] / (count[k] + 4));
    }
}

/* On the same numbers for all codes, which tells more small differences than sampling error does. */
static void measure(code *c, int steps, int times)
{
    static float x[4096 * LANES];
    static uint8_t at[4096 * LANES];
    uint32_t keep = seed_now;
    c->mse = 0;
    seed_now = 0x2545f491u;
    for (int i = 0; i < times; i++) {
        normals(x, steps * LANES);
        c->mse += encode(c, x, steps, at) / times;
    }
    seed_now = keep;
}

/* The quantiles of N(0, 1.7), near to what training ends with at all rates, dealt to the
   parities in turn: what Ungerboeck's partition begins with. The two codes that may follow
   differ in the last parity alone, hence in sets that lie half way between each other's. */
static void begin(code *c)
{
    const int n = 1 << (c->bits - 1 + c->parities), sets = 1 << c->parities;
    for (int i = 0; i < n; i++) {
        double low = -9, high = 9, q = (i + 0.5) / n;
        while (high - low > 1e-6) {
            double mid = 0.5 * (low + high);
            if (0.5 * erfc(-mid / sqrt(2)) < q) low = mid;
            else high = mid;
        }
        c->point[i / sets << c->parities | i % sets] = (float)(sqrt(1.7) * low);
    }
}

static int draw_taps(const plan *p, code *c)
{
    unsigned all = 0;
    int i, k;
    for (i = 0; i < p->parities; i++) {
        int last = i == p->parities - 1; /* the only one that the code's own bit is in */
        c->taps[i] = (unsigned)last;
        for (k = last; k < p->taps && !(last && p->own); k++) c->taps[i] |= 2u << draw() % (unsigned)p->memory;
        all |= c->taps[i];
    }
    for (unsigned mix = 1; mix < 1u << p->parities; mix++) { /* no parity may follow from the others */
        unsigned sum = 0;
        for (i = 0; i < p->parities; i++)
            if (mix >> i & 1) sum ^= c->taps[i];
        if (!sum) return 0;
    }
    return (all & 1) && all >> p->memory & 1;
}

/* Points of int8, the largest 127; the step between them is what is left to choose. */
static void round_points(code *c, float *unit)
{
    const int n = 1 << (c->bits - 1 + c->parities);
    float most = 0;
    for (int k = 0; k < n; k++) most = fmaxf(most, fabsf(c->point[k]));
    *unit = 127 / most;
    for (int k = 0; k < n; k++) c->point[k] = rintf(c->point[k] * *unit) / *unit;
}

static int by_mse(const void *a, const void *b)
{
    double x = ((const code *)a)->mse, y = ((const code *)b)->mse;
    return (x > y) - (x < y);
}

static void find(const plan *p)
{
    code best[9], c;
    const int kept = 8;
    float unit;
    int n = 1 << (p->bits - 1 + p->parities);
    seed_now = 0x9e3779b9u ^ (uint32_t)(p->bits * 100 + p->memory);
    for (int i = 0; i < 9; i++) best[i].mse = 1e9;
    for (int i = 0; i < p->tries; i++) {
        memset(&c, 0, sizeof c);
        c.bits = p->bits, c.parities = p->parities, c.memory = p->memory;
        while (!draw_taps(p, &c)) { }
        begin(&c);
        train(&c, 256, 14, 0);
        measure(&c, 512, 1);
        best[kept] = c;
        qsort(best, (size_t)kept + 1, sizeof *best, by_mse);
        if (i % 100 == 99) fprintf(stderr, "%s: %d of %d, %.5f\n", p->name, i + 1, p->tries, best[0].mse);
    }
    for (int i = 0; i < kept; i++) {
        train(&best[i], 1024, 40, 0.1f / (float)(1 << p->bits));
        measure(&best[i], 2048, 4);
    }
    qsort(best, (size_t)kept, sizeof *best, by_mse);
    c = best[0];
    train(&c, 4096, 40, 0);
    round_points(&c, &unit);
    measure(&c, 4096, 16);
    printf("/* %s: MSE %.5f, %.2f dB from the bound; taps", p->name, c.mse, 10 * log10(c.mse * pow(4, p->bits)));
    for (int i = 0; i < p->parities; i++) {
        printf(" {");
        for (int k = 0, first = 1; k <= p->memory; k++)
            if (c.taps[i] >> k & 1) printf(first ? "%d" : " %d", k), first = 0;
        printf("}");
    }
    printf(" */\nunit %.7g, taps { ", unit);
    for (int i = 0; i < 4; i++) printf("0x%03x%s", c.taps[i], i < 3 ? ", " : " }\n");
    for (int k = 0; k < n; k++)
        printf("%s%d,%s", k % 16 ? " " : "    ", (int)rintf(c.point[k] * unit), k % 16 == 15 || k == n - 1 ? "\n" : "");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        int wanted = argc < 2;
        for (int k = 1; k < argc; k++) wanted |= strcmp(argv[k], plans[i].name) == 0;
        if (wanted) find(&plans[i]);
    }
    return 0;
}
