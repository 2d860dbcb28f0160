/* test_sense_lm.c - examples/sense.h: traces and sums of the tiny models of tests/vectors/lm against
   central differences of the outputs of their blocks, a weight at a time */
#include <math.h>
#include "check.h"
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#define LM_IMPLEMENTATION
#include "../examples/lm.h"
#define SENSE_IMPLEMENTATION
#include "../examples/sense.h"
#include "lm_models.h"

enum { TOKENS = 8, MOST = 256 }; /* windows of models that have some are shorter; of a dimension */

static lm_model model;
static lm_state state;
static float input[2][TOKENS * MOST];                    /* of its blocks, as the residual stream */
static double expected[LM_LINEARS], column[LM_LINEARS][MOST]; /* traces, and their parts by column */

/* The output of a block of layer l. */
static const float *run_block(uint32_t l, int which)
{
    state.watch = NULL;
    memcpy(state.x, input[which], TOKENS * model.dim * sizeof(float));
    CHECK((which ? lm__feed_forward : lm__attention)(&model, &state, l, TOKENS, 0) == LLMQ_OK);
    return state.normed;
}

static llmq_status run_layer(uint32_t l, lm_watcher watch, void *context)
{
    state.watch = watch, state.watch_context = context;
    memcpy(state.x, input[0], TOKENS * model.dim * sizeof(float));
    return lm_layer_forward(&model, &state, l, TOKENS, 0);
}

/* The trace of linear i: 2 sum |derivative of the block's output|^2 over its weights. */
static void differentiate(uint32_t l, uint32_t i)
{
    static float up[TOKENS * MOST];
    llmq_tensor *t = &model.layer[l].linear[i];
    float *w = (float *)(uintptr_t)t->data;
    const size_t n = TOKENS * (size_t)model.dim;
    const int which = i >= LM_W1;
    const float *down;
    double power = 0;
    float step;
    uint32_t k;
    size_t j;
    for (k = 0; k < t->rows * t->cols; k++) power += (double)w[k] * (double)w[k];
    step = 0.02f * (float)sqrt(power / (t->rows * t->cols));
    memset(column[i], 0, sizeof column[i]);
    for (k = 0, expected[i] = 0; k < t->rows * t->cols; k++) {
        const float was = w[k];
        double sum = 0;
        w[k] = was + step;
        memcpy(up, run_block(l, which), n * sizeof *up);
        w[k] = was - step;
        down = run_block(l, which);
        w[k] = was;
        for (j = 0; j < n; j++) sum += ((double)up[j] - (double)down[j]) * ((double)up[j] - (double)down[j]);
        column[i][k % t->cols] += 2 * sum / (4.0 * (double)step * (double)step);
        expected[i] += 2 * sum / (4.0 * (double)step * (double)step);
    }
}

/* Rotations and their transposes undo each other. (Traces hardly depend on that: a wrong one leaves
   the lengths of derivatives nearly as they are.) */
static void check_rotations(uint32_t l)
{
    static float v[MOST], was[MOST];
    const uint32_t n = lm__q(&model);
    sense_layer s;
    uint32_t t, i;
    memset(&s, 0, sizeof s);
    s.m = &model, s.layer = l;
    for (t = 0; t < TOKENS; t++) {
        float off = 0;
        for (i = 0; i < n; i++) v[i] = was[i] = (float)llmq_random(t, i) / 4294967296.0f;
        lm__rotate(&model, &state, l, v, n, t);
        CHECK((memcmp(v, was, n * sizeof *v) == 0) == (t == 0));
        sense__turn_back(&s, &state, t, v, n);
        for (i = 0; i < n; i++) off = fmaxf(off, fabsf(v[i] - was[i]));
        CHECK(off < 1e-5f);
    }
}

/* Watches the same window so many times, and compares the means. */
static void compare(const char *name, uint32_t l, uint32_t samples, uint32_t windows)
{
    static const int sums[3] = { SENSE_WQ, SENSE_W1, SENSE_W3 }, linears[3] = { LM_WQ, LM_W1, LM_W3 };
    const size_t size = sense_layer_size(&model, TOKENS);
    void *memory = allocate(size);
    sense_layer s;
    uint32_t i, k, j;
    CHECK(sense_layer_init(&s, &model, l, TOKENS, samples, memory, size) == LLMQ_OK);
    for (k = 0; k < windows; k++) CHECK(run_layer(l, sense_watch, &s) == LLMQ_OK);
    for (i = 0; i < LM_LINEARS; i++) {
        const double trace = s.trace[i] / windows, error = sqrt(s.error[i]) / windows, off = fabs(trace - expected[i]);
        check_at("%s, samples %lu, %s: %g +- %g, not %g", name, (unsigned long)samples, lm_linear_name[i], trace, error,
                 expected[i]);
        CHECK(off < 5 * error + 2e-3 * expected[i]);
        CHECK(error < 0.05 * expected[i]);
        if (i != LM_WO || samples) CHECK((error > 0) == (i <= LM_WO && (s.change || samples)));
    }
    for (k = 0; k < SENSE_SUMS; k++) { /* weights of tokens make the trace of the sum that of the linear layer */
        static const int of[SENSE_SUMS] = { -1, -1, -1, -1, LM_WQ, LM_WK, LM_WV, LM_W1, LM_W3 };
        double trace = 0;
        for (j = 0; j < s.sum[k].cols && of[k] >= 0; j++) trace += (double)s.sum[k].h[(size_t)j * (j + 1) / 2 + j];
        check_at("%s, sum %s: trace %g", name, sense_name[k], trace);
        if (of[k] >= 0) CHECK(fabs(trace - s.trace[of[k]]) < 1e-4 * s.trace[of[k]]);
    }
    for (k = 0; k < 3 && !samples; k++) { /* and each column of these has its part */
        double off = 0;
        for (j = 0; j < model.dim; j++) {
            const double mine = (double)s.sum[sums[k]].h[(size_t)j * (j + 1) / 2 + j] / windows;
            off += fabs(mine - column[linears[k]][j]);
        }
        check_at("%s, sum %s: columns off by %g of %g", name, sense_name[sums[k]], off, expected[linears[k]]);
        CHECK(off < (k == 0 && s.change ? 0.05 : 2e-3) * expected[linears[k]]);
    }
    check_at("%s", "");
    free(memory);
}

static uint32_t most_tasks; /* that a job has had */

/* A runner that calls the last task first. */
static void run_backwards(void *context, lm_task task, void *argument, uint32_t n)
{
    (void)context;
    if (n > most_tasks) most_tasks = n;
    while (n) task(argument, --n);
}

/* Heads as tasks, in any order: the same bits of sums and traces. */
static void check_tasks(uint32_t l)
{
    sense_layer s[2];
    uint32_t i, k;
    state.run = run_backwards;
    for (i = 0; i < 2; i++) {
        size_t size;
        model.tasks = 1 + 2 * i;
        size = sense_layer_size(&model, TOKENS);
        CHECK(sense_layer_init(&s[i], &model, l, TOKENS, 4, allocate(size), size) == LLMQ_OK);
        for (k = 0; k < 3; k++) CHECK(run_layer(l, sense_watch, &s[i]) == LLMQ_OK);
    }
    state.run = NULL, model.tasks = 1;
    CHECK(most_tasks > 1);
    CHECK(memcmp(s[0].trace, s[1].trace, sizeof s[0].trace) == 0);
    CHECK(memcmp(s[0].error, s[1].error, sizeof s[0].error) == 0);
    for (k = 0; k < SENSE_SUMS; k++)
        CHECK(memcmp(s[0].sum[k].h, s[1].sum[k].h, llmq_hessian_size(s[0].sum[k].cols, 1)) == 0);
    for (i = 0; i < 2; i++) free(s[i].sum[0].h); /* the first of its memory */
}

/* softcap, scale: of scores; 0: as the model has them. With a softcap, half of each head has no RoPE. */
static void test_model(const char *name, uint32_t l, int plain, float softcap, float scale)
{
    llmq_bundle b;
    size_t size, bundle_size;
    unsigned char *bytes = load(name, "gguf", &size), *bundle = convert(bytes, size, &bundle_size);
    void *memory, *run;
    uint32_t tokens[TOKENS], i, k;
    CHECK(llmq_bundle_open(&b, bundle, bundle_size, NULL) == LLMQ_OK);
    size = lm_model_size(&b);
    CHECK(lm_model_init(&model, &b, memory = allocate(size), size) == LLMQ_OK);
    if (softcap > 0.0f) model.attention_softcap = softcap, model.rope_part /= 2;
    if (scale > 0.0f) model.attention_scale = scale;
    if (model.vectors >> LM_DNORM & 1) { /* and a norm of the outputs of w2, which no such model has */
        model.vectors |= 1u << LM_POST2;
        model.layer[l].vector[LM_POST2] = model.layer[l].vector[LM_NORM2];
    }
    size = lm_state_size(&model, TOKENS);
    CHECK(lm_state_init(&state, &model, TOKENS, run = allocate(size), size) == LLMQ_OK);
    CHECK(model.dim <= MOST && model.hidden <= MOST && lm__q(&model) <= MOST && l < model.layers);
    CHECK(sense__is_plain(&model, TOKENS) == plain);
    for (i = 0; i < TOKENS; i++) tokens[i] = llmq_random(5, i) % model.vocab;
    CHECK(lm_embed(&model, &state, tokens, TOKENS) == LLMQ_OK);
    for (i = 0; i < l; i++) CHECK(lm_layer_forward(&model, &state, i, TOKENS, 0) == LLMQ_OK);
    memcpy(input[0], state.x, TOKENS * model.dim * sizeof(float));
    CHECK(run_layer(l, NULL, NULL) == LLMQ_OK);
    for (k = 0; k < TOKENS * model.dim; k++) input[1][k] = state.x[k] - model.residual_scale * state.normed[k];
    check_rotations(l);
    if (plain) check_tasks(l);
    for (i = 0; i < LM_LINEARS; i++) differentiate(l, i);
    compare(name, l, 0, plain ? 1 : 100);
    compare(name, l, 4, 400);
    free(run);
    free(memory);
    free(bundle);
    free(bytes);
}

int main(void)
{
    test_model("llama2", 0, 1, 0.0f, 0.4f);
    test_model("gemma3", 0, 0, 2.0f, 0.0f); /* norms of heads and outputs, a window */
    test_model("bitnet", 1, 0, 0.0f, 0.0f); /* norms before wo and w2 */
    return check_done("test_sense_lm");
}
