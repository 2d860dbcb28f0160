/* import_files.h - small models of all architectures that examples/import.h reads, and changes of one key or tensor

   test_import.c and fuzz_import.c make them in memory, as GGUF and as safetensors with config.json. Include it after
   <stdio.h>, <stdlib.h>, <string.h> and helpers.h. */
#ifndef IMPORT_FILES_H
#define IMPORT_FILES_H

enum { FILES_KEYS = 48, FILES_TENSORS = 64, FILES_LAYERS = 2, FILES_DIM = 8, FILES_HIDDEN = 12, FILES_HEADS = 2,
       FILES_KV = 1, FILES_HEAD = 6, FILES_VOCAB = 5, FILES_MOST = 1 << 16 };

typedef struct files_key {
    char name[80];
    unsigned char bytes[128]; /* type and value, as GGUF has them */
    size_t size;
    char text[400];           /* the value in config.json */
} files_key;

typedef struct files_tensor {
    char name[80];
    uint32_t type, rows, cols; /* type: 0 F32, 1 F16, 30 BF16; others in GGUF alone */
    uint32_t shift;            /* of the data */
} files_tensor;

typedef struct files_model {
    const char *arch;
    files_key key[FILES_KEYS];
    files_tensor tensor[FILES_TENSORS];
    uint32_t keys, tensors;
} files_model;

/* ---- keys ---- */

static inline void files_drop(files_model *f, const char *name)
{
    uint32_t i = 0;
    while (i < f->keys && strcmp(f->key[i].name, name) != 0) i++;
    if (i == f->keys) return;
    f->keys--;
    memmove(&f->key[i], &f->key[i + 1], (f->keys - i) * sizeof f->key[0]);
}

/* A new key in place of one of the same name. */
static inline files_key *files_set(files_model *f, const char *name, uint32_t type)
{
    files_key *k = &f->key[f->keys];
    files_drop(f, name);
    k = &f->key[f->keys++];
    memset(k, 0, sizeof *k);
    (void)snprintf(k->name, sizeof k->name, "%s", name);
    put32(k->bytes, type);
    k->size = 4;
    return k;
}

static inline void files_put(files_key *k, uint32_t x)
{
    put32(k->bytes + k->size, x);
    k->size += 4;
}

static inline void files_u32(files_model *f, const char *name, uint32_t x) { files_put(files_set(f, name, 4), x); }
static inline void files_f32(files_model *f, const char *name, float x) { files_put(files_set(f, name, 6),
                                                                                    bits_of(x)); }

static inline void files_bool(files_model *f, const char *name, int x)
{
    files_key *k = files_set(f, name, 7);
    k->bytes[k->size++] = (unsigned char)x;
}

static inline void files_text(files_model *f, const char *name, const char *s)
{
    files_key *k = files_set(f, name, 8);
    files_put(k, (uint32_t)strlen(s));
    files_put(k, 0);
    memcpy(k->bytes + k->size, s, strlen(s));
    k->size += strlen(s);
}

static inline void files_list(files_model *f, const char *name, uint32_t n, uint32_t first, uint32_t other)
{
    files_key *k = files_set(f, name, 9);
    uint32_t i;
    files_put(k, 4);
    files_put(k, n);
    files_put(k, 0);
    for (i = 0; i < n; i++) files_put(k, i ? other : first);
}

/* A member of config.json. */
static inline void files_json(files_model *f, const char *name, const char *value)
{
    files_key *k = files_set(f, name, 0);
    (void)snprintf(k->text, sizeof k->text, "%s", value);
}

/* ---- tensors ---- */

static inline void files_lose(files_model *f, const char *name)
{
    uint32_t i = 0;
    while (i < f->tensors && strcmp(f->tensor[i].name, name) != 0) i++;
    if (i == f->tensors) return;
    f->tensors--;
    memmove(&f->tensor[i], &f->tensor[i + 1], (f->tensors - i) * sizeof f->tensor[0]);
}

static inline void files_tensor_of(files_model *f, const char *name, uint32_t rows, uint32_t cols, uint32_t type)
{
    files_tensor *t;
    files_lose(f, name);
    t = &f->tensor[f->tensors++];
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    t->type = type;
    t->rows = rows;
    t->cols = cols;
    t->shift = 0;
}

/* One for each layer. */
static inline void files_layers(files_model *f, const char *name, uint32_t rows, uint32_t cols)
{
    char whole[80];
    uint32_t i;
    for (i = 0; i < FILES_LAYERS; i++) {
        (void)snprintf(whole, sizeof whole, name, i);
        files_tensor_of(f, whole, rows, cols, 0);
    }
}

static inline size_t files_width(uint32_t type) { return type == 0 ? 4 : 2; }

/* Elements are 0.25, 0.5 ... 1.75, from the first again: all three types hold them. */
static inline void files_data(const files_tensor *t, unsigned char *out)
{
    uint32_t i;
    for (i = 0; i < t->rows * t->cols; i++) {
        float x = (float)(1 + (i + t->shift) % 7) * 0.25f;
        uint32_t u = bits_of(x);
        if (t->type == 0) put32(out + 4 * i, u);
        else if (t->type == 30) put16(out + 2 * i, u >> 16);
        else put16(out + 2 * i, ((u >> 23) - 112) << 10 | (u >> 13 & 1023));
    }
}

/* ---- models ---- */

static inline int files_is(const files_model *f, const char *names)
{
    char word[24];
    (void)snprintf(word, sizeof word, " %s ", f->arch);
    return strstr(names, word) != NULL;
}

static inline void files_gguf_model(files_model *f, const char *arch)
{
    static const char *const number[6] = { "block_count", "context_length", "embedding_length", "feed_forward_length",
                                           "attention.head_count", "attention.head_count_kv" };
    static const uint32_t value[6] = { FILES_LAYERS, 16, FILES_DIM, FILES_HIDDEN, FILES_HEADS, FILES_KV };
    char name[80];
    uint32_t i, head, q, kv;
    memset(f, 0, sizeof *f);
    f->arch = arch;
    head = files_is(f, " qwen3 gemma2 gemma3 ") ? FILES_HEAD : FILES_DIM / FILES_HEADS;
    q = head * FILES_HEADS, kv = head * FILES_KV;
    files_text(f, "general.architecture", arch);
    for (i = 0; i < 6; i++) (void)snprintf(name, sizeof name, "%s.%s", arch, number[i]), files_u32(f, name, value[i]);
    (void)snprintf(name, sizeof name, "%s.attention.layer_norm_rms_epsilon", arch), files_f32(f, name, 1e-5f);
    if (head == FILES_HEAD) {
        (void)snprintf(name, sizeof name, "%s.attention.key_length", arch), files_u32(f, name, head);
        (void)snprintf(name, sizeof name, "%s.attention.value_length", arch), files_u32(f, name, head);
    }
    if (files_is(f, " granite ")) files_f32(f, "granite.logit_scale", 4.0f);
    files_tensor_of(f, "token_embd.weight", FILES_VOCAB, FILES_DIM, 30);
    files_tensor_of(f, "output_norm.weight", 1, FILES_DIM, 0);
    files_layers(f, "blk.%u.attn_norm.weight", 1, FILES_DIM);
    files_layers(f, "blk.%u.ffn_norm.weight", 1, FILES_DIM);
    files_layers(f, "blk.%u.attn_q.weight", q, FILES_DIM);
    files_layers(f, "blk.%u.attn_k.weight", kv, FILES_DIM);
    files_layers(f, "blk.%u.attn_v.weight", kv, FILES_DIM);
    files_layers(f, "blk.%u.attn_output.weight", FILES_DIM, q);
    files_layers(f, "blk.%u.ffn_gate.weight", FILES_HIDDEN, FILES_DIM);
    files_layers(f, "blk.%u.ffn_up.weight", FILES_HIDDEN, FILES_DIM);
    files_layers(f, "blk.%u.ffn_down.weight", FILES_DIM, FILES_HIDDEN);
    if (files_is(f, " qwen2 ")) files_layers(f, "blk.%u.attn_q.bias", 1, q);
    if (files_is(f, " qwen3 gemma3 ")) {
        files_layers(f, "blk.%u.attn_q_norm.weight", 1, head);
        files_layers(f, "blk.%u.attn_k_norm.weight", 1, head);
    }
    if (files_is(f, " gemma2 gemma3 ")) {
        files_layers(f, "blk.%u.post_attention_norm.weight", 1, FILES_DIM);
        files_layers(f, "blk.%u.post_ffw_norm.weight", 1, FILES_DIM);
    }
    if (files_is(f, " bitnet ")) {
        files_layers(f, "blk.%u.attn_sub_norm.weight", 1, q);
        files_layers(f, "blk.%u.ffn_sub_norm.weight", 1, FILES_HIDDEN);
    }
}

static inline void files_safetensors_model(files_model *f, const char *arch)
{
    static const char *const member[8] = { "num_hidden_layers", "max_position_embeddings", "hidden_size",
                                           "intermediate_size", "num_attention_heads", "num_key_value_heads",
                                           "vocab_size", "head_dim" };
    static const char *const value[8] = { "2", "16", "8", "12", "2", "1", "5", "6" };
    char name[80];
    uint32_t i, head = FILES_HEAD, q = FILES_HEAD * FILES_HEADS, kv = FILES_HEAD * FILES_KV;
    int gemma;
    memset(f, 0, sizeof *f);
    f->arch = arch;
    gemma = files_is(f, " gemma2 gemma3_text ");
    (void)snprintf(name, sizeof name, "\"%s\"", arch);
    files_json(f, "model_type", name);
    for (i = 0; i < 8; i++) files_json(f, member[i], value[i]);
    files_json(f, "rms_norm_eps", "1e-05");
    files_json(f, files_is(f, " mobilellm ") ? "share_embedding" : "tie_word_embeddings", "true");
    files_tensor_of(f, "model.embed_tokens.weight", FILES_VOCAB, FILES_DIM, 30);
    files_tensor_of(f, "model.norm.weight", 1, FILES_DIM, 1);
    files_layers(f, "model.layers.%u.input_layernorm.weight", 1, FILES_DIM);
    files_layers(f, "model.layers.%u.post_attention_layernorm.weight", 1, FILES_DIM);
    files_layers(f, "model.layers.%u.self_attn.q_proj.weight", q, FILES_DIM);
    files_layers(f, "model.layers.%u.self_attn.k_proj.weight", kv, FILES_DIM);
    files_layers(f, "model.layers.%u.self_attn.v_proj.weight", kv, FILES_DIM);
    files_layers(f, "model.layers.%u.self_attn.o_proj.weight", FILES_DIM, q);
    files_layers(f, "model.layers.%u.mlp.gate_proj.weight", FILES_HIDDEN, FILES_DIM);
    files_layers(f, "model.layers.%u.mlp.up_proj.weight", FILES_HIDDEN, FILES_DIM);
    files_layers(f, "model.layers.%u.mlp.down_proj.weight", FILES_DIM, FILES_HIDDEN);
    if (files_is(f, " qwen2 ")) {
        files_layers(f, "model.layers.%u.self_attn.q_proj.bias", 1, q);
        files_layers(f, "model.layers.%u.self_attn.k_proj.bias", 1, kv);
        files_layers(f, "model.layers.%u.self_attn.v_proj.bias", 1, kv);
    }
    if (files_is(f, " qwen3 gemma3_text ")) {
        files_layers(f, "model.layers.%u.self_attn.q_norm.weight", 1, head);
        files_layers(f, "model.layers.%u.self_attn.k_norm.weight", 1, head);
    }
    if (gemma) {
        files_layers(f, "model.layers.%u.pre_feedforward_layernorm.weight", 1, FILES_DIM);
        files_layers(f, "model.layers.%u.post_feedforward_layernorm.weight", 1, FILES_DIM);
    }
}

/* ---- writing: out has FILES_MOST bytes, the results are sizes ---- */

static inline size_t files_put64(unsigned char *out, size_t at, size_t x)
{
    put32(out + at, (uint32_t)x);
    put32(out + at + 4, 0);
    return at + 8;
}

static inline size_t files_put_name(unsigned char *out, size_t at, const char *s)
{
    at = files_put64(out, at, strlen(s));
    memcpy(out + at, s, strlen(s));
    return at + strlen(s);
}

static inline size_t files_write_gguf(const files_model *f, unsigned char *out)
{
    size_t at = 8, data = 0;
    uint32_t i;
    memset(out, 0, FILES_MOST);
    memcpy(out, "GGUF\3\0\0\0", 8);
    at = files_put64(out, at, f->tensors);
    at = files_put64(out, at, f->keys);
    for (i = 0; i < f->keys; i++) {
        at = files_put_name(out, at, f->key[i].name);
        memcpy(out + at, f->key[i].bytes, f->key[i].size);
        at += f->key[i].size;
    }
    for (i = 0; i < f->tensors; i++) {
        const files_tensor *t = &f->tensor[i];
        at = files_put_name(out, at, t->name);
        put32(out + at, t->rows == 1 ? 1 : 2);
        at = files_put64(out, at + 4, t->cols);
        if (t->rows != 1) at = files_put64(out, at, t->rows);
        put32(out + at, t->type);
        at = files_put64(out, at + 4, data);
        data += (t->rows * t->cols * files_width(t->type) + 31) / 32 * 32;
    }
    at = (at + 31) / 32 * 32;
    for (i = 0; i < f->tensors; i++) {
        const files_tensor *t = &f->tensor[i];
        files_data(t, out + at);
        at += (t->rows * t->cols * files_width(t->type) + 31) / 32 * 32;
    }
    return at;
}

static inline size_t files_write_config(const files_model *f, unsigned char *out)
{
    size_t at = 0;
    uint32_t i;
    for (i = 0; i < f->keys; i++)
        at += (size_t)snprintf((char *)out + at, FILES_MOST - at, "%s\"%s\": %s", i ? ",\n" : "{", f->key[i].name,
                               f->key[i].text);
    return at + (size_t)snprintf((char *)out + at, FILES_MOST - at, "}");
}

static inline size_t files_write_safetensors(const files_model *f, unsigned char *out)
{
    size_t at = 8, data = 0;
    uint32_t i;
    memset(out, 0, FILES_MOST);
    for (i = 0; i < f->tensors; i++) {
        const files_tensor *t = &f->tensor[i];
        const char *type = t->type == 0 ? "F32" : t->type == 1 ? "F16" : t->type == 30 ? "BF16" : "I16";
        size_t size = t->rows * t->cols * files_width(t->type);
        char shape[40];
        (void)snprintf(shape, sizeof shape, t->rows == 1 ? "%lu" : "%lu,%lu",
                       (unsigned long)(t->rows == 1 ? t->cols : t->rows),
                       (unsigned long)t->cols);
        at += (size_t)snprintf((char *)out + at, FILES_MOST - at,
                               "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%lu,%lu]}", i ? "," : "{",
                               t->name, type, shape, (unsigned long)data, (unsigned long)(data + size));
        data += size;
    }
    out[at++] = '}';
    (void)files_put64(out, 0, at - 8);
    for (i = 0; i < f->tensors; i++) {
        const files_tensor *t = &f->tensor[i];
        files_data(t, out + at);
        at += t->rows * t->cols * files_width(t->type);
    }
    return at;
}

#endif
