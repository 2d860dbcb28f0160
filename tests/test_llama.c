/* test_llama.c - examples/llama.h: its functions against libm, its forward pass against one in double that is written here, the ways to
   run it against each other, and its bits against those of every other processor */
#include "check.h"
#include <math.h>
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#define LLAMA_IMPLEMENTATION
#include "../examples/llama.h"

enum { DIM = 64, HIDDEN = 96, LAYERS = 2, HEADS = 4, KV_HEADS = 2, HEAD = DIM / HEADS, KV = HEAD * KV_HEADS, VOCAB = 80, CONTEXT = 24, TOKENS = 20 };
static const uint32_t config[7] = { DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT };
static const char *const config_name[7] = { "llama.dim", "llama.hidden", "llama.layers", "llama.heads", "llama.kv_heads", "llama.vocab", "llama.context" };

/* ---- a model of random weights, and its bundle ------------------------------------------------------------------------ */

enum { NORM1, NORM2, WQ, WK, WV, WO, W1, W2, W3, PARTS };
static const struct { const char *name; uint32_t rows, cols; } part[PARTS] = {
    { "norm1", 1, DIM }, { "norm2", 1, DIM }, { "wq", DIM, DIM }, { "wk", KV, DIM }, { "wv", KV, DIM }, { "wo", DIM, DIM },
    { "w1", HIDDEN, DIM }, { "w2", DIM, HIDDEN }, { "w3", HIDDEN, DIM }
};
#define ENTRIES (7 + 2 + LAYERS * PARTS)
static float weight[LAYERS][PARTS][HIDDEN * DIM], embed[VOCAB * DIM], norm[DIM];
static unsigned char value[7][4], stored[ENTRIES][HIDDEN * DIM * 4], bundle_bytes[600000];
static char names[ENTRIES][24];
static uint32_t tokens[TOKENS];

/* Whole multiples of 2^-12 between -size and size: the same on every machine, and exact in binary16. */
static void fill_random(float *w, size_t n, uint32_t seed, float size)
{
    size_t i;
    for (i = 0; i < n; i++) w[i] = ((float)(llmq_random(seed, (uint32_t)i) >> 21) / 1024.0f - 1.0f) * size;
}

static void add_tensor(llmq_entry *e, uint32_t *n, const char *name, const float *w, uint32_t rows, uint32_t cols, const char *format)
{
    static float work[20000];
    llmq_format f;
    llmq_tensor t;
    CHECK_EQ(llmq_format_find(&f, rows == 1 ? "f16" : format, 64), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&t, &f, NULL, rows, cols, stored[*n], sizeof stored[*n]), LLMQ_OK);
    CHECK_EQ(llmq_encode(&t, stored[*n], 0, rows, w, cols, NULL, work, sizeof work, NULL), LLMQ_OK);
    memset(&e[*n], 0, sizeof e[*n]);
    e[*n].name = name, e[*n].kind = LLMQ_KIND_TENSOR, e[*n].data = stored[*n], e[*n].size = llmq_tensor_size(&f, rows, cols);
    e[*n].format = f, e[*n].rows = rows, e[*n].cols = cols, e[*n].t2 = -1.0f;
    ++*n;
}

/* leave_out: an entry that is missing, or NULL */
static void make_bundle(llmq_bundle *b, const char *format, const char *leave_out)
{
    static llmq_entry e[ENTRIES];
    uint32_t n = 0, l, i;
    size_t size;
    for (i = 0; i < 7; i++, n++) {
        memset(&e[n], 0, sizeof e[n]);
        value[i][0] = (unsigned char)config[i];
        e[n].name = config_name[i], e[n].kind = LLMQ_KIND_VALUE, e[n].type = LLMQ_VALUE_U32, e[n].data = value[i], e[n].size = 4;
    }
    add_tensor(e, &n, "embed", embed, VOCAB, DIM, format);
    add_tensor(e, &n, "norm", norm, 1, DIM, format);
    for (l = 0; l < LAYERS; l++)
        for (i = 0; i < PARTS; i++) {
            snprintf(names[n], sizeof names[n], "layers.%u.%s", (unsigned)l, part[i].name);
            if (leave_out && strcmp(names[n], leave_out) == 0) continue;
            add_tensor(e, &n, names[n], weight[l][i], part[i].rows, part[i].cols, format);
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
    fill_random(norm, DIM, 2, 2.0f);
    for (l = 0; l < LAYERS; l++)
        for (i = 0; i < PARTS; i++) fill_random(weight[l][i], (size_t)part[i].rows * part[i].cols, 10 + l * PARTS + i, part[i].rows == 1 ? 2.0f : 0.25f);
    for (i = 0; i < TOKENS; i++) tokens[i] = llmq_random(3, i) % VOCAB;
}

/* ---- the same in double, a position after the other, all keys kept ------------------------------------------------------ */

static double ref_key[LAYERS][TOKENS][KV], ref_value[LAYERS][TOKENS][KV];

static void ref_norm(double *out, const double *x, const float *w)
{
    double sum = 0;
    int i;
    for (i = 0; i < DIM; i++) sum += x[i] * x[i];
    for (i = 0; i < DIM; i++) out[i] = x[i] * (double)w[i] / sqrt(sum / DIM + 1e-5);
}

static void ref_product(double *y, const float *w, const double *x, int rows, int cols)
{
    int r, i;
    for (r = 0; r < rows; r++)
        for (y[r] = 0, i = 0; i < cols; i++) y[r] += (double)w[r * cols + i] * x[i];
}

static void ref_rope(double *v, int n, int position)
{
    int i;
    for (i = 0; i < n; i += 2) {
        double angle = position * pow(10000.0, -(double)(i % HEAD) / HEAD), a = v[i], b = v[i + 1];
        v[i] = a * cos(angle) - b * sin(angle);
        v[i + 1] = a * sin(angle) + b * cos(angle);
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
    ref_product(logits, embed, h, VOCAB, DIM);
}

/* ---- runs --------------------------------------------------------------------------------------------------------------- */

static unsigned char model_memory[65536], state_memory[400000];
static llama_model model;
static llama_state state;
static float logits[TOKENS][VOCAB], again[TOKENS][VOCAB];

/* views 0: none are kept */
static void open_model(const llmq_bundle *b, int views, uint32_t bits, uint32_t window, uint32_t batch)
{
    const size_t size = llama_model_size(b);
    CHECK(size != 0 && size <= sizeof model_memory);
    memset(state_memory, 0xa5, sizeof state_memory);
    CHECK_EQ(llama_model_init(&model, b, views ? model_memory : NULL, views ? size : 0), LLMQ_OK);
    CHECK_EQ(llama_cache_bits(&model.cache, bits), LLMQ_OK);
    model.cache.window = window;
    CHECK(llama_state_size(&model, batch) <= sizeof state_memory);
    CHECK_EQ(llama_state_init(&state, &model, batch, state_memory, llama_state_size(&model, batch)), LLMQ_OK);
}

static void run(float (*out)[VOCAB], uint32_t batch)
{
    uint32_t i, n;
    for (i = 0; i < TOKENS; i += n) {
        n = TOKENS - i < batch ? TOKENS - i : batch;
        CHECK_EQ(llama_forward(&model, &state, tokens + i, n, i, out[i]), LLMQ_OK);
    }
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

/* ---- tests -------------------------------------------------------------------------------------------------------------- */

static void test_functions(void)
{
    double worst[3] = { 0, 0, 0 }, e;
    float x;
    uint32_t i, p;
    for (x = -87.0f; x <= 88.0f; x += 0.0371f) {
        e = check_abs((double)llama__exp(x) / exp((double)x) - 1);
        worst[0] = e > worst[0] ? e : worst[0];
    }
    for (x = 1e-30f; x < 1e30f; x *= 1.37f) {
        e = check_abs((double)llama__inverse_sqrt(x) * sqrt((double)x) - 1);
        worst[1] = e > worst[1] ? e : worst[1];
    }
    for (p = 0; p < 4096; p += 1 + p / 7)
        for (i = 0; i < 16; i++) {
            llama__turn t = llama__turn_of(p, i, 16);
            double angle = p * pow(10000.0, -(double)i / 16);
            e = (check_abs((double)t.c - cos(angle)) + check_abs((double)t.s - sin(angle))) / (p + 1.0);
            worst[2] = e > worst[2] ? e : worst[2];
        }
    CHECK(worst[0] < 4e-7 && worst[1] < 3e-7 && worst[2] < 4e-7); /* a few units of 6e-8, and the same for each step of the position */
    CHECK(llama__exp(-87.5f) == 0.0f && llama__exp(-1e30f) == 0.0f && llama__exp(0.0f) == 1.0f);
    CHECK(llama__exp(1e30f) == llama__exp(88.0f) && llama__exp(88.0f) < 3.4e38f);
    x = llama__float(0x7fc00000u);
    CHECK(llama__exp(x) != llama__exp(x));
}

static void test_forward(void)
{
    static const struct { uint32_t bits, window; double most; } cases[] = {
        { 32, 0, 1e-4 }, { 32, 8, 1e-4 }, { 32, 1, 1e-4 }, { 32, 200, 1e-4 }, { 16, 0, 2e-2 }, { 8, 0, 0.7 }, { 8, 8, 0.7 }
    }; /* of logits up to 40: what a float's 6e-8 is after two layers, and what so few bits leave */
    llmq_bundle b;
    uint32_t i;
    make_bundle(&b, "f32", NULL);
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
        { 32, 0, 1, 0 }, { 32, 0, 3, 1 }, { 32, 0, TOKENS, 1 }, { 32, TOKENS, 7, 0 }, { 4, 0, 1, 0 }, { 4, 0, 3, 1 }, { 4, 0, TOKENS, 0 }, { 4, 4096, 7, 1 },
        { 3, 6, 1, 1 }, { 3, 6, 5, 0 }, { 3, 6, TOKENS, 1 }
    };
    llmq_bundle b;
    uint32_t i, r;
    make_bundle(&b, "g4", NULL);
    for (i = 0; i < sizeof ways / sizeof *ways; i++) {
        check_at("%lu bits, window %lu, batch %lu, views %d", (unsigned long)ways[i].bits, (unsigned long)ways[i].window, (unsigned long)ways[i].batch, ways[i].views);
        if (i == 0 || ways[i].bits != ways[i - 1].bits) {
            open_model(&b, 1, ways[i].bits, ways[i].bits == 3 ? 6 : 0, 1);
            run(logits, 1);
        }
        open_model(&b, ways[i].views, ways[i].bits, ways[i].window, ways[i].batch);
        memset(again, 0, sizeof again);
        run(again, ways[i].batch);
        CHECK(memcmp(logits, again, sizeof logits) == 0);
        memset(again, 0, sizeof again);
        for (r = 0; r < VOCAB; r += 16) CHECK_EQ(llama_logits(&model, &state, 1, r, r + 16, again[0], VOCAB), LLMQ_OK);
        if (ways[i].batch == 1) CHECK(memcmp(logits[TOKENS - 1], again[0], sizeof again[0]) == 0);
    }
    check_at("%s", "");
}

/* The bits of the last logits, of weights and caches of few bits, rotated: found once, the same on every processor. */
static void test_bits(void)
{
    static const struct { const char *format; uint32_t bits, window, hash; } golden[] = { { "g4", 4, 8, 0x300497c7u }, { "t3", 8, 0, 0x2ff73f4bu }, { "f32", 32, 0, 0x0edf21c6u } };
    llmq_bundle b;
    uint32_t i;
    size_t k;
    for (i = 0; i < sizeof golden / sizeof *golden; i++) {
        uint32_t hash = 2166136261u;
        make_bundle(&b, golden[i].format, NULL);
        open_model(&b, 1, golden[i].bits, golden[i].window, 5);
        model.cache.transform = llmq_transform_hadamard(4, 512);
        CHECK_EQ(llama_state_init(&state, &model, 5, state_memory, sizeof state_memory), LLMQ_OK);
        run(logits, 5);
        for (k = 0; k < (size_t)TOKENS * VOCAB; k++) hash = (hash ^ bits_of(logits[k / VOCAB][k % VOCAB])) * 16777619u;
        check_at("%s: %08lx", golden[i].format, (unsigned long)hash);
        CHECK(hash == golden[i].hash);
    }
    check_at("%s", "");
}

static void test_errors(void)
{
    uint32_t token = VOCAB, i;
    size_t need;
    llmq_bundle b;
    make_bundle(&b, "g4", NULL);
    open_model(&b, 1, 32, 0, 2);
    CHECK_EQ(llama_forward(&model, &state, &token, 1, 0, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(llama_forward(&model, &state, tokens, 0, 0, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(llama_forward(&model, &state, tokens, 3, 0, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(llama_forward(&model, &state, tokens, 1, CONTEXT, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(llama_forward(&model, &state, tokens, 2, CONTEXT - 1, logits[0]), LLMQ_E_ARG);
    CHECK_EQ(llama_layer_forward(&model, &state, LAYERS, 1, 0), LLMQ_E_ARG);
    CHECK_EQ(llama_logits(&model, &state, 1, 0, VOCAB + 1, logits[0], VOCAB), LLMQ_E_ARG);
    CHECK_EQ(llama_logits(&model, &state, 1, 2, 1, logits[0], VOCAB), LLMQ_E_ARG);
    CHECK_EQ(llama_embed(&model, &state, tokens, 1), LLMQ_OK);
    state.x[5] = float_of(0x7f800000u);
    CHECK_EQ(llama_layer_forward(&model, &state, 0, 1, 0), LLMQ_E_NOT_FINITE);
    need = llama_state_size(&model, 2);
    CHECK_EQ(llama_state_init(&state, &model, 2, state_memory, need - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llama_state_init(&state, &model, 0, state_memory, need), LLMQ_E_ARG);
    CHECK_EQ(llama_state_init(&state, &model, 2, NULL, need), LLMQ_E_ARG);
    CHECK_EQ(llama_cache_bits(&model.cache, 7), LLMQ_E_NOT_FOUND);
    CHECK_EQ(llmq_format_find(&model.cache.key, "t3", 0), LLMQ_OK);
    CHECK_EQ((long)llama_state_size(&model, 2), 0);
    CHECK_EQ(llama_state_init(&state, &model, 2, state_memory, sizeof state_memory), LLMQ_E_ARG);
    CHECK_EQ(llama_model_init(&model, &b, model_memory, llama_model_size(&b) - 1), LLMQ_E_WORKSPACE);
    CHECK_EQ(llama_model_init(&model, &b, NULL, 1), LLMQ_E_WORKSPACE);
    open_model(&b, 0, 4, 8, 1); /* a window: positions beyond the context, up to 2^24 */
    CHECK_EQ(llama_forward(&model, &state, tokens, 1, CONTEXT + 100, logits[0]), LLMQ_OK);
    CHECK_EQ(llama_forward(&model, &state, tokens, 1, 1u << 24, logits[0]), LLMQ_E_ARG);
    for (i = 0; i < LAYERS * PARTS; i++) { /* a tensor is missing: with views or without */
        char missing[24];
        snprintf(missing, sizeof missing, "layers.%u.%s", (unsigned)(i / PARTS), part[i % PARTS].name);
        make_bundle(&b, "g4", missing);
        CHECK_EQ(llama_model_init(&model, &b, model_memory, sizeof model_memory), LLMQ_E_NOT_FOUND);
        CHECK_EQ(llama_model_init(&model, &b, NULL, 0), LLMQ_E_NOT_FOUND);
    }
}

int main(void)
{
    make_model();
    test_functions();
    test_forward();
    test_ways();
    test_bits();
    test_errors();
    return check_done("test_llama");
}
