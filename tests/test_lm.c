/* test_lm.c - examples/lm.h: its functions against libm, its forward pass against one in
   double that is written here, the ways to run it against each other, and its bits against those
   of every other processor */
#include "check.h"
#include <math.h>
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#define LM_IMPLEMENTATION
#include "../examples/lm.h"

/* Heads of an odd multiple of 4, three of queries to one of keys, rows that are no multiple of a group. */
enum { DIM = 72, HIDDEN = 104, LAYERS = 2, HEADS = 6, KV_HEADS = 2, HEAD = DIM / HEADS, KV = HEAD * KV_HEADS,
       VOCAB = 80, CONTEXT = 20, TOKENS = 20 };
static const uint32_t config[7] = { DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT };
static const char *const config_name[7] = { "lm.dim", "lm.hidden", "lm.layers", "lm.heads",
                                            "lm.kv_heads", "lm.vocab", "lm.context" };

/* ---- a model of random weights, and its bundle ----------------------------------------------- */

enum { NORM1, NORM2, WQ, WK, WV, WO, W1, W2, W3, BQ, BK, BV, PARTS };
#define USUAL BQ /* parts that every model has: biases are optional */
static const struct { const char *name; uint32_t rows, cols; } part[PARTS] = {
    { "norm1", 1, DIM }, { "norm2", 1, DIM }, { "wq", DIM, DIM }, { "wk", KV, DIM }, { "wv", KV, DIM },
    { "wo", DIM, DIM },
    { "w1", HIDDEN, DIM }, { "w2", DIM, HIDDEN }, { "w3", HIDDEN, DIM }, { "bq", 1, DIM }, { "bk", 1, KV },
    { "bv", 1, KV }
};
#define SAID 4 /* values that a test says at most */
#define ENTRIES (7 + 3 + LAYERS * PARTS + 6 + SAID)
#define MOST ((HIDDEN + 1) * (DIM + 1)) /* with room for a row or column too many */
static float weight[LAYERS][PARTS][MOST], embed[MOST], classifier[MOST], norm[MOST];
static unsigned char value[ENTRIES][4], stored[ENTRIES][MOST * 4], bundle_bytes[600000];
static char names[ENTRIES][24];
static uint32_t tokens[TOKENS];

/* Whole multiples of 2^-12 between -size and size: the same on every machine, and exact in binary16. */
static void fill_random(float *w, size_t n, uint32_t seed, float size)
{
    size_t i;
    for (i = 0; i < n; i++) w[i] = ((float)(llmq_random(seed, (uint32_t)i) >> 21) / 1024.0f - 1.0f) * size;
}

/* What is not as usual in the next bundles; all 0: nothing. */
static struct {
    const char *missing, *reshaped, *turned; /* a tensor that is left out, has other rows or columns, or a transform */
    const char *raw;                         /* a tensor that is f32 */
    uint32_t rows, cols;
    const char *value;                       /* of the configuration, or one more, of so many bits */
    uint32_t type, bits;
    int classifier;                          /* 1: there is one */
    int biases[LAYERS][3];                   /* 1: there is this one, of q, k, v */
    float theta, epsilon;                    /* 0: the model does not say it */
    int halves;                              /* -1: it says 0 */
    const char *more;                        /* one more tensor, of 1 x DIM numbers */
    const float *numbers;                    /* of it; NULL: those of the norm */
    /* values, of the configuration or more of them, of `size` bytes (0: four), up to the first without a name */
    struct { const char *name; uint32_t type, bits; size_t size; } said[SAID];
} change;

static int is(const char *name, const char *changed) { return changed && strcmp(name, changed) == 0; }

static void add_tensor(llmq_entry *e, uint32_t *n, const char *name, const float *w, uint32_t rows, uint32_t cols,
                       const char *format)
{
    static float work[40000];
    llmq_format f;
    llmq_tensor t;
    if (is(name, change.missing)) return;
    if (is(name, change.reshaped)) rows = change.rows, cols = change.cols;
    CHECK_EQ(llmq_format_find(&f, is(name, change.raw) ? "f32" : rows == 1 ? "f16" : format, 64), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, rows, cols, stored[*n], sizeof stored[*n]), LLMQ_OK);
    CHECK_EQ(llmq_encode(&t, stored[*n], 0, rows, w, cols, NULL, work, sizeof work, NULL), LLMQ_OK);
    memset(&e[*n], 0, sizeof e[*n]);
    e[*n].name = name, e[*n].kind = LLMQ_KIND_TENSOR, e[*n].data = stored[*n],
    e[*n].size = llmq_tensor_size(&f, rows, cols);
    if (is(name, change.turned)) e[*n].transform = "turn";
    e[*n].format = f, e[*n].rows = rows, e[*n].cols = cols, e[*n].t2 = -1.0f;
    ++*n;
}

/* Adds the values that `change` says, or puts them in place of those of these names. */
static void say_values(llmq_entry *e, uint32_t *n)
{
    uint32_t i, k;
    for (i = 0; i < SAID && change.said[i].name; i++) {
        for (k = 0; k < *n && !is(e[k].name, change.said[i].name);) k++;
        if (k == *n) ++*n;
        memset(&e[k], 0, sizeof e[k]);
        e[k].name = change.said[i].name, e[k].kind = LLMQ_KIND_VALUE, e[k].type = change.said[i].type;
        e[k].data = value[k], e[k].size = change.said[i].size ? change.said[i].size : 4;
        put32(value[k], change.said[i].bits);
    }
}

static void make_bundle(llmq_bundle *b, const char *format)
{
    static llmq_entry e[ENTRIES];
    uint32_t n = 0, l, i;
    size_t size;
    int changed = change.value == NULL;
    for (i = 0; i < 7 || !changed; i++, n++) {
        memset(&e[n], 0, sizeof e[n]);
        e[n].name = i < 7 ? config_name[i] : change.value, e[n].kind = LLMQ_KIND_VALUE, e[n].type = LLMQ_VALUE_U32,
        e[n].data = value[n], e[n].size = 4;
        put32(value[n], i < 7 ? config[i] : 0);
        if (!is(e[n].name, change.value)) continue;
        put32(value[n], change.bits);
        e[n].type = change.type;
        changed = 1;
    }
    say_values(e, &n);
    add_tensor(e, &n, "embed", embed, VOCAB, DIM, format);
    if (change.classifier) add_tensor(e, &n, "classifier", classifier, VOCAB, DIM, format);
    add_tensor(e, &n, "norm", norm, 1, DIM, format);
    for (l = 0; l < LAYERS; l++)
        for (i = 0; i < PARTS; i++) {
            snprintf(names[n], sizeof names[n], "layers.%u.%s", (unsigned)l, part[i].name);
            if (is(names[n], change.missing) || (i >= BQ && !change.biases[l][i - BQ])) continue;
            add_tensor(e, &n, names[n], weight[l][i], part[i].rows, part[i].cols, format);
        }
    if (change.more) add_tensor(e, &n, change.more, change.numbers ? change.numbers : norm, 1, DIM, format);
    for (i = 0; i < 3; i++) {
        static const char *const name[3] = { "lm.rope_theta", "lm.norm_epsilon", "lm.rope_halves" };
        const float number = i == 0 ? change.theta : change.epsilon;
        if (i < 2 ? bits_of(number) == 0 : change.halves == 0) continue;
        memset(&e[n], 0, sizeof e[n]);
        e[n].name = name[i], e[n].kind = LLMQ_KIND_VALUE, e[n].type = i < 2 ? LLMQ_VALUE_F32 : LLMQ_VALUE_U32,
        e[n].data = value[n], e[n].size = 4;
        put32(value[n], i < 2 ? bits_of(number) : change.halves == 1);
        n++;
    }
    if (change.turned) {
        static unsigned char turn[12 + 2 * DIM], order[2 * DIM];
        /* in place of which comes a permutation, which needs memory */
        llmq_transform t = llmq_transform_hadamard(1, 8);
        t.step[0].kind = LLMQ_STEP_PERMUTE, t.step[0].block = 0, t.step[0].arg = DIM, t.data = order;
        for (i = 0; i < DIM; i++) order[2 * i] = (unsigned char)(DIM - 1 - i);
        size = sizeof turn;
        CHECK_EQ(llmq_transform_store(&t, turn, &size), LLMQ_OK);
        memset(&e[n], 0, sizeof e[n]);
        e[n].name = "turn", e[n].kind = LLMQ_KIND_TRANSFORM, e[n].data = turn, e[n].size = size;
        n++;
    }
    size = llmq_bundle_size(e, n);
    CHECK(size != 0 && size <= sizeof bundle_bytes);
    CHECK_EQ(llmq_bundle_write_memory(e, n, bundle_bytes, sizeof bundle_bytes), LLMQ_OK);
    CHECK_EQ(llmq_bundle_open(b, bundle_bytes, size, NULL), LLMQ_OK);
}

static void make_model(void)
{
    uint32_t l, i;
    fill_random(embed, VOCAB * DIM, 1, 1.0f);
    fill_random(classifier, VOCAB * DIM, 4, 1.0f);
    fill_random(norm, DIM, 2, 2.0f);
    for (l = 0; l < LAYERS; l++)
        for (i = 0; i < PARTS; i++)
            fill_random(weight[l][i], (size_t)part[i].rows * part[i].cols, 10 + l * USUAL + i + (i >= BQ ? 1000 : 0),
                        part[i].rows == 1 ? 2.0f : 0.25f);
    for (i = 0; i < TOKENS; i++) tokens[i] = llmq_random(3, i) % VOCAB;
}

/* ---- the same in double, a position after the other, all keys kept --------------------------- */

static double ref_key[LAYERS][TOKENS][KV], ref_value[LAYERS][TOKENS][KV];

static void ref_norm(double *out, const double *x, const float *w)
{
    double sum = 0;
    int i;
    for (i = 0; i < DIM; i++) sum += x[i] * x[i];
    for (i = 0; i < DIM; i++)
        out[i] = x[i] * (double)w[i] / sqrt(sum / DIM + (change.epsilon > 0 ? (double)change.epsilon : 1e-5));
}

static void ref_product(double *y, const float *w, const double *x, int rows, int cols)
{
    int r, i;
    for (r = 0; r < rows; r++)
        for (y[r] = 0, i = 0; i < cols; i++) y[r] += (double)w[r * cols + i] * x[i];
}

static void ref_rope(double *v, int n, int position)
{
    const int apart = change.halves == 1 ? HEAD / 2 : 1;
    int i;
    for (i = 0; i < n; i += 2) {
        const int first = change.halves == 1 ? i / HEAD * HEAD + i % HEAD / 2 : i;
        double angle = position * pow(change.theta > 0 ? (double)change.theta : 10000.0, -(double)(i % HEAD) / HEAD),
            a = v[first], b = v[first + apart];
        v[first] = a * cos(angle) - b * sin(angle);
        v[first + apart] = a * sin(angle) + b * cos(angle);
    }
}

/* Of the last `window` positions. */
static void ref_attend(double *out, const double *q, int l, int head, int position, int window)
{
    const int from = head / (HEADS / KV_HEADS) * HEAD, first = position + 1 > window ? position + 1 - window : 0;
    double score[TOKENS], most = -1e300, sum = 0;
    int p, i;
    for (p = first; p <= position; p++) {
        for (score[p] = 0, i = 0; i < HEAD; i++) score[p] += q[i] * ref_key[l][p][from + i] / sqrt((double)HEAD);
        if (score[p] > most) most = score[p];
    }
    for (p = first; p <= position; p++) sum += score[p] = exp(score[p] - most);
    for (i = 0; i < HEAD; i++)
        for (out[i] = 0, p = first; p <= position; p++) out[i] += score[p] / sum * ref_value[l][p][from + i];
}

static void ref_forward(double *logits, uint32_t token, int position, int window)
{
    double x[DIM], h[DIM], q[DIM], a[DIM], gate[HIDDEN], up[HIDDEN];
    int l, i;
    for (i = 0; i < DIM; i++) x[i] = (double)embed[token * DIM + (uint32_t)i];
    for (l = 0; l < LAYERS; l++) {
        ref_norm(h, x, weight[l][NORM1]);
        ref_product(q, weight[l][WQ], h, DIM, DIM);
        ref_product(ref_key[l][position], weight[l][WK], h, KV, DIM);
        ref_product(ref_value[l][position], weight[l][WV], h, KV, DIM);
        for (i = 0; i < DIM && change.biases[l][0]; i++) q[i] += (double)weight[l][BQ][i];
        for (i = 0; i < KV && change.biases[l][1]; i++) ref_key[l][position][i] += (double)weight[l][BK][i];
        for (i = 0; i < KV && change.biases[l][2]; i++) ref_value[l][position][i] += (double)weight[l][BV][i];
        ref_rope(q, DIM, position);
        ref_rope(ref_key[l][position], KV, position);
        for (i = 0; i < HEADS; i++) ref_attend(a + i * HEAD, q + i * HEAD, l, i, position, window);
        ref_product(h, weight[l][WO], a, DIM, DIM);
        for (i = 0; i < DIM; i++) x[i] += h[i];
        ref_norm(h, x, weight[l][NORM2]);
        ref_product(gate, weight[l][W1], h, HIDDEN, DIM);
        ref_product(up, weight[l][W3], h, HIDDEN, DIM);
        for (i = 0; i < HIDDEN; i++) gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
        ref_product(h, weight[l][W2], gate, DIM, HIDDEN);
        for (i = 0; i < DIM; i++) x[i] += h[i];
    }
    ref_norm(h, x, norm);
    ref_product(logits, change.classifier ? classifier : embed, h, VOCAB, DIM);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static union { void *pointer; unsigned char byte[65536]; } model_memory;
static union { void *pointer; unsigned char byte[400000]; } state_memory;
static lm_model model;
static lm_state state;
static size_t state_used;
static float logits[TOKENS][VOCAB], again[TOKENS][VOCAB];

/* The state of model.cache. */
static void open_state(uint32_t batch)
{
    state_used = lm_state_size(&model, batch);
    CHECK(state_used != 0 && state_used + 512 <= sizeof state_memory.byte);
    memset(state_memory.byte, 0xa5, sizeof state_memory.byte);
    CHECK_EQ(lm_state_init(&state, &model, batch, state_memory.byte, state_used), LLMQ_OK);
}

/* views 0: none are kept */
static void open_model(const llmq_bundle *b, int views, uint32_t bits, uint32_t window, uint32_t batch)
{
    const size_t size = lm_model_size(b);
    CHECK(size != 0 && size + 512 <= sizeof model_memory.byte);
    memset(model_memory.byte, 0x5a, sizeof model_memory.byte);
    CHECK_EQ(lm_model_init(&model, b, views ? model_memory.byte : NULL, views ? size : 0), LLMQ_OK);
    CHECK_EQ(lm_cache_bits(&model.cache, bits), LLMQ_OK);
    model.cache.window = window;
    open_state(batch);
}

/* Is memory behind that of the model and of the state as it was? */
static void check_bounds(void)
{
    size_t size = lm_model_size(&model.bundle), i;
    int same = 1;
    for (i = size; i < size + 512 && model.layer; i++) same = same && model_memory.byte[i] == 0x5a;
    for (i = 0; i < 512; i++) same = same && state_memory.byte[state_used + i] == 0xa5;
    CHECK(same);
}

static void run(float (*out)[VOCAB], uint32_t batch)
{
    uint32_t i, n;
    for (i = 0; i < TOKENS; i += n) {
        n = TOKENS - i < batch ? TOKENS - i : batch;
        CHECK_EQ(lm_forward(&model, &state, tokens + i, n, i, out[i]), LLMQ_OK);
    }
    check_bounds();
}

static double difference(int window)
{
    double most = 0, wanted[VOCAB];
    int i, v;
    for (i = 0; i < TOKENS; i++) {
        ref_forward(wanted, tokens[i], i, window);
        for (v = 0; v < VOCAB; v++)
            if (check_abs(wanted[v] - (double)logits[i][v]) > most) most = check_abs(wanted[v] - (double)logits[i][v]);
    }
    return most;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_functions(void)
{
    double worst[5] = { 0, 0, 0, 0, 0 }, e;
    float x;
    uint32_t i, p;
    for (x = -87.0f; x <= 88.0f; x += 0.0371f) {
        e = check_abs((double)lm__exp(x) / exp((double)x) - 1);
        worst[0] = e > worst[0] ? e : worst[0];
    }
    for (x = 1e-30f; x < 1e30f; x *= 1.37f) {
        e = check_abs((double)lm__inverse_sqrt(x) * sqrt((double)x) - 1);
        worst[1] = e > worst[1] ? e : worst[1];
    }
    for (p = 0; p < 4096; p += 1 + p / 7)
        for (i = 0; i < 16; i++) {
            lm__rotation t = lm__rotation_at(p, i, 16, -9.21034037f, 1.0f);
            double angle = p * pow(10000.0, -(double)i / 16);
            e = (check_abs((double)t.c - cos(angle)) + check_abs((double)t.s - sin(angle))) / (p + 1.0);
            worst[2] = e > worst[2] ? e : worst[2];
        }
    for (i = 0; i < 32; i++) /* far on, the lengths are still 1, and a distance of 37 is one */
        for (p = 1000; p < 1u << 24; p += p / 3) {
            lm__rotation t = lm__rotation_at(p, i, 32, -9.21034037f, 1.0f),
                u = lm__rotation_at(p - 37, i, 32, -9.21034037f, 1.0f),
                by = lm__rotation_at(37, i, 32, -9.21034037f, 1.0f);
            e = check_abs(sqrt((double)t.c * (double)t.c + (double)t.s * (double)t.s) - 1);
            worst[3] = e > worst[3] ? e : worst[3];
            u = lm__complex_product(u, by);
            e = check_abs((double)t.c - (double)u.c) + check_abs((double)t.s - (double)u.s);
            worst[4] = e > worst[4] ? e : worst[4];
        }
    CHECK(worst[3] < 2e-6 && worst[4] < 4e-6);
    /* a few units of 6e-8, and the same for each step of the position */
    CHECK(worst[0] < 4e-7 && worst[1] < 3e-7 && worst[2] < 4e-7);
    CHECK(lm__exp(-87.5f) == 0.0f && lm__exp(-1e30f) == 0.0f && lm__exp(0.0f) == 1.0f);
    CHECK(lm__exp(1e30f) == lm__exp(88.0f) && lm__exp(88.0f) < 3.4e38f);
    x = lm__float(0x7fc00000u);
    CHECK(lm__exp(x) != lm__exp(x));
}

static void test_forward(void)
{
    static const struct { uint32_t bits, window; double most; } cases[] = {
        { 32, 0, 1e-4 }, { 32, 8, 1e-4 }, { 32, 1, 1e-4 }, { 32, 200, 1e-4 }, { 16, 0, 3e-2 }, { 8, 0, 0.7 },
        { 8, 8, 0.7 }
    }; /* of logits up to 40: what a float's 6e-8 is after two layers, and what so few bits leave */
    llmq_bundle b;
    uint32_t i;
    make_bundle(&b, "f32");
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        double off;
        open_model(&b, 1, cases[i].bits, cases[i].window, 1);
        run(logits, 1);
        off = difference(cases[i].window ? (int)cases[i].window : TOKENS);
        check_at("%lu bits, window %lu: off by %g", (unsigned long)cases[i].bits, (unsigned long)cases[i].window, off);
        CHECK(off < cases[i].most);
    }
    check_at("%s", "");
}

/* Batches, views that are kept or not, a window that holds everything: all the same bits. */
static void test_ways(void)
{
    static const struct { uint32_t bits, window, batch; int views; } ways[] = {
        { 32, 0, 1, 0 }, { 32, 0, 3, 1 }, { 32, 0, TOKENS, 1 }, { 32, TOKENS, 7, 0 }, { 4, 0, 1, 0 }, { 4, 0, 3, 1 },
        { 4, 0, TOKENS, 0 }, { 4, 4096, 7, 1 },
        { 3, 6, 1, 1 }, { 3, 6, 5, 0 }, { 3, 6, TOKENS, 1 }
    };
    llmq_bundle b;
    uint32_t i, r;
    make_bundle(&b, "g4");
    for (i = 0; i < sizeof ways / sizeof *ways; i++) {
        check_at("%lu bits, window %lu, batch %lu, views %d", (unsigned long)ways[i].bits,
                 (unsigned long)ways[i].window, (unsigned long)ways[i].batch, ways[i].views);
        if (i == 0 || ways[i].bits != ways[i - 1].bits) {
            open_model(&b, 1, ways[i].bits, ways[i].bits == 3 ? 6 : 0, 1);
            run(logits, 1);
        }
        open_model(&b, ways[i].views, ways[i].bits, ways[i].window, ways[i].batch);
        memset(again, 0, sizeof again);
        run(again, ways[i].batch);
        CHECK(memcmp(logits, again, sizeof logits) == 0);
        memset(again, 0, sizeof again);
        for (r = 0; r < VOCAB; r += 16)
            CHECK_EQ(lm_logits(&model, &state, 1, r, r + 16, again[0] + r, VOCAB), LLMQ_OK);
        if (ways[i].batch == 1) CHECK(memcmp(logits[TOKENS - 1], again[0], sizeof again[0]) == 0);
    }
    check_at("%s", "");
}

/* The same positions once more, more of them at a time; and a raw tensor between quantized ones,
   whose activations stay what they are. */
static void test_again(void)
{
    static float keys[KV];
    llmq_bundle b;
    int raw;
    make_bundle(&b, "g4");
    open_model(&b, 1, 32, 0, 4);
    run(logits, 4);
    CHECK_EQ(lm_forward(&model, &state, tokens, 1, 0, again[0]), LLMQ_OK);
    CHECK_EQ(lm_forward(&model, &state, tokens, 4, 0, again[0]), LLMQ_OK);
    CHECK_EQ(lm_forward(&model, &state, tokens + 4, 4, 4, again[4]), LLMQ_OK);
    CHECK(memcmp(logits[0], again[0], sizeof *again) == 0 && memcmp(logits[4], again[4], sizeof *again) == 0);
    for (raw = 0; raw < 2; raw++) {
        change.raw = raw ? "layers.0.wq" : NULL;
        make_bundle(&b, "g4");
        open_model(&b, 1, 32, 0, 4);
        CHECK_EQ(lm_embed(&model, &state, tokens, 1), LLMQ_OK);
        CHECK_EQ(lm_layer_forward(&model, &state, 0, 1, 0), LLMQ_OK);
        if (raw) CHECK(memcmp(keys, state.keys, sizeof keys) == 0);
        memcpy(keys, state.keys, sizeof keys);
    }
    change.raw = NULL;
}

/* The bits of the last logits, of weights and caches of few bits, rotated: found once, the same on every processor. */
static void test_bits(void)
{
    static const struct { const char *format; uint32_t bits, window, hash; } golden[] =
        { { "g4", 4, 8, 0x70f79fa7u }, { "t3", 8, 0, 0xe13adb0au }, { "f32", 32, 0, 0x3a1b3c0cu } };
    llmq_bundle b;
    uint32_t i;
    size_t k;
    for (i = 0; i < sizeof golden / sizeof *golden; i++) {
        uint32_t hash = 2166136261u;
        make_bundle(&b, golden[i].format);
        open_model(&b, 1, golden[i].bits, golden[i].window, 5);
        model.cache.transform = llmq_transform_hadamard(4, 512);
        open_state(5);
        run(logits, 5);
        for (k = 0; k < (size_t)TOKENS * VOCAB; k++) hash = (hash ^ bits_of(logits[k / VOCAB][k % VOCAB])) * 16777619u;
        check_at("%s: %08lx", golden[i].format, (unsigned long)hash);
        CHECK(hash == golden[i].hash);
    }
    check_at("%s", "");
}

/* Names of tensors; bits of a cache; memory that is handed out, and that which there cannot be. */
static void test_sizes(void)
{
    static const size_t beyond[][3] = { { SIZE_MAX / 2 + 2, 2, 1 }, { SIZE_MAX / 2 + 2, 1, 2 }, { SIZE_MAX, 1, 1 },
                                        { SIZE_MAX - 40, 1, 1 }, { 3, SIZE_MAX / 3 + 1, 1 } };
    static const uint32_t bits[] = { 2, 3, 4, 5, 6, 8, 16, 32 };
    char name[40];
    lm_cache c;
    uint32_t i;
    CHECK(is("layers.0.wq", lm__name(name, 0, "wq")) && is("layers.10.norm1", lm__name(name, 10, "norm1")));
    CHECK(is("layers.65535.norm2", lm__name(name, 65535, "norm2")));
    for (i = 0; i < sizeof bits / sizeof *bits; i++) {
        memset(&c, 0, sizeof c);
        CHECK_EQ(lm_cache_bits(&c, bits[i]), LLMQ_OK);
        CHECK(c.key.bits == bits[i] && c.value.bits == bits[i] && c.key.group == 0
              && (c.key.points == NULL) == (bits[i] >= 16));
    }
    for (i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        lm__pool p = { NULL, 0 };
        (void)lm__take(&p, 3, 1, 1);
        CHECK(p.used == 16);
        (void)lm__take(&p, 1, 4, 4);
        CHECK(p.used == 32);
        (void)lm__take(&p, beyond[i][0], beyond[i][1], beyond[i][2]);
        CHECK(p.used == SIZE_MAX);
        (void)lm__take(&p, 1, 1, 1);
        CHECK(p.used == SIZE_MAX);
    }
}

static void test_errors(void)
{
    uint32_t token = VOCAB;
    size_t need;
    llmq_bundle b;
    make_bundle(&b, "g4");
    open_model(&b, 1, 32, 0, 2);
    CHECK_EQ(lm_forward(&model, &state, &token, 1, 0, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(lm_forward(&model, &state, tokens, 0, 0, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(lm_forward(&model, &state, tokens, 3, 0, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(lm_forward(&model, &state, tokens, 1, CONTEXT, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(lm_forward(&model, &state, tokens, 2, CONTEXT - 1, logits[0]), LLMQ_E_ARG);
    token = 0xffffffffu;
    CHECK_EQ(lm_forward(&model, &state, &token, 1, 0, logits[0]), LLMQ_E_ARG);
    for (token = 0; token <= 3; token += 3) { /* none, and more than a call has room for */
        CHECK_EQ(lm_embed(&model, &state, tokens, token), LLMQ_E_ARG);
        CHECK_EQ(lm_layer_forward(&model, &state, 0, token, 0), LLMQ_E_ARG);
        CHECK_EQ(lm_logits(&model, &state, token, 0, VOCAB, logits[0], VOCAB), LLMQ_E_ARG);
    }
    CHECK_EQ(lm_layer_forward(&model, &state, 0, 2, CONTEXT - 1), LLMQ_E_ARG);
    CHECK_EQ(lm_layer_forward(&model, &state, 0, 1, CONTEXT), LLMQ_E_ARG);
    CHECK_EQ(lm_layer_forward(&model, &state, LAYERS, 1, 0), LLMQ_E_ARG);
    CHECK_EQ(lm_logits(&model, &state, 1, 0, VOCAB + 1, logits[0], VOCAB), LLMQ_E_ARG);
    CHECK_EQ(lm_logits(&model, &state, 1, 2, 1, logits[0], VOCAB), LLMQ_E_ARG);
    CHECK_EQ(lm_embed(&model, &state, tokens, 1), LLMQ_OK);
    state.x[5] = float_of(0x7f800000u);
    CHECK_EQ(lm_layer_forward(&model, &state, 0, 1, 0), LLMQ_E_NOT_FINITE);
    need = lm_state_size(&model, 2);
    CHECK_EQ(lm_state_init(&state, &model, 2, state_memory.byte, need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(lm_state_init(&state, &model, 0, state_memory.byte, need), LLMQ_E_ARG);
    CHECK_EQ(lm_state_init(&state, &model, 2, NULL, need), LLMQ_E_ARG);
    CHECK_EQ(lm_state_init(&state, &model, 2, state_memory.byte + 1, need), LLMQ_E_ARG);
    if (sizeof(void *) > 4) CHECK_EQ(lm_state_init(&state, &model, 2, state_memory.byte + 4, need), LLMQ_E_ARG);
    CHECK_EQ(llmq_format_find(&model.cache.key, "g4", 0), LLMQ_OK);
    CHECK_EQ(lm_cache_bits(&model.cache, 7), LLMQ_E_NOT_FOUND);
    CHECK_EQ((long)model.cache.key.bits, 4);
    CHECK_EQ((long)model.cache.value.bits, 32);
    CHECK_EQ(llmq_format_find(&model.cache.key, "t3", 0), LLMQ_OK);
    CHECK_EQ((long)lm_state_size(&model, 2), 0);
    CHECK_EQ(lm_state_init(&state, &model, 2, state_memory.byte, sizeof state_memory.byte), LLMQ_E_ARG);
    CHECK_EQ(lm_model_init(&model, &b, model_memory.byte, lm_model_size(&b) - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(lm_model_init(&model, &b, NULL, 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(lm_model_init(&model, &b, model_memory.byte + 1, lm_model_size(&b)), LLMQ_E_ARG);
    make_bundle(&b, "f32");
    open_model(&b, 1, 32, 0, 1); /* a state that was made for smaller tensors */
    state.activation_size = 64; /* enough for a head */
    CHECK_EQ(lm_forward(&model, &state, tokens, 1, 0, logits[0]), LLMQ_E_WORKSPACE);
    open_model(&b, 0, 4, 8, 1); /* a window: positions beyond the context, up to 2^24 */
    CHECK_EQ(lm_forward(&model, &state, tokens, 1, CONTEXT + 100, logits[0]), LLMQ_OK);
    CHECK_EQ(lm_forward(&model, &state, tokens, 1, 1u << 24, logits[0]), LLMQ_E_ARG);
}

/* The bundle as it is changed: both ways to keep a model say this. */
static void check_refused(llmq_status status)
{
    llmq_bundle b;
    make_bundle(&b, "f32"); /* the soonest made */
    CHECK_EQ(lm_model_init(&model, &b, model_memory.byte, sizeof model_memory.byte), status);
    CHECK_EQ(lm_model_init(&model, &b, NULL, 0), status);
}

/* In a bundle that is open. */
static void set_value(const llmq_bundle *b, const char *name, uint32_t u)
{
    const void *data;
    size_t size;
    CHECK_EQ(llmq_bundle_value(b, name, LLMQ_VALUE_U32, &data, &size), LLMQ_OK);
    put32(bundle_bytes + ((const unsigned char *)data - bundle_bytes), u);
}

/* Bundles that open, and hold no model: a tensor that is missing or has another shape, values that are none. */
static void test_hostile(void)
{
    static const struct {
        const char *name;
        uint32_t bits;
        int shape; /* 1: a model, but not of these tensors */
    } wrong[] = {
        { "lm.dim", 0, 0 }, { "lm.dim", DIM + 1, 0 }, { "lm.dim", DIM / 2, 1 },
        { "lm.dim", (1u << 24) + 1, 0 },
        { "lm.hidden", 0, 0 }, { "lm.hidden", HIDDEN + 1, 1 }, { "lm.layers", 0, 0 },
        { "lm.layers", 65537, 0 },
        { "lm.heads", 0, 0 }, { "lm.heads", DIM, 0 }, { "lm.heads", 8, 0 },
        { "lm.heads", 7, 0 }, { "lm.kv_heads", 0, 0 }, { "lm.kv_heads", 4, 0 }, { "lm.kv_heads", 3, 1 },
        { "lm.kv_heads", 1u << 24, 0 }, { "lm.vocab", VOCAB - 1, 1 }, { "lm.vocab", 0, 0 },
        { "lm.vocab", (1u << 24) + 1, 0 }, { "lm.context", 0, 0 },
        { "lm.context", 0xffffffffu, 0 }, { "lm.abits", 1, 1 }, { "lm.abits", 9, 1 }, { "lm.azero", 2, 1 },
        { "lm.ascales", 3, 1 }, { "lm.aclip", 0, 1 }, { "lm.aclip", 0x7fc00000u, 1 },
        { "lm.aclip", 0x3f800001u, 1 },
        { "lm.rope_theta", 0x3f7fffffu, 0 }, { "lm.rope_theta", 0x7fc00000u, 0 },
        { "lm.rope_theta", 0x7f800000u, 0 }, { "lm.rope_theta", 0xc61c4000u, 0 },
        { "lm.norm_epsilon", 0, 0 }, { "lm.norm_epsilon", 0x3f800001u, 0 },
        { "lm.norm_epsilon", 0x7fc00000u, 0 }, { "lm.rope_halves", 2, 0 }
    };
    static const struct { const char *name; uint32_t rows, cols; } whole[] =
        { { "embed", VOCAB, DIM }, { "classifier", VOCAB, DIM }, { "norm", 1, DIM } };
    llmq_bundle b;
    uint32_t i, k;
    char fault[256];
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_at("%s = %08lx", wrong[i].name, (unsigned long)wrong[i].bits);
        memset(&change, 0, sizeof change);
        change.value = wrong[i].name, change.bits = wrong[i].bits;
        change.type = is(wrong[i].name, "lm.aclip") || is(wrong[i].name, "lm.rope_theta")
                      || is(wrong[i].name, "lm.norm_epsilon") ? LLMQ_VALUE_F32 : LLMQ_VALUE_U32;
        check_refused(LLMQ_E_CORRUPT);
        if (wrong[i].shape == 0 && wrong[i].bits != DIM)
            CHECK(strncmp(lm_model_fault(&model, fault), "lm.", 3) == 0);
        make_bundle(&b, "f32");
        CHECK((lm_model_size(&b) != 0) == (wrong[i].shape != 0));
    }
    memset(&change, 0, sizeof change);
    change.value = "lm.layers", change.type = LLMQ_VALUE_U32, change.bits = LAYERS + 1;
    check_refused(LLMQ_E_NOT_FOUND);
    memset(&change, 0, sizeof change);
    for (i = 0; i < 3 + LAYERS * PARTS; i++) {
        char name[24];
        uint32_t rows = i < 3 ? whole[i].rows : part[(i - 3) % PARTS].rows,
            cols = i < 3 ? whole[i].cols : part[(i - 3) % PARTS].cols;
        const int bias = i >= 3 && (i - 3) % PARTS >= BQ;
        if (i < 3) snprintf(name, sizeof name, "%s", whole[i].name);
        else snprintf(name, sizeof name, "layers.%u.%s", (unsigned)((i - 3) / PARTS), part[(i - 3) % PARTS].name);
        check_at("%s", name);
        change.classifier = i == 1;
        if (bias) change.biases[(i - 3) / PARTS][(i - 3) % PARTS - BQ] = 1;
        if (i != 1 && !bias) {
            change.missing = name;
            check_refused(LLMQ_E_NOT_FOUND);
            CHECK(is(name, lm_model_fault(&model, fault)));
            change.missing = NULL;
        }
        change.reshaped = name;
        for (k = 0; k < 4; k++) {
            change.rows = rows == 1 ? 1 + (k < 2) : rows + (k == 0) - (k == 1);
            change.cols = cols + (k == 2) - (k == 3);
            check_refused(LLMQ_E_CORRUPT);
            CHECK(is(name, lm_model_fault(&model, fault)));
        }
        change.reshaped = NULL;
        if (rows == 1 && cols == DIM) { /* a basis that it would have to be brought back from */
            change.turned = name;
            check_refused(LLMQ_E_CORRUPT);
            change.turned = NULL;
        }
        memset(change.biases, 0, sizeof change.biases);
    }
    check_at("%s", "");
    make_bundle(&b, "g4"); /* norms of 5 TB: where size_t has 32 bits, no memory is large enough */
    set_value(&b, "lm.dim", 6u << 21);
    set_value(&b, "lm.layers", 65536);
    CHECK((lm_model_size(&b) == 0) == (sizeof(size_t) < 8));
    CHECK_EQ(lm_model_init(&model, &b, model_memory.byte, sizeof model_memory.byte),
             sizeof(size_t) < 8 ? LLMQ_E_LIMIT : LLMQ_E_WORKSPACE);
}

/* What becomes of the bundle as it is changed: the status of lm_model_init, or else of running it,
   near the first position and at the last one that there is. All logits are then finite. */
static llmq_status outcome(const char *format, int views)
{
    llmq_bundle b;
    llmq_status status;
    uint32_t i, v;
    make_bundle(&b, format);
    status = lm_model_init(&model, &b, views ? model_memory.byte : NULL, views ? sizeof model_memory.byte : 0);
    if (status != LLMQ_OK) return status;
    model.cache.window = 8;
    open_state(2);
    status = lm_forward(&model, &state, tokens, 2, 0, logits[0]);
    if (status != LLMQ_OK) return status;
    CHECK_EQ(lm_forward(&model, &state, tokens, 1, (1u << 24) - 1, logits[2]), LLMQ_OK);
    for (i = 0; i < 3; i++)
        for (v = 0; v < VOCAB; v++) CHECK(logits[i][v] - logits[i][v] == 0.0f);
    return LLMQ_OK;
}

#define U32 LLMQ_VALUE_U32
#define F32 LLMQ_VALUE_F32
#define BYTES LLMQ_VALUE_BYTES

/* A number of the model is used if it is in the range that lm.h says, and refused by its name if
   not: whatever bits are there, of this type or of another one. */
static void test_ranges(void)
{
    static const struct { const char *name; float least, most; } real[] = {
        { "lm.rope_theta", 1.0f, 1e30f }, { "lm.norm_epsilon", 1e-12f, 1.0f },
        { "lm.aclip", 1.4013e-45f, 1.0f },
        { "lm.rope_theta_local", 1.0f, 1e30f }, { "lm.rope_scale", 1e-6f, 1.0f },
        { "lm.embed_scale", 1e-6f, 1e6f }, { "lm.residual_scale", 1e-6f, 1e6f }, { "lm.attention_scale", 1e-6f, 1e6f },
        { "lm.logit_scale", 1e-6f, 1e6f }, { "lm.attention_softcap", 1e-3f, 1e6f }, { "lm.logit_softcap", 1e-3f, 1e6f }
    };
    static const uint32_t never[] = { 0, 0x80000000u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00000u, 0x7f800001u,
                                      0x7f7fffffu, 0xff7fffffu, 0xbf800000u, 0xffffffffu, 0x80000001u };
    uint32_t i, k;
    char fault[256];
    memset(&change, 0, sizeof change);
    for (i = 0; i < sizeof real / sizeof *real; i++) {
        const uint32_t least = bits_of(real[i].least), most = bits_of(real[i].most);
        const int known = !LM_ONLY_LLAMA || i < 3;
        change.said[0].name = real[i].name, change.said[0].type = F32;
        for (k = 0; k < 4 + sizeof never / sizeof *never; k++) {
            const uint32_t bits = k == 0 ? least : k == 1 ? most : k == 2 ? least - 1 : k == 3 ? most + 1
                                  : never[k - 4];
            const int built = known && !(LLMQ_NO_ACTIVATION_OPTIONS && i == 2 && k == 0);
            check_at("%s = %08lx", real[i].name, (unsigned long)bits);
            change.said[0].bits = bits;
            if (built && k < 2) {
                CHECK_EQ(outcome("g4", 0), LLMQ_OK);
                CHECK_EQ(outcome("g4", 1), LLMQ_OK);
            } else {
                check_refused(built ? LLMQ_E_CORRUPT : LLMQ_E_UNSUPPORTED);
                CHECK(is(real[i].name, lm_model_fault(&model, fault)));
            }
        }
    }
    memset(&change, 0, sizeof change);
    check_at("%s", "");
}

/* Whole numbers, and values that do not fit each other. Heads are of DIM / HEADS = 12 elements. */
static void test_combinations(void)
{
    static const struct {
        struct { const char *name; uint32_t type, bits; size_t size; } said[3];
        llmq_status status;
        const char *fault;
        int extra; /* 1: of a value that LM_ONLY_LLAMA has not */
    } cases[] = {
        { { { "lm.context", U32, 1, 0 } }, LLMQ_OK, "", 0 },
        { { { "lm.context", U32, 1u << 24, 0 } }, LLMQ_OK, "", 0 },
        { { { "lm.context", U32, (1u << 24) + 1, 0 } }, LLMQ_E_CORRUPT, "lm.context", 0 },
        { { { "lm.dim", U32, 1u << 24, 0 } }, LLMQ_E_CORRUPT, "lm.heads", 0 }, /* no multiple of 6 */
        { { { "lm.dim", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.dim", 0 },
        { { { "lm.dim", U32, 1u << 24, 0 }, { "lm.heads", U32, 2, 0 } }, LLMQ_E_CORRUPT, "embed", 0 },
        { { { "lm.hidden", U32, 1u << 24, 0 } }, LLMQ_E_CORRUPT, "layers.0.w1", 0 },
        { { { "lm.hidden", U32, 0x80000000u, 0 } }, LLMQ_E_CORRUPT, "lm.hidden", 0 },
        { { { "lm.layers", U32, 1, 0 } }, LLMQ_E_UNSUPPORTED, "layers.1.norm1", 0 },
        { { { "lm.layers", U32, 65536, 0 } }, LLMQ_E_NOT_FOUND, "layers.2.wq", 0 },
        { { { "lm.layers", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.layers", 0 },
        { { { "lm.vocab", U32, 1u << 24, 0 } }, LLMQ_E_CORRUPT, "embed", 0 },
        { { { "lm.vocab", U32, 0x80000001u, 0 } }, LLMQ_E_CORRUPT, "lm.vocab", 0 },
        { { { "lm.heads", U32, 1u << 24, 0 } }, LLMQ_E_CORRUPT, "lm.heads", 0 },
        { { { "lm.heads", U32, (1u << 24) + 1, 0 } }, LLMQ_E_CORRUPT, "lm.heads", 0 },
        { { { "lm.heads", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.heads", 0 },
        { { { "lm.heads", U32, 24, 0 } }, LLMQ_E_CORRUPT, "lm.heads", 0 },     /* 24 of 3 elements, which is odd */
        { { { "lm.heads", U32, 36, 0 } }, LLMQ_E_CORRUPT, "layers.0.wk", 0 },  /* 36 of 2, 2 of keys */
        { { { "lm.kv_heads", U32, 12, 0 } }, LLMQ_E_CORRUPT, "lm.kv_heads", 0 }, /* more than of queries */
        { { { "lm.kv_heads", U32, 5, 0 } }, LLMQ_E_CORRUPT, "lm.kv_heads", 0 },
        { { { "lm.kv_heads", U32, 6, 0 } }, LLMQ_E_CORRUPT, "layers.0.wk", 0 },
        { { { "lm.kv_heads", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.kv_heads", 0 },
        { { { "lm.rope_halves", U32, 1, 0 } }, LLMQ_OK, "", 0 },
        { { { "lm.rope_halves", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.rope_halves", 0 },
        { { { "lm.abits", U32, 0, 0 } }, LLMQ_E_CORRUPT, "lm.abits", 0 },
        { { { "lm.abits", U32, 31, 0 } }, LLMQ_E_CORRUPT, "lm.abits", 0 },
        { { { "lm.abits", U32, 33, 0 } }, LLMQ_E_CORRUPT, "lm.abits", 0 },
        { { { "lm.abits", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.abits", 0 },
        { { { "lm.abits", U32, 32, 0 } }, LLMQ_OK, "", 0 },
        { { { "lm.azero", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.azero", 0 },
        { { { "lm.ascales", U32, 0x80000000u, 0 } }, LLMQ_E_CORRUPT, "lm.ascales", 0 },
#if !LLMQ_NO_ACTIVATION_OPTIONS
        { { { "lm.abits", U32, 2, 0 }, { "lm.aclip", F32, 1, 0 }, { "lm.ascales", U32, 2, 0 } }, LLMQ_OK, "", 0 },
        { { { "lm.abits", U32, 8, 0 }, { "lm.azero", U32, 1, 0 }, { "lm.aclip", F32, 1, 0 } }, LLMQ_OK, "", 0 },
#endif
        { { { "lm.head", U32, HEAD, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.head", U32, 0, 0 } }, LLMQ_E_CORRUPT, "lm.head", 1 },
        { { { "lm.head", U32, HEAD - 1, 0 } }, LLMQ_E_CORRUPT, "lm.head", 1 },
        { { { "lm.head", U32, HEAD - 2, 0 } }, LLMQ_E_CORRUPT, "layers.0.wq", 1 },
        { { { "lm.head", U32, 1u << 24, 0 } }, LLMQ_E_CORRUPT, "lm.head", 1 },  /* 6 of them are over 2^24 */
        { { { "lm.head", U32, 0xfffffffeu, 0 } }, LLMQ_E_CORRUPT, "lm.head", 1 },
        { { { "lm.head", U32, 4, 0 }, { "lm.heads", U32, 1u << 22, 0 } }, LLMQ_E_CORRUPT, "layers.0.wq", 1 },
        { { { "lm.head", U32, 6, 0 }, { "lm.heads", U32, 1u << 22, 0 } }, LLMQ_E_CORRUPT, "lm.head", 1 },
        { { { "lm.head", U32, HEAD, 0 }, { "lm.heads", U32, 4, 0 } }, LLMQ_E_CORRUPT, "layers.0.wq", 1 },
        { { { "lm.activation", U32, LM_RELU_SQUARED, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.activation", U32, LM_RELU, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.activation", U32, LM_GELU, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.activation", U32, LM_SILU, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.activation", U32, LM_RELU_SQUARED + 1, 0 } }, LLMQ_E_CORRUPT, "lm.activation", 1 },
        { { { "lm.activation", U32, 0xffffffffu, 0 } }, LLMQ_E_CORRUPT, "lm.activation", 1 },
        { { { "lm.rope_part", U32, 2, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.rope_part", U32, 2, 0 }, { "lm.rope_halves", U32, 1, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.rope_part", U32, HEAD, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.rope_part", U32, 0, 0 } }, LLMQ_E_CORRUPT, "lm.rope_part", 1 },
        { { { "lm.rope_part", U32, HEAD - 1, 0 } }, LLMQ_E_CORRUPT, "lm.rope_part", 1 },
        { { { "lm.rope_part", U32, HEAD + 2, 0 } }, LLMQ_E_CORRUPT, "lm.rope_part", 1 },
        { { { "lm.rope_part", U32, 0xfffffffeu, 0 } }, LLMQ_E_CORRUPT, "lm.rope_part", 1 },
        { { { "lm.rope_part", U32, 4, 0 }, { "lm.head", U32, 2, 0 } }, LLMQ_E_CORRUPT, "lm.rope_part", 1 },
        { { { "lm.window", U32, 0, 0 } }, LLMQ_E_CORRUPT, "lm.window", 1 },
        { { { "lm.window", U32, (1u << 24) + 1, 0 } }, LLMQ_E_CORRUPT, "lm.window", 1 },
        { { { "lm.window", U32, 1, 0 } }, LLMQ_OK, "", 1 },                     /* and no layer has it */
        { { { "lm.window", U32, 1, 0 }, { "lm.layer_kinds", BYTES, 0x0101, 2 } }, LLMQ_OK, "", 1 },
        { { { "lm.window", U32, 1u << 24, 0 }, { "lm.layer_kinds", BYTES, 0x0001, 2 } }, LLMQ_OK, "", 1 },
        { { { "lm.window", U32, 3, 0 }, { "lm.layer_kinds", BYTES, 0x0300, 2 },
            { "lm.rope_theta_local", F32, 0x3f800000u, 0 } }, LLMQ_OK, "", 1 },
        { { { "lm.window", U32, 3, 0 }, { "lm.layer_kinds", BYTES, 0x0001, 2 }, { "lm.rope_part", U32, 4, 0 } },
          LLMQ_OK, "", 1 },
        { { { "lm.layer_kinds", BYTES, 0x0202, 2 } }, LLMQ_OK, "", 1 },         /* no layer has RoPE */
        { { { "lm.layer_kinds", BYTES, 0x0100, 2 } }, LLMQ_E_CORRUPT, "lm.layer_kinds", 1 }, /* a window of no size */
        { { { "lm.layer_kinds", BYTES, 0x0400, 2 } }, LLMQ_E_CORRUPT, "lm.layer_kinds", 1 },
        { { { "lm.layer_kinds", BYTES, 0x00ff, 2 } }, LLMQ_E_CORRUPT, "lm.layer_kinds", 1 },
        { { { "lm.layer_kinds", BYTES, 0, 1 } }, LLMQ_E_CORRUPT, "lm.layer_kinds", 1 },
        { { { "lm.layer_kinds", BYTES, 0, 3 } }, LLMQ_E_CORRUPT, "lm.layer_kinds", 1 },
        { { { "lm.layer_kinds", U32, 0, 0 } }, LLMQ_E_CORRUPT, "lm.layer_kinds", 1 },
        { { { "lm.layer_kinds", F32, 0, 0 } }, LLMQ_E_CORRUPT, "lm.layer_kinds", 1 },
        { { { "lm.window", U32, 2, 0 }, { "lm.layer_kinds", BYTES, 0x0101, 2 }, { "lm.layers", U32, 1, 0 } },
          LLMQ_E_CORRUPT, "lm.layer_kinds", 1 },
        { { { "classifier", U32, 0, 0 } }, LLMQ_E_NOT_FOUND, "classifier", 0 },
        { { { "rope_factors", U32, 0, 0 } }, LLMQ_E_NOT_FOUND, "rope_factors", 1 }
    };
    uint32_t i, k;
    char fault[256];
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        llmq_status with;
        if (LM_ONLY_LLAMA && cases[i].extra) continue;
        memset(&change, 0, sizeof change);
        for (k = 0; k < 3; k++) {
            change.said[k].name = cases[i].said[k].name, change.said[k].type = cases[i].said[k].type;
            change.said[k].bits = cases[i].said[k].bits, change.said[k].size = cases[i].said[k].size;
        }
        check_at("case %lu, %s = %08lx", (unsigned long)i, cases[i].said[0].name, (unsigned long)cases[i].said[0].bits);
        with = outcome("g4", 1);
        /* memory for so large a model is asked for before its tensors are looked at */
        CHECK(with == cases[i].status || (with == LLMQ_E_WORKSPACE && cases[i].status != LLMQ_OK));
        CHECK_EQ(outcome("g4", 0), cases[i].status);
        CHECK(is(cases[i].fault, lm_model_fault(&model, fault)));
    }
    memset(&change, 0, sizeof change);
    check_at("%s", "");
}

/* Every value of the model, as an entry of any other type, of another length, or as a tensor. */
static void test_types(void)
{
    static const uint32_t types[] = { LLMQ_VALUE_U32, LLMQ_VALUE_F32, LLMQ_VALUE_BYTES, LLMQ_VALUE_TEXT };
    char name[32], fault[256];
    llmq_entry e;
    uint32_t i, k;
    memset(&change, 0, sizeof change);
    for (i = 0; i < LM__VALUES + LM__OPTIONS; i++) {
        const struct lm__value *v = i < LM__VALUES ? &lm__value[i] : &lm__option[i - LM__VALUES];
        const llmq_status missing = i < LM__REQUIRED ? LLMQ_E_NOT_FOUND : LLMQ_E_CORRUPT;
        snprintf(name, sizeof name, "lm.%s", v->name);
        for (k = 0; k < 4; k++) {
            if (types[k] == v->type) continue;
            check_at("%s of type %lu", name, (unsigned long)types[k]);
            change.said[0].name = name, change.said[0].type = types[k], change.said[0].bits = 0x20202020u;
            check_refused(missing);
            CHECK(is(name, lm_model_fault(&model, fault)));
        }
        change.said[0].name = NULL;
        if (i >= LM__REQUIRED) {
            change.more = name; /* options are read last, behind all names */
            check_refused(i < LM__VALUES ? LLMQ_E_CORRUPT : LLMQ_E_UNSUPPORTED);
            CHECK(is(name, lm_model_fault(&model, fault)));
            change.more = NULL;
        }
        memset(&e, 0, sizeof e); /* other lengths are in no bundle */
        e.name = name, e.kind = LLMQ_KIND_VALUE, e.type = v->type, e.data = value, e.size = 8;
        CHECK_EQ(llmq_bundle_write_memory(&e, 1, bundle_bytes, sizeof bundle_bytes), LLMQ_E_ARG);
        e.size = 3;
        CHECK_EQ(llmq_bundle_write_memory(&e, 1, bundle_bytes, sizeof bundle_bytes), LLMQ_E_ARG);
    }
    check_at("%s", "");
}

#if !LM_ONLY_LLAMA
/* Factors of RoPE: their shape, and numbers below 1 or that are none. */
static void test_factors(void)
{
    static const struct { uint32_t rows, cols; float first, last; llmq_status status; } cases[] = {
        { 1, HEAD / 2, 1.0f, 8.0f, LLMQ_OK }, { 1, HEAD / 2, 6e4f, 1.0f, LLMQ_OK },
        { 1, HEAD / 2, 1.0f, 0.999f, LLMQ_E_CORRUPT },
        { 1, HEAD / 2, 0.0f, 2.0f, LLMQ_E_CORRUPT },
        { 1, HEAD / 2, -1.0f, 2.0f, LLMQ_E_CORRUPT },
        { 1, HEAD / 2 - 1, 2.0f, 2.0f, LLMQ_E_CORRUPT }, { 1, HEAD / 2 + 1, 2.0f, 2.0f, LLMQ_E_CORRUPT },
        { 2, HEAD / 2, 2.0f, 2.0f, LLMQ_E_CORRUPT }
    };
    static float numbers[2 * DIM];
    uint32_t i, k;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_at("factors %lu", (unsigned long)i);
        for (k = 0; k < 2 * DIM; k++) numbers[k] = 1.5f;
        numbers[0] = cases[i].first, numbers[HEAD / 2 - 1] = cases[i].last;
        memset(&change, 0, sizeof change);
        change.more = change.reshaped = "rope_factors", change.numbers = numbers;
        change.rows = cases[i].rows, change.cols = cases[i].cols;
        CHECK_EQ(outcome("f32", 1), cases[i].status);
        CHECK_EQ(outcome("f32", 0), cases[i].status); /* without memory lm_forward looks at numbers */
    }
    memset(&change, 0, sizeof change);
    check_at("%s", "");
}
#endif

/* More positions in all layers than a size_t may hold: layers that share one set of tensors. */
static void test_positions(void)
{
    static const uint32_t layers[] = { 1, 255, 256, 257, 512 };
    llmq_bundle b;
    uint32_t i;
    make_bundle(&b, "g4");
    CHECK_EQ(lm_model_init(&model, &b, model_memory.byte, sizeof model_memory.byte), LLMQ_OK);
    CHECK_EQ(llmq_format_find(&model.cache.key, "g2", 0), LLMQ_OK);
    model.cache.value = model.cache.key;
    model.cache.window = 1u << 24;
    for (i = 0; i < sizeof layers / sizeof *layers; i++) {
        static lm_layer layer[512];
        uint32_t l;
        for (l = 0; l < layers[i]; l++) layer[l] = model.layer[0];
        {
            lm_model many = model;
            size_t size, least;
            many.layers = layers[i], many.layer = layer;
            size = lm_state_size(&many, 1);
            least = (size_t)2 * KV_HEADS * 4; /* bytes of a position in a layer: 12 elements of 2 bits, and scales */
            check_at("%lu layers", (unsigned long)layers[i]);
            CHECK(size == 0 || size / least / layers[i] >= 1u << 24);
            CHECK(size != 0 || sizeof(size_t) < 8);
        }
    }
    check_at("%s", "");
}

/* Keys and values in formats of any kind, each its own. */
static void test_caches(void)
{
    static const struct {
        const char *key, *value;
        uint32_t key_group, value_group;
        int turned;
        double most;
    } cases[] = {
        { "u8", "u8", 0, 0, 0, 0.7 }, { "u4", "u4", 0, 32, 1, 8.0 }, { "g3", "f32", 0, 0, 0, 12.0 },
        { "f16", "g8", 0, 0, 1, 0.7 }, { "bf16", "f32", 0, 0, 1, 0.3 },
        { "f32", "v2n16", 0, 32, 1, 12.0 }, { "own", "f32", 0, 0, 0, 2.0 }, { "g8", "own", 32, 0, 1, 2.0 }
    };
    int8_t points[128];
    llmq_bundle b;
    llmq_format own;
    uint32_t i;
    for (i = 0; i < 128; i++) points[i] = (int8_t)(2 * (int)i - 127);
    CHECK_EQ(llmq_format_custom(&own, 1, 128, points, 40.0f, 0), LLMQ_OK);
    make_bundle(&b, "f32");
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        double off;
        uint32_t batch;
        for (batch = 1; batch <= 6; batch += 5) {
            open_model(&b, batch == 1, 32, 0, batch);
            if (is("own", cases[i].key)) model.cache.key = own;
            else CHECK_EQ(llmq_format_find(&model.cache.key, cases[i].key, cases[i].key_group), LLMQ_OK);
            if (is("own", cases[i].value)) model.cache.value = own;
            else CHECK_EQ(llmq_format_find(&model.cache.value, cases[i].value, cases[i].value_group), LLMQ_OK);
            if (cases[i].turned) model.cache.transform = llmq_transform_hadamard(7, 512);
            open_state(batch);
            run(batch == 1 ? logits : again, batch);
        }
        off = difference(TOKENS);
        check_at("keys %s, values %s: off by %g", cases[i].key, cases[i].value, off);
        CHECK(off < cases[i].most && off > 1e-4);
        for (batch = 0; batch < TOKENS; batch += 6) CHECK(memcmp(logits[batch], again[batch], sizeof *again) == 0);
        CHECK(memcmp(logits[TOKENS - 2], again[TOKENS - 2], sizeof *again) == 0);
    }
    check_at("%s", "");
    model.cache.transform = llmq_transform_hadamard(7, 3); /* no power of two */
    CHECK(lm_state_size(&model, 1) == 0);
    model.cache.transform.count = 0;
    CHECK(lm_state_size(&model, 1) != 0);
    model.cache.window = (1u << 24) + 1;
    CHECK(lm_state_size(&model, 1) == 0);
    model.cache.window = 0;
    CHECK(lm_state_size(&model, 0) == 0);
    CHECK_EQ(llmq_format_find(&model.cache.value, "t3", 0), LLMQ_OK);
    CHECK(lm_state_size(&model, 1) == 0);
    memset(&model.cache.value, 0, sizeof model.cache.value); /* as after a format that is not built in */
    CHECK(lm_state_size(&model, 1) == 0);
}

/* Tensors in bases of their own, which need memory to be turned in. */
static void test_transforms(void)
{
    static const char *const turned[] = { NULL, "embed", "classifier", "layers.0.wk", "layers.1.w1" };
    static float usual[TOKENS][VOCAB];
    llmq_bundle b;
    uint32_t i;
    for (i = 0; i < sizeof turned / sizeof *turned; i++) {
        check_at("%s", turned[i] ? turned[i] : "none");
        change.classifier = 1, change.turned = turned[i];
        make_bundle(&b, "f32");
        open_model(&b, 1, 32, 0, 2);
        run(logits, 1);
        open_model(&b, 0, 32, 0, 1);
        run(again, 1);
        CHECK(memcmp(logits, again, sizeof logits) == 0);
        if (i == 0) memcpy(usual, logits, sizeof usual);
        else CHECK(memcmp(logits, usual, sizeof logits) != 0);
    }
    memset(&change, 0, sizeof change);
    check_at("%s", "");
}

#if !LLMQ_NO_ACTIVATION_OPTIONS
/* Activations as the bundle says, or as the caller does. */
static void test_activations(void)
{
    static const struct { const char *name; uint32_t type, bits; llmq_activation_options same; } cases[] = {
        { NULL, 0, 0, { 8, 0, LLMQ_SCALES_GROUP, 1.0f } },
        { "lm.abits", LLMQ_VALUE_U32, 32, { 32, 0, LLMQ_SCALES_GROUP, 1.0f } },
        { "lm.abits", LLMQ_VALUE_U32, 4, { 4, 1, LLMQ_SCALES_GROUP, 0.95f } },
        { "lm.azero", LLMQ_VALUE_U32, 1, { 8, 1, LLMQ_SCALES_GROUP, 1.0f } },
        { "lm.ascales", LLMQ_VALUE_U32, LLMQ_SCALES_TOKEN, { 8, 0, LLMQ_SCALES_TOKEN, 1.0f } },
        { "lm.aclip", LLMQ_VALUE_F32, 0x3f400000u, { 8, 0, LLMQ_SCALES_GROUP, 0.75f } }
    };
    static float usual[TOKENS][VOCAB];
    llmq_bundle b;
    uint32_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_at("%s", cases[i].name ? cases[i].name : "none");
        memset(&change, 0, sizeof change);
        change.value = cases[i].name, change.type = cases[i].type, change.bits = cases[i].bits;
        make_bundle(&b, "g4");
        open_model(&b, 1, 32, 0, 4);
        run(logits, 4);
        memset(&change, 0, sizeof change);
        make_bundle(&b, "g4");
        open_model(&b, 0, 32, 0, 4);
        model.activation = cases[i].same;
        run(again, 4);
        if (i == 0) memcpy(usual, logits, sizeof usual);
        CHECK(memcmp(logits, again, sizeof logits) == 0);
        CHECK(i == 0 || memcmp(logits, usual, sizeof logits) != 0);
    }
    make_bundle(&b, "f32"); /* of raw tensors they are float whatever is said */
    open_model(&b, 1, 32, 0, 4);
    run(logits, 4);
    model.activation.bits = 3;
    run(again, 4);
    CHECK(memcmp(logits, again, sizeof logits) == 0);
    check_at("%s", "");
}

#endif

/* What a watcher sees, and that it can stop a call. */
typedef struct seen {
    uint32_t calls, stop;
    float x[DIM];
} seen;

static llmq_status watch(void *context, int place, uint32_t layer, const lm_state *s, uint32_t count,
                         uint32_t position)
{
    static const int order[6] = { LM_AT_ATTENTION, LM_AT_OUTPUT, LM_AT_SUM1, LM_AT_FEED, LM_AT_DOWN,
                                  LM_AT_SUM2 };
    seen *w = (seen *)context;
    uint32_t i;
    int same = 1;
    CHECK_EQ(place, order[w->calls % 6]);
    CHECK_EQ((long)layer, (long)(w->calls / 6));
    CHECK(count == 2 && position == 3);
    if (place == LM_AT_FEED || place == LM_AT_ATTENTION)
        for (i = 0; i < DIM; i++) same = same && (w->calls == 0 || bits_of(w->x[i]) == bits_of(s->x[DIM + i]));
    if (place == LM_AT_SUM1 || place == LM_AT_SUM2)
        for (i = 0; i < DIM; i++) w->x[i] = s->x[DIM + i] + s->normed[DIM + i];
    CHECK(same);
    return w->calls++ == w->stop ? LLMQ_E_STOPPED : LLMQ_OK;
}

static void test_watcher(void)
{
    llmq_bundle b;
    seen w;
    uint32_t stop;
    make_bundle(&b, "g4");
    open_model(&b, 1, 32, 0, 2);
    for (stop = 0; stop <= 6 * LAYERS; stop++) {
        w.calls = 0, w.stop = stop;
        state.watch = NULL;
        CHECK_EQ(lm_forward(&model, &state, tokens, 2, 0, NULL), LLMQ_OK);
        CHECK_EQ(lm_forward(&model, &state, tokens, 1, 2, NULL), LLMQ_OK);
        state.watch = watch, state.watch_context = &w;
        CHECK_EQ(lm_forward(&model, &state, tokens, 2, 3, logits[0]), stop < 6 * LAYERS ? LLMQ_E_STOPPED : LLMQ_OK);
        CHECK_EQ((long)w.calls, (long)(stop < 6 * LAYERS ? stop + 1 : stop));
    }
}

static void test_classifier(void)
{
    llmq_bundle b;
    int kept;
    change.classifier = 1;
    make_bundle(&b, "f32");
    for (kept = 0; kept < 2; kept++) {
        open_model(&b, kept, 32, 0, 3);
        run(logits, 1);
        CHECK(difference(TOKENS) < 1e-4);
    }
    change.classifier = 0;
}

/* What a model says of its computation, alone and together: against double; and that the usual
   numbers, said, change no bit. */
static void test_said(void)
{
    static const struct { float theta, epsilon; int halves, biases; } cases[] = {
        { 0, 0, 0, 1 }, { 0, 0, 0, 2 }, { 1e6f, 0, 0, 0 }, { 5e5f, 0, 0, 0 }, { 1.0f, 0, 0, 0 }, { 1e30f, 0, 0, 0 },
        { 0, 1e-6f, 0, 0 }, { 0, 1.0f, 0, 0 }, { 0, 1e-12f, 0, 0 },
        { 0, 0, 1, 0 }, { 1e5f, 1e-3f, 1, 1 }, { 1e4f, 1e-5f, -1, 0 }
    };
    static float usual[TOKENS][VOCAB];
    llmq_bundle b;
    uint32_t i;
    int l, k;
    make_bundle(&b, "f32");
    open_model(&b, 1, 32, 0, 1);
    run(usual, 1);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        double off;
        check_at("theta %g, epsilon %g, halves %d, biases %d", (double)cases[i].theta, (double)cases[i].epsilon,
                 cases[i].halves, cases[i].biases);
        change.theta = cases[i].theta, change.epsilon = cases[i].epsilon, change.halves = cases[i].halves;
        for (l = 0; l < LAYERS; l++)
            for (k = 0; k < 3; k++)
                change.biases[l][k] = cases[i].biases == 1 || (cases[i].biases == 2 && k == 1 && l == 1);
        make_bundle(&b, "f32");
        open_model(&b, 0, 32, 0, 3);
        run(again, 3);
        open_model(&b, 1, 32, 0, 1);
        run(logits, 1);
        off = difference(TOKENS);
        check_at("theta %g, epsilon %g, halves %d, biases %d: off by %g", (double)cases[i].theta,
                 (double)cases[i].epsilon, cases[i].halves, cases[i].biases, off);
        CHECK(off < 1e-4);
        CHECK(memcmp(logits, again, sizeof logits) == 0);
        CHECK((memcmp(logits, usual, sizeof logits) == 0) == (cases[i].halves == -1));
        memset(&change, 0, sizeof change);
    }
    check_at("%s", "");
    CHECK(bits_of(lm__log(10000.0f)) == bits_of(9.21034037f) && lm__log(1.0f) == 0.0f);
    for (i = 0; i < 1000; i++) {
        float x = float_of(0x00800000u + i * 2130000u);
        CHECK(check_abs((double)lm__log(x) - log((double)x)) < 2e-7 * (1 + check_abs(log((double)x))));
    }
}

/* Tensors and values that this code does not know, and numbers in names. */
static void test_unknown(void)
{
    static const char *const tensors[] = { "layers.2.wq", "layers.7.norm1", "layers.1000000.wq", "layers.01.wq",
                                           "layers.00.wq", "layers.4294967296.wq", "layers.-1.wq",
                                           "layers.+1.wq", "layers. 1.wq", "layers..wq", "layers.0.wq1", "layers.0.bo",
                                           "layers.0", "layers.0.", "norm1", "Embed", "extra" };
    static const struct { const char *name; uint32_t type; llmq_status status; } values[] = {
        { "lm.rope_scaling", LLMQ_VALUE_F32, LLMQ_E_UNSUPPORTED }, { "lm.", LLMQ_VALUE_U32, LLMQ_E_UNSUPPORTED },
        { "lm.dims", LLMQ_VALUE_U32, LLMQ_E_UNSUPPORTED },
        { "lm.rope_theta", LLMQ_VALUE_U32, LLMQ_E_CORRUPT }, { "lm.rope_halves", LLMQ_VALUE_F32, LLMQ_E_CORRUPT },
        { "lm.abits", LLMQ_VALUE_F32, LLMQ_E_CORRUPT },
        { "general.name", LLMQ_VALUE_U32, LLMQ_OK }, { "llamas", LLMQ_VALUE_U32, LLMQ_OK }
    };
    char fault[256];
    llmq_bundle b;
    uint32_t i, layer = 77;
    for (i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        check_at("tensor %s", tensors[i]);
        change.more = tensors[i];
        check_refused(LLMQ_E_UNSUPPORTED);
        CHECK(is(tensors[i], lm_model_fault(&model, fault)));
        CHECK(lm_layer_part(tensors[i], LAYERS, &layer) == NULL || (layer == 0 && strchr(tensors[i], '0') != NULL));
    }
    change.more = NULL;
    for (i = 0; i < sizeof values / sizeof *values; i++) {
        check_at("value %s", values[i].name);
        change.value = values[i].name, change.type = values[i].type, change.bits = 8;
        check_refused(values[i].status);
        CHECK(is(values[i].status == LLMQ_OK ? "" : values[i].name, lm_model_fault(&model, fault)));
    }
    memset(&change, 0, sizeof change);
    check_at("%s", "");
    make_bundle(&b, "f32");
    CHECK(is("wq", lm_layer_part("layers.0.wq", 1, &layer)) && layer == 0);
    CHECK(is("w", lm_layer_part("layers.65535.w", 65536, &layer)) && layer == 65535);
    CHECK(lm_layer_part("layers.65536.w", 65536, &layer) == NULL && layer == 65535);
    CHECK(is("", lm_layer_part("layers.999999999.", 0xffffffffu, &layer)) && layer == 999999999);
}

int main(void)
{
    make_model();
    test_functions();
    test_forward();
    test_ways();
    test_again();
    test_bits();
    test_sizes();
    test_errors();
    test_hostile();
    test_ranges();
    test_combinations();
    test_types();
#if !LM_ONLY_LLAMA
    test_factors();
#endif
    test_positions();
    test_caches();
    test_transforms();
#if !LLMQ_NO_ACTIVATION_OPTIONS
    test_activations();
#endif
    test_watcher();
    test_classifier();
    check_faults_from();
    test_said();
    test_unknown();
    check_fault("T9");
    return check_done("test_lm");
}
