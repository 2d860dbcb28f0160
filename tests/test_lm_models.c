/* test_lm_models.c - the tiny models of tests/vectors/lm and the logits that belong to them

   tests/gen/lm_models.py made them and says how NAME.logits is laid out. It runs from the root of the
   project, as all suites. */
#include <math.h>
#include "check.h"
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#define LM_IMPLEMENTATION
#include "../examples/lm.h"
#include "lm_models.h"

#define VOCAB 272 /* of every model */
#define TOKENS 24

typedef struct oracle { /* what NAME.logits holds */
    uint32_t count, vocab, token[TOKENS];
    float logits[TOKENS][VOCAB];
} oracle;

static const char *const models[] = { "llama2", "llama31", "smollm2", "mistral", "mobilellm", "smollm3", "qwen25",
                                      "qwen3", "gemma3", "gemma3_linear", "gemma2", "granite", "bitnet" };

/* 0 if the bytes are not laid out as lm_models.py says, or a number among them is out of range */
static int load_oracle(oracle *o, const unsigned char *bytes, size_t size)
{
    uint32_t i, j;
    if (size != 8 + 4 * TOKENS + 4 * TOKENS * VOCAB) return 0;
    o->count = load32(bytes);
    o->vocab = load32(bytes + 4);
    if (o->count != TOKENS || o->vocab != VOCAB) return 0;
    bytes += 8;
    for (i = 0; i < TOKENS; i++, bytes += 4)
        if ((o->token[i] = load32(bytes)) >= VOCAB) return 0;
    for (i = 0; i < TOKENS; i++)
        for (j = 0; j < VOCAB; j++, bytes += 4) {
            o->logits[i][j] = load_float(bytes);
            if (!(o->logits[i][j] > -100 && o->logits[i][j] < 100)) return 0;
        }
    return 1;
}

static uint32_t most_tasks; /* that a job has had */

/* A runner that calls the last task first. */
static void run_backwards(void *context, lm_task task, void *argument, uint32_t n)
{
    (void)context;
    if (n > most_tasks) most_tasks = n;
    while (n) task(argument, --n);
}

/* Logits of all tokens, `batch` a call, in up to so many tasks; views: with memory for the model.
   plain: without the code for AVX2. */
static void run_model(const llmq_bundle *b, const oracle *o, int views, uint32_t batch, uint32_t tasks, int plain,
                      float (*out)[VOCAB])
{
    lm_model m;
    lm_state s;
    const size_t size = views ? lm_model_size(b) : 0;
    void *memory = views ? malloc(size) : NULL, *state;
    size_t need;
    uint32_t i;
    CHECK(lm_model_init(&m, b, memory, size) == LLMQ_OK);
    m.tasks = tasks;
    need = lm_state_size(&m, batch);
    state = malloc(need);
    CHECK(need != 0 && lm_state_init(&s, &m, batch, state, need) == LLMQ_OK);
    s.run = run_backwards;
    if (plain) s.avx2 = 0;
    for (i = 0; i < TOKENS; i += batch) {
        const uint32_t n = TOKENS - i < batch ? TOKENS - i : batch;
        CHECK(lm_forward(&m, &s, o->token + i, n, i, out[i]) == LLMQ_OK);
    }
    free(state);
    free(memory);
}

/* The logits are llama.cpp's, and the same bits in batches of any size, with and without memory for
   the model, in one task or in several, with and without AVX2.
   Measured: they differ by up to 2.8e-6 of the largest. */
static void test_logits(const oracle *o, const unsigned char *bytes, size_t size)
{
    static float logits[TOKENS][VOCAB], again[TOKENS][VOCAB];
    static const struct { int views; uint32_t batch, tasks; int plain; } ways[] = {
        { 0, TOKENS, 1, 0 }, { 1, 1, 1, 0 }, { 1, 7, 1, 0 }, { 1, TOKENS, 3, 0 }, { 0, 5, 2, 0 }, { 1, TOKENS, 1, 1 }
    };
    llmq_bundle b;
    size_t bundle_size;
    unsigned char *bundle = convert(bytes, size, &bundle_size);
    float most = 0, off = 0;
    uint32_t i, v;
    CHECK(llmq_bundle_open(&b, bundle, bundle_size, NULL) == LLMQ_OK);
    run_model(&b, o, 1, TOKENS, 1, 0, logits);
    for (i = 0; i < TOKENS; i++)
        for (v = 0; v < VOCAB; v++) {
            most = fmaxf(most, fabsf(o->logits[i][v]));
            off = fmaxf(off, fabsf(logits[i][v] - o->logits[i][v]));
        }
    CHECK(most > 0 && off <= 1e-5f * most);
    for (i = 0; i < COUNT(ways); i++) {
        run_model(&b, o, ways[i].views, ways[i].batch, ways[i].tasks, ways[i].plain, again);
        CHECK(memcmp(logits, again, sizeof logits) == 0);
    }
    free(bundle);
}

static void test_model(const char *name)
{
    static oracle o;
    size_t size = 0, oracle_size = 0;
    unsigned char *oracle_bytes, *bytes = load(name, "logits", &size);
    check_at("%s", name);
    CHECK(load_oracle(&o, bytes, size));
    CHECK(!load_oracle(&o, bytes, size - 1));
    put32(bytes + 8, VOCAB);
    CHECK(!load_oracle(&o, bytes, size));
    free(bytes);
    oracle_bytes = load(name, "logits", &oracle_size);
    bytes = load(name, "gguf", &size);
    CHECK(size > 24 && size < 100000 && memcmp(bytes, "GGUF\3\0\0\0", 8) == 0);
    CHECK(load_oracle(&o, oracle_bytes, oracle_size));
    test_logits(&o, bytes, size);
    free(bytes);
    free(oracle_bytes);
}

int main(void)
{
    uint32_t i;
    for (i = 0; i < COUNT(models); i++) test_model(models[i]);
    CHECK(most_tasks > 1);
    return check_done("test_lm_models");
}
