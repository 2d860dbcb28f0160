/* import.h - a model of a GGUF file or of a safetensors folder, as the entries of a bundle for lm.h -
   public domain or MIT

   Do this in one C or C++ file, after llmq.h, gguf.h, json.h and safetensors.h:
       #define IMPORT_IMPLEMENTATION
       #include "import.h"

   import_open_gguf or import_open_safetensors reads the metadata of a model and looks at the name,
   shape and type of every tensor. import_value and import_tensor then list the entries of its bundle,
   and import_row decodes them a row at a time:

       if (import_open_gguf(&m, parts, count) != LLMQ_OK) puts(m.fault);
       for (i = 0; i < m.values; i++) import_value(&m, i, &entry);      // goes to llmq_bundle_write as it is
       for (i = 0; i < m.tensors; i++)
           if (import_tensor(&m, i, &t) == LLMQ_OK)
               for (row = 0; row < t.rows; row++) import_row(&t, row, out);

   Architectures: Llama 2 and 3, Mistral, SmolLM2 and 3, Qwen2 and 2.5, Qwen3, Gemma 2 and 3 (text),
   Granite (dense); from GGUF also BitNet b1.58; from safetensors also MobileLLM.

   Nothing is ignored that could change results. A key of the architecture, a key of config.json or
   a tensor that is not in the tables below is refused, and m.fault has its name and the reason.
   Experts, adapters, ALiBi, YaRN and every other scaling of RoPE but the linear one and that of
   Llama 3.1 are refused in this way. Keys that do not change results are listed one by one. Where a
   GGUF file leaves a key out, the value is the default of llama.cpp (src/llama-model.cpp and
   src/models/). Where config.json does, it is the default of the configuration class of
   transformers 4.57.

   Rows of wq and wk stay in the order of the file. The value lm.rope_halves tells lm.h that order.

   Files may come from anywhere: gguf.h, json.h and safetensors.h have checked them, and here every
   number and every shape is checked before use. Nothing is allocated or copied. An import_model
   takes 7 kB. Views live as long as the bytes of the files and as the import_model. */
#ifndef IMPORT_H
#define IMPORT_H

#include "../llmq.h"
#include "gguf.h"
#include "json.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMPORT_MAX_LAYERS 512u
#define IMPORT_MAX_HEAD 1024u /* elements of a head */
#define IMPORT_MAX_VALUES 24u
#define IMPORT_FIELDS 32u     /* numbers that a file may state */

/* A value of the bundle. */
typedef struct import_number {
    const char *name;       /* "lm.dim" */
    uint32_t type;          /* LLMQ_VALUE_U32 or LLMQ_VALUE_F32 */
    unsigned char bits[4];  /* as the bundle stores it */
} import_number;

/* A model. Callers may read the members before `number`. Its address must stay the same: entries
   point into it. */
typedef struct import_model {
    char fault[160];         /* after an error: a name in the file, and why it is refused; else "" */
    const char *family;      /* "llama", "qwen3", ...: as GGUF and config.json name it */
    uint32_t dim, hidden, layers, heads, kv_heads, head, vocab, context;
    uint32_t values, tensors; /* entries of the bundle */
    import_number number[IMPORT_MAX_VALUES];
    uint32_t numbers;                                 /* the values but lm.layer_kinds */
    uint32_t arch;                                    /* place in the table of architectures */
    uint32_t seen;                                    /* bit i: field i was stated */
    uint32_t scaling;                                 /* of RoPE */
    double field[IMPORT_FIELDS];
    unsigned char layer_kinds[IMPORT_MAX_LAYERS];
    unsigned char rope_factors[2 * IMPORT_MAX_HEAD];  /* floats, little-endian */
    uint32_t whole, present[IMPORT_MAX_LAYERS];       /* bit k: the tensor of kind k is there */
    unsigned char scaled[IMPORT_MAX_LAYERS];          /* bit k: matrix k has a factor in a tensor of its own */
    gguf_value pattern;                               /* which layers have a window, if the file has a list */
    json_value layer_types, no_rope;
    const gguf *gguf_parts;                           /* one of these two is NULL */
    const safetensors *shards;
    uint32_t parts;
} import_model;

/* A tensor of the bundle. */
typedef struct import_entry {
    char name[32];       /* "layers.0.wq", ended by a 0 */
    uint32_t rows, cols;
    const char *format;  /* "f32", "f16" or "bf16": the format that holds its elements without loss */
    const void *data;    /* its rows in that format as the file has them, at any alignment; NULL if they
                            must be decoded by import_row */
    size_t size;         /* bytes of data, or of all rows in that format */
    float factor, add;   /* an element is (w + add) * factor, w as in the file */
    gguf_tensor source;  /* from safetensors too: its type is that of GGUF */
} import_entry;

/* Opens a model of GGUF.
   parts: [count] files that gguf_open has opened, in the order of gguf_split; they stay in use. The
   bytes of a part are the whole file.
   It takes time in proportion to the metadata and the number of tensors.
   Errors; m->fault then says which name is refused and why:
     LLMQ_E_ARG          NULL, or count is 0
     LLMQ_E_UNSUPPORTED  an architecture, key, tensor or type of a tensor that is not understood
     LLMQ_E_NOT_FOUND    a key or a tensor is missing
     LLMQ_E_CORRUPT      a key has a wrong type or value, or a tensor a wrong shape; parts are missing;
                         a name occurs in two parts
     LLMQ_E_LIMIT        a number is larger than this code, or lm.h, takes */
LLMQ_NODISCARD llmq_status import_open_gguf(import_model *m, const gguf *parts, uint32_t count);

/* Opens a model of safetensors.
   config: the text of config.json that json_open has checked. shards: [count] files that
   safetensors_open has opened, in any order. All of them stay in use.
   Whether the shards are those of an index is for the caller to check. Here no tensor may be missing,
   and none may be there twice.
   Errors: as above. */
LLMQ_NODISCARD llmq_status import_open_safetensors(import_model *m, const json_value *config, const safetensors *shards,
                                                   uint32_t count);

/* Value i of the bundle. Its data point into *m.
   Errors: LLMQ_E_NOT_FOUND: i is not below m->values. */
LLMQ_NODISCARD llmq_status import_value(const import_model *m, uint32_t i, llmq_entry *e);

/* Tensor i of the bundle: first those of the whole model, then those of layer 0, and so on.
   It looks for a name in the file, so it takes time in proportion to the number of tensors.
   Errors: LLMQ_E_NOT_FOUND: i is not below m->tensors. */
LLMQ_NODISCARD llmq_status import_tensor(const import_model *m, uint32_t i, import_entry *e);

/* Decodes a row.
   out: [e->cols]. Elements may be infinite or NaN if the file has such.
   Errors: LLMQ_E_ARG: NULL, or row is not below e->rows. */
LLMQ_NODISCARD llmq_status import_row(const import_entry *e, uint32_t row, float *out);

#ifdef __cplusplus
}
#endif
#endif /* IMPORT_H */

#ifdef IMPORT_IMPLEMENTATION
#include <math.h>
#include <string.h>

/* As in llmq.h: a * b + c is two roundings. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#define IMPORT__NO_CONTRACT
#elif defined(__clang__)
#define IMPORT__NO_CONTRACT _Pragma("STDC FP_CONTRACT OFF")
#else
#define IMPORT__NO_CONTRACT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tables: architectures ---- */

/* Bits of architectures, in the order of import__archs. */
enum {
    IMPORT__LLAMA = 1, IMPORT__MISTRAL = 2, IMPORT__SMOLLM3 = 4, IMPORT__QWEN2 = 8, IMPORT__QWEN3 = 16,
    IMPORT__GEMMA2 = 32, IMPORT__GEMMA3 = 64, IMPORT__GRANITE = 128, IMPORT__BITNET = 256, IMPORT__MOBILELLM = 512,
    IMPORT__GEMMA = IMPORT__GEMMA2 | IMPORT__GEMMA3, IMPORT__ANY = 1023
};

/* Kinds of tensors of a layer, and of the whole model: bits of need, may, present and whole. The seven
   matrices come first: scaled has bits for them alone. */
enum {
    IMPORT__WQ, IMPORT__WK, IMPORT__WV, IMPORT__WO, IMPORT__W1, IMPORT__W2, IMPORT__W3, IMPORT__MATRICES,
    IMPORT__NORM1 = IMPORT__MATRICES, IMPORT__NORM2, IMPORT__BQ, IMPORT__BK, IMPORT__BV, IMPORT__QNORM, IMPORT__KNORM,
    IMPORT__ONORM, IMPORT__DNORM, IMPORT__POST1, IMPORT__POST2, IMPORT__KINDS
};
enum { IMPORT__EMBED, IMPORT__NORM, IMPORT__CLASSIFIER, IMPORT__FACTORS, IMPORT__WHOLE };
#define IMPORT__BIT(kind) ((uint32_t)1 << (kind))
#define IMPORT__ALL (IMPORT__BIT(IMPORT__NORM2 + 1) - 1) /* the matrices and two norms, which every layer has */
#define IMPORT__BIASES (IMPORT__BIT(IMPORT__BQ) | IMPORT__BIT(IMPORT__BK) | IMPORT__BIT(IMPORT__BV))
#define IMPORT__QK (IMPORT__BIT(IMPORT__QNORM) | IMPORT__BIT(IMPORT__KNORM))
#define IMPORT__POST (IMPORT__BIT(IMPORT__POST1) | IMPORT__BIT(IMPORT__POST2))
#define IMPORT__SUB (IMPORT__BIT(IMPORT__ONORM) | IMPORT__BIT(IMPORT__DNORM))

/* Properties of the architecture in GGUF files. HALVES: pairs of RoPE are i and i + n / 2, as they
   are in all safetensors. FREQS: rope_freqs.weight is read. OUTPUT: output.weight is read. SCALES: a
   factor of each matrix is read, and all of them are applied. */
enum { IMPORT__HALVES = 1, IMPORT__FREQS = 2, IMPORT__OUTPUT = 4, IMPORT__SCALES = 8 };

typedef struct import__arch {
    const char *gguf, *hf;  /* general.architecture and model_type; NULL: not read from there */
    uint32_t extra;         /* tensors of each layer beyond IMPORT__ALL */
    uint32_t flags;
    double theta;           /* the other members are defaults of config.json: theta, */
    uint32_t kv_heads;      /* 0: as many as heads; */
    uint32_t head;          /* 0: hidden_size / num_attention_heads; */
    int tied;               /* of tie_word_embeddings; -1: it must be there */
} import__arch;

static const import__arch import__archs[] = {
    { "llama", "llama", 0, IMPORT__FREQS | IMPORT__OUTPUT | IMPORT__SCALES, 1e4, 0, 0, 0 },
    { NULL, "mistral", 0, 0, 1e4, 8, 0, 0 },
    { "smollm3", "smollm3", 0, IMPORT__OUTPUT, 2e6, 4, 0, 1 },
    { "qwen2", "qwen2", 0, IMPORT__HALVES | IMPORT__OUTPUT, 1e4, 32, 0, 0 },
    { "qwen3", "qwen3", IMPORT__QK, IMPORT__HALVES | IMPORT__OUTPUT | IMPORT__SCALES, 1e4, 32, 128, 0 },
    { "gemma2", "gemma2", IMPORT__POST, IMPORT__HALVES, 1e4, 4, 256, 1 },
    { "gemma3", "gemma3_text", IMPORT__POST | IMPORT__QK, IMPORT__HALVES | IMPORT__OUTPUT, 1e6, 4, 256, 1 },
    { "granite", "granite", 0, IMPORT__FREQS | IMPORT__OUTPUT, 1e4, 0, 0, 0 },
    { "bitnet", NULL, IMPORT__SUB, IMPORT__HALVES | IMPORT__SCALES, 1e4, 0, 0, 1 },
    { NULL, "mobilellm", 0, 0, 1e4, 0, 0, -1 }
};
enum { IMPORT__ARCHS = sizeof import__archs / sizeof *import__archs };

/* ---- tables: tensors ---- */

/* What rows and columns are. */
enum { IMPORT__ONE, IMPORT__DIM, IMPORT__HIDDEN, IMPORT__Q, IMPORT__KV, IMPORT__HEAD, IMPORT__VOCAB, IMPORT__PAIRS };

typedef struct import__kind {
    const char *name, *gguf, *hf;  /* of the entry, in GGUF, in safetensors; without "layers.N." and the like */
    unsigned char rows, cols;
} import__kind;

/* In safetensors of Gemma, post_attention_layernorm is post1: import__hf_name. */
static const import__kind import__kinds[IMPORT__KINDS] = {
    { "wq", "attn_q.weight", "self_attn.q_proj.weight", IMPORT__Q, IMPORT__DIM },
    { "wk", "attn_k.weight", "self_attn.k_proj.weight", IMPORT__KV, IMPORT__DIM },
    { "wv", "attn_v.weight", "self_attn.v_proj.weight", IMPORT__KV, IMPORT__DIM },
    { "wo", "attn_output.weight", "self_attn.o_proj.weight", IMPORT__DIM, IMPORT__Q },
    { "w1", "ffn_gate.weight", "mlp.gate_proj.weight", IMPORT__HIDDEN, IMPORT__DIM },
    { "w2", "ffn_down.weight", "mlp.down_proj.weight", IMPORT__DIM, IMPORT__HIDDEN },
    { "w3", "ffn_up.weight", "mlp.up_proj.weight", IMPORT__HIDDEN, IMPORT__DIM },
    { "norm1", "attn_norm.weight", "input_layernorm.weight", IMPORT__ONE, IMPORT__DIM },
    { "norm2", "ffn_norm.weight", "post_attention_layernorm.weight", IMPORT__ONE, IMPORT__DIM },
    { "bq", "attn_q.bias", "self_attn.q_proj.bias", IMPORT__ONE, IMPORT__Q },
    { "bk", "attn_k.bias", "self_attn.k_proj.bias", IMPORT__ONE, IMPORT__KV },
    { "bv", "attn_v.bias", "self_attn.v_proj.bias", IMPORT__ONE, IMPORT__KV },
    { "qnorm", "attn_q_norm.weight", "self_attn.q_norm.weight", IMPORT__ONE, IMPORT__HEAD },
    { "knorm", "attn_k_norm.weight", "self_attn.k_norm.weight", IMPORT__ONE, IMPORT__HEAD },
    { "onorm", "attn_sub_norm.weight", "self_attn.attn_sub_norm.weight", IMPORT__ONE, IMPORT__Q },
    { "dnorm", "ffn_sub_norm.weight", "mlp.ffn_sub_norm.weight", IMPORT__ONE, IMPORT__HIDDEN },
    { "post1", "post_attention_norm.weight", "post_attention_layernorm.weight", IMPORT__ONE, IMPORT__DIM },
    { "post2", "post_ffw_norm.weight", "post_feedforward_layernorm.weight", IMPORT__ONE, IMPORT__DIM }
};

static const import__kind import__wholes[IMPORT__WHOLE] = {
    { "embed", "token_embd.weight", "model.embed_tokens.weight", IMPORT__VOCAB, IMPORT__DIM },
    { "norm", "output_norm.weight", "model.norm.weight", IMPORT__ONE, IMPORT__DIM },
    { "classifier", "output.weight", "lm_head.weight", IMPORT__VOCAB, IMPORT__DIM },
    { "rope_factors", "rope_freqs.weight", "", IMPORT__ONE, IMPORT__PAIRS }
};

/* ---- tables: keys ---- */

/* Numbers that a model has. */
enum {
    IMPORT__F_DIM, IMPORT__F_HIDDEN, IMPORT__F_LAYERS, IMPORT__F_HEADS, IMPORT__F_KV, IMPORT__F_HEAD, IMPORT__F_VALUE,
    IMPORT__F_VOCAB, IMPORT__F_CONTEXT, IMPORT__F_EPSILON, IMPORT__F_THETA, IMPORT__F_LOCAL, IMPORT__F_FACTOR,
    IMPORT__F_OLD_FACTOR, IMPORT__F_PART, IMPORT__F_WINDOW, IMPORT__F_PATTERN, IMPORT__F_ATTENTION_CAP,
    IMPORT__F_LOGIT_CAP, IMPORT__F_LOGIT_DIVISOR, IMPORT__F_RESIDUAL, IMPORT__F_EMBED, IMPORT__F_ATTENTION,
    IMPORT__F_ROPE, IMPORT__F_QUERY, IMPORT__F_TIED, IMPORT__F_USE_WINDOW, IMPORT__F_FIRST_WINDOW,
    IMPORT__F_ROPE_STEP, IMPORT__F_LOW, IMPORT__F_HIGH, IMPORT__F_ORIGINAL,
    IMPORT__F_NONE /* a key that must have the one value which is meant where it is missing */
};

/* WHOLE: an integer. LAYERS: in GGUF it may be a list of equal numbers, one a layer. ZERO: in GGUF 0
   means that the key is missing. */
enum { IMPORT__K_WHOLE = 1, IMPORT__K_LAYERS = 2, IMPORT__K_ZERO = 4 };

typedef struct import__key {
    const char *gguf, *hf;  /* after "ARCH."; of config.json. "": not there */
    unsigned char field, flags;
    unsigned short archs;
    double least, most;
} import__key;

/* Ranges are those of lm.h, or narrower. */
static const import__key import__keys[] = {
    { "embedding_length", "hidden_size", IMPORT__F_DIM, IMPORT__K_WHOLE, IMPORT__ANY, 1, 1 << 24 },
    { "feed_forward_length", "intermediate_size", IMPORT__F_HIDDEN, IMPORT__K_WHOLE | IMPORT__K_LAYERS, IMPORT__ANY, 1,
      1 << 24 },
    { "block_count", "num_hidden_layers", IMPORT__F_LAYERS, IMPORT__K_WHOLE, IMPORT__ANY, 1, IMPORT_MAX_LAYERS },
    { "attention.head_count", "num_attention_heads", IMPORT__F_HEADS, IMPORT__K_WHOLE | IMPORT__K_LAYERS, IMPORT__ANY,
      1, 1 << 16 },
    { "attention.head_count_kv", "num_key_value_heads", IMPORT__F_KV, IMPORT__K_WHOLE | IMPORT__K_LAYERS, IMPORT__ANY,
      1, 1 << 16 },
    { "attention.key_length", "head_dim", IMPORT__F_HEAD, IMPORT__K_WHOLE, IMPORT__ANY, 2, IMPORT_MAX_HEAD },
    { "attention.value_length", "", IMPORT__F_VALUE, IMPORT__K_WHOLE, IMPORT__ANY, 2, IMPORT_MAX_HEAD },
    { "vocab_size", "vocab_size", IMPORT__F_VOCAB, IMPORT__K_WHOLE, IMPORT__ANY, 1, 1 << 24 },
    { "context_length", "max_position_embeddings", IMPORT__F_CONTEXT, IMPORT__K_WHOLE, IMPORT__ANY, 1, 1 << 24 },
    { "attention.layer_norm_rms_epsilon", "rms_norm_eps", IMPORT__F_EPSILON, 0, IMPORT__ANY, 1e-12, 1 },
    { "rope.freq_base", "rope_theta", IMPORT__F_THETA, 0, IMPORT__ANY, 1, 1e30 },
    { "rope.freq_base_swa", "rope_local_base_freq", IMPORT__F_LOCAL, 0, IMPORT__GEMMA, 1, 1e30 },
    { "rope.scaling.factor", "", IMPORT__F_FACTOR, IMPORT__K_ZERO, IMPORT__ANY, 1, 1e5 },
    { "rope.scale_linear", "", IMPORT__F_OLD_FACTOR, IMPORT__K_ZERO, IMPORT__ANY, 1, 1e5 },
    { "rope.dimension_count", "", IMPORT__F_PART, IMPORT__K_WHOLE, IMPORT__ANY, 2, IMPORT_MAX_HEAD },
    { "rope.scaling.finetuned", "", IMPORT__F_ROPE, IMPORT__K_WHOLE, IMPORT__GRANITE, 0, 1 },
    { "attention.sliding_window", "sliding_window", IMPORT__F_WINDOW, IMPORT__K_WHOLE, IMPORT__GEMMA2, 1, 1 << 24 },
    { "attention.sliding_window", "sliding_window", IMPORT__F_WINDOW, IMPORT__K_WHOLE | IMPORT__K_ZERO, IMPORT__GEMMA3,
      1, 1 << 24 },
    { "", "sliding_window", IMPORT__F_WINDOW, IMPORT__K_WHOLE,
      IMPORT__MISTRAL | IMPORT__SMOLLM3 | IMPORT__QWEN2 | IMPORT__QWEN3, 1, 1 << 24 },
    { "attention.sliding_window_pattern", "", IMPORT__F_PATTERN, IMPORT__K_WHOLE, IMPORT__GEMMA, 0, IMPORT_MAX_LAYERS },
    { "", "sliding_window_pattern", IMPORT__F_PATTERN, IMPORT__K_WHOLE, IMPORT__GEMMA3, 1, IMPORT_MAX_LAYERS },
    { "", "_sliding_window_pattern", IMPORT__F_PATTERN, IMPORT__K_WHOLE, IMPORT__GEMMA3, 1, IMPORT_MAX_LAYERS },
    { "attn_logit_softcapping", "attn_logit_softcapping", IMPORT__F_ATTENTION_CAP, 0, IMPORT__GEMMA2, 1e-3, 1e6 },
    { "", "attn_logit_softcapping", IMPORT__F_ATTENTION_CAP, 0, IMPORT__GEMMA3, 1e-3, 1e6 },
    { "final_logit_softcapping", "final_logit_softcapping", IMPORT__F_LOGIT_CAP, 0, IMPORT__GEMMA2, 1e-3, 1e6 },
    { "final_logit_softcapping", "final_logit_softcapping", IMPORT__F_LOGIT_CAP, IMPORT__K_ZERO, IMPORT__GEMMA3, 1e-3,
      1e6 },
    { "logit_scale", "logits_scaling", IMPORT__F_LOGIT_DIVISOR, 0, IMPORT__GRANITE, 1e-5, 1e5 },
    { "residual_scale", "residual_multiplier", IMPORT__F_RESIDUAL, IMPORT__K_ZERO, IMPORT__GRANITE, 1e-5, 1e5 },
    { "embedding_scale", "embedding_multiplier", IMPORT__F_EMBED, IMPORT__K_ZERO, IMPORT__GRANITE, 1e-5, 1e5 },
    { "attention.scale", "attention_multiplier", IMPORT__F_ATTENTION, IMPORT__K_ZERO, IMPORT__GRANITE, 1e-5, 1e5 },
    { "", "query_pre_attn_scalar", IMPORT__F_QUERY, 0, IMPORT__GEMMA, 1e-3, 1e9 },
    { "", "tie_word_embeddings", IMPORT__F_TIED, IMPORT__K_WHOLE, IMPORT__ANY - IMPORT__MOBILELLM, 0, 1 },
    { "", "share_embedding", IMPORT__F_TIED, IMPORT__K_WHOLE, IMPORT__MOBILELLM, 0, 1 },
    { "", "use_sliding_window", IMPORT__F_USE_WINDOW, IMPORT__K_WHOLE,
      IMPORT__SMOLLM3 | IMPORT__QWEN2 | IMPORT__QWEN3, 0, 1 },
    /* in SmolLM3's it is there without an effect */
    { "", "max_window_layers", IMPORT__F_FIRST_WINDOW, IMPORT__K_WHOLE,
      IMPORT__SMOLLM3 | IMPORT__QWEN2 | IMPORT__QWEN3, 0, 1 << 24 },
    { "", "no_rope_layer_interval", IMPORT__F_ROPE_STEP, IMPORT__K_WHOLE, IMPORT__SMOLLM3, 1, 1 << 24 },
    /* keys whose other values are not supported */
    { "expert_count", "num_local_experts", IMPORT__F_NONE, 0, IMPORT__ANY, 0, 0 },
    { "expert_used_count", "num_experts_per_tok", IMPORT__F_NONE, 0, IMPORT__ANY, 0, 0 },
    { "nextn_predict_layers", "", IMPORT__F_NONE, 0, IMPORT__ANY, 0, 0 },
    { "attention.causal", "is_causal", IMPORT__F_NONE, 0, IMPORT__ANY, 1, 1 },
    { "rope.scaling.attn_factor", "partial_rotary_factor", IMPORT__F_NONE, 0, IMPORT__ANY, 1, 1 },
    { "", "attention_bias", IMPORT__F_NONE, 0, IMPORT__ANY, 0, 0 },
    { "", "mlp_bias", IMPORT__F_NONE, 0, IMPORT__ANY, 0, 0 },
    { "", "rope_interleaved", IMPORT__F_NONE, 0, IMPORT__LLAMA, 0, 0 },
    { "", "use_bidirectional_attention", IMPORT__F_NONE, 0, IMPORT__GEMMA, 0, 0 },
    { "", "layer_sharing", IMPORT__F_NONE, 0, IMPORT__MOBILELLM, 0, 0 }
};
enum { IMPORT__KEYS = sizeof import__keys / sizeof *import__keys };

/* Keys of the architecture in GGUF that do not change logits. Without YaRN original_context_length
   and (but in Granite) finetuned have no effect. pooling_type is about embeddings of texts, mm. about
   images beside the text. */
static const char *const import__harmless_gguf[] = {
    "pooling_type", "rope.scaling.original_context_length", "rope.scaling.finetuned", "mm.tokens_per_image"
};

/* Beginnings of other keys in GGUF that do not change logits: names, licences, the vocabulary, how the
   file was made, how it is split. */
static const char *const import__harmless_groups[] = { "general.", "tokenizer.", "quantize.", "split.",
                                                       "mradermacher." };

/* Members of config.json that do not change logits: training, generation, and what programs note. */
static const char *const import__harmless_hf[] = {
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path", "attention_dropout",
    "attn_pdrop", "bos_token_id", "cache_implementation", "dtype", "embd_pdrop", "eos_token_id", "hidden_dropout",
    "id2label", "initializer_range", "is_llama_config", "label2id", "pad_token_id", "pretraining_tp", "resid_pdrop",
    "torch_dtype", "transformers.js_config", "transformers_version", "unsloth_fixed", "unsloth_version", "use_cache"
};
#define IMPORT__COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

enum { IMPORT__UNSCALED, IMPORT__LINEAR, IMPORT__LLAMA3, IMPORT__NO_SCALING }; /* the first: nothing is said */

/* ---- refusing ---- */

typedef struct import__text {
    const char *s;
    size_t n;
} import__text;

static import__text import__of(const char *s)
{
    import__text t;
    t.s = s;
    t.n = strlen(s);
    return t;
}

static int import__is(import__text t, const char *s) { return t.n == strlen(s) && memcmp(t.s, s, t.n) == 0; }

/* Takes a beginning off a text; 0 if it does not begin so. */
static int import__after(import__text *t, const char *s)
{
    size_t n = strlen(s);
    if (t->n < n || memcmp(t->s, s, n) != 0) return 0;
    t->s += n;
    t->n -= n;
    return 1;
}

/* Appends a text to m->fault as far as there is room. Names come from the file and may go to a
   terminal: other characters than those of ASCII become '?'. */
static void import__say(import_model *m, const char *s, size_t n)
{
    size_t at = strlen(m->fault), i;
    for (i = 0; i < n && at + 1 < sizeof m->fault; i++) m->fault[at++] = (char)(s[i] >= ' ' && s[i] <= '~' ? s[i] : '?');
    m->fault[at] = 0;
}

/* m->fault becomes "name: why". A long name keeps room for the reason. */
static llmq_status import__refuse(import_model *m, llmq_status status, import__text name, const char *why)
{
    m->fault[0] = 0;
    import__say(m, name.s, name.n < 80 ? name.n : 80);
    import__say(m, ": ", 2);
    import__say(m, why, strlen(why));
    return status;
}

/* ---- numbers ---- */

static int import__stated(const import_model *m, uint32_t field) { return (int)(m->seen >> field & 1); }

static void import__default(import_model *m, uint32_t field, double x)
{
    if (!import__stated(m, field)) m->field[field] = x;
    m->seen |= IMPORT__BIT(field);
}

/* A field whose range the table of keys has checked, and which is an integer there. */
static uint32_t import__u32(const import_model *m, uint32_t field) { return (uint32_t)m->field[field]; }

static uint32_t import__arch_bit(const import_model *m) { return IMPORT__BIT(m->arch); }

/* The file says that the number of a key is x. */
static llmq_status import__state(import_model *m, const import__key *key, double x, import__text name)
{
    if (!(x >= key->least && x <= key->most)) /* a NaN is refused, too */
        return import__refuse(m, key->field == IMPORT__F_NONE ? LLMQ_E_UNSUPPORTED : LLMQ_E_LIMIT, name,
                              key->field == IMPORT__F_NONE ? "no other value than the usual one is supported"
                                                           : "the number is out of range");
    if (key->flags & IMPORT__K_WHOLE && x != floor(x)) return import__refuse(m, LLMQ_E_CORRUPT, name, "no integer");
    if (key->field == IMPORT__F_NONE) return LLMQ_OK;
    if (import__stated(m, key->field) && m->field[key->field] != x)
        return import__refuse(m, LLMQ_E_CORRUPT, name, "it contradicts another key");
    import__default(m, key->field, x);
    return LLMQ_OK;
}

/* The row of a key for the model's architecture, or NULL. */
static const import__key *import__key_of(const import_model *m, import__text name)
{
    uint32_t i;
    for (i = 0; i < IMPORT__KEYS; i++) {
        const import__key *k = &import__keys[i];
        const char *s = m->gguf_parts ? k->gguf : k->hf;
        if (k->archs & import__arch_bit(m) && *s && import__is(name, s)) return k;
    }
    return NULL;
}

static int import__among(import__text name, const char *const *list, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count; i++)
        if (import__is(name, list[i])) return 1;
    return 0;
}

static llmq_status import__unknown(import_model *m, import__text name)
{
    return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "not understood in a model of this architecture");
}

/* ---- keys of GGUF ---- */

/* A key with a number, or with a list of equal numbers where layers may differ. */
static llmq_status import__gguf_number(import_model *m, const import__key *key, const gguf_value *v, import__text name)
{
    double x = 0, each = 0;
    uint64_t i;
    if (v->array && (!(key->flags & IMPORT__K_LAYERS) || v->count == 0 || v->count > IMPORT_MAX_LAYERS))
        return import__refuse(m, LLMQ_E_CORRUPT, name, "a single number was expected");
    if (gguf_number(v, 0, &x) != LLMQ_OK) return import__refuse(m, LLMQ_E_CORRUPT, name, "a number was expected");
    for (i = 1; i < v->count; i++)
        if (gguf_number(v, i, &each) != LLMQ_OK || each != x)
            return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "layers of different sizes");
    if (x == 0 && key->flags & IMPORT__K_ZERO) return LLMQ_OK;
    return import__state(m, key, x, name);
}

/* A scaling of RoPE; "default" is the word of transformers. */
static uint32_t import__scaling(import__text type)
{
    if (import__is(type, "linear")) return IMPORT__LINEAR;
    if (import__is(type, "llama3")) return IMPORT__LLAMA3;
    return import__is(type, "none") || import__is(type, "default") ? IMPORT__NO_SCALING : IMPORT__UNSCALED;
}

static llmq_status import__state_scaling(import_model *m, import__text type, import__text name)
{
    uint32_t scaling = import__scaling(type);
    if (!scaling || (m->gguf_parts && scaling == IMPORT__LLAMA3))
        return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "this scaling of RoPE is not supported");
    if (m->scaling && m->scaling != scaling) return import__refuse(m, LLMQ_E_CORRUPT, name, "it contradicts another key");
    m->scaling = scaling;
    return LLMQ_OK;
}

/* The text of a single string; of length 0 if it is something else. */
static import__text import__gguf_text(const gguf_value *v)
{
    import__text t = { "", 0 };
    size_t at = 0;
    if (!v->array && gguf_string(v, &at, &t.s, &t.n) != LLMQ_OK) t = import__of("");
    return t;
}

static llmq_status import__gguf_key(import_model *m, const gguf_value *v)
{
    import__text whole = { v->key, v->key_length }, name = whole;
    const import__key *key;
    uint32_t i;
    if (import__is(name, "general.type") && !import__is(import__gguf_text(v), "model"))
        return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "the file is no model, but an adapter or the like");
    for (i = 0; i < IMPORT__COUNT(import__harmless_groups); i++)
        if (import__after(&name, import__harmless_groups[i])) return LLMQ_OK;
    if (!import__after(&name, import__archs[m->arch].gguf) || !import__after(&name, ".")) return import__unknown(m, whole);
    if (import__is(name, "rope.scaling.type")) return import__state_scaling(m, import__gguf_text(v), whole);
    if (import__is(name, "tensor_data_layout") && import__is(import__gguf_text(v), "Meta AI original pth")) return LLMQ_OK;
    key = import__key_of(m, name);
    if (key && key->field == IMPORT__F_PATTERN && v->array) {
        m->pattern = *v;
        return LLMQ_OK;
    }
    if (key) return import__gguf_number(m, key, v, whole);
    if (import__among(name, import__harmless_gguf, IMPORT__COUNT(import__harmless_gguf))) return LLMQ_OK;
    return import__unknown(m, whole);
}

/* All parts of the model are there and in their order. */
static llmq_status import__gguf_split(import_model *m)
{
    import__text name = import__of("split.count");
    uint64_t tensors = 0;
    uint32_t i, part = 0, parts = 0;
    gguf_value v;
    double x = 0;
    for (i = 0; i < m->parts; i++) {
        if (gguf_split(&m->gguf_parts[i], &part, &parts) != LLMQ_OK || part != i || parts != m->parts)
            return import__refuse(m, LLMQ_E_CORRUPT, name, "parts of the model are missing, or in another order");
        tensors += m->gguf_parts[i].tensors;
    }
    if (m->parts > 1 && (gguf_find_value(m->gguf_parts, "split.tensors.count", &v) != LLMQ_OK ||
                         gguf_number(&v, 0, &x) != LLMQ_OK || x != (double)tensors))
        return import__refuse(m, LLMQ_E_CORRUPT, name, "the parts have another number of tensors");
    return LLMQ_OK;
}

static llmq_status import__gguf_arch(import_model *m)
{
    import__text name = import__of("general.architecture"), arch;
    gguf_value v;
    if (gguf_find_value(m->gguf_parts, name.s, &v) != LLMQ_OK) return import__refuse(m, LLMQ_E_NOT_FOUND, name, "missing");
    arch = import__gguf_text(&v);
    for (m->arch = 0; m->arch < IMPORT__ARCHS; m->arch++)
        if (import__archs[m->arch].gguf && import__is(arch, import__archs[m->arch].gguf)) {
            m->family = import__archs[m->arch].gguf;
            return LLMQ_OK;
        }
    (void)import__refuse(m, LLMQ_E_UNSUPPORTED, name, "models of this architecture are not supported: ");
    import__say(m, arch.s, arch.n);
    return LLMQ_E_UNSUPPORTED;
}

/* The keys of all parts, and llama.cpp's defaults for those that are missing. */
static llmq_status import__gguf_keys(import_model *m)
{
    llmq_status status;
    gguf_value v;
    gguf_tensor t;
    uint32_t i;
    size_t at;
    for (i = 0; i < m->parts; i++)
        for (at = 0; gguf_next_value(&m->gguf_parts[i], &at, &v) == LLMQ_OK;)
            if ((status = import__gguf_key(m, &v)) != LLMQ_OK) return status;
    import__default(m, IMPORT__F_THETA, 1e4);
    if (!import__stated(m, IMPORT__F_FACTOR) && import__stated(m, IMPORT__F_OLD_FACTOR))
        import__default(m, IMPORT__F_FACTOR, m->field[IMPORT__F_OLD_FACTOR]);
    if (!m->scaling) m->scaling = IMPORT__LINEAR;
    import__default(m, IMPORT__F_FACTOR, 1);
    if (import__arch_bit(m) & IMPORT__GEMMA2) {
        import__default(m, IMPORT__F_WINDOW, 4096);
        import__default(m, IMPORT__F_ATTENTION_CAP, 50);
        import__default(m, IMPORT__F_LOGIT_CAP, 30);
    }
    if (import__arch_bit(m) & IMPORT__GRANITE && !import__stated(m, IMPORT__F_LOGIT_DIVISOR))
        return import__refuse(m, LLMQ_E_NOT_FOUND, import__of("granite.logit_scale"), "missing");
    for (i = 0; i < m->parts; i++)
        if (gguf_find_tensor(&m->gguf_parts[i], import__wholes[IMPORT__EMBED].gguf, &t) == LLMQ_OK && t.rows <= 1 << 24)
            import__default(m, IMPORT__F_VOCAB, (double)t.rows);
    return LLMQ_OK;
}
