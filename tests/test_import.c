/* test_import.c - examples/import.h: what becomes of the tiny models of tests/vectors/lm, and what is refused, by name

   It runs from the root of the project,
           as all suites. tests/gen/lm_models.py made the vectors: it wrote the keys from which
   the values below follow, and the same weights once as GGUF and once as safetensors. */
#include "check.h"
#include "files.h"
#include "../fuzz/fuzz_import.c"

static import_model m;
static files_model f;

/* ---- the tiny models ---- */

/* The whole file tests/vectors/lm/NAME in memory that the caller frees. */
static unsigned char *load(const char *name, size_t *size)
{
    char path[120];
    (void)snprintf(path, sizeof path, "tests/vectors/lm/%s", name);
    return load_file(path, size);
}

/* The optional values of m as a text: "head 16, window 8", without "lm.". */
static void describe(char *out, size_t room)
{
    llmq_entry e;
    uint32_t i, k;
    size_t at = 0;
    out[0] = 0;
    for (i = 7; i < m.values; i++) {
        CHECK_EQ(import_value(&m, i, &e), LLMQ_OK);
        at += (size_t)snprintf(out + at, room - at, "%s%s ", at ? ", " : "", e.name + 3);
        if (e.type == LLMQ_VALUE_U32) at += (size_t)snprintf(out + at, room - at, "%lu",
                                                             (unsigned long)load32((const uint8_t *)e.data));
        else if (e.type == LLMQ_VALUE_F32) at += (size_t)snprintf(out + at, room - at, "%.9g",
                                                                  (double)load_float((const uint8_t *)e.data));
        else for (k = 0; k < e.size; k++) at += (size_t)snprintf(out + at, room - at, "%d",
                                                                 ((const uint8_t *)e.data)[k]);
    }
}

/* The required values of m, in the order of lm.h, and the optional ones. */
static void check_values(const uint32_t required[7], const char *optional)
{
    static const char *const name[7] = { "dim", "hidden", "layers", "heads", "kv_heads", "vocab", "context" };
    char text[400];
    llmq_entry e;
    uint32_t i;
    for (i = 0; i < 7; i++) {
        CHECK_EQ(import_value(&m, i, &e), LLMQ_OK);
        CHECK(strcmp(e.name + 3, name[i]) == 0 && e.type == LLMQ_VALUE_U32 && e.size == 4);
        CHECK_EQ(load32((const uint8_t *)e.data), required[i]);
    }
    describe(text, sizeof text);
    if (!CHECK(strcmp(text, optional) == 0)) printf("    values: %s\n", text);
}

static const struct known {
    const char *name, *family;
    uint32_t required[7];
    const char *optional;
} known[] = {
    { "llama2", "llama", { 32, 48, 2, 4, 4, 272, 64 }, "" },
    { "llama31", "llama", { 32, 48, 2, 2, 1, 272, 64 }, "" },
    { "smollm2", "llama", { 48, 40, 2, 3, 1, 272, 64 }, "norm_epsilon 0.0199999996, rope_theta 100000" },
    { "mistral", "llama", { 32, 64, 3, 4, 2, 272, 64 }, "head 16, norm_epsilon 0.0199999996, rope_theta 1000000" },
    { "mobilellm", "llama", { 24, 40, 2, 3, 1, 272, 64 }, "norm_epsilon 0.0299999993" },
    { "smollm3", "smollm3", { 32, 32, 5, 4, 1, 272, 64 },
     "norm_epsilon 0.00999999978, rope_theta 5000000, layer_kinds 00020" },
    { "qwen25", "qwen2", { 32, 48, 2, 4, 2, 272, 64 }, "norm_epsilon 0.0199999996, rope_halves 1, rope_theta 1000000" },
    { "qwen3", "qwen3", { 32, 48, 2, 4, 2, 272, 64 },
     "head 16, norm_epsilon 0.0199999996, rope_halves 1, rope_theta 1000000" },
    { "gemma3", "gemma3", { 24, 32, 7, 2, 1, 272, 64 },
      "head 16, norm_epsilon 0.0500000007, activation 1, rope_halves 1, rope_theta 1000000, window 8, "
      "rope_theta_local 10000, embed_scale 4.89897966, layer_kinds 1111101" },
    { "gemma3_linear", "gemma3", { 32, 32, 4, 4, 2, 272, 64 },
      "head 16, norm_epsilon 0.0500000007, activation 1, rope_halves 1, rope_theta 1000000, window 5, "
      "rope_theta_local 3000, rope_scale 0.125, embed_scale 5.65685415, layer_kinds 1011" },
    { "gemma2", "gemma2", { 24, 32, 3, 2, 1, 272, 64 },
      "head 16, norm_epsilon 0.0500000007, activation 1, rope_halves 1, window 6, embed_scale 4.89897966, "
      "attention_softcap 3, logit_softcap 8, layer_kinds 101" },
    { "granite", "granite", { 32, 48, 2, 4, 2, 272, 64 },
      "norm_epsilon 0.0199999996, rope_theta 100000, embed_scale 12, residual_scale 0.400000006, attention_scale 0.5, "
      "logit_scale 0.333333343" },
    { "bitnet", "bitnet", { 32, 48, 3, 4, 2, 272, 64 }, "norm_epsilon 0.0199999996, rope_halves 1" }
};

/* The tensors of m are all those of the file, row for row, and times a factor where they have one. */
static void check_rows(const gguf *g)
{
    uint32_t scales = 0;
    static float row[1024], own[1024];
    import_entry e;
    gguf_tensor t;
    uint32_t i, r, c;
    char name[80];
    for (i = 0; i < m.tensors; i++) {
        float factor = 1.0f;
        if (!CHECK_EQ(import_tensor(&m, i, &e), LLMQ_OK)) return;
        (void)snprintf(name, sizeof name, "%.*s", (int)e.source.name_length, e.source.name);
        CHECK_EQ(gguf_find_tensor(g, name, &t), LLMQ_OK);
        CHECK(t.rows == e.rows && t.cols == e.cols && t.cols <= COUNT(row));
        if (strlen(name) > 6) {
            gguf_tensor scale;
            memcpy(name + strlen(name) - 6, "scale", 6);
            if (gguf_find_tensor(g, name, &scale) == LLMQ_OK) {
                CHECK_EQ(gguf_row(&scale, 0, &factor), LLMQ_OK);
                scales++;
            }
        }
        CHECK((e.data == t.data) == (factor == 1.0f && (t.type <= 1 || t.type == 30)));
        for (r = 0; r < e.rows; r++) {
            CHECK_EQ(import_row(&e, r, row), LLMQ_OK);
            CHECK_EQ(gguf_row(&t, r, own), LLMQ_OK);
            for (c = 0; c < e.cols; c++) own[c] *= factor;
            CHECK(memcmp(row, own, e.cols * sizeof *row) == 0);
        }
    }
    CHECK_EQ((long)(m.tensors + scales), (long)g->tensors);
}

static void test_known(const struct known *k)
{
    size_t size = 0;
    char path[80];
    unsigned char *bytes;
    llmq_status status;
    gguf g;
    (void)snprintf(path, sizeof path, "%s.gguf", k->name);
    bytes = load(path, &size);
    check_at("%s", path);
    CHECK(use_gguf(&m, bytes, size, &status) == NULL);
    if (CHECK_EQ(status, LLMQ_OK)) {
        CHECK(strcmp(m.family, k->family) == 0);
        check_values(k->required, k->optional);
        CHECK_EQ(gguf_open(&g, bytes, size), LLMQ_OK);
        CHECK_EQ(import_open_gguf(&m, &g, 1), LLMQ_OK);
        check_rows(&g);
    } else printf("    %s\n", m.fault);
    free(bytes);
}

/* The tensor of m with a name; it fails where there is none. */
static int find(const import_model *model, const char *name, import_entry *e)
{
    uint32_t i;
    for (i = 0; i < model->tensors; i++)
        if (import_tensor(model, i, e) == LLMQ_OK && strcmp(e->name, name) == 0) return 1;
    return CHECK_EQ(i, model->tensors + 1); /* it is not there */
}

/* Row of safetensors for a row of GGUF: in a head of a model whose rows converters reorder, pairs lie apart. */
static uint32_t row_of(const import_entry *e, uint32_t r, uint32_t head, int reordered)
{
    const char *kind = strrchr(e->name, '.');
    uint32_t inside = r % head;
    if (!reordered || !kind || (strcmp(kind, ".wq") && strcmp(kind, ".wk"))) return r;
    return r - inside + inside / 2 + (inside % 2 ? head / 2 : 0);
}

/* The model of a folder is that of the GGUF file. */
static void test_folder(const char *name, const char *const *shard, uint32_t shards, int reordered)
{
    static import_model other;
    static float row[1024], own[1024];
    unsigned char *bytes[4], *file, *text;
    size_t size = 0, text_size = 0;
    safetensors s[4];
    json_value config;
    gguf g;
    import_entry a, b;
    char path[120];
    uint32_t i, r;
    check_at("folder %s", name);
    (void)snprintf(path, sizeof path, "%s/config.json", name);
    text = load(path, &text_size);
    CHECK_EQ(json_open(&config, text, text_size), LLMQ_OK);
    for (i = 0; i < shards; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", name, shard[i]);
        bytes[i] = load(path, &size);
        CHECK_EQ(safetensors_open(&s[i], bytes[i], size), LLMQ_OK);
    }
    (void)snprintf(path, sizeof path, "%s.gguf", name);
    file = load(path, &size);
    CHECK_EQ(gguf_open(&g, file, size), LLMQ_OK);
    CHECK_EQ(import_open_gguf(&m, &g, 1), LLMQ_OK);
    CHECK_EQ(import_open_safetensors(&other, &config, s, shards), LLMQ_OK);
    CHECK(use_import(&other, LLMQ_OK) == NULL);
    CHECK_EQ(other.tensors, m.tensors);
    CHECK_EQ(other.values, m.values + (reordered ? 1 : 0)); /* lm.rope_halves */
    for (i = 0; i < m.tensors; i++) {
        CHECK_EQ(import_tensor(&m, i, &a), LLMQ_OK);
        if (!find(&other, a.name, &b)) continue;
        check_at("folder %s: %s", name, a.name);
        CHECK(a.rows == b.rows && a.cols == b.cols);
        for (r = 0; r < a.rows; r++) {
            CHECK_EQ(import_row(&a, r, row), LLMQ_OK);
            CHECK_EQ(import_row(&b, row_of(&a, r, m.head, reordered), own), LLMQ_OK);
            CHECK(memcmp(row, own, a.cols * sizeof *row) == 0);
        }
    }
    if (shards > 1) CHECK_EQ(import_open_safetensors(&other, &config, s, 1), LLMQ_E_NOT_FOUND);
    s[shards] = s[0];
    /* each tensor of s[0] is there twice */
    CHECK_EQ(import_open_safetensors(&other, &config, s, shards + 1), LLMQ_E_CORRUPT);
    for (i = 0; i < shards; i++) free(bytes[i]);
    free(file);
    free(text);
    check_at("%s", "");
}

/* ---- small models that the test writes ---- */

/* Opens f. */
static llmq_status open_model(void)
{
    static unsigned char out[FILES_MOST], config[FILES_MOST];
    const char *broken;
    llmq_status status;
    if (f.key[0].text[0] == 0) broken = use_gguf(&m, out, files_write_gguf(&f, out), &status);
    else broken = use_safetensors(&m, config, files_write_config(&f, config), out, files_write_safetensors(&f, out),
                                  &status);
    CHECK(broken == NULL);
    return status;
}

/* f is refused with a status, and by a name; why: a part of the reason. */
static void refused(llmq_status status, const char *name, const char *why)
{
    check_at("refused: %s", name);
    CHECK_EQ(open_model(), status);
    if (!CHECK(strncmp(m.fault, name, strlen(name)) == 0 && strstr(m.fault, why) != NULL)) printf("    fault: %s\n",
                                                                                                  m.fault);
    check_at("%s", "");
}

/* f opens, and its optional values are these. */
static void accepted(const char *optional)
{
    char text[400];
    check_at("accepted: %s", optional);
    if (CHECK_EQ(open_model(), LLMQ_OK)) {
        describe(text, sizeof text);
        if (!CHECK(strcmp(text, optional) == 0)) printf("    values: %s\n", text);
    } else printf("    fault: %s\n", m.fault);
    check_at("%s", "");
}

/* A model of an architecture with one change; the macros say what becomes of it. */
#define REFUSED(arch, change, status, name, why) (files_gguf_model(&f, arch), change, refused(status, name, why))
#define ACCEPTED(arch, change, optional) (files_gguf_model(&f, arch), change, accepted(optional))
#define UNKNOWN(arch, change, name) REFUSED(arch, change, LLMQ_E_UNSUPPORTED, name, "not understood")

static void test_gguf_keys(void)
{
    const llmq_status no = LLMQ_E_UNSUPPORTED, bad = LLMQ_E_CORRUPT, range = LLMQ_E_LIMIT, missing = LLMQ_E_NOT_FOUND;
    UNKNOWN("llama", files_u32(&f, "llama.some.new.key", 0), "llama.some.new.key");
    UNKNOWN("llama", files_f32(&f, "llama.attention.scale", 1.0f), "llama.attention.scale");
    UNKNOWN("llama", files_u32(&f, "llama.attention.sliding_window", 8), "llama.attention.sliding_window");
    UNKNOWN("llama", files_f32(&f, "llama.attention.max_alibi_bias", 8), "llama.attention.max_alibi_bias");
    UNKNOWN("llama", files_f32(&f, "llama.attention.clamp_kqv", 8), "llama.attention.clamp_kqv");
    UNKNOWN("llama", files_u32(&f, "llama.attention.q_lora_rank", 8), "llama.attention.q_lora_rank");
    UNKNOWN("llama", files_u32(&f, "llama.attention.kv_lora_rank", 8), "llama.attention.kv_lora_rank");
    UNKNOWN("llama", files_f32(&f, "llama.rope.scaling.yarn_log_multiplier", 1),
            "llama.rope.scaling.yarn_log_multiplier");
    UNKNOWN("llama", files_u32(&f, "llama.attention.key_length_swa", 4), "llama.attention.key_length_swa");
    UNKNOWN("llama", files_u32(&f, "qwen2.context_length", 4), "qwen2.context_length");
    UNKNOWN("llama", files_f32(&f, "adapter.lora.alpha", 4), "adapter.lora.alpha");
    UNKNOWN("llama", files_text(&f, "llama.tensor_data_layout", "another"), "llama.tensor_data_layout");
    UNKNOWN("granite", files_list(&f, "granite.deepstack_mapping", 2, 0, 1), "granite.deepstack_mapping");
    UNKNOWN("gemma3", files_f32(&f, "gemma3.attn_logit_softcapping", 1), "gemma3.attn_logit_softcapping");
    UNKNOWN("llama", files_u32(&f, "llama\x1b[31m.key", 0), "llama?[31m.key"); /* it could trouble a terminal */
    REFUSED("llama", files_text(&f, "general.type", "adapter"), no, "general.type", "adapter");
    REFUSED("llama", files_text(&f, "general.architecture", "llama4"), no, "general.architecture",
            "not supported: llama4");
    REFUSED("llama", files_drop(&f, "general.architecture"), missing, "general.architecture", "missing");
    REFUSED("llama", files_u32(&f, "general.architecture", 0), no, "general.architecture", "not supported");
    REFUSED("llama", files_u32(&f, "llama.expert_count", 8), no, "llama.expert_count", "no other value");
    REFUSED("llama", files_u32(&f, "llama.expert_used_count", 2), no, "llama.expert_used_count", "no other value");
    REFUSED("llama", files_u32(&f, "llama.nextn_predict_layers", 1), no, "llama.nextn_predict_layers",
            "no other value");
    REFUSED("llama", files_bool(&f, "llama.attention.causal", 0), no, "llama.attention.causal", "no other value");
    REFUSED("llama", files_f32(&f, "llama.rope.scaling.attn_factor", 2), no, "llama.rope.scaling.attn_factor",
            "no other value");
    REFUSED("llama", files_text(&f, "llama.rope.scaling.type", "yarn"), no, "llama.rope.scaling.type",
            "scaling of RoPE");
    REFUSED("llama", files_text(&f, "llama.rope.scaling.type", "longrope"), no, "llama.rope.scaling.type",
            "scaling of RoPE");
    REFUSED("llama", files_text(&f, "llama.rope.scaling.type", "llama3"), no, "llama.rope.scaling.type",
            "scaling of RoPE");
    REFUSED("llama", files_u32(&f, "llama.rope.scaling.type", 1), no, "llama.rope.scaling.type", "scaling of RoPE");
    REFUSED("gemma2", files_f32(&f, "gemma2.rope.scaling.factor", 2), no, "scaling of RoPE", "windows");
    REFUSED("llama", files_list(&f, "llama.feed_forward_length", 2, 12, 13), no, "llama.feed_forward_length",
            "different sizes");
    REFUSED("llama", files_list(&f, "llama.embedding_length", 2, 8, 8), bad, "llama.embedding_length",
            "a single number");
    REFUSED("llama", files_list(&f, "llama.feed_forward_length", 0, 12, 12), bad, "llama.feed_forward_length",
            "a single number");
    REFUSED("llama", files_text(&f, "llama.block_count", "2"), bad, "llama.block_count", "a number");
    REFUSED("llama", files_f32(&f, "llama.block_count", 1.5f), bad, "llama.block_count", "no integer");
    REFUSED("llama", files_u32(&f, "llama.block_count", 0), range, "llama.block_count", "range");
    REFUSED("llama", files_u32(&f, "llama.block_count", 513), range, "llama.block_count", "range");
    REFUSED("llama", files_f32(&f, "llama.block_count", float_of(0x7fc00000u)), range, "llama.block_count", "range");
    REFUSED("llama", files_u32(&f, "llama.embedding_length", 0xffffffffu), range, "llama.embedding_length", "range");
    REFUSED("llama", files_u32(&f, "llama.attention.head_count", 0), range, "llama.attention.head_count", "range");
    REFUSED("llama", files_u32(&f, "llama.attention.head_count_kv", 0), range, "llama.attention.head_count_kv",
            "range");
    REFUSED("llama", files_u32(&f, "llama.context_length", 0), range, "llama.context_length", "range");
    REFUSED("llama", files_f32(&f, "llama.rope.freq_base", float_of(0x7f800000u)), range, "llama.rope.freq_base",
            "range");
    REFUSED("llama", files_f32(&f, "llama.rope.freq_base", 0.5f), range, "llama.rope.freq_base", "range");
    REFUSED("llama", files_f32(&f, "llama.rope.scaling.factor", 0.5f), range, "llama.rope.scaling.factor", "range");
    REFUSED("llama", files_f32(&f, "llama.attention.layer_norm_rms_epsilon", -1), range,
            "llama.attention.layer_norm_rms", "range");
    REFUSED("gemma2", files_f32(&f, "gemma2.final_logit_softcapping", 0), range, "gemma2.final_logit_softcapping",
            "range");
    REFUSED("granite", files_f32(&f, "granite.logit_scale", 0), range, "granite.logit_scale", "range");
    REFUSED("llama", files_u32(&f, "llama.attention.head_count", 3), bad, "heads", "divide");
    REFUSED("llama", files_u32(&f, "llama.attention.head_count_kv", 3), bad, "heads", "multiple");
    REFUSED("llama", files_u32(&f, "llama.attention.head_count", 8), range, "size of a head", "odd");
    REFUSED("llama", files_u32(&f, "llama.attention.value_length", 6), no, "size of a head", "values");
    REFUSED("llama", files_u32(&f, "llama.rope.dimension_count", 3), bad, "rope.dimension_count", "odd");
    REFUSED("llama", files_u32(&f, "llama.rope.dimension_count", 6), bad, "rope.dimension_count", "more");
    REFUSED("gemma3", (files_u32(&f, "gemma3.attention.sliding_window", 4),
                       files_list(&f, "gemma3.attention.sliding_window_pattern", 3, 1, 0)), bad,
            "attention.sliding_window_pattern", "each layer");
    REFUSED("gemma3", (files_u32(&f, "gemma3.attention.sliding_window", 4),
                       files_list(&f, "gemma3.attention.sliding_window_pattern", 2, 2, 0)), bad,
            "attention.sliding_window_pattern", "each layer");
    REFUSED("llama", files_drop(&f, "llama.block_count"), missing, "llama.block_count", "missing");
    REFUSED("llama", files_drop(&f, "llama.context_length"), missing, "llama.context_length", "missing");
    REFUSED("llama", files_drop(&f, "llama.embedding_length"), missing, "llama.embedding_length", "missing");
    REFUSED("llama", files_drop(&f, "llama.feed_forward_length"), missing, "llama.feed_forward_length", "missing");
    REFUSED("llama", files_drop(&f, "llama.attention.head_count"), missing, "llama.attention.head_count", "missing");
    REFUSED("llama", files_drop(&f, "llama.attention.layer_norm_rms_epsilon"), missing,
            "llama.attention.layer_norm_rms_epsilon", "missing");
    REFUSED("granite", files_drop(&f, "granite.logit_scale"), missing, "granite.logit_scale", "missing");
    REFUSED("llama", files_list(&f, "tokenizer.ggml.tokens", FILES_VOCAB + 1, 0, 0), bad, "tokenizer.ggml.tokens",
            "rows");
    REFUSED("llama", files_u32(&f, "llama.vocab_size", FILES_VOCAB + 1), bad, "token_embd.weight", "shape");
    REFUSED("llama", files_u32(&f, "split.count", 2), bad, "split.count", "parts");
}

static void test_gguf_values(void)
{
    ACCEPTED("llama", (void)0, "");
    ACCEPTED("llama", (files_text(&f, "general.name", "x"), files_u32(&f, "quantize.imatrix.chunks_count", 3),
                       files_text(&f, "llama.tensor_data_layout", "Meta AI original pth"), files_u32(&f,
                               "llama.expert_count", 0),
                       files_bool(&f, "llama.attention.causal", 1), files_u32(&f, "llama.pooling_type", 0),
                       files_list(&f, "tokenizer.ggml.tokens", FILES_VOCAB, 0, 0)), "");
    ACCEPTED("llama", files_list(&f, "llama.feed_forward_length", 2, 12, 12), "");
    ACCEPTED("llama", files_f32(&f, "llama.rope.scaling.factor", 4), "rope_scale 0.25");
    ACCEPTED("llama", files_f32(&f, "llama.rope.scale_linear", 2), "rope_scale 0.5");
    ACCEPTED("llama", (files_f32(&f, "llama.rope.scaling.factor", 4), files_text(&f, "llama.rope.scaling.type",
                                                                                 "none")), "");
    ACCEPTED("llama", (files_f32(&f, "llama.rope.scaling.factor", 4), files_text(&f, "llama.rope.scaling.type",
                                                                                 "linear")),
             "rope_scale 0.25");
    ACCEPTED("llama", files_f32(&f, "llama.rope.scaling.factor", 0), "");
    ACCEPTED("llama", files_u32(&f, "llama.rope.dimension_count", 2), "rope_part 2");
    ACCEPTED("smollm3", (files_u32(&f, "smollm3.block_count", 2)), "");
    ACCEPTED("qwen2", (void)0, "rope_halves 1");
    ACCEPTED("qwen3", (void)0, "head 6, rope_halves 1");
    ACCEPTED("granite", (void)0, "logit_scale 0.25");
    ACCEPTED("granite", (files_f32(&f, "granite.residual_scale", 0), files_f32(&f, "granite.embedding_scale", 12),
                         files_f32(&f, "granite.attention.scale", 0.125f), files_bool(&f,
                                 "granite.rope.scaling.finetuned", 0)),
             "embed_scale 12, attention_scale 0.125, logit_scale 0.25, layer_kinds 22");
    ACCEPTED("bitnet", (void)0, "rope_halves 1");
    /* sqrt(8) = 2.8284271; without keys the window of Gemma 2 is 4096 in layers 0, 2 ... and its caps are 50 and 30 */
    ACCEPTED("gemma2", (void)0, "head 6, activation 1, rope_halves 1, window 4096, embed_scale 2.82842708, "
                                "attention_softcap 50, logit_softcap 30, layer_kinds 10");
    ACCEPTED("gemma3", (void)0, "head 6, activation 1, rope_halves 1, embed_scale 2.82842708");
    ACCEPTED("gemma3", files_u32(&f, "gemma3.attention.sliding_window", 0),
             "head 6, activation 1, rope_halves 1, embed_scale 2.82842708");
    ACCEPTED("gemma3", (files_u32(&f, "gemma3.attention.sliding_window", 4), files_f32(&f, "gemma3.rope.freq_base",
                                                                                       5000),
                        files_u32(&f, "gemma3.attention.sliding_window_pattern", 2), files_f32(&f,
                                "gemma3.final_logit_softcapping", 9)),
             "head 6, activation 1, rope_halves 1, rope_theta 5000, window 4, rope_theta_local 10000, "
             "embed_scale 2.82842708, "
             "logit_softcap 9, layer_kinds 10");
    ACCEPTED("gemma3", (files_u32(&f, "gemma3.attention.sliding_window", 4), files_list(&f,
            "gemma3.attention.sliding_window_pattern", 2, 0, 1)),
             "head 6, activation 1, rope_halves 1, window 4, embed_scale 2.82842708, layer_kinds 01");
    ACCEPTED("gemma3", (files_u32(&f, "gemma3.attention.sliding_window", 4), files_u32(&f,
            "gemma3.attention.sliding_window_pattern", 1)),
             "head 6, activation 1, rope_halves 1, embed_scale 2.82842708");
    ACCEPTED("gemma3", (files_u32(&f, "gemma3.attention.sliding_window", 4), files_u32(&f,
            "gemma3.attention.sliding_window_pattern", 0)),
             "head 6, activation 1, rope_halves 1, window 4, embed_scale 2.82842708, layer_kinds 11");
}

static void test_gguf_tensors(void)
{
    const llmq_status no = LLMQ_E_UNSUPPORTED, bad = LLMQ_E_CORRUPT, missing = LLMQ_E_NOT_FOUND;
    import_entry e;
    float row[FILES_HIDDEN];
    UNKNOWN("llama", files_tensor_of(&f, "blk.0.attn_q_norm.weight", 1, 4, 0), "blk.0.attn_q_norm.weight");
    UNKNOWN("llama", files_tensor_of(&f, "blk.0.attn_output.bias", 1, 8, 0), "blk.0.attn_output.bias");
    UNKNOWN("llama", files_tensor_of(&f, "blk.0.ffn_gate_exps.weight", 12, 8, 0), "blk.0.ffn_gate_exps.weight");
    UNKNOWN("llama", files_tensor_of(&f, "blk.0.attn_qkv.weight", 16, 8, 0), "blk.0.attn_qkv.weight");
    UNKNOWN("llama", files_tensor_of(&f, "blk.0.attn_q.weight.lora_a", 4, 8, 0), "blk.0.attn_q.weight.lora_a");
    UNKNOWN("llama", files_tensor_of(&f, "blk.0.attn_q.input_scale", 1, 1, 0), "blk.0.attn_q.input_scale");
    UNKNOWN("llama", files_tensor_of(&f, "blk.2.attn_norm.weight", 1, 8, 0), "blk.2.attn_norm.weight");
    UNKNOWN("llama", files_tensor_of(&f, "blk.01.attn_norm.weight", 1, 8, 0), "blk.01.attn_norm.weight");
    UNKNOWN("llama", files_tensor_of(&f, "blk..attn_norm.weight", 1, 8, 0), "blk..attn_norm.weight");
    UNKNOWN("llama", files_tensor_of(&f, "blk.4294967296.attn_norm.weight", 1, 8, 0),
            "blk.4294967296.attn_norm.weight");
    UNKNOWN("llama", files_tensor_of(&f, "model.norm.weight", 1, 8, 0), "model.norm.weight");
    UNKNOWN("llama", files_tensor_of(&f, "rope_factors_long.weight", 1, 2, 0), "rope_factors_long.weight");
    UNKNOWN("qwen2", files_tensor_of(&f, "output.bias", 1, 5, 0), "output.bias");
    UNKNOWN("qwen2", files_tensor_of(&f, "blk.0.attn_q.scale", 1, 1, 0), "blk.0.attn_q.scale");
    UNKNOWN("qwen2", files_tensor_of(&f, "rope_freqs.weight", 1, 2, 0), "rope_freqs.weight");
    UNKNOWN("gemma2", files_tensor_of(&f, "output.weight", 5, 8, 0), "output.weight");
    UNKNOWN("bitnet", files_tensor_of(&f, "blk.0.attn_q.bias", 1, 8, 0), "blk.0.attn_q.bias");
    REFUSED("llama", files_tensor_of(&f, "blk.1.attn_q.weight", 4, 8, 0), bad, "blk.1.attn_q.weight", "shape");
    REFUSED("llama", files_tensor_of(&f, "blk.1.attn_k.weight", 8, 4, 0), bad, "blk.1.attn_k.weight", "shape");
    REFUSED("llama", files_tensor_of(&f, "blk.1.ffn_norm.weight", 1, 4, 0), bad, "blk.1.ffn_norm.weight", "shape");
    REFUSED("llama", files_tensor_of(&f, "output.weight", 4, 8, 0), bad, "output.weight", "shape");
    REFUSED("llama", files_tensor_of(&f, "rope_freqs.weight", 1, 4, 0), bad, "rope_freqs.weight", "shape");
    REFUSED("llama", files_tensor_of(&f, "blk.1.attn_q.weight", 8, 8, 25), no, "blk.1.attn_q.weight", "type");
    REFUSED("bitnet", files_tensor_of(&f, "blk.1.ffn_up.scale", 1, 2, 0), bad, "blk.1.ffn_up.scale", "shape");
    REFUSED("llama", files_lose(&f, "token_embd.weight"), missing, "token_embd.weight", "missing");
    REFUSED("llama", files_lose(&f, "output_norm.weight"), missing, "output_norm.weight", "missing");
    REFUSED("llama", files_lose(&f, "blk.1.ffn_down.weight"), missing, "blk.1.ffn_down.weight", "missing");
    REFUSED("qwen3", files_lose(&f, "blk.0.attn_k_norm.weight"), missing, "blk.0.attn_k_norm.weight", "missing");
    REFUSED("gemma3", files_lose(&f, "blk.1.post_ffw_norm.weight"), missing, "blk.1.post_ffw_norm.weight", "missing");
    REFUSED("bitnet", files_lose(&f, "blk.1.attn_sub_norm.weight"), missing, "blk.1.attn_sub_norm.weight", "missing");
    ACCEPTED("llama", files_tensor_of(&f, "output.weight", 5, 8, 1), "");
    if (find(&m, "classifier", &e)) CHECK(strcmp(e.format, "f16") == 0 && e.data && e.size == 80);
    ACCEPTED("llama", files_tensor_of(&f, "rope_freqs.weight", 1, 2, 0), "");
    CHECK(find(&m, "rope_factors", &e));
    ACCEPTED("llama", files_layers(&f, "blk.%u.attn_k.bias", 1, 4), "");
    CHECK(find(&m, "layers.1.bk", &e));
    ACCEPTED("bitnet", files_tensor_of(&f, "blk.1.ffn_down.scale", 1, 1, 0), "rope_halves 1");
    if (find(&m, "layers.1.w2", &e)) { /* the factor is 0.25, and so is the first element */
        CHECK(!e.data && strcmp(e.format, "f32") == 0 && import_row(&e, 0, row) == LLMQ_OK);
        CHECK(bits_of(row[0]) == bits_of(0.0625f) && bits_of(row[6]) == bits_of(0.4375f));
    }
    if (find(&m, "layers.0.w2", &e)) CHECK(e.data && import_row(&e, 0,
                                                                row) == LLMQ_OK && bits_of(row[0]) == bits_of(0.25f));
}

/* A model in two parts: the second has the tensors of layer 1. */
static void test_split(void)
{
    static unsigned char out[3][FILES_MOST];
    static files_model rest;
    gguf part[2];
    uint32_t i, n = 0;
    files_gguf_model(&f, "llama");
    memset(&rest, 0, sizeof rest);
    rest.arch = "llama";
    for (i = 0; i < f.tensors; i++)
        if (strncmp(f.tensor[i].name, "blk.1.", 6) == 0) rest.tensor[rest.tensors++] = f.tensor[i];
        else f.tensor[n++] = f.tensor[i];
    f.tensors = n;
    files_u32(&f, "split.no", 0), files_u32(&f, "split.count", 2), files_u32(&f, "split.tensors.count",
                                                                             n + rest.tensors);
    files_u32(&rest, "split.no", 1), files_u32(&rest, "split.count", 2), files_u32(&rest, "split.tensors.count",
                                                                                   n + rest.tensors);
    check_at("%s", "two parts");
    CHECK_EQ(gguf_open(&part[0], out[0], files_write_gguf(&f, out[0])), LLMQ_OK);
    CHECK_EQ(gguf_open(&part[1], out[1], files_write_gguf(&rest, out[1])), LLMQ_OK);
    CHECK_EQ(import_open_gguf(&m, part, 2), LLMQ_OK);
    CHECK(use_import(&m, LLMQ_OK) == NULL);
    CHECK_EQ(m.tensors, n + rest.tensors);
    CHECK_EQ(import_open_gguf(&m, part, 1), LLMQ_E_CORRUPT);
    CHECK_EQ(import_open_gguf(&m, part + 1, 1), LLMQ_E_CORRUPT);
    files_tensor_of(&rest, "output_norm.weight", 1, 8, 0); /* part 0 has it, too */
    files_u32(&rest, "split.tensors.count", n + rest.tensors), files_u32(&f, "split.tensors.count", n + rest.tensors);
    CHECK_EQ(gguf_open(&part[0], out[0], files_write_gguf(&f, out[0])), LLMQ_OK);
    CHECK_EQ(gguf_open(&part[1], out[2], files_write_gguf(&rest, out[2])), LLMQ_OK);
    CHECK_EQ(import_open_gguf(&m, part, 2), LLMQ_E_CORRUPT);
    CHECK(strcmp(m.fault, "output_norm.weight: it is there twice") == 0);
    check_at("%s", "");
}

/* ---- safetensors ---- */

#define REFUSED_HF(arch, change, status, name, why) \
    (files_safetensors_model(&f, arch), change, refused(status, name, why))
#define ACCEPTED_HF(arch, change, optional) (files_safetensors_model(&f, arch), change, accepted(optional))
#define UNKNOWN_HF(arch, change, name) REFUSED_HF(arch, change, LLMQ_E_UNSUPPORTED, name, "not understood")

static void test_config_refused(void)
{
    const llmq_status no = LLMQ_E_UNSUPPORTED, bad = LLMQ_E_CORRUPT, range = LLMQ_E_LIMIT, missing = LLMQ_E_NOT_FOUND;
    UNKNOWN_HF("llama", files_json(&f, "some_new_key", "null"), "some_new_key");
    UNKNOWN_HF("llama", files_json(&f, "quantization_config", "{}"), "quantization_config");
    UNKNOWN_HF("llama", files_json(&f, "sliding_window", "8"), "sliding_window");
    UNKNOWN_HF("llama", files_json(&f, "auto_map", "{}"), "auto_map");
    UNKNOWN_HF("qwen2", files_json(&f, "layer\\u005ftypes", "[]"), "layer\\u005ftypes");
    UNKNOWN_HF("qwen2", files_json(&f, "embedding_multiplier", "2"), "embedding_multiplier");
    REFUSED_HF("llama", files_json(&f, "model_type", "\"mixtral\""), no, "model_type", "not supported: mixtral");
    REFUSED_HF("llama", files_json(&f, "model_type", "\"bitnet\""), no, "model_type", "not supported: bitnet");
    REFUSED_HF("llama", (files_drop(&f, "model_type"), files_json(&f, "use_cache", "true")), missing, "model_type",
               "missing");
    REFUSED_HF("llama", files_json(&f, "architectures", "[\"LlamaForSequenceClassification\"]"), no, "architectures",
               "texts");
    REFUSED_HF("llama", files_json(&f, "hidden_act", "\"gelu\""), no, "hidden_act", "activation");
    REFUSED_HF("gemma2", files_json(&f, "hidden_activation", "\"silu\""), no, "hidden_activation", "activation");
    REFUSED_HF("llama", files_json(&f, "attention_bias", "true"), no, "attention_bias", "no other value");
    REFUSED_HF("llama", files_json(&f, "mlp_bias", "true"), no, "mlp_bias", "no other value");
    REFUSED_HF("llama", files_json(&f, "num_local_experts", "8"), no, "num_local_experts", "no other value");
    REFUSED_HF("llama", files_json(&f, "partial_rotary_factor", "0.5"), no, "partial_rotary_factor", "no other value");
    REFUSED_HF("gemma3_text", files_json(&f, "use_bidirectional_attention", "true"), no, "use_bidirectional_attention",
               "no other value");
    REFUSED_HF("mobilellm", files_json(&f, "layer_sharing", "true"), no, "layer_sharing", "no other value");
    REFUSED_HF("mobilellm", files_drop(&f, "share_embedding"), missing, "share_embedding", "missing");
    REFUSED_HF("llama", files_json(&f, "hidden_size", "\"8\""), bad, "hidden_size", "a number");
    REFUSED_HF("llama", files_json(&f, "hidden_size", "8.5"), bad, "hidden_size", "no integer");
    REFUSED_HF("llama", files_json(&f, "hidden_size", "1e300"), range, "hidden_size", "range");
    REFUSED_HF("llama", files_json(&f, "hidden_size", "null"), missing, "hidden_size", "missing");
    REFUSED_HF("llama", files_drop(&f, "vocab_size"), missing, "vocab_size", "missing");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "8"), bad, "rope_scaling", "an object");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"type\": \"yarn\"}"), no, "type", "scaling of RoPE");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"rope_type\": \"dynamic\"}"), no, "rope_type",
               "scaling of RoPE");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"rope_type\": \"linear\", \"type\": \"default\"}"), bad,
               "type", "contradicts");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"type\": \"linear\"}"), missing, "rope_scaling", "factor");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"type\": \"linear\", \"factor\": 2, \"beta_fast\": 1}"), no,
               "beta_fast", "scaling of RoPE");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"type\": \"llama3\", \"factor\": 2}"), missing,
               "rope_scaling", "llama3");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"type\": \"llama3\", \"factor\": 2, \"low_freq_factor\": 4, "
               "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 32}"), bad, "rope_scaling",
                       "high_freq_factor");
    REFUSED_HF("llama", (files_json(&f, "rope_theta", "5000"), files_json(&f, "rope_parameters",
            "{\"rope_theta\": 6000}")), bad, "rope_theta", "contradicts");
    REFUSED_HF("mistral", files_json(&f, "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}"), no,
               "scaling of RoPE", "windows");
    REFUSED_HF("gemma3_text", files_json(&f, "rope_parameters", "{\"full_attention\": {}, \"other\": {}}"), no,
               "rope_parameters", "kinds");
    REFUSED_HF("gemma3_text",
               files_json(&f, "rope_parameters",
                          "{\"full_attention\": {}, \"sliding_attention\": {\"type\": \"linear\"}}"),
               no, "type", "beside a window");
    REFUSED_HF("qwen2", files_json(&f, "layer_types", "[\"full_attention\"]"), no, "layer_types", "each layer");
    REFUSED_HF("qwen2", files_json(&f, "layer_types", "[\"full_attention\",\"full_attention\",\"full_attention\"]"),
               no, "layer_types", "each layer");
    REFUSED_HF("qwen2", files_json(&f, "layer_types", "[\"full_attention\",\"chunked_attention\"]"), no, "layer_types",
               "each layer");
    REFUSED_HF("qwen2", files_json(&f, "layer_types", "[\"full_attention\",\"sliding_attention\"]"), no, "layer_types",
               "turned off");
    REFUSED_HF("qwen2", files_json(&f, "layer_types", "\"full_attention\""), bad, "layer_types", "a list");
    REFUSED_HF("gemma2", (files_json(&f, "layer_types", "[\"full_attention\",\"sliding_attention\"]"), files_json(&f,
            "sliding_window", "null")), missing, "sliding_window", "window");
    REFUSED_HF("gemma3_text", files_json(&f, "attn_logit_softcapping", "50"), no, "attn_logit_softcapping",
               "no other value");
    REFUSED_HF("llama", files_json(&f, "rope_scaling", "{\"factor\": 2}"), missing, "rope_scaling", "no type");
    REFUSED_HF("smollm3", files_json(&f, "no_rope_layers", "[1]"), bad, "no_rope_layers", "each layer");
    REFUSED_HF("smollm3", files_json(&f, "no_rope_layers", "[1,0,1]"), bad, "no_rope_layers", "each layer");
    REFUSED_HF("smollm3", files_json(&f, "no_rope_layers", "[1,2]"), bad, "no_rope_layers", "each layer");
}

#define GEMMA "head 6, activation 1, rope_halves 1, "
#define QUERY "embed_scale 2.82842708, attention_scale 0.0625" /* 256 ^ -1/2, the default of query_pre_attn_scalar */

static void test_config_values(void)
{
    ACCEPTED_HF("llama", (void)0, "head 6, rope_halves 1");
    ACCEPTED_HF("llama", (files_json(&f, "torch_dtype", "\"bfloat16\""), files_json(&f, "architectures",
                                                                                    "[\"LlamaForCausalLM\"]"),
                          files_json(&f, "rope_scaling", "null"), files_json(&f, "hidden_act", "\"silu\""),
                                  files_json(&f, "attention_bias", "false")),
                "head 6, rope_halves 1");
    ACCEPTED_HF("llama", files_json(&f, "rope_scaling", "{\"type\": \"linear\", \"factor\": 4.0}"),
                "head 6, rope_halves 1, rope_scale 0.25");
    ACCEPTED_HF("llama", files_json(&f, "rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 5e5}"),
                "head 6, rope_halves 1, rope_theta 500000");
    ACCEPTED_HF("mistral", (void)0, "head 6, rope_halves 1, window 4096, layer_kinds 11");
    ACCEPTED_HF("mistral", files_json(&f, "sliding_window", "null"), "head 6, rope_halves 1");
    ACCEPTED_HF("smollm3", (void)0, "head 6, rope_halves 1, rope_theta 2000000");
    ACCEPTED_HF("smollm3", files_json(&f, "no_rope_layer_interval", "2"),
                "head 6, rope_halves 1, rope_theta 2000000, layer_kinds 02");
    ACCEPTED_HF("smollm3", (files_json(&f, "no_rope_layers", "[0,1]"), files_json(&f, "use_sliding_window", "true"),
                            files_json(&f, "sliding_window", "9")),
                "head 6, rope_halves 1, rope_theta 2000000, window 9, layer_kinds 30");
    ACCEPTED_HF("qwen2", (files_json(&f, "sliding_window", "9"), files_json(&f, "max_window_layers", "1")),
                "head 6, rope_halves 1");
    ACCEPTED_HF("qwen2", (files_json(&f, "sliding_window", "9"), files_json(&f, "max_window_layers", "1"),
                          files_json(&f, "use_sliding_window", "true")),
                "head 6, rope_halves 1, window 9, layer_kinds 01");
    ACCEPTED_HF("qwen3", files_json(&f, "layer_types", "[\"full_attention\",\"full_attention\"]"),
                "head 6, rope_halves 1");
    ACCEPTED_HF("granite", (void)0, "head 6, rope_halves 1, attention_scale 1");
    ACCEPTED_HF("granite", (files_json(&f, "attention_multiplier", "0.5"), files_json(&f, "logits_scaling", "8"),
                            files_json(&f, "residual_multiplier", "0.25")),
                "head 6, rope_halves 1, residual_scale 0.25, attention_scale 0.5, logit_scale 0.125");
    ACCEPTED_HF("gemma2", (void)0,
                GEMMA "window 4096, " QUERY ", attention_softcap 50, logit_softcap 30, layer_kinds 10");
    ACCEPTED_HF("gemma2", (files_json(&f, "attn_logit_softcapping", "null"), files_json(&f, "final_logit_softcapping",
                                                                                        "null"),
                           files_json(&f, "query_pre_attn_scalar", "6"), files_json(&f, "sliding_window", "7")),
                GEMMA "window 7, embed_scale 2.82842708, layer_kinds 10");
    ACCEPTED_HF("gemma3_text", (void)0,
                GEMMA "rope_theta 1000000, window 4096, rope_theta_local 10000, " QUERY ", layer_kinds 11");
    ACCEPTED_HF("gemma3_text", (files_json(&f, "sliding_window_pattern", "2"), files_json(&f, "rope_scaling",
            "{\"rope_type\": \"linear\", \"factor\": 8.0}")),
                GEMMA "rope_theta 1000000, window 4096, rope_theta_local 10000, rope_scale 0.125, " QUERY
                      ", layer_kinds 10");
    ACCEPTED_HF("gemma3_text", files_json(&f, "rope_parameters",
                                          "{\"full_attention\": {\"rope_type\": \"default\", \"rope_theta\": 3000}, "
                                          "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 2000}}"),
                GEMMA "rope_theta 3000, window 4096, rope_theta_local 2000, " QUERY ", layer_kinds 11");
    ACCEPTED_HF("mobilellm", (files_json(&f, "tie_word_embeddings", "false"), files_json(&f, "layer_sharing", "false"),
                              files_json(&f, "auto_map", "{}")),
                "head 6, rope_halves 1");
}

static void test_config_tensors(void)
{
    const llmq_status no = LLMQ_E_UNSUPPORTED, bad = LLMQ_E_CORRUPT, missing = LLMQ_E_NOT_FOUND;
    import_entry e;
    float row[FILES_DIM];
    UNKNOWN_HF("llama", files_tensor_of(&f, "model.layers.0.self_attn.q_proj.bias", 1, 12, 0),
               "model.layers.0.self_attn.q_proj.bias");
    UNKNOWN_HF("llama", files_tensor_of(&f, "model.layers.2.input_layernorm.weight", 1, 8, 0),
               "model.layers.2.input_layernorm.weight");
    UNKNOWN_HF("llama", files_tensor_of(&f, "blk.0.attn_norm.weight", 1, 8, 0), "blk.0.attn_norm.weight");
    REFUSED_HF("qwen2", files_lose(&f, "model.layers.1.self_attn.v_proj.bias"), missing,
               "model.layers.1.self_attn.v_proj.bias", "missing");
    REFUSED_HF("gemma2", files_lose(&f, "model.layers.1.pre_feedforward_layernorm.weight"), missing,
               "model.layers.1.pre_feedforward_layernorm.weight", "missing");
    REFUSED_HF("llama", files_tensor_of(&f, "model.norm.weight", 1, 8, 2), no, "model.norm.weight", "type");
    REFUSED_HF("llama", files_tensor_of(&f, "model.norm.weight", 1, 4, 0), bad, "model.norm.weight", "shape");
    REFUSED_HF("llama", files_json(&f, "tie_word_embeddings", "false"), missing, "lm_head.weight", "missing");
    REFUSED_HF("llama", files_tensor_of(&f, "lm_head.weight", 5, 8, 0), no, "lm_head.weight", "differs");
    REFUSED_HF("llama", (files_tensor_of(&f, "lm_head.weight", 5, 8, 30), f.tensor[f.tensors - 1].shift = 1), no,
               "lm_head.weight", "differs");
    /* the same as the embedding */
    ACCEPTED_HF("llama", files_tensor_of(&f, "lm_head.weight", 5, 8, 30), "head 6, rope_halves 1");
    CHECK_EQ(m.tensors, 2 + 2 * 9);
    ACCEPTED_HF("llama", (files_tensor_of(&f, "lm_head.weight", 5, 8, 0), files_json(&f, "tie_word_embeddings",
            "false")), "head 6, rope_halves 1");
    CHECK_EQ(m.tensors, 3 + 2 * 9);
    ACCEPTED_HF("llama", files_tensor_of(&f, "model.layers.0.self_attn.rotary_emb.inv_freq", 1, 3, 0),
                "head 6, rope_halves 1");
    CHECK_EQ(m.tensors, 2 + 2 * 9);
    /* norms get 1 more, and only norms; the first element of each tensor is 0.25 */
    files_safetensors_model(&f, "gemma2");
    CHECK_EQ(open_model(), LLMQ_OK);
    if (find(&m, "layers.1.post1", &e)) CHECK(!e.data && import_row(&e, 0,
            row) == LLMQ_OK && bits_of(row[0]) == bits_of(1.25f));
    if (find(&m, "norm", &e)) CHECK(!e.data && import_row(&e, 0, row) == LLMQ_OK && bits_of(row[0]) == bits_of(1.25f));
    if (find(&m, "layers.1.wk", &e)) CHECK(e.data && import_row(&e, 0,
                                                                row) == LLMQ_OK && bits_of(row[0]) == bits_of(0.25f));
}

/* Waves are 2 pi 10000^(i / 3), 6.28, 135.4 and 2916 positions long, and the bounds 200 / 8 and 200 / 2. */
static void test_llama3(void)
{
    static const float expected[3] = { 1.0f, 16.0f, 16.0f };
    float row[3];
    import_entry e;
    files_safetensors_model(&f, "llama");
    files_json(&f, "rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 16, \"low_freq_factor\": 2, "
                                   "\"high_freq_factor\": 8, \"original_max_position_embeddings\": 200}");
    check_at("%s", "llama3");
    CHECK_EQ(open_model(), LLMQ_OK);
    if (find(&m, "rope_factors", &e))
        CHECK(e.rows == 1 && e.cols == 3 && import_row(&e, 0, row) == LLMQ_OK &&
              memcmp(row, expected, sizeof row) == 0);
    check_at("%s", "");
}

/* ---- bytes that are changed ---- */

/* Each byte of config.json, or of the metadata of a GGUF file. */
static void test_every_byte(const char *name, const unsigned char *file, size_t size, size_t config)
{
    static const unsigned char value[3] = { 0x00, 0x7f, 0xff };
    unsigned char *copy = (unsigned char *)malloc(size), *text = (unsigned char *)malloc(config ? config : 1);
    llmq_status status;
    size_t i, k, most = config;
    gguf g;
    if (!copy || !text) exit(2);
    if (!config && CHECK_EQ(gguf_open(&g, file, size), LLMQ_OK)) most = g.data;
    for (i = 0; i < most; i++)
        for (k = 0; k < 3; k++) {
            memcpy(copy, file, size);
            check_at("%s: byte %ld is %d", name, (long)i, value[k]);
            copy[i] = value[k];
            memcpy(text, copy, config);
            CHECK((config ? use_safetensors(&m, text, config, copy + config, size - config, &status)
                          : use_gguf(&m, copy, size, &status)) == NULL);
        }
    free(copy);
    free(text);
    check_at("%s", "");
}

int main(void)
{
    static const char *const one[] = { "model.safetensors" };
    static const char *const two[] = { "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors" };
    static unsigned char out[2 * FILES_MOST];
    size_t config;
    uint32_t i;
    for (i = 0; i < COUNT(known); i++) test_known(&known[i]);
    test_folder("llama31", one, 1, 1);
    test_folder("gemma3", one, 1, 0);
    test_folder("qwen3", two, 2, 0);
    test_gguf_keys();
    test_gguf_values();
    test_gguf_tensors();
    test_split();
    test_config_refused();
    test_config_values();
    test_config_tensors();
    test_llama3();
    CHECK_EQ(import_open_gguf(&m, NULL, 1), LLMQ_E_ARG);
    CHECK_EQ(import_open_safetensors(&m, NULL, NULL, 1), LLMQ_E_ARG);
    files_gguf_model(&f, "gemma3");
    test_every_byte("gguf", out, files_write_gguf(&f, out), 0);
    files_safetensors_model(&f, "smollm3");
    files_json(&f, "no_rope_layers", "[0,1]");
    config = files_write_config(&f, out);
    test_every_byte("config.json", out, config + files_write_safetensors(&f, out + config), config);
    return check_done("test_import");
}
