/* test_lm_models.c - the tiny models of tests/vectors/lm and the logits that belong to them

   tests/gen/lm_models.py made them and says how NAME.logits is laid out. It runs from the root of the
   project, as all suites. */
#include "check.h"

#define VOCAB 272 /* of every model */
#define TOKENS 24

typedef struct oracle { /* what NAME.logits holds */
    uint32_t count, vocab, token[TOKENS];
    float logits[TOKENS][VOCAB];
} oracle;

static const char *const models[] = { "llama2", "llama31", "smollm2", "mistral", "mobilellm", "smollm3", "qwen25",
                                      "qwen3", "gemma3", "gemma3_linear", "gemma2", "granite", "bitnet" };

/* The whole file tests/vectors/lm/NAME.SUFFIX in memory that the caller frees. */
static unsigned char *load(const char *name, const char *suffix, size_t *size)
{
    enum { most = 128 * 1024 };
    unsigned char *bytes = (unsigned char *)malloc(most);
    char path[120];
    FILE *f;
    (void)snprintf(path, sizeof path, "tests/vectors/lm/%s.%s", name, suffix);
    f = fopen(path, "rb");
    if (!f || !bytes) {
        printf("%s cannot be read\n", path);
        exit(2);
    }
    *size = fread(bytes, 1, most, f);
    (void)fclose(f);
    return bytes;
}

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

static void test_model(const char *name)
{
    static oracle o;
    size_t size = 0;
    unsigned char *bytes = load(name, "logits", &size);
    check_at("%s", name);
    CHECK(load_oracle(&o, bytes, size));
    CHECK(!load_oracle(&o, bytes, size - 1));
    put32(bytes + 8, VOCAB);
    CHECK(!load_oracle(&o, bytes, size));
    free(bytes);
    bytes = load(name, "gguf", &size);
    CHECK(size > 24 && size < 100000 && memcmp(bytes, "GGUF\3\0\0\0", 8) == 0);
    free(bytes);
}

int main(void)
{
    uint32_t i;
    for (i = 0; i < COUNT(models); i++) test_model(models[i]);
    return check_done("test_lm_models");
}
