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
   takes 6 kB, and no function more than 400 bytes of stack beyond those of the readers. Views live
   as long as the bytes of the files and as the import_model. */
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
    size_t size;         /* bytes of data; 0 if it is NULL */
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
    IMPORT__GEMMA = IMPORT__GEMMA2 | IMPORT__GEMMA3, IMPORT__ANY = 1023,
    IMPORT__SWITCHED = IMPORT__SMOLLM3 | IMPORT__QWEN2 | IMPORT__QWEN3 /* use_sliding_window turns their windows on */
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
    { "", "sliding_window", IMPORT__F_WINDOW, IMPORT__K_WHOLE, IMPORT__MISTRAL | IMPORT__SWITCHED, 1, 1 << 24 },
    { "attention.sliding_window_pattern", "", IMPORT__F_PATTERN, IMPORT__K_WHOLE, IMPORT__GEMMA, 0, IMPORT_MAX_LAYERS },
    { "", "sliding_window_pattern", IMPORT__F_PATTERN, IMPORT__K_WHOLE, IMPORT__GEMMA3, 1, IMPORT_MAX_LAYERS },
    { "", "_sliding_window_pattern", IMPORT__F_PATTERN, IMPORT__K_WHOLE, IMPORT__GEMMA3, 1, IMPORT_MAX_LAYERS },
    { "attn_logit_softcapping", "attn_logit_softcapping", IMPORT__F_ATTENTION_CAP, 0, IMPORT__GEMMA2, 1e-3, 1e6 },
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
    { "", "use_sliding_window", IMPORT__F_USE_WINDOW, IMPORT__K_WHOLE, IMPORT__SWITCHED, 0, 1 },
    /* in SmolLM3's it is there without an effect */
    { "", "max_window_layers", IMPORT__F_FIRST_WINDOW, IMPORT__K_WHOLE, IMPORT__SWITCHED, 0, 1 << 24 },
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
    { "", "layer_sharing", IMPORT__F_NONE, 0, IMPORT__MOBILELLM, 0, 0 },
    { "", "attn_logit_softcapping", IMPORT__F_NONE, 0, IMPORT__GEMMA3, 1, 0 } /* null alone */
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
    for (i = 0; i < n && at + 1 < sizeof m->fault; i++) {
        int plain = s[i] >= ' ' && s[i] <= '~';
        m->fault[at++] = plain ? s[i] : '?';
    }
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

/* A key that the model needs is missing: "llama.block_count: missing". */
static llmq_status import__no_key(import_model *m, const char *key)
{
    m->fault[0] = 0;
    if (m->gguf_parts) {
        import__say(m, m->family, strlen(m->family));
        import__say(m, ".", 1);
    }
    import__say(m, key, strlen(key));
    import__say(m, ": missing", 9);
    return LLMQ_E_NOT_FOUND;
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
    if (m->scaling && m->scaling != scaling)
        return import__refuse(m, LLMQ_E_CORRUPT, name, "it contradicts another key");
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
    if (!import__after(&name, import__archs[m->arch].gguf) || !import__after(&name, "."))
        return import__unknown(m, whole);
    if (import__is(name, "rope.scaling.type")) return import__state_scaling(m, import__gguf_text(v), whole);
    if (import__is(name, "tensor_data_layout") && import__is(import__gguf_text(v), "Meta AI original pth"))
        return LLMQ_OK;
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
    if (gguf_find_value(m->gguf_parts, name.s, &v) != LLMQ_OK)
        return import__refuse(m, LLMQ_E_NOT_FOUND, name, "missing");
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

/* The size of the vocabulary is the number of rows of token_embd.weight. */
static llmq_status import__gguf_vocab(import_model *m)
{
    import__text embed = import__of(import__wholes[IMPORT__EMBED].gguf), tokens = import__of("tokenizer.ggml.tokens");
    gguf_tensor t;
    gguf_value v;
    uint32_t i;
    for (i = 0; i < m->parts; i++) {
        if (gguf_find_tensor(&m->gguf_parts[i], embed.s, &t) != LLMQ_OK) continue;
        if (t.rows > 1 << 24) return import__refuse(m, LLMQ_E_LIMIT, embed, "too many rows");
        import__default(m, IMPORT__F_VOCAB, (double)t.rows);
        if (gguf_find_value(m->gguf_parts, tokens.s, &v) == LLMQ_OK && (!v.array || v.count != t.rows))
            return import__refuse(m, LLMQ_E_CORRUPT, tokens, "another number than token_embd.weight has rows");
        return LLMQ_OK;
    }
    return import__refuse(m, LLMQ_E_NOT_FOUND, embed, "missing");
}

/* The keys of all parts, and llama.cpp's defaults for those that are missing. */
static llmq_status import__gguf_keys(import_model *m)
{
    llmq_status status;
    gguf_value v;
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
        return import__no_key(m, "logit_scale");
    return import__gguf_vocab(m);
}

/* ---- the description ---- */

/* The sizes. Defaults that depend on no other field are there. */
static llmq_status import__sizes(import_model *m)
{
    static const unsigned char needed[] = { IMPORT__F_DIM, IMPORT__F_HIDDEN, IMPORT__F_LAYERS, IMPORT__F_HEADS,
                                            IMPORT__F_VOCAB, IMPORT__F_CONTEXT, IMPORT__F_EPSILON };
    uint32_t i, k;
    for (i = 0; i < IMPORT__COUNT(needed); i++)
        for (k = 0; k < IMPORT__KEYS && !import__stated(m, needed[i]); k++)
            if (import__keys[k].field == needed[i])
                return import__no_key(m, m->gguf_parts ? import__keys[k].gguf : import__keys[k].hf);
    m->dim = import__u32(m, IMPORT__F_DIM);
    m->hidden = import__u32(m, IMPORT__F_HIDDEN);
    m->layers = import__u32(m, IMPORT__F_LAYERS);
    m->heads = import__u32(m, IMPORT__F_HEADS);
    m->vocab = import__u32(m, IMPORT__F_VOCAB);
    m->context = import__u32(m, IMPORT__F_CONTEXT);
    import__default(m, IMPORT__F_KV, m->heads);
    m->kv_heads = import__u32(m, IMPORT__F_KV);
    if (m->heads % m->kv_heads)
        return import__refuse(m, LLMQ_E_CORRUPT, import__of("heads"), "no multiple of the heads of keys and values");
    if (!import__stated(m, IMPORT__F_HEAD) && m->dim % m->heads)
        return import__refuse(m, LLMQ_E_CORRUPT, import__of("heads"), "they do not divide the dimension");
    import__default(m, IMPORT__F_HEAD, m->dim / m->heads);
    m->head = import__u32(m, IMPORT__F_HEAD);
    if (m->head < 2 || m->head % 2 || m->head > IMPORT_MAX_HEAD || (uint64_t)m->head * m->heads > 1 << 24)
        return import__refuse(m, LLMQ_E_LIMIT, import__of("size of a head"), "odd, or out of range");
    if (import__stated(m, IMPORT__F_VALUE) && import__u32(m, IMPORT__F_VALUE) != m->head)
        return import__refuse(m, LLMQ_E_UNSUPPORTED, import__of("size of a head"),
                              "values have another size than keys");
    import__default(m, IMPORT__F_PART, m->head);
    if (import__u32(m, IMPORT__F_PART) % 2 || import__u32(m, IMPORT__F_PART) > m->head)
        return import__refuse(m, LLMQ_E_CORRUPT, import__of("rope.dimension_count"), "odd, or more than a head has");
    return LLMQ_OK;
}

enum { IMPORT__WINDOW = 1, IMPORT__NO_ROPE = 2 }; /* bits of lm.layer_kinds */

/* Of n layers in a row the last has no window; all have it if n is 0. */
static void import__windows(import_model *m, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < m->layers; i++)
        if (n == 0 || i % n < n - 1) m->layer_kinds[i] |= IMPORT__WINDOW;
}

/* Layers of GGUF with a window, or without RoPE. */
static llmq_status import__gguf_layers(import_model *m)
{
    uint32_t bit = import__arch_bit(m), i;
    double x = 0;
    if (bit & IMPORT__SMOLLM3) /* llama.cpp has no key for it */
        for (i = 3; i < m->layers; i += 4) m->layer_kinds[i] |= IMPORT__NO_ROPE;
    if (import__stated(m, IMPORT__F_ROPE) && m->field[IMPORT__F_ROPE] == 0)
        for (i = 0; i < m->layers; i++) m->layer_kinds[i] |= IMPORT__NO_ROPE;
    if (!(bit & IMPORT__GEMMA) || !import__stated(m, IMPORT__F_WINDOW)) return LLMQ_OK;
    if (!m->pattern.at) {
        import__default(m, IMPORT__F_PATTERN, bit & IMPORT__GEMMA2 ? 2 : 6);
        import__windows(m, import__u32(m, IMPORT__F_PATTERN));
        return LLMQ_OK;
    }
    for (i = 0; i < m->layers; i++)
        if (m->pattern.count != m->layers || gguf_number(&m->pattern, i, &x) != LLMQ_OK || (x != 0 && x != 1))
            return import__refuse(m, LLMQ_E_CORRUPT, import__of("attention.sliding_window_pattern"),
                                  "not 0 or 1 for each layer");
        else if (x != 0) m->layer_kinds[i] |= IMPORT__WINDOW;
    return LLMQ_OK;
}

static int import__any_window(const import_model *m)
{
    uint32_t i;
    for (i = 0; i < m->layers; i++)
        if (m->layer_kinds[i] & IMPORT__WINDOW) return 1;
    return 0;
}

static void import__store(unsigned char *b, uint32_t u)
{
    uint32_t i;
    for (i = 0; i < 4; i++) b[i] = (unsigned char)(u >> 8 * i & 255);
}

static void import__store_float(unsigned char *b, float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    import__store(b, u);
}

static void import__add(import_model *m, const char *name, uint32_t x)
{
    import_number *n = &m->number[m->numbers++];
    n->name = name;
    n->type = LLMQ_VALUE_U32;
    import__store(n->bits, x);
}

static void import__add_float(import_model *m, const char *name, float x)
{
    import__add(m, name, 0);
    m->number[m->numbers - 1].type = LLMQ_VALUE_F32;
    import__store_float(m->number[m->numbers - 1].bits, x);
}

/* A value of a field, unless it is the default of lm.h. */
static void import__add_field(import_model *m, const char *name, uint32_t field, float usual)
{
    if (import__stated(m, field) && (float)m->field[field] != usual) import__add_float(m, name, (float)m->field[field]);
}

/* RoPE, and the windows that go with it. */
static llmq_status import__add_rope(import_model *m)
{
    float scale = m->scaling == IMPORT__LINEAR ? 1.0f / (float)m->field[IMPORT__F_FACTOR] : 1.0f;
    uint32_t part = import__u32(m, IMPORT__F_PART);
    int window = import__any_window(m);
    if (window && !import__stated(m, IMPORT__F_WINDOW))
        return import__refuse(m, LLMQ_E_NOT_FOUND, import__of("sliding_window"),
                              "missing, although layers have a window");
    /* lm.h scales in layers without a window, as Gemma 3 does; the other models do it in all */
    if (window && !(import__arch_bit(m) & IMPORT__GEMMA3) && (scale != 1.0f || m->scaling == IMPORT__LLAMA3))
        return import__refuse(m, LLMQ_E_UNSUPPORTED, import__of("scaling of RoPE"), "not supported beside windows");
    if (!m->gguf_parts || import__archs[m->arch].flags & IMPORT__HALVES) import__add(m, "lm.rope_halves", 1);
    import__add_field(m, "lm.rope_theta", IMPORT__F_THETA, 1e4f);
    if (window) {
        import__add(m, "lm.window", import__u32(m, IMPORT__F_WINDOW));
        import__default(m, IMPORT__F_LOCAL, import__arch_bit(m) & IMPORT__GEMMA3 ? 1e4 : m->field[IMPORT__F_THETA]);
        import__add_field(m, "lm.rope_theta_local", IMPORT__F_LOCAL, (float)m->field[IMPORT__F_THETA]);
    }
    if (scale != 1.0f) import__add_float(m, "lm.rope_scale", scale);
    if (part != m->head) import__add(m, "lm.rope_part", part);
    return LLMQ_OK;
}

/* Gemma's scale of scores: query_pre_attn_scalar ^ -1/2, which is dim / heads in the models of 27 B,
   by whose number of layers llama.cpp knows them, and else the size of a head. */
static void import__gemma_scale(import_model *m)
{
    uint32_t large = import__arch_bit(m) & IMPORT__GEMMA2 ? 46 : 62;
    double query = m->layers == large ? m->dim / m->heads : m->head;
    if (import__stated(m, IMPORT__F_QUERY)) query = m->field[IMPORT__F_QUERY];
    if (query != m->head) import__default(m, IMPORT__F_ATTENTION, 1.0 / sqrt(query));
}

/* Everything that is not about tensors, from the fields to the values of the bundle. */
static llmq_status import__describe(import_model *m)
{
    uint32_t i, kinds = 0;
    llmq_status status;
    if (import__arch_bit(m) & IMPORT__GEMMA) {
        import__default(m, IMPORT__F_EMBED, (double)(float)sqrt((double)m->dim));
        import__gemma_scale(m);
    }
    import__add(m, "lm.dim", m->dim);
    import__add(m, "lm.hidden", m->hidden);
    import__add(m, "lm.layers", m->layers);
    import__add(m, "lm.heads", m->heads);
    import__add(m, "lm.kv_heads", m->kv_heads);
    import__add(m, "lm.vocab", m->vocab);
    import__add(m, "lm.context", m->context);
    if ((uint64_t)m->head * m->heads != m->dim) import__add(m, "lm.head", m->head);
    import__add_field(m, "lm.norm_epsilon", IMPORT__F_EPSILON, 1e-5f);
    if (import__arch_bit(m) & IMPORT__GEMMA) import__add(m, "lm.activation", 1); /* GELU */
    if ((status = import__add_rope(m)) != LLMQ_OK) return status;
    import__add_field(m, "lm.embed_scale", IMPORT__F_EMBED, 1.0f);
    import__add_field(m, "lm.residual_scale", IMPORT__F_RESIDUAL, 1.0f);
    import__add_field(m, "lm.attention_scale", IMPORT__F_ATTENTION, 0.0f);
    if (import__stated(m, IMPORT__F_LOGIT_DIVISOR) && (float)m->field[IMPORT__F_LOGIT_DIVISOR] != 1.0f)
        import__add_float(m, "lm.logit_scale", 1.0f / (float)m->field[IMPORT__F_LOGIT_DIVISOR]);
    import__add_field(m, "lm.attention_softcap", IMPORT__F_ATTENTION_CAP, 0.0f);
    import__add_field(m, "lm.logit_softcap", IMPORT__F_LOGIT_CAP, 0.0f);
    for (i = 0; i < m->layers; i++) kinds |= m->layer_kinds[i];
    m->values = m->numbers + (kinds != 0);
    return LLMQ_OK;
}

/* ---- tensors, from both kinds of files ---- */

/* Place of the next tensor. */
typedef struct import__cursor {
    uint32_t part;
    size_t at;
} import__cursor;

/* A tensor of safetensors as one of GGUF. What its type is called there; 24 is I8, which is refused. */
static void import__as_gguf(const safetensors_tensor *s, gguf_tensor *t)
{
    const char *type = safetensors_type_name(s->type);
    memset(t, 0, sizeof *t);
    t->name = s->name;
    t->name_length = s->name_length;
    t->type = strcmp(type, "F32") == 0 ? 0 : strcmp(type, "F16") == 0 ? 1 : strcmp(type, "BF16") == 0 ? 30 : 24;
    t->dims = s->dims;
    t->rows = s->rows;
    t->cols = s->cols;
    t->row_size = s->row_size;
    t->size = s->size;
    t->data = s->data;
}

static int import__next(const import_model *m, import__cursor *c, gguf_tensor *t)
{
    safetensors_tensor s;
    for (; c->part < m->parts; c->part++, c->at = 0) {
        if (m->gguf_parts) {
            if (gguf_next_tensor(&m->gguf_parts[c->part], &c->at, t) == LLMQ_OK) return 1;
        } else if (safetensors_next(&m->shards[c->part], &c->at, &s) == LLMQ_OK) {
            import__as_gguf(&s, t);
            return 1;
        }
    }
    return 0;
}

static int import__find(const import_model *m, const char *name, gguf_tensor *t)
{
    import__cursor c = { 0, 0 };
    while (import__next(m, &c, t))
        if (t->name_length == strlen(name) && memcmp(t->name, name, t->name_length) == 0) return 1;
    return 0;
}

/* The name of a kind in the file, after that of the layer. */
static const char *import__name_of(const import_model *m, uint32_t kind)
{
    if (m->gguf_parts) return import__kinds[kind].gguf;
    if (import__arch_bit(m) & IMPORT__GEMMA && kind == IMPORT__NORM2) return "pre_feedforward_layernorm.weight";
    return import__kinds[kind].hf;
}

/* The tensors that a layer must have, and those that it may have. */
static uint32_t import__need(const import_model *m)
{
    uint32_t biases = !m->gguf_parts && import__arch_bit(m) & IMPORT__QWEN2 ? IMPORT__BIASES : 0;
    return IMPORT__ALL | import__archs[m->arch].extra | biases;
}

static uint32_t import__may(const import_model *m)
{
    int biases = m->gguf_parts && !(import__arch_bit(m) & IMPORT__BITNET);
    return import__need(m) | (biases ? IMPORT__BIASES : 0);
}

static uint32_t import__may_whole(const import_model *m)
{
    uint32_t flags = import__archs[m->arch].flags, may = IMPORT__BIT(IMPORT__EMBED) | IMPORT__BIT(IMPORT__NORM);
    if (!m->gguf_parts || flags & IMPORT__OUTPUT) may |= IMPORT__BIT(IMPORT__CLASSIFIER);
    if (m->gguf_parts && flags & IMPORT__FREQS) may |= IMPORT__BIT(IMPORT__FACTORS);
    return may;
}

static uint32_t import__extent(const import_model *m, uint32_t what)
{
    switch (what) {
    case IMPORT__DIM: return m->dim;
    case IMPORT__HIDDEN: return m->hidden;
    case IMPORT__Q: return m->heads * m->head;
    case IMPORT__KV: return m->kv_heads * m->head;
    case IMPORT__HEAD: return m->head;
    case IMPORT__VOCAB: return m->vocab;
    case IMPORT__PAIRS: return import__u32(m, IMPORT__F_PART) / 2;
    default: return 1;
    }
}

/* Shape and type of a tensor. A row of no elements tells whether its type is decoded. */
static llmq_status import__check(import_model *m, const gguf_tensor *t, uint32_t rows, uint32_t cols, import__text name)
{
    gguf_tensor none = *t;
    float nothing;
    none.cols = 0;
    none.rows = 1;
    if (t->rows != rows || t->cols != cols)
        return import__refuse(m, LLMQ_E_CORRUPT, name, "another shape was expected");
    if (gguf_row(&none, 0, &nothing) != LLMQ_OK)
        return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "its type cannot be decoded");
    return LLMQ_OK;
}

/* Notes a tensor in a set of kinds. */
static llmq_status import__note(import_model *m, uint32_t *set, uint32_t kind, import__text name)
{
    if (*set >> kind & 1) return import__refuse(m, LLMQ_E_CORRUPT, name, "it is there twice");
    *set |= IMPORT__BIT(kind);
    return LLMQ_OK;
}

/* Takes a decimal number below `most` off a text, without zeros in front; `most` if there is none. */
static uint32_t import__take_number(import__text *t, uint32_t most)
{
    uint32_t n = 0;
    size_t i = 0;
    for (; i < t->n && t->s[i] >= '0' && t->s[i] <= '9' && n < most; i++) n = n * 10 + (uint32_t)(t->s[i] - '0');
    if (i == 0 || (t->s[0] == '0' && i > 1) || n >= most) return most;
    t->s += i;
    t->n -= i;
    return n;
}

/* A factor of matrix k: one finite float. */
static llmq_status import__tensor_scale(import_model *m, const gguf_tensor *t, uint32_t layer, uint32_t kind,
                                        import__text name)
{
    float x = 0;
    uint32_t set = m->scaled[layer];
    llmq_status status = import__check(m, t, 1, 1, name);
    if (status != LLMQ_OK) return status;
    if (gguf_row(t, 0, &x) != LLMQ_OK || !(fabs((double)x) <= 1e30))
        return import__refuse(m, LLMQ_E_CORRUPT, name, "the factor is out of range");
    status = import__note(m, &set, kind, name);
    m->scaled[layer] = (unsigned char)set;
    return status;
}

/* A tensor of a layer. rest: its name after that of the layer. */
static llmq_status import__tensor_layer(import_model *m, const gguf_tensor *t, uint32_t layer, import__text rest,
                                        import__text name)
{
    uint32_t k;
    llmq_status status;
    /* old checkpoints have it; it follows from theta */
    if (!m->gguf_parts && import__is(rest, "self_attn.rotary_emb.inv_freq")) return LLMQ_OK;
    for (k = 0; k < IMPORT__KINDS; k++) {
        import__text kind = import__of(import__name_of(m, k)), end = rest;
        if (!(import__may(m) >> k & 1)) continue;
        if (import__is(rest, kind.s)) {
            status = import__check(m, t, import__extent(m, import__kinds[k].rows), import__extent(m,
                    import__kinds[k].cols),
                                   name);
            return status == LLMQ_OK ? import__note(m, &m->present[layer], k, name) : status;
        }
        kind.n -= 6; /* ".weight" becomes ".scale" */
        if (m->gguf_parts && k < IMPORT__MATRICES && import__archs[m->arch].flags & IMPORT__SCALES && rest.n > kind.n &&
            memcmp(rest.s, kind.s, kind.n) == 0) {
            end.s += kind.n;
            end.n -= kind.n;
            if (import__is(end, "scale")) return import__tensor_scale(m, t, layer, k, name);
        }
    }
    return import__unknown(m, name);
}

static llmq_status import__tensor(import_model *m, const gguf_tensor *t)
{
    import__text name = { t->name, t->name_length }, rest = name;
    uint32_t k, layer;
    for (k = 0; k < IMPORT__WHOLE; k++)
        if (import__may_whole(m) >> k & 1 &&
            import__is(name, m->gguf_parts ? import__wholes[k].gguf : import__wholes[k].hf)) {
            llmq_status status = import__check(m, t, import__extent(m, import__wholes[k].rows),
                                               import__extent(m, import__wholes[k].cols), name);
            return status == LLMQ_OK ? import__note(m, &m->whole, k, name) : status;
        }
    if (!import__after(&rest, m->gguf_parts ? "blk." : "model.layers.")) return import__unknown(m, name);
    layer = import__take_number(&rest, m->layers);
    if (layer == m->layers || !import__after(&rest, ".")) return import__unknown(m, name);
    return import__tensor_layer(m, t, layer, rest, name);
}

/* "layers.3." or the like, and what follows. Room for the longest of them is 64 bytes. */
static void import__join(char *out, const char *before, uint32_t layer, const char *after)
{
    char digit[10];
    uint32_t n = 0;
    size_t at = strlen(before);
    memcpy(out, before, at);
    do digit[n++] = (char)('0' + layer % 10);
    while ((layer /= 10) != 0);
    while (n > 0) out[at++] = digit[--n];
    out[at++] = '.';
    memcpy(out + at, after, strlen(after) + 1);
}

static llmq_status import__missing(import_model *m)
{
    uint32_t need = import__need(m), l, k;
    char name[64];
    for (k = 0; k <= IMPORT__NORM; k++)
        if (!(m->whole >> k & 1))
            return import__refuse(m, LLMQ_E_NOT_FOUND,
                                  import__of(m->gguf_parts ? import__wholes[k].gguf : import__wholes[k].hf), "missing");
    for (l = 0; l < m->layers; l++)
        for (k = 0; k < IMPORT__KINDS; k++)
            if ((need & ~m->present[l]) >> k & 1) {
                import__join(name, m->gguf_parts ? "blk." : "model.layers.", l, import__name_of(m, k));
                return import__refuse(m, LLMQ_E_NOT_FOUND, import__of(name), "missing");
            }
    return LLMQ_OK;
}

static uint32_t import__bits(uint32_t set)
{
    uint32_t n = 0;
    for (; set; set &= set - 1) n++;
    return n;
}

/* All tensors of the file are understood, and all that the model needs are there. */
static llmq_status import__tensors(import_model *m)
{
    import__cursor c = { 0, 0 };
    gguf_tensor t;
    llmq_status status;
    while (import__next(m, &c, &t))
        if ((status = import__tensor(m, &t)) != LLMQ_OK) return status;
    return import__missing(m);
}

static void import__count(import_model *m)
{
    uint32_t l;
    m->tensors = import__bits(m->whole);
    for (l = 0; l < m->layers; l++) m->tensors += import__bits(m->present[l]);
    m->fault[0] = 0;
}

llmq_status import_open_gguf(import_model *m, const gguf *parts, uint32_t count)
{
    llmq_status status;
    if (!m) return LLMQ_E_ARG;
    memset(m, 0, sizeof *m);
    if (!parts || count == 0) return LLMQ_E_ARG;
    m->gguf_parts = parts;
    m->parts = count;
    if ((status = import__gguf_split(m)) != LLMQ_OK || (status = import__gguf_arch(m)) != LLMQ_OK ||
        (status = import__gguf_keys(m)) != LLMQ_OK || (status = import__sizes(m)) != LLMQ_OK ||
        (status = import__gguf_layers(m)) != LLMQ_OK || (status = import__describe(m)) != LLMQ_OK ||
        (status = import__tensors(m)) != LLMQ_OK)
        return status;
    import__count(m);
    return LLMQ_OK;
}

/* ---- config.json ---- */

/* The text of a key or string as it is written. One with an escape matches nothing that is known. */
static import__text import__json_text(const json_value *v)
{
    import__text t = { "", 0 };
    if (v->type != JSON_STRING) return t;
    t.s = v->at + 1;
    t.n = v->size - 2;
    return t;
}

/* A number or a bool; null is as if the member were missing. */
static llmq_status import__json_number(import_model *m, const import__key *key, const json_value *v, import__text name)
{
    double x = v->type == JSON_TRUE;
    if (v->type == JSON_NULL) return LLMQ_OK;
    if (v->type != JSON_TRUE && v->type != JSON_FALSE && json_number(v, &x) != LLMQ_OK)
        return import__refuse(m, LLMQ_E_CORRUPT, name, "a number was expected");
    return import__state(m, key, x, name);
}

/* The key of config.json whose field and name are the same as one within rope_scaling. */
static const import__key import__rope_keys[] = {
    { "", "factor", IMPORT__F_FACTOR, 0, IMPORT__ANY, 1, 1e5 },
    { "", "low_freq_factor", IMPORT__F_LOW, 0, IMPORT__ANY, 1e-3, 1e6 },
    { "", "high_freq_factor", IMPORT__F_HIGH, 0, IMPORT__ANY, 1e-3, 1e6 },
    { "", "original_max_position_embeddings", IMPORT__F_ORIGINAL, IMPORT__K_WHOLE, IMPORT__ANY, 1, 1 << 24 },
    { "", "rope_theta", IMPORT__F_THETA, 0, IMPORT__ANY, 1, 1e30 },
    { "", "partial_rotary_factor", IMPORT__F_NONE, 0, IMPORT__ANY, 1, 1 }
};

static const import__key import__local_theta = { "", "rope_theta", IMPORT__F_LOCAL, 0, IMPORT__ANY, 1, 1e30 };

/* rope_scaling, or rope_parameters of transformers 5, which has the theta too. local: that of layers
   with a window, which is not scaled. */
static llmq_status import__rope_object(import_model *m, const json_value *object, int local)
{
    json_value key, v;
    llmq_status status;
    size_t at = 0;
    uint32_t i;
    if (object->type == JSON_NULL) return LLMQ_OK;
    if (object->type != JSON_OBJECT)
        return import__refuse(m, LLMQ_E_CORRUPT, import__of("rope_scaling"), "an object was expected");
    while (json_next(object, &at, &key, &v) == LLMQ_OK) {
        import__text name = import__json_text(&key);
        const import__key *known = local && import__is(name, "rope_theta") ? &import__local_theta : NULL;
        if (import__is(name, "type") || import__is(name, "rope_type")) {
            if (local && !json_is(&v, "default"))
                return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "scaling beside a window");
            if (!local && (status = import__state_scaling(m, import__json_text(&v), name)) != LLMQ_OK) return status;
            continue;
        }
        for (i = 0; !local && i < IMPORT__COUNT(import__rope_keys) && !known; i++)
            if (import__is(name, import__rope_keys[i].hf)) known = &import__rope_keys[i];
        if (!known) return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "not understood in a scaling of RoPE");
        if ((status = import__json_number(m, known, &v, name)) != LLMQ_OK) return status;
    }
    return LLMQ_OK;
}

/* rope_parameters; in Gemma 3 one object for each kind of layers. */
static llmq_status import__rope_parameters(import_model *m, const json_value *v)
{
    json_value full, window;
    llmq_status status;
    size_t at = 0;
    uint32_t members = 0;
    if (!(import__arch_bit(m) & IMPORT__GEMMA3) || json_find(v, "full_attention", &full) != LLMQ_OK)
        return import__rope_object(m, v, 0);
    while (json_next(v, &at, NULL, &window) == LLMQ_OK) members++;
    if (members != 2 || json_find(v, "sliding_attention", &window) != LLMQ_OK)
        return import__refuse(m, LLMQ_E_UNSUPPORTED, import__of("rope_parameters"), "other kinds of layers");
    status = import__rope_object(m, &full, 0);
    return status == LLMQ_OK ? import__rope_object(m, &window, 1) : status;
}

/* The activation function is the one of the architecture. */
static llmq_status import__activation(import_model *m, const json_value *v, import__text name)
{
    int gelu = (import__arch_bit(m) & IMPORT__GEMMA) != 0;
    if (v->type == JSON_NULL || json_is(v, gelu ? "gelu_pytorch_tanh" : "silu")) return LLMQ_OK;
    return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "not the activation function of this architecture");
}

/* The classes have a classifier over the vocabulary. */
static llmq_status import__classes(import_model *m, const json_value *v, import__text name)
{
    static const char end[] = "ForCausalLM";
    json_value each;
    size_t at = 0, n = sizeof end - 1;
    while (json_next(v, &at, NULL, &each) == LLMQ_OK) {
        import__text t = import__json_text(&each);
        if (t.n < n || memcmp(t.s + t.n - n, end, n) != 0)
            return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "no model that continues texts");
    }
    return LLMQ_OK;
}

/* Keeps a list for when the number of layers is known. */
static llmq_status import__list(import_model *m, json_value *list, const json_value *v, import__text name)
{
    if (v->type != JSON_ARRAY && v->type != JSON_NULL)
        return import__refuse(m, LLMQ_E_CORRUPT, name, "a list was expected");
    *list = *v;
    return LLMQ_OK;
}

static llmq_status import__config_member(import_model *m, const json_value *member, const json_value *v)
{
    import__text name = import__json_text(member);
    const import__key *key = import__key_of(m, name);
    uint32_t bit = import__arch_bit(m);
    if (key) return import__json_number(m, key, v, name);
    if (import__is(name, "model_type")) return LLMQ_OK;
    if (import__is(name, "architectures")) return import__classes(m, v, name);
    if (import__is(name, "rope_scaling")) return import__rope_object(m, v, 0);
    if (import__is(name, "rope_parameters")) return import__rope_parameters(m, v);
    if (import__is(name, "hidden_act") || import__is(name, "hidden_activation")) return import__activation(m, v, name);
    if (import__is(name, "layer_types") && bit & (IMPORT__SWITCHED | IMPORT__GEMMA))
        return import__list(m, &m->layer_types, v, name);
    if (import__is(name, "no_rope_layers") && bit & IMPORT__SMOLLM3) return import__list(m, &m->no_rope, v, name);
    /* MobileLLM brings its own classes, in which share_embedding decides */
    if (bit & IMPORT__MOBILELLM && (import__is(name, "auto_map") || import__is(name, "tie_word_embeddings")))
        return LLMQ_OK;
    if (import__among(name, import__harmless_hf, IMPORT__COUNT(import__harmless_hf))) return LLMQ_OK;
    return import__unknown(m, name);
}

static llmq_status import__config_arch(import_model *m, const json_value *config)
{
    import__text name = import__of("model_type"), arch = import__of("");
    json_value v;
    if (json_distinct(config) != LLMQ_OK)
        return import__refuse(m, LLMQ_E_CORRUPT, import__of("config.json"), "no object, or a member is there twice");
    if (json_find(config, name.s, &v) != LLMQ_OK) return import__refuse(m, LLMQ_E_NOT_FOUND, name, "missing");
    arch = import__json_text(&v);
    for (m->arch = 0; m->arch < IMPORT__ARCHS; m->arch++)
        if (import__archs[m->arch].hf && import__is(arch, import__archs[m->arch].hf)) {
            m->family = import__archs[m->arch].hf;
            return LLMQ_OK;
        }
    (void)import__refuse(m, LLMQ_E_UNSUPPORTED, name, "models of this architecture are not supported: ");
    import__say(m, arch.s, arch.n);
    return LLMQ_E_UNSUPPORTED;
}

/* The members of config.json, and the defaults of transformers for those that are missing. */
static llmq_status import__config(import_model *m, const json_value *config)
{
    const import__arch *arch = &import__archs[m->arch];
    uint32_t bit = import__arch_bit(m);
    json_value key, v;
    size_t at = 0;
    llmq_status status;
    int caps_given = json_find(config, "attn_logit_softcapping", &v) == LLMQ_OK;
    int cap_given = json_find(config, "final_logit_softcapping", &v) == LLMQ_OK;
    int window_given = json_find(config, "sliding_window", &v) == LLMQ_OK;
    int kv_given = json_find(config, "num_key_value_heads", &v) == LLMQ_OK;
    while (json_next(config, &at, &key, &v) == LLMQ_OK)
        if ((status = import__config_member(m, &key, &v)) != LLMQ_OK) return status;
    import__default(m, IMPORT__F_THETA, arch->theta);
    if (arch->kv_heads && !kv_given) import__default(m, IMPORT__F_KV, arch->kv_heads);
    if (arch->head) import__default(m, IMPORT__F_HEAD, arch->head);
    if (arch->tied >= 0) import__default(m, IMPORT__F_TIED, arch->tied);
    if (!import__stated(m, IMPORT__F_TIED))
        return import__refuse(m, LLMQ_E_NOT_FOUND, import__of("share_embedding"), "missing");
    import__default(m, IMPORT__F_EPSILON, 1e-6);
    /* null is no default: it says that there is none */
    if (!window_given && bit & (IMPORT__MISTRAL | IMPORT__GEMMA)) import__default(m, IMPORT__F_WINDOW, 4096);
    if (bit & IMPORT__GEMMA) import__default(m, IMPORT__F_QUERY, 256);
    if (bit & IMPORT__GEMMA2 && !caps_given) import__default(m, IMPORT__F_ATTENTION_CAP, 50);
    if (bit & IMPORT__GEMMA2 && !cap_given) import__default(m, IMPORT__F_LOGIT_CAP, 30);
    if (bit & IMPORT__GRANITE) import__default(m, IMPORT__F_ATTENTION, 1);
    if (m->scaling == IMPORT__LINEAR && !import__stated(m, IMPORT__F_FACTOR))
        return import__refuse(m, LLMQ_E_NOT_FOUND, import__of("rope_scaling"), "no factor");
    if (m->scaling == IMPORT__UNSCALED && import__stated(m, IMPORT__F_FACTOR))
        return import__refuse(m, LLMQ_E_NOT_FOUND, import__of("rope_scaling"), "no type");
    return LLMQ_OK;
}

/* ---- layers and RoPE of config.json ---- */

/* layer_types: a string for each layer. */
static llmq_status import__layer_types(import_model *m)
{
    json_value v;
    size_t at = 0;
    uint32_t n = 0;
    int known = 1;
    while (json_next(&m->layer_types, &at, NULL, &v) == LLMQ_OK && n <= m->layers) {
        int window = json_is(&v, "sliding_attention");
        known = known && (window || json_is(&v, "full_attention"));
        if (window && n < m->layers) m->layer_kinds[n] |= IMPORT__WINDOW;
        n++;
    }
    if (!known || n != m->layers)
        return import__refuse(m, LLMQ_E_UNSUPPORTED, import__of("layer_types"), "not a known kind for each layer");
    return LLMQ_OK;
}

/* no_rope_layers: in spite of its name 1 for each layer that has RoPE, and 0 for the others. */
static llmq_status import__rope_layers(import_model *m)
{
    json_value v;
    double x = 0;
    size_t at = 0;
    uint32_t n = 0, step, i;
    int known = 1;
    if (m->no_rope.type != JSON_ARRAY) { /* missing, or null */
        import__default(m, IMPORT__F_ROPE_STEP, 4);
        step = import__u32(m, IMPORT__F_ROPE_STEP);
        for (i = 0; i < m->layers; i++)
            if ((i + 1) % step == 0) m->layer_kinds[i] |= IMPORT__NO_ROPE;
        return LLMQ_OK;
    }
    while (json_next(&m->no_rope, &at, NULL, &v) == LLMQ_OK && n <= m->layers) {
        known = known && json_number(&v, &x) == LLMQ_OK && (x == 0 || x == 1);
        if (x == 0 && n < m->layers) m->layer_kinds[n] |= IMPORT__NO_ROPE;
        n++;
    }
    if (!known || n != m->layers)
        return import__refuse(m, LLMQ_E_CORRUPT, import__of("no_rope_layers"), "not 0 or 1 for each layer");
    return LLMQ_OK;
}

/* Layers with a window, or without RoPE. A window that no layer has is no window. */
static llmq_status import__config_layers(import_model *m)
{
    uint32_t bit = import__arch_bit(m), i;
    llmq_status status;
    int use = import__stated(m, IMPORT__F_USE_WINDOW) && m->field[IMPORT__F_USE_WINDOW] != 0 &&
              import__stated(m, IMPORT__F_WINDOW);
    if (bit & IMPORT__SMOLLM3 && (status = import__rope_layers(m)) != LLMQ_OK) return status;
    if (m->layer_types.type == JSON_ARRAY) {
        if ((status = import__layer_types(m)) != LLMQ_OK) return status;
        if (bit & IMPORT__SWITCHED && !use && import__any_window(m))
            return import__refuse(m, LLMQ_E_UNSUPPORTED, import__of("layer_types"), "windows that are turned off");
        return LLMQ_OK;
    }
    if (bit & IMPORT__GEMMA) {
        import__default(m, IMPORT__F_PATTERN, bit & IMPORT__GEMMA2 ? 2 : 6);
        import__windows(m, import__u32(m, IMPORT__F_PATTERN));
    } else if (bit & IMPORT__MISTRAL && import__stated(m, IMPORT__F_WINDOW)) import__windows(m, 0);
    else if (bit & IMPORT__SMOLLM3) {
        for (i = 0; i < m->layers && use; i++)
            if (m->layer_kinds[i] & IMPORT__NO_ROPE) m->layer_kinds[i] |= IMPORT__WINDOW;
    } else if (bit & (IMPORT__QWEN2 | IMPORT__QWEN3)) {
        import__default(m, IMPORT__F_FIRST_WINDOW, 28);
        for (i = import__u32(m, IMPORT__F_FIRST_WINDOW); i < m->layers && use; i++) m->layer_kinds[i] |= IMPORT__WINDOW;
    }
    return LLMQ_OK;
}

/* The factors of Llama 3.1, as _compute_llama3_parameters of transformers has them: waves that are
   short beside the original context stay, long ones become `factor` times as long, and between
   them the frequencies are mixed. Here the arithmetic is double, and the results are rounded once,
   so that they depend on no processor. */
static llmq_status import__llama3(import_model *m)
{
    IMPORT__NO_CONTRACT
    static const unsigned char needed[] = { IMPORT__F_FACTOR, IMPORT__F_LOW, IMPORT__F_HIGH, IMPORT__F_ORIGINAL };
    double factor, low, high, original, theta = m->field[IMPORT__F_THETA];
    uint32_t part = import__u32(m, IMPORT__F_PART), i;
    if (m->scaling != IMPORT__LLAMA3) return LLMQ_OK;
    for (i = 0; i < IMPORT__COUNT(needed); i++)
        if (!import__stated(m, needed[i]))
            return import__refuse(m, LLMQ_E_NOT_FOUND, import__of("rope_scaling"), "a number of llama3 is missing");
    factor = m->field[IMPORT__F_FACTOR], low = m->field[IMPORT__F_LOW], high = m->field[IMPORT__F_HIGH];
    original = m->field[IMPORT__F_ORIGINAL];
    if (!(high > low))
        return import__refuse(m, LLMQ_E_CORRUPT, import__of("rope_scaling"),
                              "high_freq_factor is not above the low one");
    for (i = 0; i < part / 2; i++) {
        /* check: 6.283185307179586 == 2 * pi */
        double wave = 6.283185307179586 * pow(theta, 2.0 * (double)i / (double)part), share, x;
        share = (original / wave - low) / (high - low);
        x = wave < original / high ? 1.0 : wave > original / low ? factor : 1.0 / ((1.0 - share) / factor + share);
        import__store_float(m->rope_factors + 4 * i, (float)x);
    }
    m->whole |= IMPORT__BIT(IMPORT__FACTORS);
    return LLMQ_OK;
}

/* Whether lm_head.weight is the classifier, or the embedding is. Files may have both although they
   are tied; then they must be the same. */
static llmq_status import__tied(import_model *m)
{
    uint32_t classifier = IMPORT__BIT(IMPORT__CLASSIFIER);
    import__text name = import__of(import__wholes[IMPORT__CLASSIFIER].hf);
    gguf_tensor a, b;
    if (m->field[IMPORT__F_TIED] == 0)
        return m->whole & classifier ? LLMQ_OK : import__refuse(m, LLMQ_E_NOT_FOUND, name, "missing");
    if (!(m->whole & classifier)) return LLMQ_OK;
    if (!import__find(m, name.s, &a) || !import__find(m, import__wholes[IMPORT__EMBED].hf, &b) || a.type != b.type ||
        memcmp(a.data, b.data, a.size) != 0)
        return import__refuse(m, LLMQ_E_UNSUPPORTED, name, "it differs from the embedding although they are tied");
    m->whole &= ~classifier;
    return LLMQ_OK;
}

llmq_status import_open_safetensors(import_model *m, const json_value *config, const safetensors *shards,
                                    uint32_t count)
{
    llmq_status status;
    if (!m) return LLMQ_E_ARG;
    memset(m, 0, sizeof *m);
    if (!config || !shards || count == 0) return LLMQ_E_ARG;
    m->shards = shards;
    m->parts = count;
    if ((status = import__config_arch(m, config)) != LLMQ_OK || (status = import__config(m, config)) != LLMQ_OK ||
        (status = import__sizes(m)) != LLMQ_OK || (status = import__config_layers(m)) != LLMQ_OK ||
        (status = import__describe(m)) != LLMQ_OK || (status = import__tensors(m)) != LLMQ_OK ||
        (status = import__tied(m)) != LLMQ_OK || (status = import__llama3(m)) != LLMQ_OK)
        return status;
    import__count(m);
    return LLMQ_OK;
}

/* ---- the entries ---- */

llmq_status import_value(const import_model *m, uint32_t i, llmq_entry *e)
{
    if (i >= m->values) return LLMQ_E_NOT_FOUND;
    memset(e, 0, sizeof *e);
    e->kind = LLMQ_KIND_VALUE;
    e->name = i < m->numbers ? m->number[i].name : "lm.layer_kinds";
    e->type = i < m->numbers ? m->number[i].type : LLMQ_VALUE_BYTES;
    e->data = i < m->numbers ? m->number[i].bits : m->layer_kinds;
    e->size = i < m->numbers ? 4 : m->layers;
    return LLMQ_OK;
}

/* Bit i, from 0 on, of those that are set. */
static uint32_t import__set_bit(uint32_t set, uint32_t i)
{
    uint32_t k = 0;
    for (; i > 0; i--) set &= set - 1;
    while (!(set >> k & 1)) k++;
    return k;
}

/* Weights of norms are w, and the factor is 1 + w. */
static int import__is_norm(uint32_t kind) { return kind >= IMPORT__NORM1 && !(IMPORT__BIASES >> kind & 1); }

/* Formats, sizes and the place of the bytes, after the source and what is done to it are known. */
static void import__place(import_entry *e)
{
    int same = e->add == 0.0f && e->factor == 1.0f;
    uint32_t type = same ? e->source.type : 0;
    e->format = type == 1 ? "f16" : type == 30 ? "bf16" : "f32";
    e->rows = (uint32_t)e->source.rows;
    e->cols = (uint32_t)e->source.cols;
    e->data = same && (e->source.type == 0 || type == 1 || type == 30) ? e->source.data : NULL;
    e->size = e->data ? e->source.size : 0;
}

/* A tensor of the whole model. */
static llmq_status import__entry_whole(const import_model *m, uint32_t kind, import_entry *e)
{
    memcpy(e->name, import__wholes[kind].name, strlen(import__wholes[kind].name) + 1);
    if (kind == IMPORT__FACTORS && !m->gguf_parts) {
        memset(&e->source, 0, sizeof e->source);
        e->source.rows = 1;
        e->source.cols = import__extent(m, IMPORT__PAIRS);
        e->source.row_size = e->source.size = (size_t)e->source.cols * 4;
        e->source.data = m->rope_factors;
    } else if (!import__find(m, m->gguf_parts ? import__wholes[kind].gguf : import__wholes[kind].hf, &e->source))
        return LLMQ_E_NOT_FOUND;
    return LLMQ_OK;
}

static llmq_status import__entry_layer(const import_model *m, uint32_t layer, uint32_t kind, import_entry *e)
{
    const char *before = m->gguf_parts ? "blk." : "model.layers.";
    char name[64];
    gguf_tensor t;
    import__join(e->name, "layers.", layer, import__kinds[kind].name);
    import__join(name, before, layer, import__name_of(m, kind));
    if (!import__find(m, name, &e->source)) return LLMQ_E_NOT_FOUND;
    if (kind >= IMPORT__MATRICES || !(m->scaled[layer] >> kind & 1)) return LLMQ_OK;
    memcpy(name + strlen(name) - 6, "scale", 6);
    return import__find(m, name, &t) ? gguf_row(&t, 0, &e->factor) : LLMQ_E_NOT_FOUND;
}

llmq_status import_tensor(const import_model *m, uint32_t i, import_entry *e)
{
    uint32_t n = import__bits(m->whole), layer = 0, kind;
    llmq_status status;
    int plus_one = !m->gguf_parts && import__arch_bit(m) & IMPORT__GEMMA;
    if (i >= m->tensors) return LLMQ_E_NOT_FOUND;
    memset(e, 0, sizeof *e);
    e->factor = 1.0f;
    if (i < n) {
        kind = import__set_bit(m->whole, i);
        if (plus_one && kind == IMPORT__NORM) e->add = 1.0f;
        status = import__entry_whole(m, kind, e);
    } else {
        for (i -= n; i >= (n = import__bits(m->present[layer])); layer++) i -= n;
        kind = import__set_bit(m->present[layer], i);
        if (plus_one && import__is_norm(kind)) e->add = 1.0f;
        status = import__entry_layer(m, layer, kind, e);
    }
    if (status == LLMQ_OK) import__place(e);
    return status;
}

llmq_status import_row(const import_entry *e, uint32_t row, float *out)
{
    IMPORT__NO_CONTRACT
    llmq_status status = e ? gguf_row(&e->source, row, out) : LLMQ_E_ARG;
    uint32_t i;
    if (status != LLMQ_OK) return status;
    /* only where there is something to do: -0 + 0 would be another 0 */
    for (i = 0; i < e->cols && e->add != 0.0f; i++) out[i] += e->add;
    for (i = 0; i < e->cols && e->factor != 1.0f; i++) out[i] *= e->factor;
    return LLMQ_OK;
}

#ifdef __cplusplus
}
#endif

#if defined(__GNUC__) && !defined(__clang__) && !defined(__TINYC__)
#pragma GCC pop_options
#endif
#undef IMPORT__NO_CONTRACT
#undef IMPORT_IMPLEMENTATION
#endif /* IMPORT_IMPLEMENTATION */
