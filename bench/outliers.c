/* outliers - what is left of inputs with outliers after 4 bits, by transform

   2,048 channels, 128 tokens of N(0,1); `channel`: 10 channels are 10 to 50 times as large;
   `massive`: one number is 1400; `both`. error: 4 bits, one asymmetric scale for each token,
   clip 0.9; mean over tokens of |x - y|^2 / |x|^2, y what the codes stand for, back in the basis
   of x. Mean and spread of SETS drawings. N(0,1) alone has 0.0144, which is what `massive` comes
   to: 127 of its 128 tokens are that. Then: symmetric scales for groups of 128; those of Rotated
   Runtime Smooth; 6 and 8 bits as the first. zigzag: zigzag permutation, Hadamard of 128.
   duquant: rotation of 128, zigzag, rotation. With TSV=1: lines outliers.SET.TRANSFORM.err. */
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COLS 2048
#define TOKENS 128
#define SETS 4
#define ROOM 128  /* inputs that are kept for the rotations */

static float x[TOKENS * COLS], weight[COLS];
static uint32_t counter;

static double uniform(uint32_t seed) { return llmq_random(seed, counter++) / 4294967296.0; }

static float normal(uint32_t seed)
{
    double u = 1 - uniform(seed), v = uniform(seed); /* Box and Muller's; not the library's own */
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void draw(uint32_t seed, int channels, int massive)
{
    counter = 0;
    for (uint32_t i = 0; i < TOKENS * COLS; i++) x[i] = normal(seed);
    for (int c = 0; c < 10 && channels; c++) {
        uint32_t j = (uint32_t)(uniform(seed) * COLS);
        float times = (float)(10 + 40 * uniform(seed));
        for (uint32_t t = 0; t < TOKENS; t++) x[t * COLS + j] *= times;
    }
    if (massive) x[(uint32_t)(uniform(seed) * TOKENS * COLS)] = 1400;
}

static void check(llmq_status status)
{
    if (status == LLMQ_OK) return;
    fprintf(stderr, "outliers: %s\n", llmq_status_text(status));
    exit(1);
}

static const struct { const char *name; llmq_step step[4]; } transforms[] = {
    { "none", { { 0, 0, 0 } } },
    { "smooth", { { LLMQ_STEP_SMOOTH, 0, COLS } } },
    { "hadamard", { { LLMQ_STEP_HADAMARD, 128, 1 } } },
    { "zigzag", { { LLMQ_STEP_PERMUTE, 0, COLS }, { LLMQ_STEP_HADAMARD, 128, 1 } } },
    { "duquant", { { LLMQ_STEP_ROTATE, 128, 1 }, { LLMQ_STEP_PERMUTE, 0, COLS }, { LLMQ_STEP_ROTATE, 128, 1 } } },
    { "hadamard1024", { { LLMQ_STEP_HADAMARD, 1024, 1 } } },
    { "zigzag1024", { { LLMQ_STEP_PERMUTE, 0, COLS }, { LLMQ_STEP_HADAMARD, 1024, 1 } } },
    { "smooth+zigzag", { { LLMQ_STEP_SMOOTH, 0, COLS }, { LLMQ_STEP_PERMUTE, 0, COLS },
                         { LLMQ_STEP_HADAMARD, 128, 1 } } },
    { "smooth+duquant", { { LLMQ_STEP_SMOOTH, 0, COLS }, { LLMQ_STEP_ROTATE, 128, 1 }, { LLMQ_STEP_PERMUTE, 0, COLS },
                          { LLMQ_STEP_ROTATE, 128, 1 } } },
};
#define TRANSFORMS (sizeof transforms / sizeof *transforms)

static llmq_transform fitted(const llmq_step *step)
{
    static unsigned char data[4 * (256 * 256 * 4 + 4 * COLS)];
    static double work[1 << 17];
    static float memory[(ROOM + 1) * COLS + ROOM];
    llmq_transform t = { 0 };
    llmq_sample s;
    while (t.count < 4 && step[t.count].kind) t.step[t.count] = step[t.count], t.count++;
    for (uint32_t j = 0; j < COLS; j++) weight[j] = 1;
    check(llmq_sample_init(&s, COLS, ROOM, 1, memory, sizeof memory));
    check(llmq_sample_add(&s, x, COLS, TOKENS, NULL));
    check(llmq_transform_fit(&t, &s, weight, NULL, data, sizeof data, work, sizeof work));
    return t;
}

/* Smoothing, which is not orthogonal, comes first if it comes at all. */
static double error_of(const llmq_transform *transform, uint32_t bits, int asymmetric, int scales, float clip)
{
    static unsigned char row[64 * COLS], memory[9 * TOKENS * COLS];
    static llmq_activation a[TOKENS];
    const llmq_activation_options o = { bits, asymmetric, scales, clip };
    llmq_format format;
    llmq_tensor t;
    llmq_transform first, rest;
    float e[COLS], unused[COLS];
    double sum = 0;
    check(llmq_transform_split(transform, transform->count && transform->step[0].kind == LLMQ_STEP_SMOOTH, &first,
                               &rest));
    check(llmq_format_find(&format, "g4", 128));
    check(llmq_tensor_init(&t, &format, transform, 1, COLS, row, sizeof row));
    check(llmq_activations_prepare(a, &t, &o, TOKENS, x, COLS, memory, sizeof memory));
    for (uint32_t i = 0; i < TOKENS; i++) {
        double error = 0, power = 0;
        for (uint32_t j = 0; j < COLS; j++) {
            int code = a[i].q[j] + (a[i].offset ? a[i].offset[j] : 0);
            e[j] = a[i].x[j] - a[i].scale[j / a[i].group] * (float)code;
        }
        /* orthogonal: transposed is inverse */
        check(llmq_transform_apply(&rest, LLMQ_FROM_WEIGHT, e, COLS, unused, sizeof unused, NULL));
        check(llmq_transform_apply(&first, LLMQ_TO_WEIGHT, e, COLS, NULL, 0, NULL));
        for (uint32_t j = 0; j < COLS; j++) {
            error += (double)e[j] * e[j];
            power += (double)x[i * COLS + j] * x[i * COLS + j];
        }
        sum += error / power;
    }
    return sum / TOKENS;
}

int main(void)
{
    static const char *const set[3] = { "channel", "massive", "both" };
    int tsv = getenv("TSV") && *getenv("TSV");
    if (!tsv)
        printf("%-10s %-16s %8s %8s   %8s %8s %8s %8s\n", "outliers", "transform", "error", "spread", "groups", "batch",
               "6 bits", "8 bits");
    for (int s = 0; s < 3; s++)
        for (size_t k = 0; k < TRANSFORMS; k++) {
            double sum = 0, squares = 0, other[4] = { 0, 0, 0, 0 };
            for (uint32_t seed = 1; seed <= SETS; seed++) {
                llmq_transform t;
                double e;
                draw(seed, s != 1, s != 0);
                t = fitted(transforms[k].step);
                e = error_of(&t, 4, 1, LLMQ_SCALES_TOKEN, 0.9f);
                sum += e, squares += e * e;
                other[0] += error_of(&t, 4, 0, LLMQ_SCALES_GROUP, 1.0f) / SETS;
                other[1] += error_of(&t, 4, 0, LLMQ_SCALES_BATCH, 1.0f) / SETS;
                other[2] += error_of(&t, 6, 1, LLMQ_SCALES_TOKEN, 1.0f) / SETS;
                other[3] += error_of(&t, 8, 1, LLMQ_SCALES_TOKEN, 1.0f) / SETS;
            }
            sum /= SETS;
            if (tsv) printf("outliers.%s.%s.err\t%.6g\n", set[s], transforms[k].name, sum);
            else
                printf("%-10s %-16s %8.5f %8.5f   %8.5f %8.5f %8.6f %8.6f\n", set[s], transforms[k].name, sum,
                       sqrt(fmax(0, squares / SETS - sum * sum)), other[0], other[1], other[2], other[3]);
            fflush(stdout);
        }
    return 0;
}
